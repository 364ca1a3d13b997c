//! People come, change, go and come back; what two of them want is listed and left.

use auth_tests::harness::http::Browser;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_makes_everybody_and_a_second_one_nobody() -> Result<()> {
    let server = slapd()?;
    let daemon = site::start(with_directory(&server, "")).await?;
    let planned = plan(&daemon, 0).await?;
    ensure!(accounts(&daemon).await?.is_empty(), "a plan writes nothing");
    let done = run(&daemon, 0).await?;
    ensure!(done["directory"] == "corp" && done["kind"] == "full", "{done:#}");
    ensure!(done["entries"] == 14 && done["brake"].is_null(), "{done:#}");
    ensure!(done["applied"] == MADE && done["seconds"].is_number(), "{done:#}");
    let unchanged = 14 - MADE;
    ensure_counts(
        &done,
        &[
            ("create", MADE),
            ("update", 0),
            ("deactivate", 0),
            ("reactivate", 0),
            ("conflict", 0),
            ("unchanged", unchanged),
        ],
    )?;
    for key in ["directory", "kind", "entries", "counts", "changes", "brake"] {
        ensure!(planned.get(key).is_some(), "{key}: {planned:#}");
    }
    ensure!(planned.get("applied").is_none() && planned["counts"] == done["counts"]);
    let sorted = |value: &Value| {
        let mut lines: Vec<String> =
            value["changes"].as_array().into_iter().flatten().map(Value::to_string).collect();
        lines.sort();
        lines
    };
    ensure!(sorted(&planned) == sorted(&done), "plan and run: {planned:#} {done:#}");
    let alice = lines(&done, "create").into_iter().find(|it| it["account"] == "alice");
    let alice = alice.context("no line for alice")?;
    ensure!(alice["dn"] == format!("uid=alice,{PEOPLE}"), "{alice:#}");
    ensure!(alice["id"] == server.attribute("uid=alice", "entryUUID")?[0].as_str(), "{alice:#}");
    ensure!(alice["fields"]["username"]["to"] == "alice", "{alice:#}");
    ensure!(alice["fields"]["username"]["from"].is_null() && alice["reason"].is_null());

    let shown = user(&daemon, "alice").await?;
    ensure!(shown["email"] == "alice@example.org" && shown["position"] == "Engineer", "{shown:#}");
    ensure!(shown["groups"].as_array().is_some_and(|it| !it.is_empty()), "{shown:#}");
    ensure!(accounts(&daemon).await?.iter().all(|(_, active)| *active));
    ensure!(
        daemon.cli(&["user", "show", "disabled"]).await?.code == 1,
        "nobody needs an account who may not come in"
    );

    // The account of a sync is the one of a login.
    let login = Browser::new()?;
    site::attempt(&daemon, &login, "corp", "alice", "secret-alice").await?.expect(303)?;
    let signed_in = user(&daemon, "alice").await?;
    ensure!(signed_in["id"] == shown["id"] && !signed_in["last_login_at"].is_null());

    let again = run(&daemon, 0).await?;
    ensure!(again["applied"] == 0 && lines(&again, "update").is_empty(), "{again:#}");
    ensure_counts(&again, &[("unchanged", 14)])?;
    let text = daemon.cli(&["sync", "plan", "--directory", "corp"]).await?.success()?;
    ensure!(text.stdout.contains("14 entries") && text.stdout.contains("unchanged 14"));
    ensure!(text.stderr.contains("reading: "), "progress in plain lines: {}", text.stderr);
    let created = site::events(&daemon, "account.created").await?;
    let by_sync = created.iter().filter(|event| event["detail"]["by"] == "sync");
    ensure!(by_sync.count() as u64 == MADE, "one event for each");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_directory_writes_no_account() -> Result<()> {
    let server = slapd()?;
    let mut daemon = site::start(with_directory(&server, "")).await?;
    run(&daemon, 0).await?;
    daemon.stop().await?;
    let rows = || -> Result<Vec<String>> {
        let file = rusqlite::Connection::open(daemon.folder().join("auth.db"))?;
        let mut found = Vec::new();
        for table in ["account", "identity", "session", "factor", "password"] {
            let mut select = file.prepare(&format!("SELECT * FROM {table}"))?;
            let columns = select.column_count();
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let values: Result<Vec<_>, _> =
                    (0..columns).map(|n| row.get::<_, rusqlite::types::Value>(n)).collect();
                found.push(format!("{table} {:?}", values?));
            }
        }
        Ok(found)
    };
    let before = rows()?;
    ensure!(before.len() as u64 > 2 * MADE);
    run(&daemon, 0).await?;
    ensure!(rows()? == before, "rows of accounts and identities changed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_dn_name_and_address_keep_the_account() -> Result<()> {
    let server = slapd()?;
    let daemon = site::start(with_directory(&server, "")).await?;
    run(&daemon, 0).await?;
    let before = user(&daemon, "alice").await?;
    server.modify(&replace("alice", "title", "Director"))?;
    let updated = run(&daemon, 0).await?;
    let line = lines(&updated, "update")[0];
    ensure!(line["fields"]["position"]["from"] == "Engineer", "{line:#}");
    ensure!(line["fields"]["position"]["to"] == "Director", "{line:#}");
    ensure!(line["fields"].as_object().is_some_and(|it| it.len() == 1), "{line:#}");

    server.modify(&format!(
        "{}dn: ou=moved,dc=example,dc=org\nchangetype: add\nobjectClass: organizationalUnit\nou: moved\n\n\
         dn: uid=alice,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=alicia\ndeleteoldrdn: 1\n\
         newsuperior: ou=moved,dc=example,dc=org\n",
        replace("alice", "mail", "alicia@example.org")
    ))?;
    let renamed = run(&daemon, 0).await?;
    ensure_counts(&renamed, &[("update", 1), ("create", 0), ("deactivate", 0)])?;
    let line = lines(&renamed, "update")[0];
    ensure!(line["dn"] == "uid=alicia,ou=moved,dc=example,dc=org", "{line:#}");
    ensure!(line["account"] == "alice" && line["fields"]["username"]["to"] == "alicia");
    let after = user(&daemon, "alicia").await?;
    for key in ["id", "numeric_id", "identities", "created_at"] {
        ensure!(after[key] == before[key], "{key}: {after:#}");
    }
    ensure!(after["email"] == "alicia@example.org");
    site::attempt(&daemon, &Browser::new()?, "corp", "alicia", "secret-alice")
        .await?
        .expect(303)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_gone_is_shut_out_at_once_and_comes_back_as_the_same() -> Result<()> {
    let server = slapd()?;
    let daemon = site::start(with_directory(&server, "")).await?;
    run(&daemon, 0).await?;
    let before = user(&daemon, "bob").await?;
    let party = site::relying_party(&daemon).await?;
    let browser = Browser::new()?;
    let authorization = party.authorize(site::SCOPE);
    let code = party.sign_in(&browser, &authorization, "corp", "bob", "secret-bob").await?;
    let tokens = party.exchange(&authorization, &code).await?;
    browser.open(daemon.url("/account")).await?.expect(200)?;
    // Somebody who is just typing the password.
    let waiting = Browser::new()?;
    let page = waiting.open(daemon.url("/login/corp")).await?.expect(200)?;

    let uuid = server.attribute("uid=bob", "entryUUID")?.remove(0);
    server.modify(&delete("bob"))?;
    let gone = run(&daemon, 0).await?;
    let line = lines(&gone, "deactivate")[0];
    ensure!(line["account"] == "bob" && line["reason"] == "gone", "{line:#}");
    ensure!(line["id"] == uuid.as_str() && line["dn"] == format!("uid=bob,{PEOPLE}"), "{line:#}");
    ensure!(line["fields"]["active"]["to"] == false, "{line:#}");
    ensure!(party.introspect(&tokens.access_token).await?["active"] == false, "at once");
    let refused = party.refresh(site::refresh_token(&tokens)?).await;
    ensure!(refused.is_err(), "a refresh token outlived the account");
    let account = browser.open(daemon.url("/account")).await?;
    ensure!(account.url.path().starts_with("/login"), "{}", account.describe());
    waiting.sign_in(&page, "corp", "bob", "secret-bob").await?.expect(401)?;
    let shown = user(&daemon, "bob").await?;
    ensure!(shown["active"] == false && shown["inactive_reason"] == "sync:gone", "{shown:#}");
    for name in ["account.disabled", "session.revoked"] {
        let events = site::events(&daemon, name).await?;
        ensure!(events.iter().filter(|it| it["account"] == "bob").count() == 1, "{events:#?}");
    }

    // Back under the same id, as from a backup.
    let people = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/ldap/people.ldif"),
    )?;
    let entry = people.split("\n\n").find(|it| it.contains("uid=bob,")).context("bob")?;
    server.restore(&format!("{}\nentryUUID: {uuid}\n", entry.trim_end()))?;
    let back = run(&daemon, 0).await?;
    ensure_counts(&back, &[("reactivate", 1), ("create", 0)])?;
    let after = user(&daemon, "bob").await?;
    ensure!(after["id"] == before["id"] && after["active"] == true, "{after:#}");
    ensure!(party.introspect(&tokens.access_token).await?["active"] == false, "no old session");
    site::attempt(&daemon, &Browser::new()?, "corp", "bob", "secret-bob").await?.expect(303)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_disabled_or_leaves_the_filter_is_shut_out() -> Result<()> {
    let server = slapd()?;
    let keys = "user_filter = \"(&(objectClass=person)(!(departmentNumber=9)))\"\n";
    let daemon = site::start(with_directory(&server, keys)).await?;
    run(&daemon, 0).await?;
    server.modify(&format!(
        "{}{}",
        replace("carol", "departmentNumber", "9"),
        replace("dave", "pwdAccountLockedTime", "000001010000Z"),
    ))?;
    let shut = run(&daemon, 0).await?;
    ensure_counts(&shut, &[("deactivate", 2)])?;
    let reason = |name: &str| {
        let line = lines(&shut, "deactivate").into_iter().find(|it| it["account"] == name);
        line.map(|line| line["reason"].clone()).unwrap_or_default()
    };
    ensure!(reason("carol") == "gone" && reason("dave") == "account_disabled", "{shut:#}");
    // A temporary lockout shuts nobody out.
    ensure!(user(&daemon, "locked").await?["active"] == true);
    server.modify(&format!(
        "{}dn: uid=dave,{PEOPLE}\nchangetype: modify\ndelete: pwdAccountLockedTime\n",
        replace("carol", "departmentNumber", "8"),
    ))?;
    ensure_counts(&run(&daemon, 0).await?, &[("reactivate", 2)])
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_listed_with_both_sides_and_the_rest_is_done() -> Result<()> {
    let server = twins()?;
    let daemon = site::start(with_directory(&server, "")).await?;
    // The local person's name stands in the directory too.
    server.modify(&format!(
        "dn: uid=jane,{PEOPLE}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: jane\ncn: Jane\n\
         sn: Doe\nmail: doe@example.org\n"
    ))?;
    let planned = plan(&daemon, 2).await?;
    let done = run(&daemon, 2).await?;
    ensure!(done["counts"] == planned["counts"]);
    ensure_counts(&done, &[("conflict", 3), ("create", MADE - 2)])?;
    let reason = |uid: &str| {
        let dn = format!("uid={uid},{PEOPLE}");
        let line = lines(&done, "conflict").into_iter().find(|it| it["dn"] == dn.as_str());
        line.and_then(|it| it["reason"].as_str()).unwrap_or_default().to_owned()
    };
    ensure!(reason("twin1").contains("uid=twin2") && reason("twin1").contains("twins@example.org"));
    ensure!(reason("twin2").contains("uid=twin1"), "{}", reason("twin2"));
    let jane = user(&daemon, "jane").await?;
    let id = jane["id"].as_str().unwrap_or_default().to_owned();
    ensure!(reason("jane").contains(&id) && reason("jane").contains("local"), "{}", reason("jane"));
    ensure!(jane["identities"].as_array().is_some_and(|it| it.len() == 1), "nobody was linked");
    let text = daemon.cli(&["sync", "plan", "--directory", "corp"]).await?.expect(2)?;
    ensure!(text.stdout.contains("conflict"), "{}", text.stdout);
    let history = sync(&daemon, &["history"], 0).await?;
    ensure!(history[0]["conflicts"].as_array().is_some_and(|it| it.len() == 3), "{history:#}");
    // Solved, all come in.
    server.modify(&format!("{}{}", replace("twin2", "mail", "tom@example.org"), delete("jane")))?;
    ensure_counts(&run(&daemon, 0).await?, &[("create", 2), ("conflict", 0)])
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_that_the_configuration_names_stay() -> Result<()> {
    let server = slapd()?;
    let builder = with_directory(&server, "").toml("[admin]\naccounts = [\"Carol\"]\n");
    let daemon = site::start(builder).await?;
    run(&daemon, 0).await?;
    server.modify(&format!("{}{}", delete("carol"), delete("bob")))?;
    let done = run(&daemon, 2).await?;
    ensure_counts(&done, &[("deactivate", 1), ("conflict", 1)])?;
    ensure!(user(&daemon, "carol").await?["active"] == true);
    ensure!(user(&daemon, "bob").await?["active"] == false);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_the_sessions() -> Result<()> {
    let server = slapd()?;
    let daemon = site::start(with_directory(&server, "")).await?;
    server.modify(&replace("alice", "userPassword", "first-secret"))?;
    // A password that an administrator set is to be changed at once, by the fixtures' policy.
    server.modify(&replace("alice", "pwdReset", "FALSE"))?;
    run(&daemon, 0).await?;
    let browser = Browser::new()?;
    site::attempt(&daemon, &browser, "corp", "alice", "first-secret").await?.expect(303)?;
    run(&daemon, 0).await?;
    browser.open(daemon.url("/account")).await?.expect(200)?;
    // The server writes the time of the change in whole seconds.
    let changed = server.attribute("uid=alice", "pwdChangedTime")?;
    while server.attribute("uid=alice", "pwdChangedTime")? == changed {
        server.modify(&replace("alice", "userPassword", "second-secret"))?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let done = run(&daemon, 0).await?;
    let line = lines(&done, "update")[0];
    ensure!(line["fields"].get("password_changed_at").is_some(), "{line:#}");
    let account = browser.open(daemon.url("/account")).await?;
    ensure!(account.url.path().starts_with("/login"), "{}", account.describe());
    ensure!(user(&daemon, "alice").await?["active"] == true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_read_and_found() -> Result<()> {
    let server = slapd()?;
    let daemon = site::start(with_directory(&server, "")).await?;
    run(&daemon, 0).await?;
    let none = sync(&daemon, &["run", "--incremental"], 0).await?;
    ensure!(none["kind"] == "incremental" && none["applied"] == 0, "{none:#}");
    server.modify(&replace("alice", "title", "Chief"))?;
    let done = sync(&daemon, &["run", "--incremental"], 0).await?;
    ensure!(done["kind"] == "incremental", "{done:#}");
    ensure_counts(&done, &[("update", 1)])?;
    ensure!(done["entries"].as_u64().is_some_and(|it| it < 14), "{done:#}");
    // A deletion shows by itself only where the server tells it. Here it takes the person out of
    // groups, and who lost a membership cannot be seen in an entry: then everybody is read.
    server.modify(&delete("bob"))?;
    sync(&daemon, &["run", "--incremental"], 0).await?;
    ensure!(user(&daemon, "bob").await?["active"] == false);
    ensure!(user(&daemon, "alice").await?["position"] == "Chief");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_directory_and_a_dry_run() -> Result<()> {
    let server = slapd()?;
    let daemon = site::start(with_directory(&server, "")).await?;
    let unknown = daemon.cli(&["sync", "plan", "--directory", "nowhere"]).await?.expect(1)?;
    ensure!(unknown.stderr.contains("corp"), "{}", unknown.stderr);
    let dry = sync(&daemon, &["run", "--dry-run"], 0).await?;
    ensure_counts(&dry, &[("create", MADE)])?;
    ensure!(accounts(&daemon).await?.is_empty());
    let status = sync(&daemon, &["status"], 0).await?;
    ensure!(status["last"].is_null() && status["running"] == false, "{status:#}");
    run(&daemon, 0).await?;
    let status = sync(&daemon, &["status"], 0).await?;
    ensure!(status["last"]["state"] == "succeeded", "{status:#}");
    ensure!(status["last_success_age_seconds"].is_u64(), "{status:#}");
    let text = daemon.cli(&["sync", "status", "--directory", "corp"]).await?.success()?;
    ensure!(text.stdout.contains("last_run_state: succeeded"), "{}", text.stdout);
    let text = daemon.cli(&["sync", "history", "--directory", "corp"]).await?.success()?;
    ensure!(text.stdout.contains("succeeded"), "{}", text.stdout);
    Ok(())
}
