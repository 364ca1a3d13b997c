//! The three endpoints as an attacker and a strict client try them.

use anyhow::{Context, Result, ensure};
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::mattermost::Mattermost;
use reqwest::Method;
use url::form_urlencoded::byte_serialize;

use super::site::{self, MM, MM_SECRET};
use crate::site::{CLIENT, JANE, PASSWORD, REDIRECT, SECRET, events};

fn escape(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

struct Asked<'a> {
    daemon: &'a Daemon,
    redirect: String,
}

impl Asked<'_> {
    async fn get(&self, browser: &Browser, path: &str, more: &str) -> Result<Page> {
        let url = format!(
            "{path}?response_type=code&client_id={MM}&redirect_uri={}{more}",
            escape(&self.redirect)
        );
        browser.get(self.daemon.url(&url)).await
    }

    /// Signs in (or not, with a session) and gives the redirect back.
    async fn back(&self, browser: &Browser, more: &str) -> Result<Page> {
        let page = self.get(browser, "/oauth/authorize", more).await?;
        let page = match page.status.as_u16() {
            200 => browser.sign_in(&page, "local", JANE, PASSWORD).await?,
            _ => page,
        };
        browser.follow(page, site::is_back).await
    }

    async fn code(&self, browser: &Browser) -> Result<String> {
        let back = self.back(browser, "&state=s").await?.location()?;
        let code = back.query_pairs().find(|(name, _)| name == "code").context("no code")?;
        Ok(code.1.into_owned())
    }

    async fn token(&self, changes: &[(&str, &str)], code: &str) -> Result<Page> {
        let mut fields = vec![
            ("client_id", MM),
            ("client_secret", MM_SECRET),
            ("code", code),
            ("grant_type", "authorization_code"),
            ("redirect_uri", self.redirect.as_str()),
        ];
        for (name, value) in changes {
            fields.retain(|(known, _)| known != name);
            fields.push((name, value));
        }
        fields.retain(|(_, value)| !value.is_empty());
        Browser::new()?.post(self.daemon.url("/oauth/token"), &fields).await
    }

    async fn user(&self, token: &str) -> Result<Page> {
        let browser = Browser::new()?;
        let request = browser.request(Method::GET, self.daemon.url("/api/v4/user"));
        browser.send(request.bearer_auth(token)).await
    }
}

async fn start() -> Result<(Daemon, Mattermost)> {
    site::start(|_| String::new()).await
}

