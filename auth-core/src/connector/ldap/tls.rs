//! TLS of the connections: always verified, at least version 1.2.
//!
//! Trusted is what the system trusts, or the authorities of `ca_file` instead, or one pinned
//! certificate instead. There is no switch that trusts everything.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::settings::LdapSettings;
use super::validate::{LdapConfigError, error};
use crate::secret::sha256;

/// The configuration for all servers of a directory; `None` when none of them uses TLS.
pub(super) fn client_config(
    settings: &LdapSettings,
) -> Result<Option<Arc<ClientConfig>>, LdapConfigError> {
    if !settings.uses_tls() {
        return Ok(None);
    }
    make_config(settings, None).map(|config| Some(Arc::new(config)))
}

/// The same, and it notes the certificate that a server shows, whether or not it is accepted.
pub(super) fn noting_client_config(
    settings: &LdapSettings,
) -> Result<(Arc<ClientConfig>, Arc<SeenCertificate>), LdapConfigError> {
    let seen = Arc::new(SeenCertificate::default());
    let config = make_config(settings, Some(Arc::clone(&seen)))?;
    Ok((Arc::new(config), seen))
}

/// The certificate that a server showed.
#[derive(Debug, Default)]
pub(super) struct SeenCertificate(Mutex<Option<Vec<u8>>>);

impl SeenCertificate {
    /// Its DER form, if one was shown.
    pub(super) fn der(&self) -> Option<Vec<u8>> {
        self.0.lock().clone()
    }
}

fn make_config(
    settings: &LdapSettings,
    seen: Option<Arc<SeenCertificate>>,
) -> Result<ClientConfig, LdapConfigError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|cause| error(settings, "servers", &format!("TLS is not available: {cause}")))?;
    let verifier: Arc<dyn ServerCertVerifier> = match &settings.pinned_certificate_sha256 {
        Some(pin) => {
            let fingerprint = parse_fingerprint(pin).ok_or_else(|| {
                error(
                    settings,
                    "pinned_certificate_sha256",
                    "must be 64 hexadecimal digits: the SHA-256 of the certificate in DER form",
                )
            })?;
            Arc::new(PinnedCertificate { fingerprint, provider })
        }
        None => WebPkiServerVerifier::builder_with_provider(Arc::new(roots(settings)?), provider)
            .build()
            .map_err(|cause| error(settings, "ca_file", &cause.to_string()))?,
    };
    let verifier: Arc<dyn ServerCertVerifier> = match seen {
        Some(seen) => Arc::new(NotingVerifier { seen, judge: verifier }),
        None => verifier,
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let config = match (&settings.client_certificate_file, &settings.client_key_file) {
        (Some(certificate), Some(key)) => {
            let chain = read_certificates(settings, "client_certificate_file", certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|cause| {
                unreadable(settings, "client_key_file", key, &cause.to_string())
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|cause| {
                error(
                    settings,
                    "client_certificate_file",
                    &format!("does not fit client_key_file: {cause}"),
                )
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(config)
}

/// SHA-256 of a certificate in DER form, in lower-case hexadecimal.
pub(super) fn fingerprint(certificate: &[u8]) -> String {
    sha256(certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn roots(settings: &LdapSettings) -> Result<RootCertStore, LdapConfigError> {
    let mut store = RootCertStore::empty();
    if let Some(file) = &settings.ca_file {
        for certificate in read_certificates(settings, "ca_file", file)? {
            store
                .add(certificate)
                .map_err(|cause| unreadable(settings, "ca_file", file, &cause.to_string()))?;
        }
        return Ok(store);
    }
    let system = rustls_native_certs::load_native_certs();
    for problem in &system.errors {
        tracing::warn!(directory = %settings.id, error = %problem, "a system certificate cannot be read");
    }
    let (added, _) = store.add_parsable_certificates(system.certs);
    if added == 0 {
        return Err(error(
            settings,
            "ca_file",
            "is not set and the system trusts no authority: install the system's CA certificates, \
             or name the directory's authority in ca_file",
        ));
    }
    Ok(store)
}

fn read_certificates(
    settings: &LdapSettings,
    setting: &str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, LdapConfigError> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| unreadable(settings, setting, file, &cause.to_string()))?;
    if certificates.is_empty() {
        return Err(unreadable(settings, setting, file, "holds no certificate in PEM form"));
    }
    Ok(certificates)
}

fn unreadable(settings: &LdapSettings, setting: &str, file: &Path, cause: &str) -> LdapConfigError {
    error(settings, setting, &format!("{}: {cause}", file.display()))
}

fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.trim().bytes().filter(|&byte| byte != b':').collect();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|pair| {
            let text = std::str::from_utf8(pair).ok().filter(|t| !t.starts_with('+'))?;
            u8::from_str_radix(text, 16).ok()
        })
        .collect();
    bytes?.try_into().ok()
}

/// Trusts one certificate, whatever its authority, name and dates say: who pins it has compared it.
/// That the server holds its key is proven by the handshake's signature, as ever.
#[derive(Debug)]
struct PinnedCertificate {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if sha256(end_entity) == self.fingerprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Notes what a server shows and leaves every judgement to another.
#[derive(Debug)]
struct NotingVerifier {
    seen: Arc<SeenCertificate>,
    judge: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for NotingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.0.lock() = Some(end_entity.to_vec());
        self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::preset::Preset;
    use super::*;

    #[test]
    fn fingerprints_are_read_exactly() {
        let hex = "ab".repeat(32);
        assert_eq!(parse_fingerprint(&hex), Some([0xab; 32]));
        assert_eq!(parse_fingerprint(&"AB:".repeat(32)), Some([0xab; 32]));
        for bad in ["", "ab", &"ab".repeat(33), &"a".repeat(63), &"+b".repeat(32), &"zz".repeat(32)]
        {
            assert_eq!(parse_fingerprint(bad), None, "{bad}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let server = url::Url::parse("ldaps://x").unwrap();
        let mut settings = LdapSettings::new("corp", Preset::OpenLdap, vec![server], "dc=x");
        settings.ca_file = Some("/nonexistent/ca.pem".into());
        let found = client_config(&settings).unwrap_err();
        assert_eq!(found.setting, "ca_file");
        assert!(found.problem.contains("/nonexistent/ca.pem"), "{found}");

        let empty = tempfile::NamedTempFile::new().unwrap();
        settings.ca_file = Some(empty.path().to_owned());
        assert!(client_config(&settings).unwrap_err().problem.contains("no certificate"));
    }
}
