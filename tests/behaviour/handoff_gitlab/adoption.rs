//! `client adopt` and `client check`.

use anyhow::{Context, Result, ensure};
use auth_tests::harness::mattermost::{Mattermost, User};
use serde_json::Value;

use super::site::{self, LIMIT, MM, number, push, signed_in};
use crate::site::{JANE, PASSWORD, events};

fn password_user(name: &str, email: &str) -> User {
    User {
        username: name.into(),
        email: email.into(),
        email_verified: true,
        roles: "system_user".into(),
        sessions: ["old-session".into()].into(),
        ..User::default()
    }
}

fn reasons(plan: &Value, list: &str) -> Vec<String> {
    let all = plan[list].as_array().cloned().unwrap_or_default();
    let mut found: Vec<String> = all
        .iter()
        .map(|one| {
            let name = one["mattermost"]["username"].as_str().unwrap_or_default();
            format!("{name}: {}", one["reason"].as_str().unwrap_or_default())
        })
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_read_first_and_then_carried_out() -> Result<()> {
    let (daemon, mattermost) = site::start(push).await?;
    for name in ["root", "carl", "dora"] {
        daemon.create_user(name, &format!("{name}@example.org"), PASSWORD).await?;
    }
    let jane = mattermost.add_user(password_user("jane.old", "Jane@example.org"));
    mattermost.add_user(password_user("stranger", "stranger@example.org"));
    let ldap = User { auth_service: "ldap".into(), ..password_user("carl", "carl@example.org") };
    mattermost.add_user(ldap);
    let unproved = User { email_verified: false, ..password_user("dora", "dora@example.org") };
    let dora = mattermost.add_user(unproved);
    let before = mattermost.users();

    let plan = ["client", "adopt", "--client", MM, "--plan", "plan.json", "--json"];
    let made = daemon.cli(&plan).await?.expect(2)?.json()?;
    let file = daemon.folder().join("plan.json");
    ensure!(serde_json::from_str::<Value>(&std::fs::read_to_string(&file)?)? == made);
    ensure!(made["adopt"].as_array().map(Vec::len) == Some(1), "{made}");
    ensure!(made["adopt"][0]["mattermost"]["id"] == jane.as_str(), "{made}");
    ensure!(
        reasons(&made, "collisions")
            == ["carl: signs_in_by_another_method", "dora: address_unverified_there"],
        "{made}"
    );
    ensure!(
        reasons(&made, "left_out")
            == ["robot: bot", "root: system_administrator", "stranger: no_account_here"],
        "{made}"
    );
    ensure!(mattermost.users() == before, "a plan changes nothing");

    let apply = ["client", "adopt", "--client", MM, "--apply", "plan.json"];
    let dry =
        daemon.cli(&[&apply[..], &["--dry-run", "--json"]].concat()).await?.success()?.json()?;
    ensure!(dry[0]["result"] == "would be adopted" && mattermost.users() == before, "{dry}");
    daemon.cli(&apply).await?.success()?;
    let adopted = mattermost.users().into_iter().find(|user| user.id == jane).context("jane")?;
    ensure!(adopted.auth_data == Some(number(&daemon, JANE).await?.to_string()), "{adopted:?}");
    ensure!(adopted.auth_service == "gitlab" && adopted.sessions.is_empty(), "{adopted:?}");
    let trail = events(&daemon, "mattermost.adopted").await?;
    ensure!(trail.len() == 1 && trail[0]["detail"]["user"] == jane.as_str(), "{trail:?}");
    ensure!(
        trail[0]["detail"]["user_name"] == "jane.old" && trail[0]["account"] == JANE,
        "{trail:?}"
    );
    // Again: nothing to do. And she signs in to the same account, which then follows her name.
    let again = daemon.cli(&[&apply[..], &["--json"]].concat()).await?.success()?.json()?;
    ensure!(again[0]["result"] == "adopted already", "{again}");
    ensure!(signed_in(&mattermost, JANE).await?.id == jane);
    // It is known now, so a disabling reaches it.
    daemon.cli(&["user", "disable", JANE]).await?.success()?;
    mattermost.wait("out", LIMIT, |m| m.user(JANE).is_ok_and(|user| user.delete_at != 0)).await?;

    // An administrator only by name, an unproved address only on request.
    let named = [&plan[..], &["--include", "root", "--accept-unverified"]].concat();
    let made = daemon.cli(&named).await?.expect(2)?.json()?;
    let mut ids: Vec<&str> = made["adopt"]
        .as_array()
        .context("adopt")?
        .iter()
        .filter_map(|one| one["mattermost"]["username"].as_str())
        .collect();
    ids.sort_unstable();
    ensure!(ids == ["dora", "root"], "{made}");
    // What changed since the plan was read is left alone.
    mattermost.change_user(&dora, |user| user.email = "mallory@example.org".into());
    let partly = daemon.cli(&[&apply[..], &["--json"]].concat()).await?.expect(2)?.json()?;
    let left: Vec<_> = partly
        .as_array()
        .context("rows")?
        .iter()
        .filter(|row| row["result"] == "left alone")
        .collect();
    ensure!(left.len() == 1 && left[0]["reason"] == "user_changed_there", "{partly}");
    ensure!(mattermost.users().iter().any(|user| user.id == dora && user.auth_data.is_none()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_taken_there_is_reported_and_nothing_is_mapped() -> Result<()> {
    let (daemon, mattermost) = site::start(push).await?;
    let taken = number(&daemon, JANE).await?.to_string();
    mattermost.add_user(User {
        auth_service: "gitlab".into(),
        auth_data: Some(taken),
        ..password_user("somebody", "somebody@example.org")
    });
    let jane = mattermost.add_user(password_user("jane.old", "jane@example.org"));
    daemon.cli(&["client", "adopt", "--client", MM, "--plan", "p.json"]).await?.success()?;
    let apply = ["client", "adopt", "--client", MM, "--apply", "p.json", "--json"];
    let rows = daemon.cli(&apply).await?.expect(2)?.json()?;
    ensure!(
        rows[0]["reason"].as_str().is_some_and(|reason| reason.starts_with("refused_there")),
        "{rows}"
    );
    let user = mattermost.users().into_iter().find(|user| user.id == jane).context("jane")?;
    ensure!(user.auth_data.is_none() && user.sessions.len() == 1, "{user:?}");
    ensure!(events(&daemon, "mattermost.adopted").await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_the_token_may_do() -> Result<()> {
    let (daemon, mattermost) = site::start(push).await?;
    let check = ["client", "check", "--client", MM, "--json"];
    let good = daemon.cli(&check).await?.success()?.json()?;
    ensure!(
        good["ok"] == true && good["steps"].as_array().is_some_and(|all| all.len() >= 6),
        "{good}"
    );
    let root = mattermost.user("root")?.id;
    mattermost.change_user(&root, |user| user.roles = "system_user".into());
    let bad = daemon.cli(&check).await?.expect(2)?.json()?;
    let step = |name: &str| {
        bad["steps"].as_array().and_then(|all| all.iter().find(|one| one["step"] == name).cloned())
    };
    ensure!(
        step("administrator").is_some_and(
            |one| one["ok"] == false && !one["repair"].as_str().unwrap_or("").is_empty()
        ),
        "{bad}"
    );
    mattermost.outage(Some(401));
    let refused = daemon.cli(&check).await?.expect(2)?.json()?;
    ensure!(
        refused["steps"][0]["step"] == "token" && refused["steps"][0]["ok"] == false,
        "{refused}"
    );
    let none = daemon.cli(&["client", "check", "--client", "chat"]).await?.expect(1)?;
    ensure!(none.stderr.contains("mattermost"), "{}", none.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_another_server_is_refused() -> Result<()> {
    let (daemon, mattermost) = site::start(push).await?;
    mattermost.add_user(password_user("jane.old", "jane@example.org"));
    daemon.cli(&["client", "adopt", "--client", MM, "--plan", "p.json"]).await?.success()?;
    let file = daemon.folder().join("p.json");
    let plan = std::fs::read_to_string(&file)?;
    let other = Mattermost::start().await?;
    std::fs::write(&file, plan.replace(&mattermost.site(), &other.site()))?;
    daemon.cli(&["client", "adopt", "--client", MM, "--apply", "p.json"]).await?.expect(1)?;
    let mut twice: Value = serde_json::from_str(&plan)?;
    let one = twice["adopt"][0].clone();
    twice["adopt"].as_array_mut().context("adopt")?.push(one);
    std::fs::write(&file, twice.to_string())?;
    daemon.cli(&["client", "adopt", "--client", MM, "--apply", "p.json"]).await?.expect(3)?;
    ensure!(mattermost.calls().iter().all(|call| call.line.starts_with("GET")));
    Ok(())
}
