//! `config init|check|schema` and the exit codes of the program itself.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

const OK: i32 = 0;
const REFUSED: i32 = 3;
const USAGE: i32 = 64;
const CONFIGURATION: i32 = 78;

fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_auth-daemon"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn check(folder: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = run(folder, arguments, &[]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn init_writes_a_file_that_check_accepts() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), &["config", "init"], OK);
    let file = folder.path().join("auth-daemon.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (stdout, _) = check(folder.path(), &["config", "check", "--offline"], OK);
    assert_eq!(stdout, "");
    let entries = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(entries, 1, "nothing else is left behind");
}

#[test]
fn init_never_overwrites_without_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs::write(&file, "mine").unwrap();
    let (_, stderr) = check(folder.path(), &["config", "init", "mine.toml"], REFUSED);
    assert!(stderr.contains("--force"), "{stderr}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    check(folder.path(), &["config", "init", "mine.toml", "--force"], OK);
    assert!(fs::read_to_string(&file).unwrap().contains("public_url"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    check(folder.path(), &["--config", "other.toml", "config", "init"], OK);
    assert!(folder.path().join("other.toml").exists());
    check(folder.path(), &["config", "init", "nowhere/x.toml"], 1);
}

#[test]
fn check_prints_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("auth-daemon.toml"), "public_url = \"http://a.example\"\nx = 1")
        .unwrap();
    let (stdout, _) = check(folder.path(), &["config", "check"], CONFIGURATION);
    assert!(stdout.contains("public_url") && stdout.contains("unknown key"), "{stdout}");
    let (stdout, _) = check(folder.path(), &["config", "check", "--json"], CONFIGURATION);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["path"], "auth-daemon.toml");
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2, "{stdout}");
    for finding in findings {
        for key in ["severity", "key", "problem", "repair"] {
            assert!(finding[key].is_string(), "{key} {stdout}");
        }
    }
}

#[test]
fn check_looks_whether_servers_answer() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!(
        "public_url = \"http://localhost\"\n[storage]\nurl = \"sqlite://{0}/auth.db\"\n[[directory]]\n\
         id = \"corp\"\nservers = [\"ldap://127.0.0.1:{port}\"]\nbase_dn = \"dc=a\"",
        folder.path().display()
    );
    fs::write(folder.path().join("auth-daemon.toml"), &text).unwrap();
    check(folder.path(), &["config", "check"], OK);
    drop(listener);
    let (stdout, _) = check(folder.path(), &["config", "check", "--json"], CONFIGURATION);
    assert!(stdout.contains("directory[0].servers[0]"), "{stdout}");
    assert!(stdout.contains("does not answer"), "{stdout}");
    check(folder.path(), &["config", "check", "--offline"], OK);
    let gone = text.replace("/auth.db", "/nowhere/auth.db");
    fs::write(folder.path().join("auth-daemon.toml"), gone).unwrap();
    let (stdout, _) = check(folder.path(), &["config", "check", "--json"], CONFIGURATION);
    assert!(stdout.contains("nowhere does not exist"), "{stdout}");
}

#[test]
fn the_file_is_found_in_this_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["auth-daemon.toml", "environment.toml", "argument.toml"] {
        fs::write(folder.path().join(name), "public_url = \"https://sso.example.com\"").unwrap();
    }
    let path = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = run(folder.path(), arguments, variables);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        report["path"].as_str().map(str::to_owned)
    };
    let plain = ["config", "check", "--offline", "--json"];
    let named = ["config", "check", "--offline", "--json", "--config", "argument.toml"];
    let variables = [("AUTH_DAEMON_CONFIG", "environment.toml")];
    assert_eq!(path(&plain, &[]).as_deref(), Some("auth-daemon.toml"));
    assert_eq!(path(&plain, &variables).as_deref(), Some("environment.toml"));
    assert_eq!(path(&named, &variables).as_deref(), Some("argument.toml"));
    let broken = [("AUTH_DAEMON__PASSWORD__MINIMUM_LENGTH", "3"), ("AUTH_DAEMON_LOG", "debug")];
    let output = run(folder.path(), &plain, &broken);
    assert_eq!(output.status.code(), Some(CONFIGURATION));
}

#[test]
fn schema_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let (stdout, _) = check(folder.path(), &["config", "schema"], OK);
    let schema: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(schema["required"][0], "public_url");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn usage_errors_and_commands_of_later_versions() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), &["frobnicate"], USAGE);
    check(folder.path(), &["config", "check", "--nope"], USAGE);
    check(folder.path(), &[], USAGE);
    check(folder.path(), &["--help"], OK);
    let (stdout, _) = check(folder.path(), &["--version"], OK);
    assert!(stdout.starts_with("auth-daemon "), "{stdout}");
    for command in [vec!["backup", "x"], vec!["audit", "verify"], vec!["console"]] {
        let (_, stderr) = check(folder.path(), &command, USAGE);
        assert!(stderr.contains("not available yet"), "{stderr}");
    }
}
