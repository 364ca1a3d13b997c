//! A whole connection with the engine: genuine responses, requests that others can verify, logout
//! between two sides, metadata of both, and the one use of an assertion.

#![expect(clippy::unwrap_used, reason = "what goes wrong fails the test")]

use std::path::PathBuf;
use std::sync::Arc;

use auth_core::clock::Timestamp;
use auth_core::connector::saml::engine::{PrivateKey, SignatureAlgorithm, XmlSecurity as _};
use auth_core::connector::saml::metadata::judge_change;
use auth_core::connector::saml::redirect_binding::parameter_of;
use auth_core::connector::saml::{
    AuthnRequestOptions, Delivery, Expectation, IdentityProvider, LogoutResult, MetadataChoice,
    NameId, PendingRequest, Preset, Received, RequestBinding, SamlCode, SamlConnection,
    SamlSession, SamlSettings, UnspentAssertion,
};
use auth_core::key_ring::KeyRing;
use auth_core::random::SystemRandom;
use auth_core::replay;
use auth_core::store::memory::MemoryStore;
use auth_xmlsec::XmlsecEngine;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const IDP: &str = "https://idp.example.org/metadata";

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/saml").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-02T08:00:00Z").unwrap()
}

fn own_key() -> Arc<dyn PrivateKey> {
    XmlsecEngine.load_pem(&fixture("keys/sp.pem")).unwrap()
}

/// Metadata of an identity provider with this key that lives at `https://HOST`.
fn metadata(entity: &str, certificate: &[u8], slo: &str) -> String {
    format!(
        "<!-- written by hand --><md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" \
         entityID=\"{entity}\"><md:IDPSSODescriptor \
         protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\"><md:KeyDescriptor>\
         <ds:KeyInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:X509Data>\
         <ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>\
         {slo}<md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
         Location=\"https://idp.example.org/sso?tenant=1\"/><md:SingleSignOnService \
         Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" \
         Location=\"https://idp.example.org/sso\"/></md:IDPSSODescriptor></md:EntityDescriptor>",
        STANDARD.encode(certificate)
    )
}

fn slo(binding: &str, location: &str) -> String {
    format!(
        "<md:SingleLogoutService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:{binding}\" \
         Location=\"{location}\"/>"
    )
}

fn idp(document: &str) -> IdentityProvider {
    let choice = MetadataChoice { entity_id: None, signed_by: &[], allow_weak: false };
    IdentityProvider::from_metadata(document.as_bytes(), choice, &XmlsecEngine, now()).unwrap()
}

fn settings() -> SamlSettings {
    let base = "https://sso.example.com/saml/corp";
    let own = |what: &str| format!("{base}/{what}");
    SamlSettings::new("corp", Preset::Generic, &own("metadata"), &own("acs"), &own("slo"))
}

fn connection(settings: SamlSettings, idp: IdentityProvider) -> SamlConnection {
    SamlConnection::new(settings, idp, Arc::new(XmlsecEngine), vec![own_key()]).unwrap()
}

/// Our side, towards an identity provider whose key is ours too: what we sign, it verifies.
fn mirror(binding: &str) -> (SamlConnection, SamlConnection) {
    let key = own_key();
    let us = settings();
    let their_slo = "https://idp.example.org/slo";
    let document = metadata(IDP, key.certificate(), &slo(binding, their_slo));
    let ours = connection(us.clone(), idp(&document));
    let mut them = settings();
    them.sp_entity_id = IDP.to_owned();
    them.slo_url = their_slo.to_owned();
    let document = metadata(&us.sp_entity_id, key.certificate(), &slo(binding, &us.slo_url));
    (ours, connection(them, idp(&document)))
}

fn corp() -> SamlConnection {
    let mut settings = settings();
    let map = &mut settings.attributes;
    map.username = vec!["username".to_owned()];
    map.email = vec!["email".to_owned()];
    let document = String::from_utf8(fixture("hostile/metadata/corp.xml")).unwrap();
    connection(settings, idp(&document))
}

