use super::TotpRefusal::{ClockDrift, Replayed, Wrong};
use super::*;
use crate::random::SystemRandom;

const RFC_6238: &str = include_str!("../../../../fixtures/totp/rfc6238.csv");
const RFC_4226: &str = include_str!("../../../../fixtures/totp/rfc4226.csv");
const OATHTOOL: &str = include_str!("../../../../fixtures/totp/oathtool.csv");

fn rows<const N: usize>(csv: &str) -> impl Iterator<Item = [&str; N]> {
    csv.lines().skip(1).map(|line| {
        line.split(',').collect::<Vec<_>>().try_into().expect("a row with another number of fields")
    })
}

fn seed(secret: &[u8], settings: TotpSettings) -> TotpSeed {
    TotpSeed::new(Zeroizing::new(secret.to_vec()), settings).unwrap()
}

fn rfc_seed() -> TotpSeed {
    seed(b"12345678901234567890", TotpSettings::default())
}

/// The code of a step, by the vectors of RFC 4226.
fn rfc_code(step: i64) -> String {
    let [_, _, code] = rows::<3>(RFC_4226).find(|row| row[1] == step.to_string()).unwrap();
    code.to_owned()
}

fn at(step: i64) -> Timestamp {
    Timestamp::from_seconds(step * 30 + 7)
}

#[test]
fn rfc_6238_vectors() {
    let mut count = 0;
    for [algorithm, secret, time, code] in rows(RFC_6238) {
        let algorithm = TotpAlgorithm::parse(algorithm).unwrap();
        let settings = TotpSettings { algorithm, digits: 8, period: 30 };
        let time: i64 = time.parse().unwrap();
        let now = Timestamp::from_seconds(time);
        let seed = seed(secret.as_bytes(), settings);
        let matched = verify(&seed, code, now, None).unwrap();
        assert_eq!(matched.step(), time / 30, "{code}");
        count += 1;
    }
    assert_eq!(count, 18);
}

#[test]
fn rfc_4226_vectors() {
    let mut count = 0;
    for [secret, counter, code] in rows(RFC_4226) {
        let counter: i64 = counter.parse().unwrap();
        let seed = seed(secret.as_bytes(), TotpSettings::default());
        assert_eq!(verify(&seed, code, at(counter), None).unwrap().step(), counter);
        count += 1;
    }
    assert_eq!(count, 10);
}

#[test]
fn codes_of_oathtool_are_accepted() {
    let mut count = 0;
    for [algorithm, digits, period, secret, time, code] in rows(OATHTOOL) {
        let settings = TotpSettings {
            algorithm: TotpAlgorithm::parse(algorithm).unwrap(),
            digits: digits.parse().unwrap(),
            period: period.parse().unwrap(),
        };
        let seed = TotpSeed::import_base32(secret, settings).unwrap();
        let time: i64 = time.parse().unwrap();
        let matched = verify(&seed, code, Timestamp::from_seconds(time), None).unwrap();
        assert_eq!(matched.step(), time / i64::from(settings.period), "{code}");
        count += 1;
    }
    assert_eq!(count, 108);
}

#[test]
fn one_step_of_skew_on_both_sides() {
    for now in 4..=6 {
        assert_eq!(verify(&rfc_seed(), &rfc_code(5), at(now), None).unwrap().step(), 5, "{now}");
    }
    // The first and last millisecond of the window.
    let (first, last) = (Timestamp::from_seconds(4 * 30), Timestamp::from_millis(7 * 30_000 - 1));
    for now in [first, last] {
        assert!(verify(&rfc_seed(), &rfc_code(5), now, None).is_ok(), "{now}");
    }
    for now in [first - std::time::Duration::from_millis(1), Timestamp::from_seconds(7 * 30)] {
        assert!(verify(&rfc_seed(), &rfc_code(5), now, None).is_err(), "{now}");
    }
}

#[test]
fn a_used_step_and_all_before_it_are_refused() {
    let judge = |step, last| verify(&rfc_seed(), &rfc_code(step), at(5), Some(last));
    assert_eq!(judge(5, 4).unwrap().step(), 5);
    assert_eq!(judge(6, 5).unwrap().step(), 6);
    for (step, last) in [(5, 5), (4, 5), (5, 6), (4, 4), (6, 6), (6, 7)] {
        assert_eq!(judge(step, last), Err(Replayed), "step {step}, last {last}");
    }
}

