//! Decryption against what OpenSSL encrypts, keys that cannot be used, and no panic anywhere.

use std::sync::Arc;

use auth_core::clock::Timestamp;
use auth_core::connector::saml::engine::{
    ContentCipher, DigestAlgorithm, EncryptedContent, EngineError, PrivateKey, SignatureAlgorithm,
    TransportedKey, XmlSecurity as _,
};
use openssl::encrypt::Encrypter;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Padding;
use openssl::symm::{Cipher, Crypter, Mode, encrypt_aead};
use openssl::x509::X509;

use crate::XmlsecEngine;

const PLAIN: &[u8] = b"<saml:Assertion xmlns:saml=\"urn:x\">fifteen and more</saml:Assertion>";

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/../fixtures/saml/keys/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn key(name: &str) -> Arc<dyn PrivateKey> {
    XmlsecEngine.load_pem(&file(name)).unwrap()
}

fn aes(cipher: ContentCipher) -> (Cipher, bool) {
    match cipher {
        ContentCipher::Aes128Cbc => (Cipher::aes_128_cbc(), false),
        ContentCipher::Aes192Cbc => (Cipher::aes_192_cbc(), false),
        ContentCipher::Aes256Cbc => (Cipher::aes_256_cbc(), false),
        ContentCipher::Aes128Gcm => (Cipher::aes_128_gcm(), true),
        ContentCipher::Aes192Gcm => (Cipher::aes_192_gcm(), true),
        ContentCipher::Aes256Gcm => (Cipher::aes_256_gcm(), true),
    }
}

fn message_digest(algorithm: DigestAlgorithm) -> MessageDigest {
    match algorithm {
        DigestAlgorithm::Sha1 => MessageDigest::sha1(),
        DigestAlgorithm::Sha256 => MessageDigest::sha256(),
        DigestAlgorithm::Sha384 => MessageDigest::sha384(),
        DigestAlgorithm::Sha512 => MessageDigest::sha512(),
    }
}

fn wrapped(
    content_key: &[u8],
    to: &dyn PrivateKey,
    digest: DigestAlgorithm,
    mask_digest: DigestAlgorithm,
) -> TransportedKey {
    let public = X509::from_der(to.certificate()).unwrap().public_key().unwrap();
    let mut encrypter = Encrypter::new(&public).unwrap();
    encrypter.set_rsa_padding(Padding::PKCS1_OAEP).unwrap();
    encrypter.set_rsa_oaep_md(message_digest(digest)).unwrap();
    encrypter.set_rsa_mgf1_md(message_digest(mask_digest)).unwrap();
    let mut ciphertext = vec![0; encrypter.encrypt_len(content_key).unwrap()];
    let length = encrypter.encrypt(content_key, &mut ciphertext).unwrap();
    ciphertext.truncate(length);
    TransportedKey { digest, mask_digest, ciphertext }
}

fn encrypted(cipher: ContentCipher, plain: &[u8], keys: Vec<TransportedKey>) -> EncryptedContent {
    let content_key = vec![7; cipher.key_length()];
    let (method, is_gcm) = aes(cipher);
    let ciphertext = if is_gcm {
        let mut tag = [0; 16];
        let text =
            encrypt_aead(method, &content_key, Some(&[1; 12]), &[], plain, &mut tag).unwrap();
        [&[1; 12][..], &text, &tag].concat()
    } else {
        // Padding as XML Encryption has it: all but the last byte arbitrary.
        let missing = 16 - plain.len() % 16;
        let mut padded = [plain, &vec![0xee; missing]].concat();
        *padded.last_mut().unwrap() = u8::try_from(missing).unwrap();
        let mut crypter =
            Crypter::new(method, Mode::Encrypt, &content_key, Some(&[1; 16])).unwrap();
        crypter.pad(false);
        let mut text = vec![0; padded.len() + 16];
        let length = crypter.update(&padded, &mut text).unwrap();
        text.truncate(length);
        [&[1; 16][..], &text].concat()
    };
    EncryptedContent { cipher, ciphertext, keys }
}

fn to(recipient: &dyn PrivateKey, cipher: ContentCipher) -> EncryptedContent {
    let content_key = vec![7; cipher.key_length()];
    let sha1 = DigestAlgorithm::Sha1;
    encrypted(cipher, PLAIN, vec![wrapped(&content_key, recipient, sha1, sha1)])
}

#[test]
fn every_cipher_and_every_digest_of_the_key_transport_is_read() {
    let sp = key("sp.pem");
    for cipher in ContentCipher::ALL {
        let plain = XmlsecEngine.decrypt(&to(sp.as_ref(), cipher), &[Arc::clone(&sp)]).unwrap();
        assert_eq!(plain.as_slice(), PLAIN, "{cipher:?}");
    }
    for digest in DigestAlgorithm::ALL {
        for mask_digest in DigestAlgorithm::ALL {
            let cipher = ContentCipher::Aes256Gcm;
            let key = wrapped(&[7; 32], sp.as_ref(), digest, mask_digest);
            let content = encrypted(cipher, PLAIN, vec![key]);
            let plain = XmlsecEngine.decrypt(&content, &[Arc::clone(&sp)]).unwrap();
            assert_eq!(plain.as_slice(), PLAIN, "{digest:?} {mask_digest:?}");
        }
    }
}

