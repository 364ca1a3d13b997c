//! A new key pair with a self-signed certificate. Identity providers take the key out of it and,
//! at most, warn about its dates.

use auth_core::clock::Timestamp;
use auth_core::connector::saml::engine::GeneratedKey;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, KeyUsage};
use openssl::x509::{X509, X509NameBuilder};
use zeroize::Zeroizing;

const BITS: u32 = 3072;

/// An RSA key and its certificate.
pub(crate) fn generate(
    common_name: &str,
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<GeneratedKey, ErrorStack> {
    let key = PKey::from_rsa(Rsa::generate(BITS)?)?;
    let mut name = X509NameBuilder::new()?;
    // X.520 allows 64 characters.
    let short: String = common_name.chars().take(64).collect();
    name.append_entry_by_text("CN", &short)?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;

    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(&key)?;
    builder.set_not_before(&*Asn1Time::from_unix(not_before.seconds())?)?;
    builder.set_not_after(&*Asn1Time::from_unix(not_after.seconds())?)?;
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    builder.append_extension(
        KeyUsage::new().critical().digital_signature().key_encipherment().build()?,
    )?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok(GeneratedKey {
        pkcs8: Zeroizing::new(key.private_key_to_pkcs8()?),
        certificate: builder.build().to_der()?,
    })
}
