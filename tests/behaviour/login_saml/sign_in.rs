//! People sign in.

use anyhow::{Context as _, Result, ensure};
use auth_core::clock::Timestamp;
use auth_tests::harness::http::Browser;
use auth_tests::harness::simplesamlphp::{NameIdFormat, SimpleSamlPhpOptions};
use serde_json::json;

use super::given::{self, CORP, site, site_with, through, whoami};
use crate::site as common;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_comes_back_to_the_same_account() -> Result<()> {
    let site = site("").await?;
    let browser = Browser::new()?;
    let start = browser.get(site.daemon.url("/login")).await?.expect(200)?;
    ensure!(start.body.contains("Corporation corp"), "{}", start.body);
    let page = through(&site, &browser, "alice").await?.expect(200)?;
    ensure!(page.url.path() == "/account", "{}", page.describe());
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));

    let shown = site.daemon.cli(&["user", "show", "alice", "--json"]).await?.success()?.json()?;
    ensure!(shown["email"] == "alice@example.org" && shown["first_name"] == "Alice", "{shown}");
    ensure!(shown["last_name"] == "Ånderson", "{shown}");
    ensure!(shown["groups"] == json!(["staff", "admins"]), "{shown}");
    let identity = &shown["identities"][0];
    ensure!(identity["connector"] == CORP, "{shown}");
    let subject = identity["subject"].as_str().context("subject")?;
    ensure!(subject.contains("nameid-format:persistent"), "{subject}");

    let again = Browser::new()?;
    through(&site, &again, "alice").await?.expect(200)?;
    ensure!(whoami(&site.daemon, &again).await?.as_deref() == Some("alice"));
    let created = common::events(&site.daemon, "account.created").await?;
    ensure!(created.iter().filter(|event| event["account"] == "alice").count() == 1);
    let accepted = common::events(&site.daemon, "login.accepted").await?;
    ensure!(accepted.len() == 2 && accepted[0]["connector"] == CORP, "{accepted:?}");

    // The session there is over after eight hours, and ours with it.
    let sessions = site.daemon.cli(&["session", "list", "--json"]).await?.success()?.json()?;
    let session = sessions.get(0).context("a session")?;
    let seconds = |name: &str| -> Result<i64> {
        let text = session[name].as_str().with_context(|| format!("{name} in {session}"))?;
        Ok(Timestamp::parse_rfc3339(text).context("RFC 3339")?.seconds())
    };
    let lasts = seconds("expires_at")? - seconds("created_at")?;
    ensure!(lasts <= 8 * 3600, "{lasts} s");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_signed_or_encrypted_there_is_read_here() -> Result<()> {
    let usual = SimpleSamlPhpOptions::default();
    let cases = [
        (
            "only the assertion signed",
            SimpleSamlPhpOptions { sign_response: false, ..usual.clone() },
        ),
        (
            "only the response signed",
            SimpleSamlPhpOptions { sign_assertion: false, ..usual.clone() },
        ),
        ("encrypted", SimpleSamlPhpOptions { encrypt: true, ..usual.clone() }),
        (
            "encrypted, signed inside",
            SimpleSamlPhpOptions { encrypt: true, sign_response: false, ..usual.clone() },
        ),
        (
            "wants signed requests",
            SimpleSamlPhpOptions { need_signed_request: true, ..usual.clone() },
        ),
        ("an address for a name", SimpleSamlPhpOptions { name_id: NameIdFormat::Email, ..usual }),
    ];
    let mut site = site("").await?;
    for (what, options) in cases {
        site.idp.set(options)?;
        let browser = Browser::new()?;
        // Another NameID is another person, whose address must not be bob's.
        let user = if what == "an address for a name" { "alice" } else { "bob" };
        let page = through(&site, &browser, user).await.context(what)?;
        let page = page.expect(200).context(what)?;
        ensure!(page.url.path() == "/account", "{what}: {}", page.describe());
        ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some(user), "{what}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_by_post_and_ask_for_what_is_set() -> Result<()> {
    let more = "request_binding = \"post\"\nname_id_format = \"email\"\nforce_authn = true";
    let options =
        SimpleSamlPhpOptions { need_signed_request: true, ..SimpleSamlPhpOptions::default() };
    let site = site_with(options, more, |daemon| daemon).await?;
    let browser = Browser::new()?;
    let page = browser.open(site.daemon.url("/login/corp")).await?.expect(200)?;
    let form = page.forms()?.into_iter().next().context("no form")?;
    ensure!(form.field("SAMLRequest").is_some() && form.field("RelayState").is_some());
    let policy = page.header("content-security-policy");
    let origin = site.idp.url().replace("/simplesaml", "");
    ensure!(policy.contains(&format!("form-action 'self' {origin}")), "{policy}");
    let page = browser.submit(&page, &form, &[]).await?;
    let page = browser.follow(page, |_| false).await?.expect(200)?;
    let form = given::posted(&given::answer_form(&browser, &page, "alice").await?)?;
    given::deliver(&browser, &form).await?.expect(200)?;
    let shown = site.daemon.cli(&["user", "show", "alice", "--json"]).await?.success()?.json()?;
    let subject = shown["identities"][0]["subject"].as_str().context("subject")?;
    ensure!(subject.contains("emailAddress") && subject.contains("alice@example.org"), "{subject}");

    // The session there lives, but the person has to show again who they are.
    let page = browser.open(site.daemon.url("/login/corp")).await?.expect(200)?;
    let form = page.forms()?.into_iter().next().context("no form")?;
    let page = browser.submit(&page, &form, &[]).await?;
    let page = browser.follow(page, |_| false).await?;
    ensure!(page.body.contains("name=\"password\""), "{}", page.describe());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_become_roles_and_claims_of_the_chat_server() -> Result<()> {
    let more = "admin_rules = [\"groups=admins\"]\nguest_rules = [\"uid=bob\"]\n\
                attributes = { id = \"uid\", claims = { nick = \"displayName\" } }";
    let site = site(more).await?;
    for (user, role) in [("alice", "administrator"), ("bob", "guest")] {
        let party = common::relying_party(&site.daemon).await?;
        let browser = Browser::new()?;
        let authorization = party.authorize(common::SCOPE);
        let page = browser.open(authorization.url.as_str()).await?.expect(200)?;
        let href = auth_tests::harness::html::links(&page.body)?;
        let href = href.iter().find(|href| href.starts_with("/login/corp")).context("button")?;
        let page = browser.open(site.daemon.url(href)).await?.expect(200)?;
        let form = given::posted(&given::answer_form(&browser, &page, user).await?)?;
        let fields = form.filled(&[])?;
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let page = browser.post(&form.action, &fields).await?.expect(303)?;
        let page = browser.follow(page, |url| url.as_str().starts_with(common::REDIRECT)).await?;
        let callback = page.location()?;
        let code = callback.query_pairs().find(|(name, _)| name == "code").context("code")?.1;
        let tokens = party.exchange(&authorization, &code).await?;
        let claims = party.userinfo(&tokens.access_token).await?.json()?;
        ensure!(claims["roles"] == json!([role]), "{claims}");
        ensure!(claims["preferred_username"] == user, "{claims}");
        ensure!(claims["nick"].to_string().contains("er"), "{claims}");
    }
    let shown = site.daemon.cli(&["user", "show", "bob", "--json"]).await?.success()?.json()?;
    ensure!(shown["identities"][0]["subject"] == "bob", "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_name_makes_no_account() -> Result<()> {
    let options = SimpleSamlPhpOptions { name_id: NameIdFormat::Transient, ..Default::default() };
    let site = site_with(options, "", |daemon| daemon).await?;
    let browser = Browser::new()?;
    let page = through(&site, &browser, "alice").await?;
    given::refused(&site.daemon, &browser, &page, "transient_name_id").await?;
    ensure!(common::events(&site.daemon, "account.created").await?.len() == 1, "jane alone");
    Ok(())
}

/// A program of a phone: its own scheme, no secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_phones_program_gets_its_code_at_its_own_scheme() -> Result<()> {
    let uri = "com.example.chat:/signed-in";
    let toml = format!(
        "[[client]]\nid = \"phone\"\npublic = true\nredirect_uris = [\"{uri}\"]\n\
         connectors = [\"corp\"]\n"
    );
    let site = site_with(SimpleSamlPhpOptions::default(), "", |daemon| daemon.toml(&toml)).await?;
    let party =
        auth_tests::harness::oidc::RelyingParty::discover(site.daemon.issuer(), "phone", None, uri)
            .await?;
    let authorization = party.authorize(common::SCOPE);
    let browser = Browser::new()?;
    // The only way in: no page of ours comes first.
    let page = browser.open(authorization.url.as_str()).await?.expect(200)?;
    ensure!(page.url.as_str().starts_with(&site.idp.url()), "{}", page.describe());
    let form = given::posted(&given::answer_form(&browser, &page, "alice").await?)?;
    let fields = form.filled(&[])?;
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let page = browser.post(&form.action, &fields).await?.expect(303)?;
    let page = browser.follow(page, |url| url.scheme() == "com.example.chat").await?;
    let callback = page.location()?;
    ensure!(callback.as_str().starts_with(uri), "{callback}");
    let code = callback.query_pairs().find(|(name, _)| name == "code").context("code")?.1;
    party.exchange(&authorization, &code).await?;
    // Another program's scheme gets nothing.
    let forged = authorization.url.as_str().replace("com.example.chat", "com.example.evil");
    let page = browser.get(forged).await?;
    ensure!(page.status.is_client_error(), "{}", page.describe());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_providers_second_factor_can_count() -> Result<()> {
    let more = "[mfa]\npolicy = \"required\"\ntrust_upstream = [\"corp\"]\n";
    let classes = [
        ("urn:oasis:names:tc:SAML:2.0:ac:classes:Password", true),
        ("https://refeds.org/profile/mfa", false),
    ];
    for (class, asked) in classes {
        let options =
            SimpleSamlPhpOptions { authn_context: Some(class), ..SimpleSamlPhpOptions::default() };
        let site = site_with(options, "", |daemon| daemon.toml(more)).await?;
        let browser = Browser::new()?;
        let page = through(&site, &browser, "alice").await?;
        ensure!(page.body.contains("totp-secret") == asked, "{class}: {}", page.describe());
        ensure!(whoami(&site.daemon, &browser).await?.is_none() == asked, "{class}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_by_the_legacy_switch_alone_is_counted_and_recorded() -> Result<()> {
    let old = || SimpleSamlPhpOptions { sha1: true, ..SimpleSamlPhpOptions::default() };
    let strict = site_with(old(), "", |daemon| daemon).await?;
    let browser = Browser::new()?;
    let page = through(&strict, &browser, "alice").await?;
    given::refused(&strict.daemon, &browser, &page, "signature_algorithm").await?;

    let site = site_with(old(), "allow_sha1 = true", |daemon| daemon).await?;
    let browser = Browser::new()?;
    through(&site, &browser, "alice").await?.expect(200)?;
    ensure!(whoami(&site.daemon, &browser).await?.as_deref() == Some("alice"));
    let events = common::events(&site.daemon, "saml.legacy_algorithm").await?;
    ensure!(events.len() == 1 && events[0]["connector"] == CORP, "{events:?}");
    let text = events[0].to_string();
    ensure!(text.contains("sha1_digest") && text.contains("sha1_signature"), "{text}");
    let metrics = Browser::new()?.get(site.daemon.admin_url("/metrics")?).await?.expect(200)?.body;
    let line =
        "auth_saml_legacy_algorithms_total{connector=\"corp\",algorithm=\"sha1_signature\"} 1";
    ensure!(metrics.contains(line), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn further_attributes_reach_the_client() -> Result<()> {
    let options = SimpleSamlPhpOptions {
        directory_ids: vec![("alice", "B-1".to_owned())],
        ..SimpleSamlPhpOptions::default()
    };
    let more = "attributes = { claims = { badge = \"directoryId\" } }";
    let site = site_with(options, more, |daemon| daemon).await?;
    let browser = Browser::new()?;
    through(&site, &browser, "alice").await?.expect(200)?;
    let party = common::relying_party(&site.daemon).await?;
    let authorization = party.authorize(common::SCOPE);
    let page = browser.get(authorization.url.as_str()).await?;
    let page = browser.follow(page, |url| url.as_str().starts_with(common::REDIRECT)).await?;
    let code = party.code(&authorization, &page.location()?)?;
    let tokens = party.exchange(&authorization, &code).await?;
    let told = party.userinfo(&tokens.access_token).await?.json()?;
    ensure!(told["badge"] == "B-1" && told["preferred_username"] == "alice", "{told}");
    Ok(())
}