#[test]
fn whole_blocks_and_short_texts_are_read() {
    let sp = key("sp.pem");
    for length in 0..40 {
        for cipher in ContentCipher::ALL {
            let plain = vec![b'x'; length];
            let sha1 = DigestAlgorithm::Sha1;
            let transported = wrapped(&vec![7; cipher.key_length()], sp.as_ref(), sha1, sha1);
            let content = encrypted(cipher, &plain, vec![transported]);
            let found = XmlsecEngine.decrypt(&content, &[Arc::clone(&sp)]).unwrap();
            assert_eq!(found.as_slice(), plain, "{cipher:?} {length}");
        }
    }
}

#[test]
fn the_right_one_of_several_keys_and_recipients_is_found() {
    let (new, old, foreign) = (key("sp.pem"), key("sp-old.pem"), key("sp-foreign.pem"));
    let cipher = ContentCipher::Aes256Cbc;
    let ours = [Arc::clone(&new), Arc::clone(&old)];
    let content = to(old.as_ref(), cipher);
    assert_eq!(XmlsecEngine.decrypt(&content, &ours).unwrap().as_slice(), PLAIN, "rollover");
    let mut content = to(foreign.as_ref(), cipher);
    content.keys.extend(to(new.as_ref(), cipher).keys);
    assert_eq!(XmlsecEngine.decrypt(&content, &ours).unwrap().as_slice(), PLAIN, "recipients");
    let refused = XmlsecEngine.decrypt(&to(foreign.as_ref(), ContentCipher::Aes256Gcm), &ours);
    assert_eq!(refused.unwrap_err(), EngineError::Decryption);
    let refused = XmlsecEngine.decrypt(&to(new.as_ref(), ContentCipher::Aes256Gcm), &[]);
    assert_eq!(refused.unwrap_err(), EngineError::Decryption);
}

#[test]
fn altered_and_cut_content_gives_one_error_and_no_panic() {
    let sp = key("sp.pem");
    let keys = [Arc::clone(&sp)];
    for cipher in ContentCipher::ALL {
        let good = to(sp.as_ref(), cipher);
        for length in 0..good.ciphertext.len() {
            let mut cut = good.clone();
            cut.ciphertext.truncate(length);
            if let Err(error) = XmlsecEngine.decrypt(&cut, &keys) {
                assert_eq!(error, EngineError::Decryption, "{cipher:?} {length}");
            }
        }
        for at in 0..200_usize {
            let mut altered = good.clone();
            if at % 2 == 0 {
                let index = at * 7919 % altered.ciphertext.len();
                altered.ciphertext[index] ^= 1 << (at % 8);
            } else {
                let bytes = &mut altered.keys[0].ciphertext;
                let index = at * 7919 % bytes.len();
                bytes[index] ^= 1 << (at % 8);
            }
            match XmlsecEngine.decrypt(&altered, &keys) {
                Err(error) => assert_eq!(error, EngineError::Decryption),
                Ok(plain) => {
                    // CBC has no tag: what comes out is something else, and the signature inside
                    // is what tells.
                    assert!(!aes(cipher).1, "{cipher:?} took altered content");
                    assert_ne!(plain.as_slice(), PLAIN);
                }
            }
        }
    }
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    let message = |pem: &[u8]| match XmlsecEngine.load_pem(pem) {
        Err(EngineError::Key(message)) => message,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    };
    assert!(message(b"").contains("private key"));
    assert!(message(&file("idp.pem")).contains("private key"));
    assert!(message(&file("idp.key")).contains("certificate"));
    let two = [file("idp.key"), file("tenant-b.pem")].concat();
    assert!(message(&two).contains("another private key"));
    let weak = [file("weak.key"), file("weak.pem")].concat();
    assert!(message(&weak).contains("2048"));
    let elliptic = [file("elliptic.key"), file("elliptic.pem")].concat();
    assert!(message(&elliptic).contains("RSA"));
}

#[test]
fn a_generated_key_signs_and_its_certificate_fits() {
    let from = Timestamp::from_seconds(1_767_225_600);
    let until = Timestamp::from_seconds(2_082_758_400);
    let made = XmlsecEngine.generate_key(&"x".repeat(80), from, until).unwrap();
    let key = XmlsecEngine.load_der(&made.pkcs8, &made.certificate).unwrap();
    let signature = key.sign(b"octets").unwrap();
    let certificate = X509::from_der(&made.certificate).unwrap();
    let public: PKey<_> = certificate.public_key().unwrap();
    let mut verifier = openssl::sign::Verifier::new(MessageDigest::sha256(), &public).unwrap();
    assert!(verifier.verify_oneshot(&signature, b"octets").unwrap());
    assert_eq!(public.bits(), 3072);
    assert_eq!(format!("{made:?}"), "GeneratedKey");
    let other = XmlsecEngine.generate_key("y", from, until).unwrap();
    assert!(XmlsecEngine.load_der(&other.pkcs8, &made.certificate).is_err());
}

#[test]
fn nothing_verifies_without_a_key() {
    let algorithms = [SignatureAlgorithm::RsaSha256];
    for document in ["", "<a/>", "<a", "\u{0}"] {
        assert!(XmlsecEngine.verify(document, &[], &algorithms).is_err(), "{document:?}");
        let certificate = X509::from_pem(&file("idp.pem")).unwrap().to_der().unwrap();
        let verified = XmlsecEngine.verify(document, &[&certificate], &algorithms);
        assert!(verified.is_err(), "{document:?}");
        assert!(XmlsecEngine.verify(document, &[&certificate], &[]).is_err());
    }
}
