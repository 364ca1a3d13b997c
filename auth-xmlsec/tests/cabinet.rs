//! What the store keeps for connections: keys that are made once, metadata that is taken over by
//! rules.

#![expect(clippy::unwrap_used, reason = "what goes wrong fails the test")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth_core::audit::{AuditRecord, Origin};
use auth_core::broker::saml_cabinet::{IMPORTED, SamlCabinet, SamlCabinetError, Takeover};
use auth_core::clock::{Clock, Timestamp};
use auth_core::connector::saml::{MetadataChoice, SamlCode};
use auth_core::key_ring::KeyRing;
use auth_core::random::SystemRandom;
use auth_core::secret::sha256;
use auth_core::store::memory::MemoryStore;
use auth_core::store::{AuditQuery, Store};
use auth_xmlsec::XmlsecEngine;

const URL: &str = "https://idp.example.org/metadata";

struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-02T08:00:00Z").unwrap()
}

fn document(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/saml/hostile");
    std::fs::read(path.join(format!("{name}.xml"))).unwrap()
}

fn origin() -> Origin {
    Origin::command_line("r-1".to_owned())
}

struct Site {
    store: Arc<dyn Store>,
    ring: Arc<KeyRing>,
}

impl Site {
    fn new() -> Self {
        let ring = KeyRing::generate(&SystemRandom::new(), now());
        Self { store: Arc::new(MemoryStore::new()), ring: Arc::new(ring) }
    }

    fn at(&self, now: Timestamp) -> SamlCabinet {
        let random = Arc::new(SystemRandom::new());
        let (store, ring) = (Arc::clone(&self.store), Arc::clone(&self.ring));
        SamlCabinet::new(store, ring, Arc::new(Fixed(now)), random, Arc::new(XmlsecEngine))
    }

    async fn events(&self, name: &str) -> Vec<AuditRecord> {
        let query = AuditQuery { after: None, limit: 100, ..AuditQuery::default() };
        let all = self.store.audit(query).await.unwrap();
        all.into_iter().map(|entry| entry.record).filter(|it| it.event == name).collect()
    }
}

const ANY: MetadataChoice<'static> =
    MetadataChoice { entity_id: Some(URL), signed_by: &[], allow_weak: false };

#[tokio::test]
async fn a_key_is_made_once_and_only_the_ring_opens_it() {
    let site = Site::new();
    let cabinet = site.at(now());
    assert!(cabinet.keys("okta").await.unwrap().is_empty());
    let first = cabinet.ensure_keys("okta", "sso.example.com").await.unwrap();
    let again = cabinet.ensure_keys("okta", "sso.example.com").await.unwrap();
    assert_eq!((first.len(), again.len()), (1, 1));
    assert_eq!(first[0].certificate(), again[0].certificate());
    assert_eq!(site.events("saml.key_created").await.len(), 1);
    let other = cabinet.ensure_keys("adfs", "sso.example.com").await.unwrap();
    assert_ne!(first[0].certificate(), other[0].certificate(), "one for each connection");

    let stranger = Site { store: Arc::clone(&site.store), ..Site::new() };
    let refused = stranger.at(now()).keys("okta").await;
    assert!(matches!(refused, Err(SamlCabinetError::Sealed { .. })));
}

#[tokio::test]
async fn a_further_key_decrypts_at_once_and_signs_a_week_later() {
    let site = Site::new();
    let cabinet = site.at(now());
    let old = cabinet.ensure_keys("okta", "x").await.unwrap().remove(0);
    let made = cabinet.add_key("okta", "x", &origin()).await.unwrap();
    let keys = cabinet.keys("okta").await.unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0].certificate(), old.certificate(), "the old one signs");
    let later = site.at(now() + Duration::from_secs(7 * 24 * 3600));
    let keys = later.keys("okta").await.unwrap();
    assert_eq!(keys[0].certificate(), made.certificate, "the new one signs");

    let id: String = sha256(old.certificate()).iter().map(|byte| format!("{byte:02x}")).collect();
    let early = cabinet.retire_key("okta", &id, &origin()).await;
    assert!(matches!(early, Err(SamlCabinetError::Refused(_))), "no other signs yet");
    later.retire_key("okta", &id, &origin()).await.unwrap();
    assert_eq!(later.keys("okta").await.unwrap().len(), 1);
    assert!(later.retire_key("okta", &id, &origin()).await.is_err(), "again");
    assert!(later.retire_key("okta", &made.id, &origin()).await.is_err(), "the last one");
    assert_eq!(site.events("saml.key_retired").await.len(), 1);
}

#[tokio::test]
async fn changed_keys_of_a_url_wait_for_approval() {
    let site = Site::new();
    let cabinet = site.at(now());
    let origin = origin();
    let take = async |document: Vec<u8>, choice| {
        cabinet.take_over("corp", URL, document, choice, &origin).await
    };
    let first = document("33-control");
    assert_eq!(take(first.clone(), ANY).await.unwrap(), Takeover::Accepted, "the first");
    assert_eq!(take(first.clone(), ANY).await.unwrap(), Takeover::Unchanged);
    let changed = document("33-keys-changed");
    for _ in 0..2 {
        let Takeover::Pending(refusal) = take(changed.clone(), ANY).await.unwrap() else {
            panic!("taken over")
        };
        assert_eq!(refusal.code, SamlCode::MetadataKeysChanged);
    }
    assert_eq!(site.events("saml.metadata_pending").await.len(), 1, "told once");
    let stored = cabinet.metadata("corp").await.unwrap().unwrap();
    assert_eq!(stored.document, first, "what was there counts on");
    assert_eq!(stored.pending.unwrap().document, changed);

    for bad in ["33-other-entity", "33-expired", "33-doctype", "33-no-key"] {
        assert!(take(document(bad), ANY).await.is_err(), "{bad}");
    }
    let stored = cabinet.metadata("corp").await.unwrap().unwrap();
    assert_eq!(stored.document, first, "a bad document changes nothing");

    let idp = cabinet.approve("corp", ANY, &origin).await.unwrap();
    assert_eq!(idp.entity_id(), URL);
    let stored = cabinet.metadata("corp").await.unwrap().unwrap();
    assert_eq!((stored.document, stored.pending), (changed, None));
    assert!(cabinet.approve("corp", ANY, &origin).await.is_err(), "nothing waits any more");
    assert_eq!(site.events("saml.metadata_approved").await.len(), 1);
}

#[tokio::test]
async fn an_import_and_a_withdrawn_key_need_no_approval() {
    let site = Site::new();
    let cabinet = site.at(now());
    let origin = origin();
    let two = document("33-control-two-keys");
    cabinet.take_over("corp", URL, two, ANY, &origin).await.unwrap();
    let one = document("33-control");
    let taken = cabinet.take_over("corp", URL, one, ANY, &origin).await.unwrap();
    assert_eq!(taken, Takeover::Accepted, "a key went away");
    let changed = document("33-keys-changed");
    let taken = cabinet.take_over("corp", IMPORTED, changed, ANY, &origin).await.unwrap();
    assert_eq!(taken, Takeover::Accepted, "an administrator did it");
    let events = site.events("saml.metadata_accepted").await;
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.detail.contains_key("keys")), "{events:?}");
}