fn control(name: &str) -> Vec<u8> {
    fixture(&format!("hostile/00-control-{name}.xml"))
}

const PENDING: Expectation<'static> =
    Expectation::Request(PendingRequest { id: "_request-4f2a", forced_at: None });

#[test]
fn genuine_documents_have_the_same_canonical_form_before_and_after() {
    let corp = corp();
    let certificate = corp.identity_provider().keys()[0].certificate().to_vec();
    for name in ["assertion-signed", "response-signed", "both-signed"] {
        let document = control(name);
        // Verified by the engine as it came: its bytes have the digest that the signature names,
        let text = std::str::from_utf8(&document).unwrap();
        let algorithms = [SignatureAlgorithm::RsaSha256; 2];
        let as_it_came = XmlsecEngine.verify(text, &[&certificate], &algorithms).unwrap();
        // and after it was parsed and written anew, by us and by the engine.
        let judgement = corp.verify(&document, PENDING, now());
        assert!(judgement.outcome.is_ok(), "{name}: {:?}", judgement.outcome);
        assert!(as_it_came.contains("alice@example.org"));
    }
}

#[tokio::test]
async fn an_assertion_gives_its_identity_once() {
    let corp = corp();
    let judged = || corp.verify(&control("assertion-signed"), PENDING, now()).outcome.unwrap();
    let ring = KeyRing::generate(&SystemRandom::new(), now());
    let sealed = judged().seal(&ring, "login-1", &SystemRandom::new());
    assert!(UnspentAssertion::open(&sealed, &ring, "login-2", now()).is_err(), "another login");
    let late = Timestamp::parse_rfc3339("2026-11-02T08:06:00Z").unwrap();
    let code = UnspentAssertion::open(&sealed, &ring, "login-1", late).unwrap_err().code;
    assert_eq!(code, SamlCode::Expired);
    let unspent = UnspentAssertion::open(&sealed, &ring, "login-1", now()).unwrap();
    assert_eq!(format!("{unspent:?}"), "UnspentAssertion(corp)");

    let store = MemoryStore::new();
    let fresh = replay::claim(&store, unspent.replay_key()).await.unwrap().unwrap();
    assert!(replay::claim(&store, judged().replay_key()).await.unwrap().is_none(), "replay");
    let redeemed = unspent.redeem(fresh).unwrap();
    assert_eq!(redeemed.identity.connector(), "corp");
    assert!(redeemed.identity.subject().contains("alice@example.org"));
    assert_eq!(redeemed.identity.profile().username, "alice");
    assert_eq!(redeemed.session.session_index.as_deref(), Some("_session-1"));

    let other = corp.verify(&control("both-signed"), PENDING, now()).outcome.unwrap();
    let store = MemoryStore::new();
    let fresh = replay::claim(&store, other.replay_key()).await.unwrap().unwrap();
    if other.replay_key() != judged().replay_key() {
        let refusal = judged().redeem(fresh).unwrap_err();
        assert_eq!(refusal.code, SamlCode::Replayed, "the proof is that of another");
    }
}

#[test]
fn without_a_usable_key_there_is_no_connection() {
    let weak = openssl::x509::X509::from_pem(&fixture("keys/weak.pem")).unwrap().to_der().unwrap();
    let document = metadata(IDP, &weak, "");
    let choice = MetadataChoice { entity_id: None, signed_by: &[], allow_weak: false };
    let read =
        |choice| IdentityProvider::from_metadata(document.as_bytes(), choice, &XmlsecEngine, now());
    assert_eq!(read(choice).unwrap_err().code, SamlCode::MetadataWeakKey);
    let weak = read(MetadataChoice { allow_weak: true, ..choice }).unwrap();
    let made =
        SamlConnection::new(settings(), weak.clone(), Arc::new(XmlsecEngine), vec![own_key()]);
    assert_eq!(made.unwrap_err().code, SamlCode::MetadataNoKey, "the settings do not allow it");
    let legacy = SamlSettings { allow_sha1: true, ..settings() };
    assert!(SamlConnection::new(legacy, weak, Arc::new(XmlsecEngine), vec![own_key()]).is_ok());

    let good = idp(&metadata(IDP, own_key().certificate(), ""));
    let unsigned = SamlConnection::new(settings(), good.clone(), Arc::new(XmlsecEngine), vec![]);
    assert_eq!(unsigned.unwrap_err().code, SamlCode::EngineFailed, "nothing to sign with");
    let mut skewed = settings();
    skewed.clock_skew = std::time::Duration::from_secs(301);
    assert!(SamlConnection::new(skewed, good, Arc::new(XmlsecEngine), vec![own_key()]).is_err());
}

