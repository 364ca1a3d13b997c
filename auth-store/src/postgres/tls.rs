//! TLS to PostgreSQL: certificate and name of the server are verified, always.
//!
//! Trusted are the certificates of `storage.ca_file` (or of the URL's `sslrootcert`), or else the
//! system's. A file without a certificate is an error, so that trust is never silently empty.

use std::path::Path;
use std::sync::Arc;

use auth_core::store::StoreError;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Verifies against `ca_file`, or the system's certificates.
pub(super) fn verifying(ca_file: Option<&Path>) -> Result<MakeRustlsConnect, StoreError> {
    match ca_file {
        Some(file) => connector(from_file(file)?),
        None => connector(from_system()?),
    }
}

/// For connections without TLS: trusts nothing.
pub(super) fn unused() -> Result<MakeRustlsConnect, StoreError> {
    connector(RootCertStore::empty())
}

fn connector(roots: RootCertStore) -> Result<MakeRustlsConnect, StoreError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Unavailable { message: format!("TLS: {error}") })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn from_file(file: &Path) -> Result<RootCertStore, StoreError> {
    let refuse = |what: String| StoreError::Misconfigured {
        setting: "storage.ca_file",
        message: format!("{}: {what}; give a PEM file of certificates", file.display()),
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|e| refuse(e.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refuse("holds no certificate".to_owned()));
    }
    Ok(roots)
}

fn from_system() -> Result<RootCertStore, StoreError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(StoreError::Misconfigured {
            setting: "storage.ca_file",
            message: "is not set, and the system has no trusted certificates: install \
                      ca-certificates, or set it"
                .to_owned(),
        });
    }
    Ok(roots)
}