fn asked<'a>(daemon: &'a Daemon, mattermost: &Mattermost) -> Asked<'a> {
    Asked { daemon, redirect: mattermost.redirect_uris()[0].clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_comes_back_as_it_came_or_not_at_all() -> Result<()> {
    let (daemon, mattermost) = start().await?;
    let ask = asked(&daemon, &mattermost);
    let browser = Browser::new()?;
    let longest = "aZ09+/==".repeat(512);
    for state in ["a+b/c==", "a b&c=d%20ü", longest.as_str()] {
        let page = ask.back(&browser, &format!("&state={}", escape(state))).await?;
        let raw = page.header("location").to_owned();
        ensure!(!raw.contains("+b/c"), "a raw + would become a blank: {raw}");
        let back = page.location()?;
        let returned = back.query_pairs().find(|(name, _)| name == "state").context("state")?;
        ensure!(returned.1 == state, "{} characters differ", state.len());
        let names: Vec<_> = back.query_pairs().map(|(name, _)| name.into_owned()).collect();
        ensure!(names == ["code", "state"], "exactly what GitLab sends: {names:?}");
    }
    for bad in [format!("&state={longest}x"), "&state=a&state=b".into(), "&state=%FF%FE".into()] {
        let page = ask.get(&browser, "/oauth/authorize", &bad).await?.expect(400)?;
        ensure!(page.headers.get("location").is_none());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_have_the_fields_that_are_read() -> Result<()> {
    let (daemon, mattermost) = start().await?;
    let ask = asked(&daemon, &mattermost);
    let code = ask.code(&Browser::new()?).await?;
    let page = ask.token(&[], &code).await?.expect(200)?;
    ensure!(page.header("cache-control").contains("no-store"), "{}", page.describe());
    let answer = page.json()?;
    let names: Vec<&String> = answer.as_object().context("object")?.keys().collect();
    ensure!(
        names == ["access_token", "created_at", "expires_in", "scope", "token_type"],
        "{names:?}"
    );
    ensure!(answer["token_type"] == "Bearer" && answer["scope"] == "read_user", "{answer}");
    ensure!(
        answer["expires_in"].as_i64().is_some_and(|life| (30..=60).contains(&life)),
        "{answer}"
    );
    let token = answer["access_token"].as_str().context("token")?;
    let user = ask.user(token).await?.expect(200)?.json()?;
    ensure!(user["id"].is_i64() && user["username"] == JANE, "{user}");
    ensure!(user["email"] == "jane@example.org" && user["state"] == "active", "{user}");
    // Not a token of the OpenID provider.
    let browser = Browser::new()?;
    let request = browser.request(Method::GET, daemon.url("/oauth2/userinfo")).bearer_auth(token);
    browser.send(request).await?.expect(403)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_replayed_takes_the_token_away() -> Result<()> {
    let (daemon, mattermost) = start().await?;
    let ask = asked(&daemon, &mattermost);
    let code = ask.code(&Browser::new()?).await?;
    let answer = ask.token(&[], &code).await?.expect(200)?.json()?;
    let token = answer["access_token"].as_str().context("token")?.to_owned();
    ask.user(&token).await?.expect(200)?;
    ask.token(&[], &code).await?.expect(400)?;
    ask.user(&token).await?.expect(401)?;
    ensure!(events(&daemon, "code.replayed").await?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_and_how_is_judged() -> Result<()> {
    let (daemon, mattermost) = start().await?;
    let ask = asked(&daemon, &mattermost);
    let browser = Browser::new()?;
    let code = ask.code(&browser).await?;
    for (changes, status) in [
        (&[("client_secret", "wrong")][..], 401),
        (&[("client_secret", "")], 401),
        (&[("client_id", "nobody")], 401),
        (&[("client_id", CLIENT), ("client_secret", SECRET)], 400),
        (&[("redirect_uri", "")], 400),
        (&[("redirect_uri", mattermost.redirect_uris()[1].as_str())], 400),
        (&[("grant_type", "refresh_token"), ("refresh_token", &code)], 400),
        (&[("grant_type", "password")], 400),
        (&[("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")], 400),
    ] {
        let page = ask.token(changes, &code).await?;
        ensure!(page.status == status, "{changes:?}: {}", page.describe());
    }
    // By header it is not taken, even with the right secret.
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", ask.redirect.as_str()),
    ];
    let request = browser.request(Method::POST, daemon.url("/oauth/token"));
    browser.send(request.basic_auth(MM, Some(MM_SECRET)).form(&fields)).await?.expect(401)?;
    // Nor at the endpoint of the other kind.
    let mut other = fields.to_vec();
    other.extend([("client_id", MM), ("client_secret", MM_SECRET)]);
    browser.post(daemon.url("/oauth2/token"), &other).await?.expect(400)?;
    // None of that used the code up.
    ask.token(&[], &code).await?.expect(200)?;
    // Each kind of client is known at its own endpoint only.
    ask.get(&browser, "/oauth2/authorize", "&state=s&scope=openid").await?.expect(400)?;
    let foreign = format!(
        "/oauth/authorize?response_type=code&client_id={CLIENT}&redirect_uri={}&state=s",
        escape(REDIRECT)
    );
    browser.get(daemon.url(&foreign)).await?.expect(400)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_registered_addresses_get_a_code() -> Result<()> {
    let (daemon, mattermost) = start().await?;
    let browser = Browser::new()?;
    for uri in mattermost.redirect_uris() {
        let ask = Asked { daemon: &daemon, redirect: uri.clone() };
        let back = ask.back(&browser, "&state=s").await?.location()?;
        ensure!(back.as_str().starts_with(&format!("{uri}?code=")), "{back}");
    }
    let good = mattermost.redirect_uris()[0].clone();
    let evil = good.replace("127.0.0.1", "127.0.0.1@evil.example");
    for uri in [
        format!("{good}/"),
        format!("{good}?x=1"),
        format!("{good}#f"),
        good.to_uppercase(),
        good.replace("/signup", "/x/../signup"),
        evil,
        "https://evil.example/".into(),
    ] {
        let ask = Asked { daemon: &daemon, redirect: uri.clone() };
        let page = ask.get(&browser, "/oauth/authorize", "&state=s").await?;
        ensure!(page.status == 400 && page.headers.get("location").is_none(), "{uri}");
    }
    // PKCE is not asked for, but kept where it is used, and the scope is the one there is.
    let ask = asked(&daemon, &mattermost);
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let more = format!("&scope=api&code_challenge={challenge}&code_challenge_method=S256");
    let back = ask.back(&browser, &more).await?.location()?;
    let code = back.query_pairs().find(|(name, _)| name == "code").context("no code")?.1;
    ask.token(&[], &code).await?.expect(400)?;
    let verifier = [("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")];
    let answer = ask.token(&verifier, &code).await?.expect(200)?.json()?;
    ensure!(answer["scope"] == "read_user", "{answer}");
    Ok(())
}
