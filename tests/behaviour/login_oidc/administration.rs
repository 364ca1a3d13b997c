//! What an administrator does with identities: merge, migrate, undo; and what clients are told.

use anyhow::{Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::harness::slapd::Slapd;
use auth_tests::harness::upstream_oidc::ScriptedProvider;
use serde_json::json;

use super::given::{self, UP, scripted, through, whoami};
use crate::site::{self, CLIENT, JANE, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_are_merged_with_a_trail() -> Result<()> {
    let (_provider, daemon) = scripted("").await?;
    let browser = Browser::new()?;
    through(&daemon, &browser, UP).await?.expect(200)?;
    daemon.cli(&["user", "merge", "ada", JANE, "--dry-run", "--json"]).await?.success()?;
    ensure!(whoami(&daemon, &browser).await?.is_some(), "a dry run changed something");
    daemon.cli(&["user", "merge", "ada", "ada"]).await?.expect(1)?;
    daemon.cli(&["user", "merge", "ada", JANE]).await?.success()?;
    ensure!(whoami(&daemon, &browser).await?.is_none(), "the closed account's session lives");
    let merged = site::events(&daemon, "account.merged").await?;
    ensure!(merged[0]["account"] == "ada" && merged[0]["detail"]["into"] == JANE, "{merged:?}");
    let shown = daemon.cli(&["user", "show", JANE, "--json"]).await?.success()?.json()?;
    ensure!(shown["identities"].as_array().is_some_and(|list| list.len() == 2), "{shown}");
    let again = Browser::new()?;
    through(&daemon, &again, UP).await?.expect(200)?;
    ensure!(whoami(&daemon, &again).await?.as_deref() == Some(JANE));
    // Name and address of the closed account are free again.
    daemon.create_user("ada", "ada@example.com", PASSWORD).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_move_from_passwords_to_a_directory_and_back() -> Result<()> {
    let slapd = Slapd::start()?;
    let daemon = site::daemon().directory("corp", &slapd).start().await?;
    daemon.create_user("alice", "alice@example.org", PASSWORD).await?;
    daemon.create_user("nobody", "nobody@example.org", PASSWORD).await?;
    let migrate = ["user", "migrate", "--from", "local", "--to", "corp", "--match", "username"];
    let dry = daemon.cli(&[&migrate[..], &["--dry-run", "--json"]].concat()).await?.expect(2)?;
    let report = dry.json()?;
    ensure!(report["moved"] == 1 && report["findings"] == 1, "{report}");
    let of = |name: &str| {
        let list = report["accounts"].as_array().cloned().unwrap_or_default();
        list.into_iter().find(|one| one["username"] == name).unwrap_or_default()
    };
    ensure!(of("nobody")["finding"] == "no_match", "{report}");
    ensure!(of("alice")["to"]["connector"] == "corp", "{report}");

    daemon.cli(&[&migrate[..], &["--undo-file", "undo.json"]].concat()).await?.expect(2)?;
    let browser = Browser::new()?;
    let password = "secret-alice";
    site::attempt(&daemon, &browser, "corp", "alice", password).await?.expect(303)?;
    ensure!(whoami(&daemon, &browser).await?.as_deref() == Some("alice"));
    let locally = Browser::new()?;
    let page = site::attempt(&daemon, &locally, "local", "alice", PASSWORD).await?;
    ensure!(page.status == 401, "the old password still signs in");
    ensure!(site::events(&daemon, "identity.migrated").await?.len() == 1);
    // The file is never overwritten, and undoes what it names, once.
    daemon.cli(&[&migrate[..], &["--undo-file", "undo.json"]].concat()).await?;
    daemon.cli(&["user", "migrate", "--undo", "undo.json"]).await?.success()?;
    site::attempt(&daemon, &locally, "local", "alice", PASSWORD).await?.expect(303)?;
    daemon.cli(&["user", "migrate", "--undo", "undo.json"]).await?.expect(2)?;
    Ok(())
}

/// Both sides carry the directory's stable id: the provider's person is the directory's.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_s_stable_id_links_and_nothing_else_of_that_kind() -> Result<()> {
    let slapd = Slapd::start()?;
    let id = slapd.attribute("uid=alice", "entryUUID")?.pop().unwrap_or_default();
    let provider =
        ScriptedProvider::start("a-1", &json!({ "preferred_username": "a.archer" })).await?;
    let more = "[oidc.attributes.claims]\nguid = \"guid\"\n[oidc.accounts]\nprovisioning = \"sync\"\n\
                directory = \"corp\"\ndirectory_claim = \"guid\"";
    let builder = given::daemon(provider.issuer(), more).directory("corp", &slapd);
    let daemon = builder.start().await?;
    let known = id.clone();
    provider.edit(move |claims| drop(claims.insert("guid".into(), json!(known))));
    // The directory's person was never here.
    given::refused(&daemon, "not_synchronised").await?;
    site::attempt(&daemon, &Browser::new()?, "corp", "alice", "secret-alice").await?.expect(303)?;
    for wrong in [json!(id.to_uppercase()), json!([id.clone(), "x"]), json!(""), json!("nobody")] {
        let value = wrong.clone();
        provider.edit(move |claims| drop(claims.insert("guid".into(), value.clone())));
        given::refused(&daemon, "not_synchronised").await?;
    }
    let known = id.clone();
    provider.edit(move |claims| drop(claims.insert("guid".into(), json!(known))));
    let browser = Browser::new()?;
    through(&daemon, &browser, UP).await?.expect(200)?;
    ensure!(whoami(&daemon, &browser).await?.as_deref() == Some("alice"));
    let linked = site::events(&daemon, "identity.linked").await?;
    ensure!(linked[0]["detail"]["by"] == "directory:corp", "{linked:?}");
    // Another subject with the same id is a second identity of the same person; a closed account
    // stays closed.
    daemon.cli(&["user", "disable", "alice"]).await?.success()?;
    provider.person("a-2", &json!({ "preferred_username": "a.archer" }));
    given::refused(&daemon, "account_inactive").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_move_to_a_provider_by_a_list_of_subjects() -> Result<()> {
    let (provider, daemon) = scripted("").await?;
    std::fs::write(daemon.folder().join("subjects.csv"), "jane@example.org,ada-1\nx@y.z,s\n")?;
    let migrate = [
        "user",
        "migrate",
        "--from",
        "local",
        "--to",
        UP,
        "--match",
        "email",
        "--to-subjects",
        "subjects.csv",
        "--json",
    ];
    let report = daemon.cli(&migrate).await?.success()?.json()?;
    ensure!(
        report["moved"] == 1 && report["undo_file"] == "migrate-local-up.undo.json",
        "{report}"
    );
    let browser = Browser::new()?;
    through(&daemon, &browser, UP).await?.expect(200)?;
    let created = site::events(&daemon, "account.created").await?;
    ensure!(created.len() == 1, "another account was made: {created:?}");
    drop(provider);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_give_roles_and_single_clients_further_claims() -> Result<()> {
    let provider = ScriptedProvider::start("ada-1", &given::ada()).await?;
    provider.edit(|claims| drop(claims.insert("department".into(), json!("it"))));
    let more = "[oidc.attributes.claims]\ndept = \"department\"";
    let builder = given::daemon(provider.issuer(), more).toml(
        "[[claims.role]]\nconnector = \"up\"\nclaim = \"dept\"\nvalue = \"it\"\nrole = \"administrator\"\n\
         [[claims.role]]\ngroup = \"nobody\"\nrole = \"guest\"\n\
         [[claims.client]]\nclient = \"chat\"\ngroup = \"staff\"\nset = { team = \"blue\" }\n\
         [[claims.client]]\nclient = \"chat\"\nclaim = \"dept\"\nvalue = \"it\"\nset = { floor = \"2\" }\n\
         [[claims.client]]\nclient = \"chat\"\nclaim = \"dept\"\nvalue = \"hr\"\nset = { floor = \"3\" }\n\
         [[claims.client]]\nclient = \"other\"\nset = { secret = \"x\" }\n",
    );
    let daemon = site::start(builder).await?;
    let party = site::relying_party(&daemon).await?;
    let browser = Browser::new()?;
    through(&daemon, &browser, UP).await?.expect(200)?;
    let preview =
        daemon.cli(&["claims", "preview", "--user", "ada", "--client", CLIENT, "--json"]).await?;
    let preview = preview.success()?.json()?;
    ensure!(preview["claims"]["roles"] == json!(["administrator"]), "{preview}");
    ensure!(preview["claims"]["team"] == "blue", "{preview}");
    ensure!(preview["claims"]["floor"] == "2", "{preview}");
    ensure!(preview["claims"].get("secret").is_none(), "{preview}");

    // The client is told just that.
    let authorization = party.authorize(site::SCOPE);
    let page = browser.get(&authorization.url).await?;
    let code = party.code(&authorization, &page.location()?)?;
    let tokens = party.exchange(&authorization, &code).await?;
    let told = party.userinfo(&tokens.access_token).await?.json()?;
    for claim in ["roles", "team", "floor", "groups", "email", "preferred_username", "sub"] {
        ensure!(told[claim] == preview["claims"][claim], "{claim}: {told}");
    }
    daemon.cli(&["claims", "preview", "--user", "ada", "--client", "none"]).await?.expect(1)?;
    Ok(())
}
