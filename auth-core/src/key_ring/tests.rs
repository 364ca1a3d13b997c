use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::file::{RingFileError, create_new, load, replace};
use super::*;
use crate::random::SystemRandom;

const SEED: SealContext<'static> = SealContext { table: "factor", column: "sealed", row: "0190-1" };

fn now() -> Timestamp {
    Timestamp::from_seconds(1_764_000_000)
}

fn ring() -> KeyRing {
    KeyRing::generate(&SystemRandom::new(), now())
}

fn seal(ring: &KeyRing, plain: &[u8]) -> Vec<u8> {
    ring.seal(SEED, plain, &SystemRandom::new())
}

#[test]
fn what_is_sealed_opens_again() {
    let ring = ring();
    for plain in [&b""[..], b"x", &[7u8; 5000]] {
        let sealed = seal(&ring, plain);
        assert_eq!(sealed.len(), HEADER_LEN + plain.len() + TAG_LEN);
        assert_eq!(ring.open(SEED, &sealed).unwrap().as_slice(), plain);
        assert_eq!(KeyRing::sealed_with(&sealed), Some(ring.active_key_id()));
    }
}

#[test]
fn two_seals_of_one_text_differ() {
    let ring = ring();
    assert_ne!(seal(&ring, b"seed"), seal(&ring, b"seed"));
}

#[test]
fn a_value_opens_only_where_it_belongs() {
    let ring = ring();
    let sealed = seal(&ring, b"seed");
    let elsewhere = [
        SealContext { table: "client", ..SEED },
        SealContext { column: "other", ..SEED },
        SealContext { row: "0190-2", ..SEED },
        // The same letters, cut elsewhere.
        SealContext { table: "facto", column: "rsealed", row: "0190-1" },
        SealContext { table: "factor", column: "sealed0", row: "190-1" },
    ];
    for context in elsewhere {
        assert_eq!(ring.open(context, &sealed).err(), Some(OpenError::Tampered), "{context:?}");
    }
}

#[test]
fn every_altered_byte_is_noticed() {
    let ring = ring();
    let sealed = seal(&ring, b"a seed of twenty byt");
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert!(ring.open(SEED, &altered).is_err(), "byte {at}");
    }
    for length in 0..sealed.len() {
        assert!(ring.open(SEED, &sealed[..length]).is_err(), "length {length}");
    }
}

#[test]
fn a_missing_key_is_named() {
    let sealed = seal(&ring(), b"seed");
    let key_id = KeyRing::sealed_with(&sealed).unwrap();
    let error = ring().open(SEED, &sealed).unwrap_err();
    assert_eq!(error, OpenError::UnknownKey { key_id });
    assert!(error.to_string().contains(&key_id.to_string()));
}

#[test]
fn rotation_keeps_old_values_readable_until_the_key_is_retired() {
    let mut ring = ring();
    let first = ring.active_key_id();
    let old = seal(&ring, b"old");
    let second = ring.add_key(&SystemRandom::new(), now());
    assert_eq!(ring.active_key_id(), second);
    assert_eq!(KeyRing::sealed_with(&seal(&ring, b"new")), Some(second));
    assert_eq!(ring.open(SEED, &old).unwrap().as_slice(), b"old");
    assert_eq!(ring.retire_key(second), Err(KeyChangeError::Active(second)));
    assert_eq!(ring.retire_key(first), Ok(()));
    assert_eq!(ring.retire_key(first), Err(KeyChangeError::Unknown(first)));
    assert_eq!(ring.open(SEED, &old).err(), Some(OpenError::UnknownKey { key_id: first }));
    assert_eq!(ring.key_ids(), [second]);
}

#[test]
fn a_standby_key_opens_before_it_seals() {
    let mut one = ring();
    let first = one.active_key_id();
    let standby = one.add_standby_key(&SystemRandom::new(), now());
    let other_node = KeyRing::parse(&one.render()).unwrap();
    assert_eq!(one.active_key_id(), first);
    one.activate(standby).unwrap();
    assert_eq!(other_node.open(SEED, &seal(&one, b"seed")).unwrap().as_slice(), b"seed");
    let unknown = KeyId::parse("00000000").unwrap();
    assert_eq!(one.activate(unknown), Err(KeyChangeError::Unknown(unknown)));
    assert_eq!(one.key_ids().len(), 2);
}

