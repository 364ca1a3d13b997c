//! What looks like a directory whose people left is refused.

use super::*;

/// Changes keys of `[[directory]]` in the configuration of a daemon; a later key wins.
fn change_configuration(daemon: &Daemon, from: &str, to: &str) -> Result<()> {
    let text = std::fs::read_to_string(daemon.config())?;
    ensure!(text.contains(from), "{from:?} is not in {text}");
    std::fs::write(daemon.config(), text.replace(from, to))?;
    Ok(())
}

async fn ensure_refused(daemon: &Daemon, words: &[&str]) -> Result<Value> {
    let before = accounts(daemon).await?;
    let planned = plan(daemon, 3).await?;
    let done = run(daemon, 3).await?;
    for value in [&planned, &done] {
        let reason = value["brake"]["reason"].as_str().unwrap_or_default();
        for word in words {
            ensure!(reason.contains(word), "{word:?} is not in {reason:?}");
        }
        ensure!(value["brake"].get("share").is_some() && value["brake"].get("limit").is_some());
    }
    ensure!(done["applied"] == 0, "{done:#}");
    ensure!(accounts(daemon).await? == before, "an account was changed");
    Ok(done)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mass_deactivation_is_refused_and_an_administrator_may_order_it() -> Result<()> {
    let server = slapd()?;
    let daemon = site::start(with_directory(&server, "")).await?;
    run(&daemon, 0).await?;
    // Two of them conflict with each other besides: the brake wins.
    let gone = ["alice", "bob", "carol", "dave", "gina", "nomail"];
    let ldif: String = gone.iter().map(|uid| delete(uid)).collect();
    server.modify(&ldif)?;
    server.modify(&replace("twin1", "mail", "tom@example.org"))?;
    let refused = ensure_refused(&daemon, &["6 would be deactivated", "--override-brake"]).await?;
    ensure_counts(&refused, &[("deactivate", 6), ("conflict", 1)])?;
    ensure!(lines(&refused, "deactivate").len() == 6, "the plan is listed: {refused:#}");
    let text = daemon.cli(&["sync", "run", "--directory", "corp"]).await?.expect(3)?;
    ensure!(text.stdout.contains("brake (refused)"), "{}", text.stdout);

    let done = sync(&daemon, &["run", "--override-brake"], 2).await?;
    ensure!(done["applied"] == 6 && done["brake"]["overridden"] == true, "{done:#}");
    ensure!(active(&daemon).await? as u64 == MADE - 6);
    let events = site::events(&daemon, "sync.brake_overridden").await?;
    ensure!(events.len() == 1 && events[0]["connector"] == "corp", "{events:#?}");
    ensure!(events[0]["detail"]["people"] == 6 && events[0]["request_id"].is_string());
    let refusals = site::events(&daemon, "sync.refused").await?;
    ensure!(refusals.len() == 2, "{refusals:#?}");
    let history = sync(&daemon, &["history"], 0).await?;
    ensure!(history[0]["overridden"] == true && history[1]["state"] == "refused", "{history:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn small_steps_add_up() -> Result<()> {
    let server = slapd()?;
    let daemon = site::start(with_directory(&server, "")).await?;
    run(&daemon, 0).await?;
    for uid in ["alice", "bob", "carol", "dave", "gina"] {
        server.modify(&delete(uid))?;
        ensure_counts(&run(&daemon, 0).await?, &[("deactivate", 1)])?;
    }
    server.modify(&delete("nomail"))?;
    ensure_refused(&daemon, &["5 were deactivated in the last 24 h"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_or_missing_base_is_refused() -> Result<()> {
    let server = slapd()?;
    server.modify(
        "dn: ou=empty,dc=example,dc=org\nchangetype: add\nobjectClass: organizationalUnit\nou: empty\n",
    )?;
    let daemon = site::start(with_directory(&server, "")).await?;
    run(&daemon, 0).await?;
    let right = "base_dn = \"dc=example,dc=org\"";
    for (wrong, word) in [
        ("base_dn = \"ou=empty,dc=example,dc=org\"", "base_dn"),
        ("base_dn = \"ou=renamed,dc=example,dc=org\"", "base_dn"),
    ] {
        change_configuration(&daemon, right, wrong)?;
        let refused = ensure_refused(&daemon, &[word, "othing was changed"]).await?;
        ensure!(refused["entries"] == 0, "{refused:#}");
        // Not even by order.
        sync(&daemon, &["run", "--override-brake"], 3).await?;
        change_configuration(&daemon, wrong, right)?;
    }
    ensure_counts(&run(&daemon, 0).await?, &[("unchanged", 14)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_base_and_a_narrow_filter_are_refused() -> Result<()> {
    let server = slapd()?;
    let filter = "(objectClass=person)";
    let keys = format!("user_filter = \"{filter}\"\n");
    let daemon = site::start(with_directory(&server, &keys)).await?;
    run(&daemon, 0).await?;
    change_configuration(&daemon, filter, "(uid=a*)")?;
    ensure_refused(&daemon, &["would be deactivated"]).await?;
    change_configuration(&daemon, "(uid=a*)", "(uid=zzz)")?;
    ensure_refused(&daemon, &["user_filter"]).await?;
    change_configuration(&daemon, "(uid=zzz)", filter)?;
    // Another id attribute: everybody is gone, and everybody is new under the same name.
    let text = std::fs::read_to_string(daemon.config())?;
    std::fs::write(
        daemon.config(),
        text.replace(
            "[[directory]]\n",
            "[[directory]]\nattributes = { id = \"employeeNumber\" }\n",
        ),
    )?;
    ensure_refused(&daemon, &["under another id", "migrate-id"]).await?;
    std::fs::write(daemon.config(), &text)?;
    ensure_counts(&run(&daemon, 0).await?, &[("unchanged", 14)])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_that_can_no_longer_be_read_harms_nobody() -> Result<()> {
    let server = slapd()?;
    let daemon = site::start(with_directory(&server, "")).await?;
    run(&daemon, 0).await?;
    let before = accounts(&daemon).await?;
    let emails = user(&daemon, "alice").await?["email"].clone();
    // An attribute that nobody has looks just like one that the service account may not read.
    let text = std::fs::read_to_string(daemon.config())?;
    for (attributes, code) in [
        ("{ id = \"unreadableId\" }", 3),
        ("{ username = \"unreadableName\" }", 3),
        ("{ email = \"unreadableMail\" }", 3),
    ] {
        let line = format!("[[directory]]\nattributes = {attributes}\n");
        std::fs::write(daemon.config(), text.replace("[[directory]]\n", &line))?;
        let done = run(&daemon, code).await?;
        ensure!(done["applied"] == 0, "{attributes}: {done:#}");
        ensure!(accounts(&daemon).await? == before, "{attributes}");
    }
    std::fs::write(daemon.config(), &text)?;
    ensure!(user(&daemon, "alice").await?["email"] == emails);
    // Of some entries only: they are said, and whoever they are is not gone.
    let line = "[[directory]]\nattributes = { username = \"mail\" }\n";
    std::fs::write(daemon.config(), text.replace("[[directory]]\n", line))?;
    let planned = plan(&daemon, 2).await?;
    ensure!(lines(&planned, "deactivate").is_empty(), "{planned:#}");
    ensure!(lines(&planned, "conflict").iter().any(|it| it["id"] == ""), "{planned:#}");
    Ok(())
}
