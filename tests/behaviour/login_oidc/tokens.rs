//! A provider that lies, or is made to: every broken rule refuses, by its own word, and signs
//! nobody in.

use std::time::Duration;

use anyhow::{Result, ensure};
use auth_tests::harness::http::Browser;
use auth_tests::harness::upstream_oidc::{Endpoint, IssuerParameter, ScriptedProvider, Signing};
use serde_json::{Value, json};

use super::given::{self, UP, refused, scripted, through, whoami};
use crate::site;

fn now() -> i64 {
    use auth_core::clock::{Clock as _, SystemClock};
    SystemClock.now().seconds()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_algorithm_of_the_list_is_accepted() -> Result<()> {
    for signing in [Signing::Rs256, Signing::Ps256, Signing::Es256, Signing::EdDsa] {
        let (provider, daemon) = scripted("").await?;
        provider.sign(signing);
        let browser = Browser::new()?;
        through(&daemon, &browser, UP).await?.expect(200)?;
        ensure!(whoami(&daemon, &browser).await?.as_deref() == Some("ada"), "{signing:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_is_not_the_provider_s_is_refused() -> Result<()> {
    for (signing, reason) in [
        (Signing::None, "algorithm_not_allowed"),
        (Signing::Hs256WithPublicKey, "algorithm_not_allowed"),
        (Signing::Hs256WithClientSecret, "algorithm_not_allowed"),
        (Signing::WrongKey, "bad_signature"),
        (Signing::CutSignature, "bad_signature"),
        (Signing::KeyOfAnotherKind, "bad_signature"),
        (Signing::UnknownKeyId, "unknown_key"),
    ] {
        let (provider, daemon) = scripted("").await?;
        provider.sign(signing);
        refused(&daemon, reason).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_claim_is_refused_by_its_own_word() -> Result<()> {
    let (provider, daemon) = scripted("").await?;
    let late = now() - 600;
    let cases: Vec<(&str, Value, &str)> = vec![
        ("iss", json!("https://evil.example"), "wrong_issuer"),
        ("iss", Value::Null, "wrong_issuer"),
        ("aud", json!("another-client"), "wrong_audience"),
        ("aud", json!([]), "wrong_audience"),
        ("aud", json!(["broker", "another-client"]), "wrong_authorized_party"),
        ("azp", json!("another-client"), "wrong_authorized_party"),
        ("exp", json!(now() - 61), "token_expired"),
        ("exp", json!("tomorrow"), "malformed_token"),
        ("exp", Value::Null, "malformed_token"),
        ("iat", json!(now() + 600), "token_not_yet_valid"),
        ("iat", json!(late), "token_too_old"),
        ("iat", Value::Null, "malformed_token"),
        ("nbf", json!(now() + 600), "token_not_yet_valid"),
        ("nonce", json!("of-another-request"), "nonce_mismatch"),
        ("nonce", Value::Null, "nonce_mismatch"),
        ("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"), "access_token_mismatch"),
        ("at_hash", json!(7), "access_token_mismatch"),
        ("sub", json!(""), "no_subject"),
        ("sub", json!("x".repeat(256)), "no_subject"),
        ("sub", json!(7), "no_subject"),
        ("sub", Value::Null, "no_subject"),
    ];
    for (name, value, reason) in cases {
        provider.edit(move |claims| {
            if value.is_null() {
                claims.remove(name);
            } else {
                claims.insert(name.to_owned(), value.clone());
            }
        });
        refused(&daemon, reason).await?;
    }
    // The clocks may differ by the configured minute.
    provider.edit(|claims| {
        claims.insert("iat".into(), json!(now() - 50));
        claims.insert("exp".into(), json!(now() - 30));
        claims.insert("azp".into(), json!("broker"));
        claims.insert("aud".into(), json!(["broker", "another-client"]));
    });
    let browser = Browser::new()?;
    through(&daemon, &browser, UP).await?.expect(200)?;
    ensure!(whoami(&daemon, &browser).await?.as_deref() == Some("ada"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_provider_is_refused() -> Result<()> {
    let (provider, daemon) = scripted("").await?;
    provider.issuer_parameter(IssuerParameter::Wrong("https://evil.example".into()));
    refused(&daemon, "response_issuer").await?;
    provider.issuer_parameter(IssuerParameter::Missing);
    refused(&daemon, "response_issuer").await?;
    provider.issuer_parameter(IssuerParameter::Right);
    let browser = Browser::new()?;
    through(&daemon, &browser, UP).await?.expect(200)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_no_known_shape_are_refused() -> Result<()> {
    let (provider, daemon) = scripted("").await?;
    let issuer: String =
        url::form_urlencoded::byte_serialize(provider.issuer().as_bytes()).collect();
    for (query, reason) in [
        ("error=access_denied", "denied_upstream"),
        ("error=login_required", "denied_upstream"),
        ("error=server_error&error_description=x%0Ay", "error_upstream"),
        ("code=never-given-out", "code_refused"),
        ("code=", "malformed_response"),
        ("code=a&error=b", "malformed_response"),
        ("session_state=x", "malformed_response"),
        ("id_token=a.b.c", "malformed_response"),
    ] {
        provider.answer(&format!("{query}&iss={issuer}"));
        refused(&daemon, reason).await?;
    }
    // A parameter that is there twice: nobody can say which one counts.
    provider.answer("code=a&code=b");
    let page = through(&daemon, &Browser::new()?, UP).await?;
    ensure!(page.status == 400, "{}", page.describe());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_in_the_middle_of_a_sign_in_are_fetched_once() -> Result<()> {
    let (provider, daemon) = scripted("").await?;
    through(&daemon, &Browser::new()?, UP).await?.expect(200)?;
    ensure!(provider.keys_fetched() == 1);
    provider.rotate_before_token();
    let browser = Browser::new()?;
    through(&daemon, &browser, UP).await?.expect(200)?;
    ensure!(whoami(&daemon, &browser).await?.as_deref() == Some("ada"));
    ensure!(provider.keys_fetched() == 2, "{} fetches", provider.keys_fetched());
    // Unknown ids make one fetch in ten seconds, however many there are.
    let (before, begun) = (provider.keys_fetched(), std::time::Instant::now());
    provider.sign(Signing::UnknownKeyId);
    for _ in 0..5 {
        refused(&daemon, "unknown_key").await?;
    }
    let url = daemon.url("/oidc/up/backchannel-logout");
    for _ in 0..5 {
        let token = provider.logout_token(&json!({ "sub": "ada-1" }))?;
        browser.post(&url, &[("logout_token", &token)]).await?.expect(400)?;
    }
    let allowed = usize::try_from(begun.elapsed().as_secs() / 10)? + 1;
    ensure!(provider.keys_fetched() <= before + allowed, "{} fetches", provider.keys_fetched());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_another_issuer_is_not_used() -> Result<()> {
    for (member, value) in [
        ("issuer", json!("https://evil.example")),
        ("issuer", json!("http://127.0.0.1:1/{tenantid}")),
        ("token_endpoint", json!("http://evil.example/token")),
        ("jwks_uri", json!("http://169.254.169.254/latest/meta-data")),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("jwks_uri", Value::Null),
        ("userinfo_endpoint", json!("https://user:password@127.0.0.1/")),
    ] {
        let (provider, daemon) = scripted("").await?;
        provider.metadata(member, value.clone());
        let browser = Browser::new()?;
        let page = through(&daemon, &browser, UP).await?;
        ensure!(page.status == 503, "{member} {value}: {}", page.describe());
        ensure!(whoami(&daemon, &browser).await?.is_none());
        let failed = site::events(&daemon, "login.failed").await?;
        ensure!(failed[0]["reason"] == "provider_metadata", "{failed:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_and_slow_answers_end_soon_and_hurt_nobody_else() -> Result<()> {
    for endpoint in [Endpoint::Metadata, Endpoint::Keys, Endpoint::Token, Endpoint::UserInfo] {
        for is_huge in [true, false] {
            let (provider, daemon) = scripted("userinfo = \"always\"").await?;
            if is_huge {
                provider.huge(endpoint);
            } else {
                provider.slow(endpoint, Duration::from_secs(60));
            }
            let browser = Browser::new()?;
            let begun = std::time::Instant::now();
            let page = through(&daemon, &browser, UP).await?;
            ensure!(begun.elapsed() < Duration::from_secs(20), "{endpoint:?}");
            ensure!(page.status == 503, "{endpoint:?}: {}", page.describe());
            ensure!(whoami(&daemon, &browser).await?.is_none(), "{endpoint:?}");
            let failed = site::events(&daemon, "login.failed").await?;
            let reason = if is_huge { "provider_answer_too_large" } else { "provider_timeout" };
            ensure!(failed[0]["reason"] == reason, "{endpoint:?}: {failed:?}");
            site::attempt(&daemon, &browser, "local", site::JANE, site::PASSWORD)
                .await?
                .expect(303)?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn userinfo_adds_only_what_the_same_subject_says() -> Result<()> {
    let (provider, daemon) = scripted("userinfo = \"always\"").await?;
    provider.userinfo(json!({ "sub": "somebody-else", "groups": ["admins"] }));
    refused(&daemon, "subject_mismatch").await?;
    provider.userinfo(json!({ "groups": ["admins"] }));
    refused(&daemon, "subject_mismatch").await?;

    // The ID token stands; of another address userinfo's word counts for nothing.
    provider.person("ada-1", &json!({ "preferred_username": "ada", "email": "ada@example.com" }));
    provider.userinfo(json!({
        "sub": "ada-1", "preferred_username": "root", "email": "other@example.com",
        "email_verified": true, "given_name": "Ada", "groups": ["staff"], "iss": "x", "tid": "y",
    }));
    let browser = Browser::new()?;
    through(&daemon, &browser, UP).await?.expect(200)?;
    let shown = daemon.cli(&["user", "show", "ada", "--json"]).await?.success()?.json()?;
    ensure!(shown["email"] == "ada@example.com" && shown["first_name"] == "Ada", "{shown}");
    ensure!(shown["groups"] == json!(["staff"]), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_and_hosted_domains_are_held_to() -> Result<()> {
    let (provider, daemon) = scripted("hosted_domains = [\"example.com\"]").await?;
    refused(&daemon, "wrong_tenant").await?;
    provider.edit(|claims| drop(claims.insert("hd".into(), json!("example.com.evil.test"))));
    refused(&daemon, "wrong_tenant").await?;
    provider.edit(|claims| drop(claims.insert("hd".into(), json!("Example.com"))));
    through(&daemon, &Browser::new()?, UP).await?.expect(200)?;

    // An issuer of many tenants: the token's own takes the place in the template.
    let provider = ScriptedProvider::start("ada-1", &given::ada()).await?;
    let issuer = provider.issuer().to_owned();
    provider.metadata("issuer", json!(format!("{issuer}/{{tenantid}}")));
    provider.metadata("authorization_response_iss_parameter_supported", json!(false));
    provider.issuer_parameter(IssuerParameter::Missing);
    let tenant = "11111111-1111-4111-8111-111111111111";
    let more = format!("preset = \"entra\"\ntenants = [\"{tenant}\"]");
    let daemon = site::start(given::daemon(&format!("{issuer}/common"), &more)).await?;
    let of_tenant = |tid: &str, iss: String| {
        let tid = tid.to_owned();
        provider.edit(move |claims| {
            claims.insert("tid".into(), json!(tid));
            claims.insert("iss".into(), json!(iss));
        });
    };
    let other = "22222222-2222-4222-8222-222222222222";
    of_tenant(other, format!("{issuer}/{other}"));
    refused(&daemon, "wrong_tenant").await?;
    of_tenant(tenant, format!("{issuer}/{other}"));
    refused(&daemon, "wrong_issuer").await?;
    of_tenant("{tenantid}", format!("{issuer}/{{tenantid}}"));
    refused(&daemon, "wrong_issuer").await?;
    of_tenant(tenant, format!("{issuer}/{tenant}"));
    through(&daemon, &Browser::new()?, UP).await?.expect(200)?;
    let shown = daemon.cli(&["user", "show", "ada", "--json"]).await?.success()?.json()?;
    ensure!(shown["identities"][0]["subject"] == format!("{tenant}/ada-1"), "{shown}");
    Ok(())
}