#[test]
fn text_form_round_trip() {
    let mut ring = ring();
    let sealed = seal(&ring, b"seed");
    ring.add_key(&SystemRandom::new(), Timestamp::from_millis(1_765_000_000_123));
    let again = KeyRing::parse(&ring.render()).unwrap();
    assert_eq!(again.keys(), ring.keys());
    assert_eq!(again.active_key_id(), ring.active_key_id());
    assert_eq!(again.open(SEED, &sealed).unwrap().as_slice(), b"seed");
    assert_eq!(*again.render(), *ring.render());
}

/// The bytes of version 1 stay readable: this ring and value were made once and never change.
#[test]
fn version_1_stays_readable() {
    let text = "auth-key-ring 1\nactive 79ada4ad\n\
        key 79ada4ad 2026-01-02T03:04:05Z AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n";
    let ring = KeyRing::parse(text).unwrap();
    let sealed = unhex(include_str!("sealed_v1.hex"));
    assert_eq!(ring.open(SEED, &sealed).unwrap().as_slice(), b"a seed of twenty byt");
}

fn unhex(text: &str) -> Vec<u8> {
    let text = text.trim();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn a_bad_text_is_refused_with_its_line() {
    let ring = ring();
    let good = ring.render();
    let key_line = good.lines().last().unwrap();
    let id = ring.active_key_id();
    let head = "auth-key-ring 1\n";
    let other_id = key_line.replacen(&id.to_string(), "00000000", 1);
    let cases = [
        (String::new(), FormatError::Empty),
        ("# only a comment\n\n".into(), FormatError::Empty),
        ("[keys]\n".into(), FormatError::Malformed { line: 1, expected: "auth-key-ring 1" }),
        (
            "#\nauth-key-ring 2\n".into(),
            FormatError::UnknownVersion { line: 2, version: "2".into() },
        ),
        (format!("{head}{key_line}"), FormatError::NoActiveKey),
        (
            format!("{head}active 00000000\n{key_line}"),
            FormatError::ActiveKeyMissing { key_id: KeyId::parse("00000000").unwrap() },
        ),
        (format!("{head}active {id}\nactive {id}\n{key_line}"), FormatError::Duplicate { line: 3 }),
        (format!("{head}active {id}\n{key_line}\n{key_line}"), FormatError::Duplicate { line: 4 }),
        (
            format!("{head}active {id}\n{other_id}"),
            FormatError::DamagedKey { line: 3, key_id: KeyId::parse("00000000").unwrap() },
        ),
        (
            format!("{head}active {id}\n{key_line} more"),
            FormatError::Malformed { line: 3, expected: "key ID TIME KEY" },
        ),
        (
            format!("{head}active {id}\n{}", &key_line[..key_line.len() - 3]),
            FormatError::Malformed { line: 3, expected: "key ID TIME KEY" },
        ),
        (
            format!("{head}active +{}\n", &id.to_string()[1..]),
            FormatError::Malformed { line: 2, expected: "active ID" },
        ),
    ];
    for (text, expected) in cases {
        let error = KeyRing::parse(&text).unwrap_err();
        assert_eq!(error, expected, "{text}");
        let secret = key_line.rsplit(' ').next().unwrap();
        assert!(!error.to_string().contains(secret));
    }
}

#[test]
fn the_check_value_tells_whose_ring_it_is() {
    let mut mine = ring();
    let first = mine.active_key_id();
    let check = mine.make_check(&SystemRandom::new());
    assert_eq!(mine.verify_check(&check), Ok(()));
    assert_eq!(ring().verify_check(&check), Err(RingMismatch::MissingKey { key_id: first }));
    assert_eq!(mine.verify_check(b"junk"), Err(RingMismatch::Damaged));
    let mut altered = check.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(mine.verify_check(&altered), Err(RingMismatch::WrongKey { key_id: first }));
    // A sealed value of another place does not pass for a check.
    let other = seal(&mine, b"this ring belongs to this store");
    assert_eq!(mine.verify_check(&other), Err(RingMismatch::WrongKey { key_id: first }));
    mine.add_key(&SystemRandom::new(), now());
    assert_eq!(mine.verify_check(&check), Ok(()));
    mine.retire_key(first).unwrap();
    let error = mine.verify_check(&check).unwrap_err();
    assert!(error.to_string().contains(&first.to_string()), "{error}");
}

#[test]
fn keyed_hashes_survive_a_rotation() {
    let mut ring = ring();
    let first = ring.active_key_id();
    let key = HashKey::generate(&SystemRandom::new());
    let before = key.hash("recovery_code", &[b"account", b"code"]);
    let stored = key.seal(&ring, &SystemRandom::new());
    ring.add_key(&SystemRandom::new(), now());
    let resealed = HashKey::open(&ring, &stored).unwrap().seal(&ring, &SystemRandom::new());
    ring.retire_key(first).unwrap();
    let after = HashKey::open(&ring, &resealed).unwrap();
    assert_eq!(after.hash("recovery_code", &[b"account", b"code"]), before);
    assert_eq!(HashKey::open(&ring, &stored).err(), Some(OpenError::UnknownKey { key_id: first }));
    for other in [
        after.hash("other", &[b"account", b"code"]),
        after.hash("recovery_code", &[b"accountc", b"ode"]),
        after.hash("recovery_code", &[b"accountcode"]),
        HashKey::generate(&SystemRandom::new()).hash("recovery_code", &[b"account", b"code"]),
    ] {
        assert_ne!(other, before);
    }
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{:?}", ring()), "KeyRing");
    assert_eq!(format!("{:?}", HashKey::generate(&SystemRandom::new())), "HashKey");
}

#[test]
fn the_file_is_private_and_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.keys");
    assert!(matches!(load(&path), Err(RingFileError::Missing { .. })));
    let ring = ring();
    create_new(&path, &ring).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(load(&path).unwrap().key_ids(), ring.key_ids());
    let other = KeyRing::generate(&SystemRandom::new(), now());
    assert!(matches!(create_new(&path, &other), Err(RingFileError::Exists { .. })));
    assert_eq!(load(&path).unwrap().key_ids(), ring.key_ids());
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.keys");
    let ring = ring();
    create_new(&path, &ring).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o601, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for error in [load(&path).unwrap_err(), replace(&path, &ring).unwrap_err()] {
            assert!(matches!(error, RingFileError::Permissions { .. }), "{mode:o}: {error}");
            let text = error.to_string();
            assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
        }
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(load(&path).is_ok());
}