#[test]
fn a_redirect_request_is_signed_over_its_octets() {
    let (ours, _) = mirror("HTTP-Redirect");
    let random = SystemRandom::new();
    let make = |state| ours.authn_request(AuthnRequestOptions::default(), state, &random, now());
    let request = make(Some("opaque-state")).unwrap();
    let Delivery::Redirect(url) = &request.delivery else { panic!("{request:?}") };
    let query = url.query().unwrap();
    assert!(query.starts_with("tenant=1&SAMLRequest="), "{query}");
    let (octets, signature) = query.split_once("&Signature=").unwrap();
    let octets = octets.strip_prefix("tenant=1&").unwrap();
    assert!(octets.contains("&RelayState=opaque-state&SigAlg=http%3A%2F%2Fwww.w3.org%2F2001"));
    let signature = signature.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let certificate = openssl::x509::X509::from_der(own_key().certificate()).unwrap();
    let public = certificate.public_key().unwrap();
    let digest = openssl::hash::MessageDigest::sha256();
    let mut verifier = openssl::sign::Verifier::new(digest, &public).unwrap();
    let value = STANDARD.decode(signature).unwrap();
    assert!(verifier.verify_oneshot(&value, octets.as_bytes()).unwrap());
    assert!(parameter_of(query).is_ok());

    assert_eq!(request.id.len(), 41, "160 random bits behind a letter");
    assert_ne!(request.id, make(None).unwrap().id);
    assert_eq!(make(Some(&"x".repeat(81))).unwrap_err().code, SamlCode::RelayState);
}

#[test]
fn a_posted_request_is_signed_with_sha256_and_says_what_is_asked_for() {
    let key = own_key();
    let mut wanted = settings();
    wanted.request_binding = RequestBinding::Post;
    wanted.name_id_format = Some("urn:format&\"<".to_owned());
    wanted.authn_context = vec!["urn:one".to_owned(), "urn:two".to_owned()];
    let ours = connection(wanted, idp(&metadata(IDP, key.certificate(), "")));
    let options = AuthnRequestOptions { force_authn: true, is_passive: true };
    let random = SystemRandom::new();
    let request = ours.authn_request(options, Some("\"><script>"), &random, now()).unwrap();
    let Delivery::Post(form) = &request.delivery else { panic!("{request:?}") };
    assert_eq!(form.action.as_str(), "https://idp.example.org/sso");
    let [("SAMLRequest", value), ("RelayState", state)] = form.fields.as_slice() else {
        panic!("{form:?}")
    };
    assert_eq!(state, "\"><script>", "escaped by whoever writes the page");
    let document = String::from_utf8(STANDARD.decode(value).unwrap()).unwrap();
    for part in [
        "ForceAuthn=\"true\"",
        "IsPassive=\"true\"",
        "Version=\"2.0\"",
        "IssueInstant=\"2026-11-02T08:00:00Z\"",
        "AssertionConsumerServiceURL=\"https://sso.example.com/saml/corp/acs\"",
        "Destination=\"https://idp.example.org/sso\"",
        "Format=\"urn:format&amp;&quot;&lt;\"",
        "<saml:AuthnContextClassRef>urn:two</saml:AuthnContextClassRef>",
        "xmldsig-more#rsa-sha256",
        "xmlenc#sha256",
    ] {
        assert!(document.contains(part), "{part} is not in {document}");
    }
    assert!(!document.contains("sha1") && !document.contains("Scoping"));
    let algorithms = [SignatureAlgorithm::RsaSha256];
    let verified = XmlsecEngine.verify(&document, &[key.certificate()], &algorithms).unwrap();
    assert!(verified.contains(&request.id));
    let forged = document.replace("IsPassive=\"true\"", "IsPassive=\"false\"");
    assert!(XmlsecEngine.verify(&forged, &[key.certificate()], &algorithms).is_err());
}

