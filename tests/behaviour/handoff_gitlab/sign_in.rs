//! People who come through Mattermost's button, and who must not.

use anyhow::{Context, Result, ensure};
use auth_tests::harness::browser::Chromium;
use auth_tests::harness::html;
use auth_tests::harness::http::Browser;
use auth_tests::harness::mattermost::Mattermost;
use auth_tests::harness::slapd::Slapd;

use super::site::{self, MM, MM_SECRET, begin, builder, code, finish, number, signed_in};
use crate::site::{JANE, PASSWORD, attempt, events};

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_person_with_a_second_factor_reaches_mattermost() -> Result<()> {
    let slapd = Slapd::start()?;
    let mattermost = Mattermost::start().await?;
    let daemon = builder(&mattermost, "")
        .directory("corp", &slapd)
        .set("mfa.policy", "required")
        .start()
        .await?;
    mattermost.connect(daemon.issuer(), MM, MM_SECRET);
    let browser = Browser::new()?;
    let page = begin(&mattermost, &browser, "").await?;
    let page = browser.sign_in(&page, "corp", "alice", "secret-alice").await?;
    let page = browser.follow(page, site::is_back).await?.expect(200)?;
    let secret = html::text_of(&page.body, "totp-secret")?.context("no seed")?;
    let form = page.form_to("/login/enrol")?;
    let page = browser.submit(&page, &form, &[("code", &code(&secret, 0)?)]).await?.expect(200)?;
    let next = html::links(&page.body)?.into_iter().find(|link| link.contains("/login/continue"));
    let page = browser.get(daemon.url(&next.context("no way on")?)).await?;
    let page = finish(&browser, page).await?;
    ensure!(page.status == 307, "{}", page.describe());
    let alice = mattermost.user("alice")?;
    ensure!(alice.auth_data == Some(number(&daemon, "alice").await?.to_string()), "{alice:?}");
    ensure!(alice.auth_service == "gitlab" && alice.email_verified, "{alice:?}");
    ensure!(alice.email == "alice@example.org" && !alice.last_name.is_empty(), "{alice:?}");
    ensure!(alice.sessions.len() == 1, "{alice:?}");

    // The second time the factor is asked for, and it is the same account.
    let again = Browser::new()?;
    let page = begin(&mattermost, &again, "").await?;
    let page = again.sign_in(&page, "corp", "alice", "secret-alice").await?;
    let page = again.follow(page, site::is_back).await?.expect(200)?;
    let form = page.form_to("/login/factor")?;
    let page = again.submit(&page, &form, &[("code", &code(&secret, 1)?)]).await?;
    ensure!(finish(&again, page).await?.status == 307);
    ensure!(mattermost.user("alice")?.sessions.len() == 2, "{:?}", mattermost.users());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_goes_through_directory_and_second_factor_into_mattermost() -> Result<()> {
    let slapd = Slapd::start()?;
    let mattermost = Mattermost::start().await?;
    let daemon = builder(&mattermost, "")
        .directory("corp", &slapd)
        .set("mfa.policy", "required")
        .start()
        .await?;
    mattermost.connect(daemon.issuer(), MM, MM_SECRET);
    let chromium = Chromium::start().await?;
    chromium.client.goto(&format!("{}/oauth/gitlab/login", mattermost.site())).await?;
    chromium.type_into("username", "alice").await?;
    chromium.type_into("password", "secret-alice").await?;
    chromium.wait_for_css("form button").await?.click().await?;
    let secret = chromium.wait_for_css("#totp-secret").await?.text().await?;
    chromium.type_into("code", &code(&secret, 0)?).await?;
    chromium.wait_for_css("form button").await?.click().await?;
    chromium.wait_for_css(".recovery-code").await?;
    chromium.wait_for_css("a[href*='/login/continue']").await?.click().await?;
    let site = mattermost.site();
    chromium.wait_for_url(|url| url.as_str().trim_end_matches('/') == site).await?;
    let title = chromium.wait_for_css("h1").await?.text().await?;
    ensure!(title == "Mattermost" && mattermost.user("alice")?.sessions.len() == 1, "{title}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_of_four_kilobytes_comes_back_byte_for_byte() -> Result<()> {
    let (_daemon, mattermost) = site::start(|_| String::new()).await?;
    let browser = Browser::new()?;
    // The state is base64 of JSON with this in it: it grows, and has `+`, `/` and `=`.
    let long = format!("/team/channels/{}%C3%BF%C3%BE~?", "x".repeat(2700));
    let page = begin(&mattermost, &browser, &format!("?redirect_to={long}")).await?;
    let page = browser.sign_in(&page, "local", JANE, PASSWORD).await?;
    let page = finish(&browser, page).await?;
    ensure!(page.status == 307, "{}", page.describe());
    ensure!(page.header("location").contains(&"x".repeat(2700)), "{}", page.describe());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_disabled_is_refused_at_each_of_three_points() -> Result<()> {
    let (daemon, mattermost) = site::start(|_| String::new()).await?;
    let jane = signed_in(&mattermost, JANE).await?;
    mattermost.change_user(&jane.id, |user| user.delete_at = 5);
    let redirect = mattermost.redirect_uris()[0].clone();
    let http = Browser::new()?;
    let token = async |code: &str| {
        let fields = [
            ("client_id", MM),
            ("client_secret", MM_SECRET),
            ("code", code),
            ("grant_type", "authorization_code"),
            ("redirect_uri", redirect.as_str()),
        ];
        http.post(daemon.url("/oauth/token"), &fields).await
    };
    let fresh_code = async |browser: &Browser| -> Result<String> {
        let page = begin(&mattermost, browser, "").await?;
        let page = match page.status.as_u16() {
            200 => {
                let page = browser.sign_in(&page, "local", JANE, PASSWORD).await?;
                browser.follow(page, site::is_back).await?
            }
            _ => page,
        };
        let back = page.location()?;
        let code = back.query_pairs().find(|(name, _)| name == "code").context("no code")?;
        Ok(code.1.into_owned())
    };
    let set = async |word: &str| daemon.cli(&["user", word, JANE]).await?.success();

    // At the user endpoint: the token was issued before.
    let code = fresh_code(&Browser::new()?).await?;
    let answer = token(&code).await?.expect(200)?.json()?;
    let bearer = answer["access_token"].as_str().context("token")?.to_owned();
    let user = || {
        http.send(
            http.request(reqwest::Method::GET, daemon.url("/api/v4/user")).bearer_auth(&bearer),
        )
    };
    user().await?.expect(200)?;
    set("disable").await?;
    user().await?.expect(401)?;
    set("enable").await?;
    user().await?.expect(401).context("enabled again, the old token stays dead")?;

    // At the token endpoint: the code was made before.
    let browser = Browser::new()?;
    let code = fresh_code(&browser).await?;
    set("disable").await?;
    token(&code).await?.expect(400)?;

    // Before a code is made: by a session that was live, and by a new sign-in.
    let page = begin(&mattermost, &browser, "").await?.expect(200)?;
    page.form_to("/login/local").context("the old session must not answer")?;
    let page = browser.sign_in(&page, "local", JANE, PASSWORD).await?;
    ensure!(page.status == 401, "{}", page.describe());
    ensure!(mattermost.user(JANE)?.delete_at == 5, "Mattermost switched the account on again");
    let refused = events(&daemon, "gitlab.user_refused").await?;
    ensure!(refused.iter().any(|event| event["reason"] == "account_inactive"), "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_verified_address() -> Result<()> {
    let (daemon, mattermost) = site::start(|_| String::new()).await?;
    daemon
        .cli_with_input(&["user", "create", "nomail", "--password-stdin"], PASSWORD)
        .await?
        .success()?;
    let browser = Browser::new()?;
    let page = begin(&mattermost, &browser, "").await?;
    let page = browser.sign_in(&page, "local", "nomail", PASSWORD).await?;
    let page = browser.follow(page, site::is_back).await?.expect(403)?;
    ensure!(page.body.contains("e-mail address"), "{}", page.describe());
    let refused = events(&daemon, "authorization.refused").await?;
    let said = refused.iter().any(|event| {
        event["reason"] == "email_missing" && event["account"] == "nomail" && event["client"] == MM
    });
    ensure!(said, "{refused:?}");
    ensure!(mattermost.users().len() == 2, "nobody was made");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_mattermosts_own_and_namesakes_keep_theirs() -> Result<()> {
    let (daemon, mattermost) = site::start(|_| String::new()).await?;
    for (name, email) in [
        ("Bob Ünder", "one@example.org"),
        ("bob@under", "two@example.org"),
        ("system", "three@example.org"),
        ("鈴木", "four@example.org"),
    ] {
        daemon.create_user(name, email, PASSWORD).await?;
    }
    let name_of = async |login: &str, email: &str| -> Result<String> {
        let page = site::sign_in(&mattermost, &Browser::new()?, login).await?;
        ensure!(page.status == 307, "{}", page.describe());
        let user = mattermost.users().into_iter().find(|user| user.email == email);
        Ok(user.context("no such user")?.username)
    };
    let number = async |login: &str| number(&daemon, login).await;
    for _ in 0..2 {
        ensure!(name_of("Bob Ünder", "one@example.org").await? == "bob-under");
        let second = format!("bob-under-{}", number("bob@under").await?);
        ensure!(name_of("bob@under", "two@example.org").await? == second);
        let system = format!("system-{}", number("system").await?);
        ensure!(name_of("system", "three@example.org").await? == system);
        let user = format!("user-{}", number("鈴木").await?);
        ensure!(name_of("鈴木", "four@example.org").await? == user);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_numbered_account_keeps_its_number_at_mattermost() -> Result<()> {
    let (daemon, mattermost) = site::start(|_| String::new()).await?;
    let create =
        ["user", "create", "moved", "--email", "moved@example.org", "--numeric-id", "5001"];
    let arguments = [&create[..], &["--password-stdin"]].concat();
    daemon.cli_with_input(&arguments, PASSWORD).await?.success()?;
    let known = mattermost.add_user(auth_tests::harness::mattermost::User {
        username: "moved".into(),
        email: "moved@example.org".into(),
        auth_service: "gitlab".into(),
        auth_data: Some("5001".into()),
        ..Default::default()
    });
    ensure!(signed_in(&mattermost, "moved").await?.id == known, "another account was made");
    daemon.create_user("next", "next@example.org", PASSWORD).await?;
    ensure!(number(&daemon, "next").await? == 5002);
    let taken = ["user", "create", "x", "--numeric-id", "5001", "--password-stdin"];
    let refused = daemon.cli_with_input(&taken, PASSWORD).await?.expect(1)?;
    ensure!(refused.stderr.contains("numeric_id"), "{}", refused.stderr);
    // A page of the daemon itself still works beside it.
    attempt(&daemon, &Browser::new()?, "local", "moved", PASSWORD).await?.expect(303)?;
    Ok(())
}
