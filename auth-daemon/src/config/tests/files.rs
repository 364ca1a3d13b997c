//! Secret files, and whole files from `fixtures/config`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::config::STARTER;

fn secret_file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    (folder, file)
}

fn client_with(file: &Path) -> String {
    format!(
        "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n[[client]]\nid = \"chat\"\n\
         redirect_uris = [\"https://a/\"]\nsecret_file = \"{}\"",
        file.display()
    )
}

#[test]
fn one_newline_at_the_end_is_cut() {
    for (content, secret) in [
        ("0123456789abcdef", "0123456789abcdef"),
        ("0123456789abcdef\n", "0123456789abcdef"),
        ("0123456789abcdef\r\n", "0123456789abcdef"),
        ("0123456789abcdef\n\n", "0123456789abcdef\n"),
        (" 0123456789abcdef ", " 0123456789abcdef "),
    ] {
        let (_folder, file) = secret_file(content.as_bytes(), 0o600);
        let config = config(&client_with(&file));
        assert!(config.clients[0].secret.as_ref().unwrap().matches(secret), "{content:?}");
    }
}

#[test]
fn unusable_secret_files() {
    for content in ["".as_bytes(), b"\n", b"\xff\xfe0123456789abcdef"] {
        let (_folder, file) = secret_file(content, 0o600);
        let expected = format!("client[0].secret_file (chat): {} cannot be read", file.display());
        check(&client_with(&file), &[&expected]);
    }
    check(
        &client_with(Path::new("/nowhere/secret")),
        &["client[0].secret_file (chat): /nowhere/secret cannot be read: No such file"],
    );
    check(
        &client_with(Path::new("/etc")),
        &["client[0].secret_file (chat): /etc cannot be read: it is a folder"],
    );
}

#[test]
fn a_secret_open_to_all_is_a_warning() {
    for (mode, is_open) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
        let (_folder, file) = secret_file(b"0123456789abcdef", mode);
        let expected = format!("client[0].secret_file (chat): {} is open to", file.display());
        let expected = [expected.as_str()];
        check_warnings(&client_with(&file), if is_open { &expected } else { &[] });
    }
}

#[test]
fn the_starter_file_has_no_findings() {
    let loaded = load(STARTER, &[]).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

/// The keys that the starter file shows in comments exist too.
#[test]
fn the_starter_file_is_right_in_its_comments() {
    let uncommented: String = STARTER
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.contains(" = ") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    // `url` and `url_file` are alternatives there, and the files do not exist here.
    let uncommented = uncommented.replace("\nurl = \"sqlite://auth.db\"", "");
    let errors = load(&uncommented, &[]).unwrap_err();
    for finding in errors.findings.iter().filter(|finding| finding.severity == Severity::Error) {
        assert!(finding.problem.contains("No such file"), "{finding}");
    }
}

#[test]
fn fixtures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/config");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).unwrap();
        // A bad file says in its comments what is wrong with it.
        let expected: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("#! ")).collect();
        let is_bad = path.file_name().unwrap().to_str().unwrap().starts_with("bad-");
        assert_eq!(is_bad, !expected.is_empty(), "{}", path.display());
        compare(&text, &found(&text, Severity::Error), &expected);
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn a_missing_file_says_how_to_get_one() {
    let errors = Config::load(Some(Path::new("/nowhere/auth-daemon.toml"))).unwrap_err();
    let text = errors.to_string();
    assert!(text.contains("/nowhere/auth-daemon.toml cannot be read"), "{text}");
    assert!(text.contains("config init /nowhere/auth-daemon.toml"), "{text}");
}
