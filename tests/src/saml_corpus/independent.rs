//! A second opinion on signatures that shares no code with ours: the program `xmlsec1`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::folder;

const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const SAMLP: &str = "urn:oasis:names:tc:SAML:2.0:protocol";

/// Whether `xmlsec1` finds the signature that stands directly in the element `id` right, made by
/// the key of one of `certificates` (DER).
///
/// # Errors
/// `xmlsec1` cannot be started.
pub fn is_signed(document: &[u8], id: &str, certificates: &[&[u8]]) -> Result<bool> {
    if id.contains('\'') {
        bail!("{id:?} cannot be put into an XPath");
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("document.xml");
    std::fs::write(&file, document)?;
    for (index, certificate) in certificates.iter().enumerate() {
        let pem = folder.path().join(format!("{index}.pem"));
        std::fs::write(&pem, as_pem(certificate))?;
        let path = format!("//*[@ID='{id}']/*[local-name()='Signature']");
        let output = Command::new("xmlsec1")
            .args(["--verify", "--pubkey-cert-pem"])
            .arg(&pem)
            .args(["--id-attr:ID", &format!("{SAML}:Assertion")])
            .args(["--id-attr:ID", &format!("{SAMLP}:Response")])
            .args(["--node-xpath", &path])
            .arg(&file)
            .output()
            .context("xmlsec1 cannot be started; install the package xmlsec1")?;
        if output.status.success() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// SHA-256 of a test certificate of `fixtures/saml/keys`.
///
/// # Errors
/// There is no such file.
pub fn fingerprint(name: &str) -> Result<[u8; 32]> {
    let der = certificate(&folder("keys").join(format!("{name}.pem")))?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    digest.as_ref().try_into().context("32 bytes")
}

/// The certificate (DER) of a PEM file.
///
/// # Errors
/// The file cannot be read, or holds none.
pub fn certificate(file: &Path) -> Result<Vec<u8>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----").context("no certificate")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----").context("no certificate")?;
    Ok(STANDARD.decode(body.split_whitespace().collect::<String>())?)
}

fn as_pem(certificate: &[u8]) -> String {
    let encoded = STANDARD.encode(certificate);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in encoded.as_bytes().chunks(64) {
        text += &String::from_utf8_lossy(line);
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}