#[test]
fn a_wrong_clock_is_noticed_and_still_refused() {
    let judge = |code: i64, now: i64| verify(&rfc_seed(), &rfc_code(code), at(now), None);
    // The app's clock is slow: the code is of the past and will never be good again.
    assert_eq!(judge(3, 5), Err(ClockDrift { burn: None }));
    assert_eq!(judge(0, 10), Err(ClockDrift { burn: None }));
    assert_eq!(judge(0, 11), Err(Wrong));
    // The app's clock is fast: the code will be good later, unless it is burnt.
    assert_eq!(judge(7, 5), Err(ClockDrift { burn: Some(7) }));
    assert_eq!(judge(9, 0), Err(ClockDrift { burn: Some(9) }));
    assert_eq!(verify(&rfc_seed(), &rfc_code(7), at(7), Some(7)), Err(Replayed));
    // An old code that was used is no sign of a wrong clock.
    assert_eq!(verify(&rfc_seed(), &rfc_code(3), at(9), Some(3)), Err(Replayed));
}

#[test]
fn what_people_type() {
    for good in ["254676", " 254 676 ", "254676\n", "25 46 76"] {
        assert!(verify(&rfc_seed(), good, at(5), None).is_ok(), "{good:?}");
    }
    let long = format!("{}254676", "0".repeat(1000));
    for bad in
        ["", " ", "25467", "2546760", "+54676", "254677", "٢٥٤٦٧٦", "25467\0", "0x3e2d4", &long]
    {
        assert_eq!(verify(&rfc_seed(), bad, at(5), None), Err(Wrong), "{bad:?}");
    }
}

#[test]
fn times_before_1970_are_refused_not_wrapped() {
    for seconds in [-1_000, -31, i64::MIN / 2000] {
        let now = Timestamp::from_seconds(seconds);
        let verdict = verify(&rfc_seed(), &rfc_code(5), now, None);
        assert!(verdict.is_err(), "{seconds}: {verdict:?}");
    }
    assert!(verify(&rfc_seed(), &rfc_code(0), Timestamp::from_seconds(-1), None).is_ok());
}

#[test]
fn fresh_seeds_have_160_bits_and_differ() {
    let draw = || TotpSeed::generate(TotpSettings::default(), &SystemRandom::new()).unwrap();
    let (one, two) = (draw(), draw());
    assert_eq!(one.expose_base32().len(), 32);
    assert_ne!(*one.expose_base32(), *two.expose_base32());
    let grouped = one.expose_grouped();
    assert!(grouped.split(' ').all(|group| group.len() == 4));
    assert_eq!(grouped.replace(' ', ""), *one.expose_base32());
}

#[test]
fn stored_form_round_trip() {
    for algorithm in [TotpAlgorithm::Sha1, TotpAlgorithm::Sha256, TotpAlgorithm::Sha512] {
        let settings = TotpSettings { algorithm, digits: 8, period: 60 };
        let before = seed(b"12345678901234567890", settings);
        let after = TotpSeed::from_bytes(&before.to_bytes()).unwrap();
        assert_eq!(after.settings(), settings);
        assert_eq!(*after.expose_base32(), *before.expose_base32());
    }
    let good = rfc_seed().to_bytes();
    assert_eq!(good[..4], [1, 1, 6, 30]);
    for (index, value) in [(0, 2), (1, 0), (1, 4), (2, 5), (2, 9), (3, 14), (3, 121)] {
        let mut bad = good.to_vec();
        bad[index] = value;
        assert_eq!(TotpSeed::from_bytes(&bad).err(), Some(SeedError::Damaged), "{index}");
    }
    for length in 0..20 {
        assert_eq!(TotpSeed::from_bytes(&good[..length]).err(), Some(SeedError::Damaged));
    }
}

#[test]
fn the_uri_is_escaped_and_reads_back() {
    let uri = rfc_seed().expose_otpauth_uri("Example & Sons", "CORP:jö@example.org");
    assert_eq!(
        *uri,
        "otpauth://totp/Example%20%26%20Sons:CORP-j%C3%B6%40example.org\
         ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example%20%26%20Sons"
    );
    let read = TotpSeed::import_otpauth_uri(&uri).unwrap();
    assert_eq!(read.issuer.as_deref(), Some("Example & Sons"));
    assert_eq!(read.account, "CORP-jö@example.org");
    assert_eq!(read.seed.to_bytes(), rfc_seed().to_bytes());

    let settings = TotpSettings { algorithm: TotpAlgorithm::Sha512, digits: 8, period: 60 };
    let uri = seed(b"12345678901234567890", settings).expose_otpauth_uri("", "jo");
    assert!(uri.starts_with("otpauth://totp/jo?secret="), "{}", *uri);
    assert!(uri.ends_with("&algorithm=SHA512&digits=8&period=60"), "{}", *uri);
    assert_eq!(TotpSeed::import_otpauth_uri(&uri).unwrap().seed.settings(), settings);
}

/// What we write is read alike by another reader of the format.
#[test]
fn the_uri_is_understood_by_another_reader() {
    let settings = TotpSettings { algorithm: TotpAlgorithm::Sha256, digits: 8, period: 60 };
    let ours = seed(b"12345678901234567890", settings);
    let uri = ours.expose_otpauth_uri("Äpfel 100% + mehr", "a?b=c#d/e");
    let other = Totp::from_url(uri.as_str()).unwrap();
    assert_eq!(other.issuer(), Some("Äpfel 100% + mehr"));
    assert_eq!(other.account_name(), "a?b=c#d/e");
    assert_eq!(other.secret().as_bytes(), b"12345678901234567890");
    assert_eq!((other.digits(), other.step()), (8, 60));
    assert_eq!(other.algorithm(), Algorithm::SHA256);
}

