//! The closed list of reasons why something of SAML is refused: one code for each row of the
//! attack table, and for each thing that an administrator can set wrongly.
//!
//! The word goes to the audit event, the log and `saml inspect`; the person sees a neutral page.
//! `docs/saml-codes.md` holds the same list; a test keeps the two equal. Words are never renamed.

use std::fmt;

/// A refusal: the code, and what exactly was found. The detail names elements, addresses and
/// times, never the assertion itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct SamlRefusal {
    /// Which rule refused.
    pub code: SamlCode,
    /// What was found and, where a setting can mend it, how.
    pub detail: String,
}

macro_rules! codes {
    ($($(#[$_attribute:meta])* $variant:ident = $word:literal, $text:literal;)+) => {
        /// Why something was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum SamlCode {
            $(#[doc = $text] $variant,)+
        }

        impl SamlCode {
            /// All of them, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in audit events, logs and `saml inspect`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    // How it arrived.
    TooLarge = "too_large", "The form, the decoded document or the inflated query is larger than the limit.";
    Form = "form", "The form body has no SAMLResponse, or has a parameter twice.";
    Base64 = "base64", "The value is no base64 in the standard alphabet with padding.";
    Inflate = "inflate", "The deflated value cannot be inflated, or inflates to more than the limit.";
    // Strict parse.
    Encoding = "encoding", "The document is not UTF-8, or declares another encoding.";
    Doctype = "doctype", "The document has a DOCTYPE or another markup declaration.";
    Comment = "comment", "The document has a comment.";
    ProcessingInstruction = "processing_instruction", "The document has a processing instruction.";
    MalformedXml = "malformed_xml", "The document is not well-formed XML with one root element.";
    Character = "character", "A character, or a reference to one, is not allowed in XML.";
    TooComplex = "too_complex", "Too many elements or attributes, or nested too deeply.";
    Namespace = "namespace", "A prefix is not declared, or a namespace declaration is not allowed.";
    RelativeNamespace = "relative_namespace", "A namespace is a relative URI, which empties the canonical form.";
    IdAttribute = "id_attribute", "An ID attribute is namespaced, no NCName, or there are two on one element.";
    DuplicateId = "duplicate_id", "Two elements have the same ID.";
    // Structure.
    NotAResponse = "not_a_response", "The root element is not the SAML 2.0 message that is expected here.";
    Version = "version", "The Version is not 2.0.";
    Structure = "structure", "An element is missing, stands twice, or stands where it may not.";
    NoAssertion = "no_assertion", "The response has no assertion.";
    SeveralAssertions = "several_assertions", "The response has more than one assertion.";
    MisplacedAssertion = "misplaced_assertion", "An assertion stands elsewhere than directly below the response.";
    MixedText = "mixed_text", "An element that holds text only has an element inside.";
    EncryptedId = "encrypted_id", "The subject's or an attribute's value is encrypted by itself, which is not supported.";
    // Signature structure.
    Unsigned = "unsigned", "Neither the response nor the assertion is signed.";
    MisplacedSignature = "misplaced_signature", "A signature stands elsewhere than directly below the response or the assertion, or twice.";
    SignatureStructure = "signature_structure", "A signature has not exactly one SignedInfo, SignatureValue and Reference.";
    SignatureObject = "signature_object", "A signature has an Object inside.";
    Reference = "reference", "The signature's Reference is not the element that the signature stands in.";
    ExternalReference = "external_reference", "A reference points outside the document.";
    Transform = "transform", "A transform is not allowed.";
    Canonicalization = "canonicalization", "A canonicalisation method is not allowed.";
    SignatureAlgorithm = "signature_algorithm", "The signature method is not allowed.";
    DigestAlgorithm = "digest_algorithm", "The digest method is not allowed.";
    KeyInfo = "key_info", "KeyInfo holds something else than X509Data, KeyName or KeyValue.";
    EmptyDigest = "empty_digest", "The digest is that of nothing, or has the wrong length.";
    // Signature value.
    SignatureInvalid = "signature_invalid", "No pinned key of the identity provider made this signature over this content.";
    EngineFailed = "engine_failed", "The signature engine failed, or the two opinions differ.";
    // Encryption.
    EncryptionStructure = "encryption_structure", "EncryptedData or EncryptedKey is not built as expected.";
    EncryptionAlgorithm = "encryption_algorithm", "The encryption or key transport method is not allowed.";
    EncryptionRequired = "encryption_required", "The assertion is not encrypted, but the connection wants it.";
    DecryptionFailed = "decryption_failed", "The assertion cannot be decrypted with our keys to a validly signed assertion.";
    // Meaning.
    Status = "status", "The identity provider says that it did not succeed.";
    Destination = "destination", "The Destination is not our assertion consumer service, or is missing where it is signed.";
    Issuer = "issuer", "The Issuer is not the identity provider of this connection.";
    IssueInstant = "issue_instant", "The IssueInstant is missing, no time, or in the future.";
    SubjectConfirmation = "subject_confirmation", "There is no usable bearer subject confirmation.";
    Recipient = "recipient", "The Recipient is not our assertion consumer service.";
    InResponseTo = "in_response_to", "The response does not answer the pending request.";
    Unsolicited = "unsolicited", "The response answers no request, and this connection does not allow that.";
    Times = "times", "A time that must be there is missing, or is no time.";
    NotYetValid = "not_yet_valid", "The assertion is not valid yet; check both clocks.";
    Expired = "expired", "The assertion is not valid any more; check both clocks.";
    Conditions = "conditions", "There are no Conditions, or a condition is unknown.";
    Audience = "audience", "The assertion is not for us.";
    AuthnStatement = "authn_statement", "There is no usable authentication statement.";
    SessionExpired = "session_expired", "The session at the identity provider is over.";
    ForceAuthn = "force_authn", "The person was not authenticated anew, but the request asked for it.";
    AuthnContext = "authn_context", "The person was not authenticated in a way that the request asked for.";
    Replayed = "replayed", "This assertion was used before.";
    // Person.
    NameId = "name_id", "The NameID is missing, empty, too long or has control characters.";
    TransientNameId = "transient_name_id", "The NameID is transient, so it names nobody for long; send another format or set attributes.id.";
    MissingId = "missing_id", "The id attribute is missing or has several values.";
    MissingUsername = "missing_username", "The user name attribute is missing or has several values.";
    GroupOverage = "group_overage", "The identity provider sent a link instead of the groups, because there are too many.";
    // Redirect binding and logout.
    RedirectParameters = "redirect_parameters", "A query parameter is missing, stands twice or is badly escaped.";
    RedirectSignature = "redirect_signature", "The query is not signed by a pinned key of the identity provider.";
    RelayState = "relay_state", "The RelayState is longer than 80 bytes or not one of ours.";
    LogoutSession = "logout_session", "The logout names no session of this connection.";
    LogoutUnexpected = "logout_unexpected", "The logout response answers no logout request of ours.";
    // Metadata.
    MetadataStructure = "metadata_structure", "The document is no SAML 2.0 metadata of an identity provider.";
    MetadataEntity = "metadata_entity", "The entity that is wanted is not in the metadata, or must be named with entity_id.";
    MetadataExpired = "metadata_expired", "The metadata's validUntil has passed.";
    MetadataNoKey = "metadata_no_key", "The metadata has no usable signing key.";
    MetadataWeakKey = "metadata_weak_key", "A key of the metadata is too weak or of a kind that is not supported.";
    MetadataEndpoint = "metadata_endpoint", "The metadata has no usable single sign-on address.";
    MetadataSignature = "metadata_signature", "The metadata is not signed by the pinned certificate.";
    MetadataKeysChanged = "metadata_keys_changed", "The signing keys changed, which needs a pinned signature or an administrator's approval.";
}

impl SamlCode {
    /// A refusal with this code. What a stranger sent lands in the detail too, so it is cut: an
    /// audit event holds no whole documents.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> SamlRefusal {
        let mut detail = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(MAX_DETAIL) {
            detail.truncate(end);
            detail.push('…');
        }
        SamlRefusal { code: self, detail }
    }
}

impl fmt::Display for SamlCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Characters of a detail.
const MAX_DETAIL: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_no_document() {
        let refusal = SamlCode::Issuer.because("é".repeat(100_000));
        assert_eq!(refusal.detail.chars().count(), MAX_DETAIL + 1);
        assert_eq!(SamlCode::Issuer.because("short").detail, "short");
    }

    #[test]
    fn the_page_lists_the_codes() {
        let page = include_str!("../../../../docs/saml-codes.md");
        let listed: Vec<(&str, &str)> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "))
            .collect();
        let known: Vec<(&str, &str)> =
            SamlCode::ALL.iter().map(|code| (code.as_str(), code.meaning())).collect();
        assert_eq!(listed, known, "docs/saml-codes.md");
    }

    #[test]
    fn words_are_unique_and_plain() {
        let mut words: Vec<&str> = SamlCode::ALL.iter().map(|code| code.as_str()).collect();
        assert!(words.iter().all(|word| {
            word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
        }));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), SamlCode::ALL.len());
    }
}
