//! Signing keys: made once, replaced with overlap, never in the clear.

use super::*;
use crate::key_ring::KeyRing;
use crate::store::KeyStore as _;

const DAY: Duration = Duration::from_secs(86_400);

async fn kids(provider: &Provider) -> Vec<String> {
    use openidconnect::JsonWebKey as _;
    let jwks = provider.jwks().await.unwrap();
    let mut kids: Vec<String> =
        jwks.keys().iter().map(|key| key.key_id().unwrap().to_string()).collect();
    kids.sort();
    kids
}

async fn signs(world: &World) -> String {
    let now = world.clock.now();
    world.provider.signer(SigningAlgorithm::EdDsa, now).await.unwrap().kid().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_start_at_once_have_the_same_keys() {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(ManualClock(AtomicI64::new(1_764_000_000_500)));
    let ring = Arc::new(KeyRing::generate(&SystemRandom::new(), clock.now()));
    let nodes: Vec<_> = (0..3)
        .map(|_| {
            let provider = provider_over(&store, &clock, &ring);
            tokio::spawn(async move {
                provider.start().await.unwrap();
                provider.ready().await.unwrap();
                kids(&provider).await
            })
        })
        .collect();
    let mut seen = Vec::new();
    for node in nodes {
        seen.push(node.await.unwrap());
    }
    assert_eq!(seen[0].len(), 2);
    assert!(seen.iter().all(|kids| *kids == seen[0]));
}

#[tokio::test]
async fn keys_are_sealed_to_their_row_and_ring() {
    let world = World::new().await;
    for record in world.store.signing_keys().await.unwrap() {
        // PKCS#8 begins with a SEQUENCE; what is stored does not show one.
        assert!(!record.sealed.windows(4).any(|window| window == [0x30, 0x82, 0x04, 0xbd]));
        assert_eq!(KeyRing::sealed_with(&record.sealed), Some(world.ring.active_key_id()));
    }
    let other_ring = Arc::new(KeyRing::generate(&SystemRandom::new(), world.clock.now()));
    let stranger = provider_over(&world.store, &world.clock, &other_ring);
    let error = stranger.start().await.unwrap_err();
    assert!(matches!(error, ProviderError::Sealed { .. }), "{error}");
    assert_eq!(world.store.signing_keys().await.unwrap().len(), 2, "nothing was written");
}

#[tokio::test]
async fn a_demanded_rotation_signs_a_day_later_and_overlaps() {
    let world = World::new().await;
    let old = signs(&world).await;
    let report = world.provider.rotate_signing_keys(&origin()).await.unwrap();
    assert_eq!((report.created.len(), report.waiting.len()), (2, 2));
    assert_eq!(kids(&world.provider).await.len(), 4, "published at once");
    assert_eq!(signs(&world).await, old);
    // Again, while the new ones wait: nothing.
    let again = world.provider.rotate_signing_keys(&origin()).await.unwrap();
    assert_eq!((again.created.len(), again.waiting.len()), (0, 2));

    world.clock.advance(DAY - seconds(1));
    assert_eq!(signs(&world).await, old);
    world.clock.advance(seconds(1));
    let new = signs(&world).await;
    assert_ne!(new, old);
    assert_eq!(kids(&world.provider).await.len(), 4, "the old ones still verify");

    world.clock.advance(DAY * 2);
    let due = world.provider.rotate_due_signing_keys(&origin()).await.unwrap();
    assert_eq!((due.created.len(), due.retired.len()), (0, 2));
    assert_eq!(kids(&world.provider).await.len(), 2);
    assert_eq!(signs(&world).await, new);
    assert_eq!(world.events("key.rotated").await.len(), 2);
    assert_eq!(world.events("key.retired").await.len(), 2);
    assert_eq!(world.events("key.created").await.len(), 2);
}

#[tokio::test]
async fn of_two_nodes_one_rotates() {
    let world = World::new().await;
    let other = provider_over(&world.store, &world.clock, &world.ring);
    other.start().await.unwrap();
    world.clock.advance(DAY * 89);
    let (here, there) = (origin(), origin());
    let (first, second) = tokio::join!(
        world.provider.rotate_due_signing_keys(&here),
        other.rotate_due_signing_keys(&there)
    );
    assert_eq!(first.unwrap().created.len() + second.unwrap().created.len(), 2);
    assert_eq!(world.store.signing_keys().await.unwrap().len(), 4);
    world.clock.advance(seconds(5));
    assert_eq!(kids(&other).await, kids(&world.provider).await);
}

#[tokio::test]
async fn a_key_is_withdrawn_but_not_the_last_one() {
    let world = World::new().await;
    let old = signs(&world).await;
    let last = world.provider.retire_signing_key(&old, &origin()).await.unwrap_err();
    assert!(matches!(last, KeyCommandError::LastSigner { .. }), "{last}");
    let unknown = world.provider.retire_signing_key("x", &origin()).await.unwrap_err();
    assert!(matches!(unknown, KeyCommandError::Unknown { .. }), "{unknown}");
    world.provider.rotate_signing_keys(&origin()).await.unwrap();
    assert!(world.provider.retire_signing_key(&old, &origin()).await.is_err());
    world.clock.advance(DAY);
    world.provider.retire_signing_key(&old, &origin()).await.unwrap();
    assert!(!kids(&world.provider).await.contains(&old));
    let states: Vec<KeyState> = world
        .provider
        .list_signing_keys()
        .await
        .unwrap()
        .into_iter()
        .map(|key| key.state)
        .collect();
    let count = |state| states.iter().filter(|one| **one == state).count();
    assert_eq!(count(KeyState::Retired), 1);
    assert_eq!(count(KeyState::Replaced), 1);
    assert_eq!(count(KeyState::Signing), 2);
}

#[tokio::test]
async fn tokens_of_the_old_key_verify_after_the_rotation() {
    let world = World::new().await;
    let id_token = world.sign_in("chat").await["id_token"].as_str().unwrap().to_owned();
    world.provider.rotate_signing_keys(&origin()).await.unwrap();
    world.clock.advance(DAY);
    let keys = world.provider.signing_keys(world.clock.now()).await.unwrap();
    let hint = crate::handoff::id_token::read_hint(&id_token, &keys, world.provider.issuer());
    assert_eq!(hint.unwrap().subject, world.account.id.to_string());
}