#[test]
fn google_gets_unsigned_requests() {
    let google = SamlSettings { preset: Preset::Google, sign_requests: false, ..settings() };
    let ours = connection(google, idp(&metadata(IDP, own_key().certificate(), "")));
    let options = AuthnRequestOptions::default();
    let request = ours.authn_request(options, None, &SystemRandom::new(), now()).unwrap();
    let Delivery::Redirect(url) = &request.delivery else { panic!("{request:?}") };
    assert!(!url.query().unwrap().contains("Signature"));
}

fn session() -> SamlSession {
    SamlSession {
        name_id: Some(NameId {
            value: "alice<&>\"@example.org".to_owned(),
            format: Some("urn:f".to_owned()),
            name_qualifier: Some("q&<".to_owned()),
            sp_name_qualifier: None,
        }),
        session_index: Some("s<1>&".to_owned()),
        not_on_or_after: None,
        authn_instant: now(),
        authn_context: None,
    }
}

#[test]
fn logout_goes_there_and_back_by_both_bindings() {
    let random = SystemRandom::new();
    for binding in ["HTTP-Redirect", "HTTP-POST"] {
        let (ours, theirs) = mirror(binding);
        let sent = ours.logout_request(&session(), Some("state"), &random, now()).unwrap().unwrap();
        let document;
        let received = match &sent.delivery {
            Delivery::Redirect(url) => Received::Redirect { query: url.query().unwrap() },
            Delivery::Post(form) => {
                document = STANDARD.decode(&form.fields[0].1).unwrap();
                Received::Post { document: &document, relay_state: Some("state") }
            }
        };
        let request = theirs.verify_logout_request(received, now()).unwrap();
        assert_eq!((request.id(), request.relay_state()), (sent.id.as_str(), Some("state")));
        assert_eq!(request.check_names(&session()), Ok(()), "{binding}");
        assert_eq!(request.session_indexes(), [session().session_index.unwrap()], "{binding}");
        for other in others() {
            let code = request.check_names(&other).unwrap_err().code;
            assert_eq!(code, SamlCode::LogoutSession, "{other:?}");
        }

        for (result, complete) in [(LogoutResult::Success, true), (LogoutResult::Partial, false)] {
            let answer = theirs.logout_response(&request, result, &random, now()).unwrap().unwrap();
            let document;
            let received = match &answer.delivery {
                Delivery::Redirect(url) => Received::Redirect { query: url.query().unwrap() },
                Delivery::Post(form) => {
                    document = STANDARD.decode(&form.fields[0].1).unwrap();
                    Received::Post { document: &document, relay_state: Some("state") }
                }
            };
            let response = ours.verify_logout_response(received, Some(&sent.id), now()).unwrap();
            assert_eq!(
                (response.complete, response.relay_state.as_deref()),
                (complete, Some("state"))
            );
            for pending in [None, Some("_other")] {
                let refusal = ours.verify_logout_response(received, pending, now()).unwrap_err();
                assert_eq!(refusal.code, SamlCode::LogoutUnexpected);
            }
        }
        let failed = theirs
            .logout_response(&request, LogoutResult::Failed, &random, now())
            .unwrap()
            .unwrap();
        if let Delivery::Redirect(url) = &failed.delivery {
            let received = Received::Redirect { query: url.query().unwrap() };
            let refusal = ours.verify_logout_response(received, Some(&sent.id), now()).unwrap_err();
            assert_eq!(refusal.code, SamlCode::Status);
        }
    }
}

