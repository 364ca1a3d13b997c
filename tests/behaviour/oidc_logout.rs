//! Logout at a client's request: who is signed out, who is asked first, and where nobody is sent.

use anyhow::{Context, Result, ensure};
use auth_tests::harness::browser::Chromium;
use auth_tests::harness::daemon::Daemon;
use auth_tests::harness::http::{Browser, Page};
use auth_tests::harness::nginx::Site;
use auth_tests::harness::oidc::{RelyingParty, Tokens};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;

use crate::site::{self, CLIENT, JANE, PASSWORD, REDIRECT, SECRET};

const BYE: &str = "http://127.0.0.1:9/bye?from=chat";

async fn start() -> Result<(Daemon, RelyingParty)> {
    let client = |id: &str| {
        format!(
            "[[client]]\nid = \"{id}\"\nsecret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT}\"]\n\
             post_logout_redirect_uris = [\"{BYE}\"]\n"
        )
    };
    let builder = Daemon::builder()
        .set("password.argon2.memory_kib", 8192)
        .set("password.argon2.iterations", 1)
        .toml(&client(CLIENT))
        .toml(&client("other").replace(BYE, "http://127.0.0.1:9/other"));
    let daemon = site::start(builder).await?;
    let party = site::relying_party(&daemon).await?;
    Ok((daemon, party))
}

struct Case<'a> {
    daemon: &'a Daemon,
    party: &'a RelyingParty,
    browser: Browser,
    tokens: Tokens,
}

impl<'a> Case<'a> {
    async fn signed_in(daemon: &'a Daemon, party: &'a RelyingParty) -> Result<Self> {
        let browser = Browser::new()?;
        let (_, tokens) = site::sign_in(party, &browser).await?;
        Ok(Self { daemon, party, browser, tokens })
    }

    fn id_token(&self) -> Result<&str> {
        self.tokens.id_token.as_deref().context("no ID token")
    }

    async fn ask(&self, pairs: &[(&str, &str)]) -> Result<Page> {
        let mut url = Url::parse(&self.daemon.url("/oauth2/logout"))?;
        url.query_pairs_mut().extend_pairs(pairs);
        self.browser.get(url).await
    }

