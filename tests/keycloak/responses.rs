//! Captured responses, as an administrator would look at them: `saml inspect`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use auth_core::clock::{Clock as _, SystemClock, Timestamp};
use auth_tests::harness::daemon::Output;
use auth_tests::harness::http::Browser;
use auth_tests::harness::keycloak::Encryption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::given::{CORP, Site, at_the_door, site};

/// Keycloak's Conditions, our `clock_skew`.
const LIFETIME: Duration = Duration::from_secs(60);
const SKEW: Duration = Duration::from_secs(60);

/// A response as it was posted, and when.
struct Captured {
    file: String,
    document: String,
    at: Timestamp,
}

async fn capture(site: &Site, user: &str) -> Result<Captured> {
    let form = at_the_door(site, &Browser::taking_secure_cookies()?, user).await?;
    let at = SystemClock.now();
    ensure!(form.action == site.daemon.url(&format!("/saml/{CORP}/acs")), "{}", form.action);
    let value = &form.field("SAMLResponse").context("SAMLResponse")?.value;
    let document = String::from_utf8(STANDARD.decode(value)?)?;
    let file = site.daemon.folder().join("captured.txt");
    std::fs::write(&file, value)?;
    Ok(Captured { file: file.display().to_string(), document, at })
}

async fn inspect(site: &Site, captured: &Captured, at: Timestamp) -> Result<Output> {
    let at = at.rfc3339();
    let arguments =
        ["saml", "inspect", "--connection", CORP, "--json", "--at", &at, &captured.file];
    site.daemon.cli(&arguments).await
}

/// What a genuine response comes to, now and at its end.
async fn judge(site: &Site, captured: &Captured) -> Result<Value> {
    let verdict = inspect(site, captured, captured.at).await?.success()?.json()?;
    ensure!(verdict["accepted"] == true && verdict["code"] == "ok", "{verdict}");
    let person = &verdict["person"];
    ensure!(person["username"] == "alice" && person["email"] == "alice@example.org", "{verdict}");
    ensure!(person["first_name"] == "Alice" && person["last_name"] == "Ånderson", "{verdict}");
    let mut groups: Vec<&str> =
        person["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    groups.sort_unstable();
    ensure!(groups == ["admins", "staff"], "{verdict}");
    let format = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
    ensure!(verdict["subject"]["format"] == format, "{verdict}");

    // Its Conditions run one minute, and the clocks may differ by another one.
    let nearly = captured.at + (LIFETIME + SKEW - Duration::from_secs(10));
    inspect(site, captured, nearly).await?.success()?;
    let late = captured.at + (LIFETIME + SKEW + Duration::from_secs(5));
    let refused = inspect(site, captured, late).await?.expect(2)?.json()?;
    ensure!(refused["accepted"] == false && refused["code"] == "expired", "{refused}");
    let early = captured.at - (SKEW + Duration::from_secs(20));
    let refused = inspect(site, captured, early).await?.expect(2)?.json()?;
    ensure!(refused["accepted"] == false && refused["code"] == "issue_instant", "{refused}");
    Ok(verdict)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_response_is_accepted_for_its_minute() -> Result<()> {
    let site = site(Encryption::Off, "").await?;
    let captured = capture(&site, "alice").await?;
    ensure!(captured.document.contains("<saml:Assertion "), "{}", captured.document);
    // Both are signed: the response, and the assertion in it.
    let signatures = captured.document.matches("<dsig:SignatureValue").count();
    ensure!(signatures == 2, "{signatures} signatures: {}", captured.document);
    judge(&site, &captured).await?;

    // One letter of what is signed.
    let changed = captured.document.replace("alice@example.org", "alicf@example.org");
    ensure!(changed != captured.document, "{changed}");
    let file = site.daemon.folder().join("changed.xml");
    std::fs::write(&file, changed)?;
    let changed = Captured { file: file.display().to_string(), ..captured };
    let refused = inspect(&site, &changed, changed.at).await?.expect(2)?.json()?;
    ensure!(refused["code"] == "signature_invalid", "{refused}");
    ensure!(refused["person"] == json!(null), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_response_is_accepted_for_its_minute() -> Result<()> {
    let cases = [
        (Encryption::Default, "http://www.w3.org/2009/xmlenc11#rsa-oaep"),
        (Encryption::OaepMgf1p, "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"),
    ];
    for (encryption, transport) in cases {
        let site = site(encryption, "require_encryption = true").await?;
        let captured = capture(&site, "alice").await?;
        let document = &captured.document;
        ensure!(document.contains("EncryptedAssertion"), "{document}");
        ensure!(!document.contains("alice"), "{document}");
        for method in ["http://www.w3.org/2009/xmlenc11#aes256-gcm", transport] {
            ensure!(document.contains(&format!("Algorithm=\"{method}\"")), "{method}: {document}");
        }
        judge(&site, &captured).await?;
    }
    Ok(())
}

/// The connection wants encryption, and Keycloak sends none.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_in_clear_is_refused_where_encryption_is_wanted() -> Result<()> {
    let site = site(Encryption::Off, "require_encryption = true").await?;
    let captured = capture(&site, "alice").await?;
    let refused = inspect(&site, &captured, captured.at).await?.expect(2)?.json()?;
    ensure!(refused["code"] == "encryption_required", "{refused}");
    Ok(())
}