#[test]
fn replacing_is_whole_and_keeps_a_symbolic_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.keys");
    let link = folder.path().join("link.keys");
    symlink(&path, &link).unwrap();
    let mut ring = ring();
    assert!(matches!(replace(&path, &ring), Err(RingFileError::Missing { .. })));
    create_new(&path, &ring).unwrap();
    ring.add_key(&SystemRandom::new(), now());
    replace(&link, &ring).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(load(&path).unwrap().active_key_id(), ring.active_key_id());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);

    fs::write(folder.path().join("auth.keys.new"), "left behind").unwrap();
    let error = replace(&path, &ring).unwrap_err();
    assert!(matches!(error, RingFileError::UnderWay { .. }), "{error}");
    assert!(load(&path).is_ok());
}

#[test]
fn a_damaged_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.keys");
    create_new(&path, &ring()).unwrap();
    fs::write(&path, "").unwrap();
    let text = load(&path).unwrap_err().to_string();
    assert!(text.contains("auth.keys") && text.contains("empty"), "{text}");
    fs::write(&path, [0xffu8; 100]).unwrap();
    assert!(matches!(load(&path), Err(RingFileError::Read { .. })));
    fs::write(&path, vec![b'#'; 100_000]).unwrap();
    assert!(matches!(load(&path), Err(RingFileError::Read { .. })));
    assert!(matches!(load(folder.path()), Err(RingFileError::Read { .. })));
}
