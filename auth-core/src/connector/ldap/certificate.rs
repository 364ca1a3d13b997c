//! The facts of a server's certificate, for a diagnosis. Trust is decided in `tls`, not here.

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::tls;
use crate::clock::Timestamp;

/// Subject, issuer, names, end of validity and fingerprint, as text that follows another.
pub(super) fn certificate_facts(der: &[u8], now: Timestamp) -> String {
    let pin = tls::fingerprint(der);
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return format!(", certificate SHA-256 {pin}");
    };
    let names = certificate.subject_alternative_name().ok().flatten().map_or_else(
        || "none".to_owned(),
        |extension| {
            let names: Vec<String> = extension
                .value
                .general_names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => ip_address(bytes),
                    _ => None,
                })
                .collect();
            names.join(", ")
        },
    );
    let end = Timestamp::from_seconds(certificate.validity().not_after.timestamp());
    let validity = if end <= now {
        format!("expired at {}", end.rfc3339())
    } else {
        format!("valid until {} ({} days)", end.rfc3339(), end.since(now).as_secs() / 86_400)
    };
    format!(
        ", subject {}, issuer {}, names {names}, {validity}, SHA-256 {pin}",
        certificate.subject(),
        certificate.issuer()
    )
}

fn ip_address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(|b| std::net::Ipv4Addr::from(b).to_string());
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|b| std::net::Ipv6Addr::from(b).to_string()))
        .ok()
}
