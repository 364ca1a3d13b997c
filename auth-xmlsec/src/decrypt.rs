//! Decryption (XML Encryption 1.1): the content key by one of our keys, then AES.
//!
//! Where no content key unwraps, a random one takes its place and the rest goes on as ever, so
//! that a wrong key, a wrong padding and altered content all end in the same way.

use std::sync::Arc;

use auth_core::connector::saml::engine::{
    ContentCipher, EncryptedContent, EngineError, PrivateKey,
};
use openssl::rand::rand_bytes;
use openssl::symm::{Cipher, Crypter, Mode, decrypt_aead};
use zeroize::Zeroizing;

use crate::failed;

const BLOCK: usize = 16;
const GCM_NONCE: usize = 12;
const GCM_TAG: usize = 16;

/// The plain bytes.
pub(crate) fn decrypt(
    content: &EncryptedContent,
    keys: &[Arc<dyn PrivateKey>],
) -> Result<Zeroizing<Vec<u8>>, EngineError> {
    let key = content_key(content, keys)?;
    match content.cipher {
        ContentCipher::Aes128Cbc => cbc(Cipher::aes_128_cbc(), &key, &content.ciphertext),
        ContentCipher::Aes192Cbc => cbc(Cipher::aes_192_cbc(), &key, &content.ciphertext),
        ContentCipher::Aes256Cbc => cbc(Cipher::aes_256_cbc(), &key, &content.ciphertext),
        ContentCipher::Aes128Gcm => gcm(Cipher::aes_128_gcm(), &key, &content.ciphertext),
        ContentCipher::Aes192Gcm => gcm(Cipher::aes_192_gcm(), &key, &content.ciphertext),
        ContentCipher::Aes256Gcm => gcm(Cipher::aes_256_gcm(), &key, &content.ciphertext),
    }
}

/// Every key of ours is tried on every encrypted key, whatever came before.
fn content_key(
    content: &EncryptedContent,
    keys: &[Arc<dyn PrivateKey>],
) -> Result<Zeroizing<Vec<u8>>, EngineError> {
    let length = content.cipher.key_length();
    let mut chosen = Zeroizing::new(vec![0; length]);
    rand_bytes(&mut chosen).map_err(failed)?;
    for transported in &content.keys {
        for key in keys {
            match key.unwrap_key(transported) {
                Ok(unwrapped) if unwrapped.len() == length => chosen = unwrapped,
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(chosen)
}

fn cbc(cipher: Cipher, key: &[u8], content: &[u8]) -> Result<Zeroizing<Vec<u8>>, EngineError> {
    let (vector, blocks) = content.split_at_checked(BLOCK).ok_or(EngineError::Decryption)?;
    if blocks.is_empty() || !blocks.len().is_multiple_of(BLOCK) {
        return Err(EngineError::Decryption);
    }
    let plain = || {
        let mut crypter = Crypter::new(cipher, Mode::Decrypt, key, Some(vector))?;
        // XML Encryption 5.2: only the last byte says how much was padded, the others may be
        // anything. OpenSSL's own padding is another one.
        crypter.pad(false);
        let mut plain = Zeroizing::new(vec![0; blocks.len() + BLOCK]);
        let mut length = crypter.update(blocks, &mut plain)?;
        length += crypter.finalize(plain.get_mut(length..).unwrap_or_default())?;
        plain.truncate(length);
        Ok::<_, openssl::error::ErrorStack>(plain)
    };
    let mut plain = plain().map_err(|_| EngineError::Decryption)?;
    let padding = usize::from(plain.last().copied().unwrap_or(0));
    if !(1..=BLOCK).contains(&padding) {
        return Err(EngineError::Decryption);
    }
    let length = plain.len().checked_sub(padding).ok_or(EngineError::Decryption)?;
    plain.truncate(length);
    Ok(plain)
}

fn gcm(cipher: Cipher, key: &[u8], content: &[u8]) -> Result<Zeroizing<Vec<u8>>, EngineError> {
    let (nonce, rest) = content.split_at_checked(GCM_NONCE).ok_or(EngineError::Decryption)?;
    let length = rest.len().checked_sub(GCM_TAG).ok_or(EngineError::Decryption)?;
    let (text, tag) = rest.split_at(length);
    decrypt_aead(cipher, key, Some(nonce), &[], text, tag)
        .map(Zeroizing::new)
        .map_err(|_| EngineError::Decryption)
}