#[test]
fn uris_of_other_programs_are_read() {
    let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let uris = [
        format!("otpauth://totp/Chat:jo?secret={secret}&issuer=Chat"),
        format!("otpauth://totp/Chat%3A%20jo?secret={secret}"),
        format!("OTPAUTH://TOTP/Old:jo?issuer=Chat&secret={}&image=x", secret.to_lowercase()),
        format!("otpauth://totp/jo?secret={secret}%3D%3D%3D%3D&issuer=Chat&algorithm=HmacSHA1"),
        format!("otpauth://totp/jo?digits=6&period=30&secret={secret}&issuer=Chat#x"),
    ];
    for uri in uris {
        let read = TotpSeed::import_otpauth_uri(&uri).unwrap();
        assert_eq!(read.issuer.as_deref(), Some("Chat"), "{uri}");
        assert_eq!(read.account, "jo", "{uri}");
        assert_eq!(read.seed.to_bytes(), rfc_seed().to_bytes(), "{uri}");
    }
}

#[test]
fn bad_uris_name_what_is_wrong() {
    let good = "otpauth://totp/jo?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let cases = [
        ("https://example.org/".to_owned(), SeedError::NotOtpauth),
        ("otpauth://totp".to_owned(), SeedError::NotOtpauth),
        ("otpauth://steam/jo?secret=AA".to_owned(), SeedError::NotOtpauth),
        (good.replace("totp", "hotp"), SeedError::CounterBased),
        ("otpauth://totp/jo".to_owned(), SeedError::MissingSecret),
        ("otpauth://totp/jo?issuer=Chat".to_owned(), SeedError::MissingSecret),
        ("otpauth://totp/jo?secret=GEZDGNBVGY3TQOJQ".to_owned(), SeedError::TooShort),
        ("otpauth://totp/jo?secret=".to_owned(), SeedError::TooShort),
        (good.replace("GEZD", "GEZ1"), SeedError::NotBase32),
        (format!("{good}{}", "AAAAAAAA".repeat(30)), SeedError::TooLong),
        (format!("{good}&secret=AAAA"), SeedError::Repeated("secret")),
        (format!("{good}&algorithm=MD5"), SeedError::Algorithm),
        (format!("{good}&digits=5"), SeedError::Digits),
        (format!("{good}&digits=six"), SeedError::Digits),
        (format!("{good}&period=0"), SeedError::Period),
        (format!("{good}&period=3000"), SeedError::Period),
        (format!("{good}&issuer=%f"), SeedError::NotOtpauth),
        (format!("{good}&issuer=%ff"), SeedError::NotOtpauth),
    ];
    for (uri, expected) in cases {
        let error = TotpSeed::import_otpauth_uri(&uri).unwrap_err();
        assert_eq!(error, expected, "{uri}");
        assert!(!error.to_string().contains("GEZD"));
    }
}

#[test]
fn bare_secrets_are_read_as_people_keep_them() {
    let forms = [
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
        "gezd gnbv gy3t qojq gezd gnbv gy3t qojq\n",
        "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV-GY3T-QOJQ",
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ====== ",
    ];
    for text in forms {
        let read = TotpSeed::import_base32(text, TotpSettings::default()).unwrap();
        assert_eq!(read.to_bytes(), rfc_seed().to_bytes(), "{text:?}");
    }
    for bad in ["GEZD=GNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ0", "ü"] {
        let error = TotpSeed::import_base32(bad, TotpSettings::default()).unwrap_err();
        assert_eq!(error, SeedError::NotBase32, "{bad}");
    }
}

#[test]
fn the_qr_code_is_an_element_without_outside_references() {
    let uri = rfc_seed().expose_otpauth_uri("sso.example.org", "jo");
    let svg = qr_svg(&uri).unwrap();
    assert!(svg.starts_with("<svg role=\"img\" aria-label=\"QR code\" xmlns="), "{}", &svg[..80]);
    assert!(svg.ends_with("</svg>"));
    for forbidden in ["<?xml", "<script", "style", "href", "GEZD"] {
        assert!(!svg.contains(forbidden), "{forbidden}");
    }
    assert_eq!(qr_svg(&"x".repeat(5000)), Err(QrError));
}

#[test]
fn debug_shows_no_secret() {
    let imported =
        TotpSeed::import_otpauth_uri(&rfc_seed().expose_otpauth_uri("Chat", "jo")).unwrap();
    assert_eq!(format!("{:?} {:?}", rfc_seed(), imported), "TotpSeed ImportedSeed");
}