    async fn is_signed_in(&self) -> Result<bool> {
        let account = self.browser.get(self.daemon.url("/account")).await?.status == 200;
        let session = self.party.introspect(&self.tokens.access_token).await?["active"] == true;
        ensure!(account == session, "browser {account}, session at the client {session}");
        Ok(account)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_signs_out_at_once_and_the_state_comes_back() -> Result<()> {
    let (daemon, party) = start().await?;
    ensure!(party.document["end_session_endpoint"] == daemon.url("/oauth2/logout"));
    let case = Case::signed_in(&daemon, &party).await?;
    let hint = ("id_token_hint", case.id_token()?);
    let page = case.ask(&[hint, ("post_logout_redirect_uri", BYE), ("state", "s=+/ &")]).await?;
    ensure!(page.expect(303)?.location()?.as_str() == format!("{BYE}&state=s%3D%2B%2F+%26"));
    ensure!(!case.is_signed_in().await?);
    ensure!(party.refresh(site::refresh_token(&case.tokens)?).await.is_err());
    // A second time nobody is signed in any more; the browser is sent on all the same.
    let page = case.ask(&[hint, ("post_logout_redirect_uri", BYE)]).await?.expect(303)?;
    ensure!(page.location()?.as_str() == BYE);
    // Without an address the page says so.
    let case = Case::signed_in(&daemon, &party).await?;
    let page = case.ask(&[("id_token_hint", case.id_token()?)]).await?.expect(200)?;
    ensure!(page.body.contains("signed out"), "{}", page.describe());
    ensure!(!case.is_signed_in().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_id_token_the_person_is_asked() -> Result<()> {
    let (daemon, party) = start().await?;
    let case = Case::signed_in(&daemon, &party).await?;
    let good = case.id_token()?;
    let (signed, signature) = good.rsplit_once('.').context("a token")?;
    let (header, payload) = signed.split_once('.').context("a token")?;
    let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    let kid = header["kid"].as_str().context("kid")?;
    let other_header = |alg: &str| {
        URL_SAFE_NO_PAD.encode(serde_json::json!({ "alg": alg, "kid": kid }).to_string())
    };
    // The public key as the secret of an HMAC.
    let keys = Browser::new()?.get(daemon.url("/oauth2/jwks")).await?.json()?;
    let key = keys["keys"].as_array().context("keys")?.iter().find(|key| key["kid"] == kid);
    let hmac = {
        use aws_lc_rs::hmac;
        let signed = format!("{}.{payload}", other_header("HS256"));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key.context("key")?.to_string().as_bytes());
        let tag = hmac::sign(&secret, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    };
    let none = format!("{}.{payload}.", other_header("none"));
    let unsigned = format!("{signed}.");
    let to = ("post_logout_redirect_uri", BYE);
    let client = ("client_id", CLIENT);
    for hint in ["", "junk", &hmac, &none, &unsigned, &format!("{signed}.{signature}x")] {
        let page = case.ask(&[("id_token_hint", hint), client, to]).await?.expect(200)?;
        page.form_to("/logout")?;
        ensure!(case.is_signed_in().await?, "signed out by {hint:?}");
    }
    // Somebody else's ID token is a question too.
    daemon.create_user("joe", "joe@example.org", PASSWORD).await?;
    let joe = Browser::new()?;
    let authorization = party.authorize("openid");
    let code = party.sign_in(&joe, &authorization, "local", "joe", PASSWORD).await?;
    let theirs = party.exchange(&authorization, &code).await?.id_token.context("ID token")?;
    let page = case.ask(&[("id_token_hint", &theirs), to]).await?.expect(200)?;
    ensure!(page.body.contains(JANE) && !page.body.contains("joe"), "{}", page.describe());
    // The answer needs the form's token and goes where the client asked.
    let form = page.form_to("/logout")?;
    let forged = [("csrf", "x"), client, to];
    case.browser.post(daemon.url("/logout"), &forged).await?.expect(403)?;
    ensure!(case.is_signed_in().await?, "a forged form signed out");
    let done = case.browser.submit(&page, &form, &[]).await?.expect(303)?;
    ensure!(done.location()?.as_str() == BYE, "{}", done.describe());
    ensure!(!case.is_signed_in().await?);
    // Signed out already: no redirect, for nobody says for sure who asks.
    let page = case.ask(&[client, to]).await?.expect(200)?;
    ensure!(page.headers.get("location").is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_an_address_that_is_not_registered() -> Result<()> {
    let (daemon, party) = start().await?;
    let case = Case::signed_in(&daemon, &party).await?;
    let hint = ("id_token_hint", case.id_token()?);
    for uri in [
        "http://127.0.0.1:9/other",
        "http://127.0.0.1:9/bye",
        "http://127.0.0.1:9/bye?from=chat&x=1",
        "http://127.0.0.1:9/callback",
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
    ] {
        for known in [&[hint][..], &[("client_id", CLIENT)], &[]] {
            let mut pairs = known.to_vec();
            pairs.push(("post_logout_redirect_uri", uri));
            let page = case.ask(&pairs).await?.expect(400)?;
            ensure!(page.headers.get("location").is_none(), "{}", page.describe());
        }
    }
    let to = ("post_logout_redirect_uri", BYE);
    for pairs in [
        &[hint, ("client_id", "other"), to][..],
        &[("client_id", "nobody"), to],
        &[to],
        &[hint, to, to],
        &[hint, to, ("state", "a"), ("state", "b")],
    ] {
        case.ask(pairs).await?.expect(400)?;
    }
    ensure!(case.is_signed_in().await?, "a refused request signed out");
    // What a confirmed form says is judged again.
    let page = case.ask(&[("client_id", CLIENT), to]).await?.expect(200)?;
    let csrf = page.form_to("/logout")?.field("csrf").context("csrf")?.value.clone();
    let fields = [
        ("csrf", csrf.as_str()),
        ("client_id", CLIENT),
        ("post_logout_redirect_uri", "https://evil.example/"),
    ];
    let done = case.browser.post(daemon.url("/logout"), &fields).await?.expect(200)?;
    ensure!(done.headers.get("location").is_none(), "{}", done.describe());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_from_another_site_is_asked_again_by_the_browser() -> Result<()> {
    let (daemon, party) = start().await?;
    let case = Case::signed_in(&daemon, &party).await?;
    let fields = [("id_token_hint", case.id_token()?), ("post_logout_redirect_uri", BYE)];
    // No Lax cookie comes with it.
    let page = Browser::new()?.post(daemon.url("/oauth2/logout"), &fields).await?.expect(303)?;
    let again = page.location()?;
    ensure!(again.path() == "/oauth2/logout", "{again}");
    let page = case.browser.get(again).await?.expect(303)?;
    ensure!(page.location()?.as_str() == BYE);
    ensure!(!case.is_signed_in().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_is_asked_and_sent_on_to_another_site() -> Result<()> {
    // Chromium applies form-action to the redirect after the form's post.
    let site = Site::start().await?;
    let bye = format!("http://127.0.0.1:{}/bye", site.port);
    let builder = site::daemon().toml(&format!(
        "[[client]]\nid = \"far\"\nname = \"Far away\"\nsecret = \"{SECRET}\"\n\
         redirect_uris = [\"{REDIRECT}\"]\npost_logout_redirect_uris = [\"{bye}\"]\n"
    ));
    let daemon = site::start(builder).await?;
    let chromium = Chromium::start().await?;
    chromium.client.goto(&daemon.url("/login")).await?;
    chromium.type_into("username", JANE).await?;
    chromium.type_into("password", PASSWORD).await?;
    chromium.wait_for_css("form button").await?.click().await?;
    chromium.wait_for_url(|url| url.path() == "/account").await?;
    chromium.client.goto(&daemon.url("/device")).await?;
    chromium.wait_for_css("#user_code").await?;
    chromium.screenshot("device").await?;
    chromium.phone().await?;
    ensure!(chromium.sideways_overflow().await? == 0, "the page of codes is too wide");
    chromium.desktop().await?;
    let mut logout = Url::parse(&daemon.url("/oauth2/logout"))?;
    logout
        .query_pairs_mut()
        .append_pair("client_id", "far")
        .append_pair("post_logout_redirect_uri", &bye)
        .append_pair("state", "x");
    chromium.client.goto(logout.as_str()).await?;
    chromium.wait_for_css("form button").await?.click().await?;
    let url = chromium.wait_for_url(|url| url.path() == "/bye").await?;
    ensure!(url.as_str() == format!("{bye}?state=x"), "{url}");
    chromium.client.goto(&daemon.url("/account")).await?;
    chromium.wait_for_url(|url| url.path() == "/login").await?;
    Ok(())
}
