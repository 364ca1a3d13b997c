//! What reaches Mattermost afterwards, how soon, in which order, and through which outages.

use std::time::Duration;

use anyhow::{Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::harness::mattermost::Mattermost;
use auth_tests::harness::slapd::Slapd;

use super::site::{self, LIMIT, MM, MM_SECRET, builder, push, sign_in, signed_in};
use crate::site::{JANE, PASSWORD, events};

/// Lines of the calls to one account that changed something, in order.
fn changes(mattermost: &Mattermost, id: &str) -> Vec<String> {
    let calls = mattermost.calls().into_iter();
    calls
        .filter(|call| call.status < 300 && !call.line.starts_with("GET") && call.line.contains(id))
        .map(|call| call.line.replace(id, "ID"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_reaches_mattermost_within_a_second_and_enabling_too() -> Result<()> {
    let (daemon, mattermost) = site::start(push).await?;
    let jane = signed_in(&mattermost, JANE).await?;
    ensure!(mattermost.users().len() == 3, "made once: {:?}", mattermost.users());
    ensure!(jane.sessions.len() == 1, "{jane:?}");
    let is_out = |mattermost: &Mattermost| {
        mattermost.user(JANE).is_ok_and(|user| user.delete_at != 0 && user.sessions.is_empty())
    };
    daemon.cli(&["user", "disable", JANE]).await?.success()?;
    let took = mattermost.wait("out", Duration::from_secs(1), is_out).await?;
    println!("disabled at Mattermost {took:?} after the command's end");
    let done = ["PUT /users/ID/active", "POST /users/ID/sessions/revoke/all"];
    mattermost
        .wait("both calls", LIMIT, |m| changes(m, &jane.id).ends_with(&done.map(str::to_owned)))
        .await?;
    // The gate stays closed, and nothing of a sign-in gets through to switch it on again.
    let page = site::begin(&mattermost, &Browser::new()?, "").await?;
    let refused = Browser::new()?;
    ensure!(refused.sign_in(&page, "local", JANE, PASSWORD).await?.status.is_client_error());
    ensure!(is_out(&mattermost));

    daemon.cli(&["user", "enable", JANE]).await?.success()?;
    let is_in = |m: &Mattermost| m.user(JANE).is_ok_and(|user| user.delete_at == 0);
    mattermost.wait("back", Duration::from_secs(1), is_in).await?;
    // What an administrator of Mattermost switched off stays off.
    mattermost.change_user(&jane.id, |user| user.delete_at = 7);
    daemon.cli(&["session", "revoke", "--user", JANE]).await?.success()?;
    daemon.cli(&["user", "disable", JANE]).await?.success()?;
    daemon.cli(&["user", "enable", JANE]).await?.success()?;
    mattermost
        .wait("all delivered", LIMIT, |m| {
            let gets =
                m.calls().into_iter().filter(|call| call.line == format!("GET /users/{}", jane.id));
            gets.count() >= 5
        })
        .await?;
    ensure!(mattermost.user(JANE)?.delete_at == 7, "{:?}", mattermost.calls());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_all_sessions_ends_them_there_and_one_logout_does_not() -> Result<()> {
    let (daemon, mattermost) = site::start(push).await?;
    daemon.create_user("joe", "joe@example.org", PASSWORD).await?;
    let browser = Browser::new()?;
    ensure!(sign_in(&mattermost, &browser, JANE).await?.status == 307);
    signed_in(&mattermost, "joe").await?;
    let open = |m: &Mattermost, name: &str| m.user(name).map_or(0, |user| user.sessions.len());
    let page = browser.get(daemon.url("/logout")).await?.expect(200)?;
    browser.submit(&page, &page.form_to("/logout")?, &[]).await?.expect(200)?;
    daemon.cli(&["session", "revoke", "--user", "joe"]).await?.success()?;
    mattermost.wait("joe is out", Duration::from_secs(1), |m| open(m, "joe") == 0).await?;
    ensure!(open(&mattermost, JANE) == 1, "one browser's logout is not everywhere");
    daemon
        .cli_with_input(&["user", "set-password", JANE, "--password-stdin"], "another good one")
        .await?
        .success()?;
    mattermost.wait("jane is out", Duration::from_secs(1), |m| open(m, JANE) == 0).await?;
    signed_in(&mattermost, "joe").await?;
    daemon.cli(&["session", "revoke", "--all"]).await?.success()?;
    mattermost.wait("everybody", Duration::from_secs(1), |m| open(m, "joe") == 0).await?;
    ensure!(mattermost.user(JANE)?.delete_at == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_and_a_crash_delay_but_lose_nothing_and_keep_the_order() -> Result<()> {
    let (mut daemon, mattermost) = site::start(push).await?;
    let jane = signed_in(&mattermost, JANE).await?;
    let load = async || daemon.cli(&["client", "deliveries", "--json"]).await?.success()?.json();
    let began = std::time::Instant::now();
    while load().await?.as_array().is_none_or(|all| !all.is_empty()) {
        ensure!(began.elapsed() < LIMIT, "{}", load().await?);
    }
    let before = changes(&mattermost, &jane.id).len();
    mattermost.outage(Some(503));
    for word in ["disable", "enable", "disable"] {
        daemon.cli(&["user", word, JANE]).await?.success()?;
    }
    mattermost
        .wait("an attempt", LIMIT, |m| m.calls().iter().any(|call| call.status == 503))
        .await?;
    // The worker makes deliveries of events one by one.
    let began = std::time::Instant::now();
    while load().await?[0]["pending"] != 3 {
        ensure!(began.elapsed() < LIMIT, "{}", load().await?);
    }
    ensure!(load().await?[0]["destination"] == "mattermost:mm", "{}", load().await?);
    let list = daemon.cli(&["client", "deliveries", "--client", MM, "--json"]).await?.success()?;
    ensure!(
        list.json()?[0]["last_error"].as_str().is_some_and(|e| e.contains("503")),
        "{}",
        list.stdout
    );
    ensure!(mattermost.user(JANE)?.delete_at == 0, "nothing got through");
    daemon.kill()?;
    daemon.restart().await?;
    mattermost.trouble(&[(429, Some(6)), (500, None)]);
    mattermost.outage(None);
    let is_out = |m: &Mattermost| m.user(JANE).is_ok_and(|user| user.delete_at != 0);
    mattermost.wait("recovered", LIMIT * 3, is_out).await?;
    mattermost.wait("both calls", LIMIT, |m| changes(m, &jane.id).len() >= before + 2).await?;
    // `Retry-After` is honoured: it asked for more than the pause would have been.
    let calls = mattermost.calls();
    let at = calls.iter().position(|call| call.status == 429).expect("a 429");
    let pause = calls[at + 1].at - calls[at].at;
    ensure!(pause >= Duration::from_millis(5950), "asked again after {pause:?}");
    // Now, enabled again: the last word counts, and each in its order.
    daemon.cli(&["user", "enable", JANE]).await?.success()?;
    mattermost.wait("back", LIMIT, |m| m.user(JANE).is_ok_and(|user| user.delete_at == 0)).await?;
    let metrics = Browser::new()?.get(daemon.admin_url("/metrics")?).await?.body;
    for name in [
        "auth_outbox_deliveries_total{channel=\"mattermost\",result=\"delivered\"}",
        "auth_outbox_deliveries_total{channel=\"mattermost\",result=\"failed\"}",
    ] {
        ensure!(metrics.contains(name), "{name} not in:\n{metrics}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_raced_is_undone() -> Result<()> {
    let (daemon, mattermost) = site::start(push).await?;
    let jane = signed_in(&mattermost, JANE).await?;
    daemon.cli(&["user", "disable", JANE]).await?.success()?;
    mattermost.wait("out", LIMIT, |m| m.user(JANE).is_ok_and(|user| user.delete_at != 0)).await?;
    // A look forty seconds later is planned, beside what comes for this person meanwhile.
    let list = async || {
        daemon.cli(&["client", "deliveries", "--client", MM, "--json"]).await?.success()?.json()
    };
    let began = std::time::Instant::now();
    while list().await?.as_array().is_none_or(|all| all.len() != 1) {
        ensure!(began.elapsed() < LIMIT, "{}", list().await?);
    }
    mattermost.change_user(&jane.id, |user| user.delete_at = 0);
    let again = mattermost.wait("undone", Duration::from_secs(60), |m| {
        m.user(JANE).is_ok_and(|user| user.delete_at != 0)
    });
    again.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_profile_follow_the_directory() -> Result<()> {
    let slapd = Slapd::start()?;
    let mattermost = Mattermost::start().await?;
    mattermost.add_team("main", &["dev", "art"]);
    mattermost.add_team("hand", &[]);
    let rules =
        "[[mattermost.membership]]\ngroup = \"STAFF\"\nteam = \"main\"\nchannels = [\"dev\"]\n";
    let daemon = builder(&mattermost, &format!("{}{rules}", push(&mattermost)))
        .directory("corp", &slapd)
        .start()
        .await?;
    mattermost.connect(daemon.issuer(), MM, MM_SECRET);
    let enter = async || -> Result<()> {
        let browser = Browser::new()?;
        let page = site::begin(&mattermost, &browser, "").await?;
        let page = browser.sign_in(&page, "corp", "alice", "secret-alice").await?;
        ensure!(site::finish(&browser, page).await?.status == 307);
        Ok(())
    };
    enter().await?;
    let alice = mattermost.user("alice")?;
    let shown = daemon.cli(&["user", "show", "alice", "--json"]).await?.success()?.json()?;
    let has = |m: &Mattermost, wanted: &[&str]| m.memberships(&alice.id) == wanted;
    mattermost.wait("in", LIMIT, |m| has(m, &["main", "main/dev"])).await?;
    ensure!(Some(alice.nickname.as_str()) == shown["nickname"].as_str(), "{alice:?} {shown}");
    mattermost.join("hand", &alice.id);

    let dn = "uid=alice,ou=people,dc=example,dc=org";
    slapd.modify(&format!("dn: {dn}\nchangetype: modify\nreplace: title\ntitle: Chief Fox\n"))?;
    let staff = slapd.attribute("(cn=staff)", "dn")?;
    let staff =
        staff.first().cloned().unwrap_or_else(|| "cn=staff,ou=groups,dc=example,dc=org".into());
    slapd.modify(&format!("dn: {staff}\nchangetype: modify\ndelete: member\nmember: {dn}\n"))?;
    enter().await?;
    let changed = |m: &Mattermost| m.user("alice").is_ok_and(|user| user.position == "Chief Fox");
    mattermost.wait("position", LIMIT, changed).await?;
    mattermost.wait("out of the team", LIMIT, |m| has(m, &["hand"])).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_known_there_is_a_finding_and_lets_others_pass() -> Result<()> {
    let (daemon, mattermost) =
        site::start(|mattermost| format!("{}create_accounts = false\n", push(mattermost))).await?;
    signed_in(&mattermost, JANE).await?;
    daemon.cli(&["user", "disable", JANE]).await?.success()?;
    let began = std::time::Instant::now();
    while events(&daemon, "mattermost.not_pushed").await?.is_empty() {
        ensure!(began.elapsed() < LIMIT, "no finding");
    }
    let found = events(&daemon, "mattermost.not_pushed").await?;
    ensure!(found[0]["reason"] == "not_known_there" && found[0]["account"] == JANE, "{found:?}");
    ensure!(mattermost.user(JANE)?.delete_at == 0, "nobody is matched by address");
    ensure!(
        mattermost.calls().iter().all(|call| call.line.starts_with("GET")),
        "{:?}",
        mattermost.calls()
    );
    Ok(())
}