/// Sessions that the request does not name.
fn others() -> Vec<SamlSession> {
    let name = session().name_id.unwrap();
    let with = |name| SamlSession { name_id: Some(name), ..session() };
    vec![
        with(NameId { value: "bob".to_owned(), ..name.clone() }),
        with(NameId { format: None, ..name.clone() }),
        with(NameId { name_qualifier: None, ..name.clone() }),
        with(NameId { sp_name_qualifier: Some("x".to_owned()), ..name }),
        SamlSession { name_id: None, ..session() },
        SamlSession { session_index: Some("other".to_owned()), ..session() },
        SamlSession { session_index: None, ..session() },
    ]
}

#[test]
fn our_metadata_has_keys_and_addresses_and_a_good_signature() {
    let (new, old) = (own_key(), XmlsecEngine.load_pem(&fixture("keys/sp-old.pem")).unwrap());
    let mut wanted = settings();
    wanted.sign_metadata = true;
    let document = metadata(IDP, new.certificate(), "");
    let engine = Arc::new(XmlsecEngine);
    let keys = vec![Arc::clone(&new), Arc::clone(&old)];
    let ours = SamlConnection::new(wanted, idp(&document), engine, keys).unwrap();
    let text = ours.metadata(now()).unwrap();
    let algorithms = [SignatureAlgorithm::RsaSha256];
    let verified = XmlsecEngine.verify(&text, &[new.certificate()], &algorithms).unwrap();
    for kind in ["signing", "encryption"] {
        assert_eq!(text.matches(&format!("<md:KeyDescriptor use=\"{kind}\">")).count(), 2);
    }
    for part in [
        "entityID=\"https://sso.example.com/saml/corp/metadata\"",
        "AuthnRequestsSigned=\"true\"",
        "Location=\"https://sso.example.com/saml/corp/acs\"",
        "Location=\"https://sso.example.com/saml/corp/slo\"",
        "xmlenc11#aes256-gcm",
        "xmlenc#aes256-cbc",
    ] {
        assert!(verified.contains(part), "{part}");
    }
    let times =
        |key: &Arc<dyn PrivateKey>| text.matches(&STANDARD.encode(key.certificate())).count();
    assert_eq!((times(&new), times(&old)), (3, 2), "both uses, and beside the signature");
}

#[test]
fn changed_metadata_is_judged_by_what_changed() {
    let (a, b) = (own_key(), XmlsecEngine.load_pem(&fixture("keys/sp-old.pem")).unwrap());
    let first = idp(&metadata(IDP, a.certificate(), ""));
    let swapped = idp(&metadata(IDP, b.certificate(), ""));
    assert_eq!(judge_change(&first, &first, false), Ok(()));
    let code = |known, fetched, pinned| judge_change(known, fetched, pinned).unwrap_err().code;
    assert_eq!(code(&first, &swapped, false), SamlCode::MetadataKeysChanged);
    assert_eq!(judge_change(&first, &swapped, true), Ok(()), "the pin vouches");
    let moved = idp(&metadata(IDP, a.certificate(), &slo("HTTP-POST", "https://evil.example/")));
    assert_eq!(code(&first, &moved, false), SamlCode::MetadataKeysChanged);
    let other = idp(&metadata("urn:other", a.certificate(), ""));
    assert_eq!(code(&first, &other, true), SamlCode::MetadataEntity);
    let both = String::from_utf8(fixture("hostile/33-control-two-keys.xml")).unwrap();
    let one = String::from_utf8(fixture("hostile/33-control.xml")).unwrap();
    assert_eq!(judge_change(&idp(&both), &idp(&one), false), Ok(()), "a key was withdrawn");
}
