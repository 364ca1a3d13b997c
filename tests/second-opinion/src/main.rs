//! What saml-rs (pure Rust, on bergshamra) makes of the corpus. Its verdict stands beside the one
//! that the manifest demands of ours; for every difference the reason why ours is right is printed.
//! A difference without a reason ends the run with 1.
//!
//! Its clock cannot be set here, so its tolerance is made so large that times do not count: row 20
//! is left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saml_rs::raw::metadata::{Endpoint, SpMetadataConfig};
use saml_rs::raw::{Binding, EntitySetting, HttpRequest, IdentityProvider, ServiceProvider};
use serde::Deserialize;

mod reasons;

/// Twenty years in milliseconds.
const ANY_TIME: i64 = 20 * 365 * 86_400 * 1000;

#[derive(Deserialize)]
struct Manifest {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    row: u8,
    #[serde(default)]
    kind: Option<String>,
    connection: String,
    in_response_to: Option<String>,
    file: Option<String>,
    name_id: Option<String>,
}

/// A verdict: the name that was read, or why not.
type Opinion = Result<String, String>;

fn main() -> ExitCode {
    // What panics in the other library is told as its verdict.
    std::panic::set_hook(Box::new(|_| {}));
    let mut unexplained = 0;
    for name in ["hostile", "genuine"] {
        match compare(name) {
            Ok(found) => unexplained += found,
            Err(problem) => {
                eprintln!("{name}: {problem}");
                return ExitCode::FAILURE;
            }
        }
    }
    if unexplained == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn compare(name: &str) -> Result<usize, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/saml").join(name);
    let text = read(&folder.join("manifest.json"))?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let (mut looked_at, mut agreed, mut unexplained) = (0, 0, 0);
    let mut told: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for case in &manifest.cases {
        let ours_accepts = match case.kind.as_deref() {
            None | Some("accepted" | "mapped") => true,
            Some("response") => false,
            Some(_) => continue,
        };
        if case.row == 20 {
            continue;
        }
        let file = folder.join(case.file.as_deref().ok_or("no file")?);
        let document = std::fs::read(&file).map_err(|error| error.to_string())?;
        looked_at += 1;
        let opinion = std::panic::catch_unwind(|| judge(&folder, case, &document))
            .unwrap_or_else(|_| Err("it panicked".to_owned()));
        let same = match (&opinion, ours_accepts) {
            (Ok(name), true) => case.name_id.as_ref().is_none_or(|wanted| wanted == name),
            (Err(_), false) => true,
            _ => false,
        };
        if same {
            agreed += 1;
            continue;
        }
        let theirs = match &opinion {
            Ok(name) => format!("accepts {name:?}"),
            Err(problem) => format!("refuses: {problem}"),
        };
        match reasons::why(&case.name, ours_accepts, opinion.is_ok()) {
            Some(reason) => told.entry(reason).or_default().push(format!("{}: {theirs}", case.name)),
            None => {
                unexplained += 1;
                println!("UNEXPLAINED {}: saml-rs {theirs}", case.name);
            }
        }
    }
    for (reason, cases) in told {
        println!("ours is right: {reason}");
        cases.iter().for_each(|case| println!("    {case:.200}"));
    }
    println!("{name}: {looked_at} documents, {agreed} verdicts agree, {unexplained} differ without a reason\n");
    Ok(unexplained)
}

fn judge(folder: &Path, case: &Case, document: &[u8]) -> Opinion {
    let metadata = read(&folder.join("metadata").join(format!("{}.xml", case.connection)))?;
    let own = |what: &str| format!("https://sso.example.com/saml/{}/{what}", case.connection);
    let key = read(&folder.join("../keys/sp.pem"))?;
    let start = key.find("-----BEGIN PRIVATE KEY").ok_or("no key")?;
    let end = key.find("-----BEGIN CERTIFICATE").ok_or("no certificate")?;
    let idp = IdentityProvider::from_metadata(&metadata, EntitySetting::default())
        .map_err(|error| error.to_string())?;
    let mut setting = EntitySetting::default();
    setting.enc_private_key = key.get(start..end).map(str::to_owned);
    setting.is_assertion_encrypted = contains(document, b"EncryptedAssertion");
    setting.allow_insecure_software_rsa_key_transport_decryption = true;
    setting.validate_audience = true;
    setting.clock_drifts = (-ANY_TIME, ANY_TIME);
    let sp = SpMetadataConfig {
        entity_id: own("metadata"),
        assertion_consumer_service: vec![Endpoint::new(Binding::Post, own("acs"))],
        ..SpMetadataConfig::default()
    };
    let sp = ServiceProvider::from_config(&sp, setting).map_err(|error| error.to_string())?;
    let body = vec![("SAMLResponse".to_owned(), STANDARD.encode(document))];
    let request = HttpRequest::post(body);
    let result = match case.in_response_to.as_deref() {
        Some(id) => sp.parse_login_response_with_request_id(&idp, Binding::Post, &request, id),
        None => sp.parse_unsolicited_login_response(&idp, Binding::Post, &request),
    };
    let result = result.map_err(|error| error.to_string())?;
    Ok(result.extract.get_str("nameID").unwrap_or_default().to_owned())
}

fn contains(document: &[u8], part: &[u8]) -> bool {
    document.windows(part.len()).any(|window| window == part)
}

fn read(file: &PathBuf) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}
