//! Directories through the daemon: moving accounts to another id attribute, the diagnosis, further
//! claims, and sessions after a changed password.

use anyhow::{Context, Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::Browser;
use auth_tests::harness::oidc::{RelyingParty, Tokens};
use auth_tests::harness::slapd::Slapd;
use serde_json::Value;

use crate::site::{self, SCOPE};

fn directory(slapd: &Slapd, more: &str) -> String {
    format!(
        "[[directory]]\nid = \"corp\"\npreset = \"openldap\"\nservers = [\"{}\"]\nca_file = \"{}\"\n\
         bind_dn = \"{}\"\nbind_password = \"{}\"\nbase_dn = \"{}\"\n{more}\n",
        slapd.ldaps_url(),
        slapd.ca_file().display(),
        slapd.bind_dn(),
        slapd.bind_password(),
        slapd.base_dn()
    )
}

async fn signed_in(daemon: &Daemon, name: &str) -> Result<(RelyingParty, Tokens)> {
    let party = site::relying_party(daemon).await?;
    let authorization = party.authorize(SCOPE);
    let password = format!("secret-{name}");
    let code = party.sign_in(&Browser::new()?, &authorization, "corp", name, &password).await?;
    let tokens = party.exchange(&authorization, &code).await?;
    Ok((party, tokens))
}

async fn account_of(daemon: &Daemon, name: &str) -> Result<Value> {
    daemon.cli(&["user", "show", name, "--json"]).await?.success()?.json()
}

fn with_id(daemon: &Daemon, from: &str, to: &str) -> Result<()> {
    let text = std::fs::read_to_string(daemon.config())?;
    let changed = text.replace(&format!("id = \"{from}\""), &format!("id = \"{to}\""));
    ensure!(text != changed, "{text}");
    Ok(std::fs::write(daemon.config(), changed)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_move_to_another_id_and_back() -> Result<()> {
    let slapd = Slapd::start()?;
    let by_name = directory(&slapd, "[directory.attributes]\nid = \"employeeNumber\"");
    let mut daemon = site::daemon().toml(&by_name).start().await?;
    for name in ["alice", "bob", "carol"] {
        signed_in(&daemon, name).await?;
    }
    let before = account_of(&daemon, "alice").await?;
    // Carol leaves the directory; she keeps what she has.
    slapd.modify("dn: uid=carol,ou=people,dc=example,dc=org\nchangetype: delete\n")?;

    let arguments = ["ldap", "migrate-id", "--directory", "corp", "--to", "entryUUID", "--json"];
    let dry = [&arguments[..], &["--dry-run"]].concat();
    let planned = daemon.cli(&dry).await?.success()?.json()?;
    ensure!(planned["counts"]["move"] == 2 && planned["counts"]["missing"] == 1, "{planned}");
    ensure!(planned["applied"] == false && planned["undo_file"].is_null(), "{planned}");
    ensure!(account_of(&daemon, "alice").await? == before, "a dry run changes nothing");

    let undo = daemon.folder().join("undo.json").display().to_string();
    let run = [&arguments[..], &["--undo", undo.as_str()]].concat();
    let moved = daemon.cli(&run).await?.success()?.json()?;
    ensure!(moved["applied"] == true && moved["undo_file"] == undo.as_str(), "{moved}");
    ensure!(moved["next"].as_str().is_some_and(|next| next.contains("attributes")), "{moved}");
    let uuid = slapd.attribute("uid=alice", "entryUUID")?.remove(0);
    let shown = account_of(&daemon, "alice").await?;
    ensure!(shown["identities"][0]["subject"] == uuid.as_str(), "{shown}");
    let events = site::events(&daemon, "identity.migrated").await?;
    ensure!(events.len() == 1 && events[0]["connector"] == "corp", "{events:?}");

    // An undo file is never written over.
    with_id(&daemon, "employeeNumber", "entryUUID")?;
    let back = ["ldap", "migrate-id", "--directory", "corp", "--to", "employeeNumber"];
    let again = [&back[..], &["--undo", undo.as_str()]].concat();
    let refused = daemon.cli(&again).await?.expect(1)?;
    ensure!(refused.stderr.contains("nothing was changed"), "{}", refused.stderr);

    daemon.restart().await?;
    signed_in(&daemon, "alice").await?;
    let after = account_of(&daemon, "alice").await?;
    ensure!(after["id"] == before["id"] && after["numeric_id"] == before["numeric_id"], "{after}");

    let take_back = ["ldap", "migrate-id", "--directory", "corp", "--undo-from", undo.as_str()];
    daemon.cli(&take_back).await?.success()?;
    let number = slapd.attribute("uid=alice", "employeeNumber")?.remove(0);
    let shown = account_of(&daemon, "alice").await?;
    ensure!(shown["identities"][0]["subject"] == number.as_str(), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_moves_nobody() -> Result<()> {
    let slapd = Slapd::start()?;
    let daemon = site::daemon().toml(&directory(&slapd, "")).start().await?;
    for name in ["alice", "bob"] {
        signed_in(&daemon, name).await?;
    }
    let before = account_of(&daemon, "alice").await?;
    // Two people with one value, and one without any.
    for (ldif, problem) in [
        ("replace: employeeNumber\nemployeeNumber: 1001\n", "is that of"),
        ("delete: employeeNumber\n", "no usable value"),
    ] {
        let number = slapd.attribute("uid=alice", "employeeNumber")?.remove(0);
        let ldif = ldif.replace("1001", &number);
        slapd.modify(&format!(
            "dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: modify\n{ldif}"
        ))?;
        let arguments =
            ["ldap", "migrate-id", "--directory", "corp", "--to", "employeeNumber", "--json"];
        let found = daemon.cli(&arguments).await?.expect(2)?.json()?;
        ensure!(found["conflicts"].to_string().contains(problem), "{found}");
        ensure!(found["applied"] == false && found["undo_file"].is_null(), "{found}");
        ensure!(account_of(&daemon, "alice").await? == before, "nothing is half applied");
    }
    ensure!(site::events(&daemon, "identity.migrated").await?.is_empty());
    let unknown = ["ldap", "migrate-id", "--directory", "none", "--to", "uid"];
    daemon.cli(&unknown).await?.expect(78)?;
    let same = ["ldap", "migrate-id", "--directory", "corp", "--to", "ENTRYUUID"];
    daemon.cli(&same).await?.expect(64)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_diagnosis_names_people_limits_and_repairs() -> Result<()> {
    let slapd = Slapd::start()?;
    let builder = || site::daemon().toml(&directory(&slapd, ""));
    let arguments = ["ldap", "test", "--directory", "corp", "--user", "alice", "--json"];
    let fits = builder().set("throttle.failures_per_account", 4).run(&arguments).await?;
    let steps = fits.success()?.json()?;
    ensure!(steps["ok"] == true, "{steps}");
    let step = |steps: &Value, name: &str| -> Result<Value> {
        let all = steps["steps"].as_array().context("steps")?;
        all.iter().find(|step| step["step"] == name).cloned().context(name.to_owned())
    };
    let user = step(&steps, "user")?["detail"].to_string();
    ensure!(user.contains("alice@example.org") && user.contains("staff"), "{user}");

    // The directory locks after five: ten guesses through us would lock a colleague there.
    let found = builder().run(&arguments).await?.expect(2)?.json()?;
    let lockout = step(&found, "lockout")?;
    ensure!(found["ok"] == false && lockout["ok"] == false, "{found}");
    ensure!(lockout["repair"].to_string().contains("failures_per_account"), "{lockout}");

    let nobody = ["ldap", "test", "--directory", "corp", "--user", "nobody", "--json"];
    let found = builder().run(&nobody).await?.expect(1)?.json()?;
    ensure!(step(&found, "user")?["repair"].to_string().contains("login_attributes"), "{found}");
    Ok(())
}

/// One white pixel.
const GIF: &str = "R0lGODdhAQABAIAAAP///////ywAAAAAAQABAAACAkQBADs=";

#[tokio::test(flavor = "multi_thread")]
async fn further_claims_reach_the_client() -> Result<()> {
    let slapd = Slapd::start()?;
    slapd.modify(&format!(
        "dn: uid=alice,ou=people,dc=example,dc=org\nchangetype: modify\nadd: jpegPhoto\n\
         jpegPhoto:: {GIF}\n"
    ))?;
    let more = "[directory.attributes]\npicture = \"jpegPhoto\"\n\
                claims = { department = \"departmentNumber\", number = \"employeeNumber\" }\n\
                [[directory.group_map]]\ngroup = \"Staff\"\nteams = [\"company\"]\n\
                channels = [\"company/town-square\"]\n\
                [[directory.group_map]]\ngroup = \"admins\"\nrole = \"administrator\"\n";
    let daemon = site::daemon()
        .toml(&directory(&slapd, &format!("recheck_after = \"0s\"\n{more}")))
        .start()
        .await?;
    let (party, tokens) = signed_in(&daemon, "alice").await?;
    let told = party.userinfo(&tokens.access_token).await?.expect(200)?.json()?;
    ensure!(told["department"] == serde_json::json!(["42", "43"]), "{told}");
    ensure!(told["number"].is_string(), "{told}");
    ensure!(told["teams"] == serde_json::json!(["company"]), "{told}");
    ensure!(told["channels"] == serde_json::json!(["company/town-square"]), "{told}");
    ensure!(told["roles"] == serde_json::json!(["administrator"]), "{told}");
    ensure!(told["picture"] == format!("data:image/gif;base64,{GIF}"), "{told}");

    slapd.modify(
        "dn: uid=alice,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: departmentNumber\n\
         departmentNumber: 7\n",
    )?;
    let tokens = party.refresh(site::refresh_token(&tokens)?).await?;
    let told = party.userinfo(&tokens.access_token).await?.expect(200)?.json()?;
    ensure!(told["department"] == "7", "read again before the refresh: {told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_sessions() -> Result<()> {
    let slapd = Slapd::start()?;
    // By himself: what an administrator sets has to be changed first.
    let set_password = |password: &str| {
        let bob = "uid=bob,ou=people,dc=example,dc=org";
        let ldif = format!(
            "dn: {bob}\nchangetype: modify\nreplace: userPassword\nuserPassword: {password}\n"
        );
        slapd.modify_as(bob, "secret-bob", &ldif)
    };
    // The policy notes the time of a change; the first one makes it there at all.
    set_password("secret-bob")?;
    let daemon = site::daemon().toml(&directory(&slapd, "recheck_after = \"0s\"")).start().await?;
    let (party, tokens) = signed_in(&daemon, "bob").await?;
    let tokens = party.refresh(site::refresh_token(&tokens)?).await.context("nothing changed")?;
    let changed_at = slapd.attribute("uid=bob", "pwdChangedTime")?;
    while slapd.attribute("uid=bob", "pwdChangedTime")? == changed_at {
        // The time has a resolution of a second.
        set_password("secret-bob")?;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    ensure!(party.refresh(site::refresh_token(&tokens)?).await.is_err(), "refreshed");
    ensure!(party.introspect(&tokens.access_token).await?["active"] == false);
    let ended = site::events(&daemon, "session.revoked").await?;
    ensure!(ended.iter().any(|event| event.to_string().contains("password_changed")), "{ended:?}");

    // And a login with the new password ends what is left from before, itself not.
    let (party, old) = signed_in(&daemon, "bob").await?;
    let changed_at = slapd.attribute("uid=bob", "pwdChangedTime")?;
    while slapd.attribute("uid=bob", "pwdChangedTime")? == changed_at {
        set_password("secret-bob")?;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let (_, new) = signed_in(&daemon, "bob").await?;
    ensure!(party.introspect(&old.access_token).await?["active"] == false, "an old session lives");
    ensure!(party.introspect(&new.access_token).await?["active"] == true, "the new one does not");
    party.refresh(site::refresh_token(&new)?).await?;
    Ok(())
}
