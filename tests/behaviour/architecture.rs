//! The rules of ARCHITECTURE.md that a machine can check, as tables: who may name whom, how long a
//! file may be, which words do not occur, what a manifest may depend on.

pub(crate) mod source;

use std::collections::BTreeSet;
use std::path::Path;

use auth_tests::harness::workspace;
use source::{Source, Wall};

const CRATES: &[&str] =
    &["auth-core", "auth-store", "auth-xmlsec", "auth-daemon", "examples", "tests", "xtask"];
const LINES_WARN: usize = 400;
const LINES_MAX: usize = 500;
const HEADER_MAX: usize = 15;

/// The traits and backends of the store: whoever names them could do I/O. Records are plain data.
const STORE: &[&str] = &[
    "crate::store::*Store",
    "crate::store::StoreError",
    "crate::store::memory",
    "crate::store::conformance",
];
const PROTOCOLS: &[&str] = &[
    "crate::connector::ldap",
    "crate::connector::oidc",
    "crate::connector::password",
    "crate::connector::saml",
];
const LATER: &[&str] = &["crate::account", "crate::login", "crate::session", "crate::handoff"];
const FACTOR: &[&str] = &["crate::factor"];
const SHELL: &[&str] = &["crate::broker", "crate::directory_sync"];
const IO: &[&str] =
    &["tokio", "async_trait", "futures", "reqwest", "std::net::TcpStream", "std::fs"];
const WEB_AND_SQL: &[&str] =
    &["axum", "hyper", "tower", "rusqlite", "tokio_postgres", "deadpool_postgres", "auth_store"];

/// Files of a connector that fetch and do not judge; they alone may wait.
const CLIENTS: &[&str] =
    &["/client", "/transport", "/pool", "/tls", "/directory", "/diagnosis", "/population"];
/// How names are compared is one rule for everybody.
const NORMALISE: &[&str] = &["crate::account::normalise"];

const WALLS: &[Wall] = &[
    // Vocabulary depends on nothing but itself.
    wall("auth-core/src/clock.rs", &[PROTOCOLS, LATER, SHELL, &["crate::store"], IO]),
    wall("auth-core/src/random.rs", &[PROTOCOLS, LATER, SHELL, &["crate::store"], IO]),
    wall("auth-core/src/secret.rs", &[PROTOCOLS, LATER, SHELL, &["crate::store"], IO]),
    wall("auth-core/src/audit.rs", &[PROTOCOLS, LATER, SHELL, &["crate::store"], IO]),
    wall("auth-core/src/reach.rs", &[PROTOCOLS, LATER, SHELL, &["crate::store"], IO]),
    wall("auth-core/src/key_ring", &[PROTOCOLS, LATER, SHELL, &["crate::store", "tokio"]]),
    // A connector knows neither the others nor what becomes of the identity.
    Wall { but: NORMALISE, ..wall("auth-core/src/connector/ldap", &[LATER, SHELL, STORE, FACTOR]) },
    wall("auth-core/src/connector/ldap", &[&PROTOCOLS_BUT_LDAP]),
    Wall {
        but: NORMALISE,
        ..wall("auth-core/src/connector/password", &[LATER, SHELL, STORE, FACTOR])
    },
    wall("auth-core/src/connector/password", &[&PROTOCOLS_BUT_PASSWORD]),
    Wall {
        but: &["crate::account::email_key"],
        ..wall("auth-core/src/connector/saml", &[LATER, SHELL, STORE, FACTOR])
    },
    wall("auth-core/src/connector/saml", &[&PROTOCOLS_BUT_SAML]),
    // No file of it may wait, fetch or open anything.
    wall("auth-core/src/connector/saml", &[IO, &["samael", "openssl"]]),
    wall("auth-core/src/connector/oidc", &[LATER, SHELL, STORE, FACTOR, &PROTOCOLS_BUT_OIDC]),
    Wall { files: CLIENTS, ..wall("auth-core/src/connector/oidc", &[IO]) },
    Wall { files: CLIENTS, ..wall("auth-core/src/connector/ldap", &[IO]) },
    Wall { files: CLIENTS, ..wall("auth-core/src/connector/password", &[IO]) },
    // Rules are pure.
    wall(
        "auth-core/src/account",
        &[PROTOCOLS, SHELL, STORE, IO, &["crate::login", "crate::handoff"]],
    ),
    wall(
        "auth-core/src/factor",
        &[PROTOCOLS, SHELL, STORE, IO, &["crate::login", "crate::handoff"]],
    ),
    wall("auth-core/src/login", &[PROTOCOLS, SHELL, STORE, IO, &["crate::handoff"]]),
    wall("auth-core/src/session", &[PROTOCOLS, SHELL, STORE, IO]),
    wall("auth-core/src/handoff", &[PROTOCOLS, SHELL, STORE, IO]),
    // The rules of synchronisation see values; four files read, write and wait.
    wall("auth-core/src/directory_sync/change", &[STORE, IO]),
    wall("auth-core/src/directory_sync/compare", &[STORE, IO]),
    wall("auth-core/src/directory_sync/decision", &[STORE, IO]),
    wall("auth-core/src/directory_sync/digest", &[STORE, IO]),
    wall("auth-core/src/directory_sync/guard", &[STORE, IO]),
    wall("auth-core/src/directory_sync/names", &[STORE, IO]),
    wall("auth-core/src/directory_sync/plan", &[STORE, IO]),
    wall("auth-core/src/directory_sync/step", &[STORE, IO]),
    // The store is data and traits; it decides nothing.
    wall("auth-core/src/store", &[PROTOCOLS, SHELL, &["crate::handoff", "crate::factor"]]),
    wall("auth-core/src", &[WEB_AND_SQL, &["openssl", "samael", "auth_daemon"]]),
    wall(
        "auth-store/src",
        &[&["auth_daemon", "axum", "auth_core::broker", "auth_core::connector"]],
    ),
    // Handlers reach the store through the broker alone; only the composition root wires it.
    wall("auth-daemon/src/routes", &[SQL, PROTOCOLS_OUTSIDE]),
    wall("auth-daemon/src/extract", &[SQL, PROTOCOLS_OUTSIDE, &["crate::routes"]]),
    wall("auth-daemon/src/pages", &[SQL, PROTOCOLS_OUTSIDE, &["crate::routes"]]),
    // The RSA private-key operations of this crate are not constant-time.
    wall("", &[&["rsa", "openidconnect::core::CoreRsaPrivateSigningKey"]]),
];

const PROTOCOLS_BUT_LDAP: [&str; 3] =
    ["crate::connector::oidc", "crate::connector::password", "crate::connector::saml"];
const PROTOCOLS_BUT_PASSWORD: [&str; 3] =
    ["crate::connector::ldap", "crate::connector::oidc", "crate::connector::saml"];
const PROTOCOLS_BUT_SAML: [&str; 3] =
    ["crate::connector::ldap", "crate::connector::oidc", "crate::connector::password"];
const PROTOCOLS_BUT_OIDC: [&str; 3] =
    ["crate::connector::ldap", "crate::connector::password", "crate::connector::saml"];
const SQL: &[&str] = &["auth_store", "rusqlite", "tokio_postgres", "deadpool_postgres"];
const PROTOCOLS_OUTSIDE: &[&str] = &[
    "auth_core::connector::ldap",
    "auth_core::connector::oidc",
    "auth_core::connector::password",
    "auth_core::connector::saml",
];

/// Words that stand nowhere: a lint can be expected with a reason, never allowed without one.
const WORDS: &[&str] =
    &["#[allow(", "#![allow(", "unsafe {", "unsafe fn", "unsafe impl", "todo!", "unimplemented!"];

/// Names that say nothing about what is inside, as file or folder, or as the end of a type's name.
const EMPTY_NAMES: &[&str] =
    &["manager", "helper", "helpers", "util", "utils", "common", "misc", "service", "data", "info"];

/// Terms of a standard that end in such a word all the same.
const STANDARD_TERMS: &[&str] = &["UserInfo"];

/// Dependencies that a manifest may not have.
const MANIFESTS: &[(&str, &[&str])] = &[
    (
        "auth-core",
        &["axum", "hyper", "tower-http", "rusqlite", "tokio-postgres", "deadpool-postgres"],
    ),
    ("auth-core", &["auth-store", "auth-daemon", "sqlx"]),
    ("auth-store", &["auth-daemon", "axum", "ldap3"]),
    ("auth-xmlsec", &["auth-daemon", "auth-store", "axum", "tokio"]),
];
/// Crates that link system C libraries belong to `auth-xmlsec` alone.
const SYSTEM_C: &[&str] =
    &["openssl", "openssl-sys", "native-tls", "samael", "libxml", "rsa", "ring"];

#[test]
fn nobody_names_what_is_behind_a_wall() {
    let sources = sources();
    let mut findings = Vec::new();
    for wall in WALLS {
        findings.extend(sources.iter().flat_map(|source| source.breaches(wall)));
    }
    assert_none(findings);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut findings = Vec::new();
    for source in sources() {
        let lines = source.lines_without_tests();
        if !source.is_test() && lines > LINES_MAX {
            findings.push(format!("{}: {lines} lines, at most {LINES_MAX}", source.path));
        } else if !source.is_test() && lines > LINES_WARN {
            println!("warning: {}: {lines} lines, split it soon", source.path);
        }
        let header = source.header_lines();
        let is_crate_page = source.path.ends_with("src/lib.rs");
        if !source.is_test() && (header == 0 || (header > HEADER_MAX && !is_crate_page)) {
            findings.push(format!("{}: {header} lines of //!, 1 to {HEADER_MAX}", source.path));
        }
    }
    assert_none(findings);
}

#[test]
fn forbidden_words_and_empty_names_do_not_occur() {
    let sources = sources();
    let words = sources.iter().flat_map(|source| source.words(WORDS));
    let names = sources.iter().flat_map(|source| source.empty_names(EMPTY_NAMES, STANDARD_TERMS));
    assert_none(words.chain(names).collect());
}

#[test]
fn modules_of_the_core_stand_in_the_order_of_the_flow() {
    let flow = ["connector", "account", "factor", "login", "session", "handoff", "store", "broker"];
    let source = Source::read(&workspace(), Path::new("auth-core/src/lib.rs"));
    let found: Vec<&str> =
        source.modules().into_iter().filter(|name| flow.contains(name)).collect();
    assert_eq!(found, flow);
}

#[test]
fn manifests_keep_the_walls() {
    let mut findings = Vec::new();
    for name in CRATES {
        let dependencies = dependencies(&manifest(name), false);
        let forbidden = MANIFESTS.iter().filter(|(of, _)| of == name).flat_map(|(_, list)| *list);
        let system = SYSTEM_C.iter().filter(|_| *name != "auth-xmlsec");
        for dependency in forbidden.chain(system) {
            if dependencies.contains(*dependency) {
                findings.push(format!("{name}/Cargo.toml depends on {dependency}"));
            }
        }
    }
    // What installs the compiler's own needs cannot wait for other crates to be built.
    let heavy = dependencies(&manifest("xtask"), true);
    findings.extend(heavy.iter().map(|name| format!("xtask/Cargo.toml depends on {name}")));
    assert_none(findings);
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let bad = Source::new(
        "auth-core/src/session/store_manager.rs",
        concat!(
            "use crate::{clock::Timestamp, store::{AccountRecord, SessionStore as S}};\n",
            "// crate::broker and tokio:: in a comment, \"crate::broker\" in a text\n",
            "const TEXT: &str = \"crate::broker::Broker todo!\";\n",
            "struct LoginInfo;\n",
            "#[allow(dead_code)]\n",
            "fn f() { super::super::connector::ldap::bind(); tokio::spawn(async {}); }\n",
            "#[cfg(test)]\nmod tests {\n    use crate::broker::Broker;\n}\n",
        ),
    );
    let wall = wall("auth-core/src/session", &[PROTOCOLS, SHELL, STORE, IO]);
    let found: BTreeSet<String> = bad.breaches(&wall).into_iter().collect();
    let at = |line: usize, path: &str, pattern: &str| {
        format!("auth-core/src/session/store_manager.rs:{line}: {path} (never {pattern})")
    };
    let expected = BTreeSet::from([
        at(1, "crate::store::SessionStore", "crate::store::*Store"),
        at(6, "crate::connector::ldap::bind", "crate::connector::ldap"),
        at(6, "tokio::spawn", "tokio"),
    ]);
    assert_eq!(found, expected);
    assert_eq!(bad.words(WORDS), ["auth-core/src/session/store_manager.rs:5: #[allow("]);
    assert_eq!(bad.empty_names(EMPTY_NAMES, STANDARD_TERMS).len(), 2);
    assert_eq!((bad.header_lines(), bad.lines_without_tests()), (0, 6));
    let pool = Wall { files: &["/store_manager"], ..wall };
    assert!(bad.breaches(&pool).is_empty());
    let but: &[&str] = &["crate::store::SessionStore", "tokio::spawn"];
    assert_eq!(bad.breaches(&Wall { but, ..wall }).len(), 1);
    let manifest = "[dependencies]\naxum.workspace = true\n[target.'cfg(unix)'.dependencies]\nopenssl = \"1\"\n[dev-dependencies]\nring = \"1\"";
    let names: Vec<String> = dependencies(manifest, false).into_iter().collect();
    assert_eq!(names, ["axum", "openssl"]);
    assert!(dependencies(manifest, true).contains("ring"));
}

#[test]
fn the_tree_is_really_read() {
    let sources = sources();
    for needed in ["auth-core/src/lib.rs", "auth-store/src/lib.rs", "auth-daemon/src/main.rs"] {
        assert!(sources.iter().any(|source| source.path == needed), "{needed} was not read");
    }
}

const fn wall(part: &'static str, never: &'static [&'static [&'static str]]) -> Wall {
    Wall { part, files: &[], but: &[], never }
}

fn sources() -> Vec<Source> {
    let root = workspace();
    CRATES.iter().flat_map(|name| source::tree(&root, Path::new(name))).collect()
}

fn manifest(name: &str) -> String {
    let path = workspace().join(name).join("Cargo.toml");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the dependencies of a manifest, those of targets included.
fn dependencies(manifest: &str, with_dev: bool) -> BTreeSet<String> {
    let table: toml::Table = manifest.parse().expect("a manifest");
    let targets = table.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(toml::Table::values).filter_map(|it| it.as_table());
    let kinds: &[&str] = match with_dev {
        true => &["dependencies", "build-dependencies", "dev-dependencies"],
        false => &["dependencies", "build-dependencies"],
    };
    let mut names = BTreeSet::new();
    for part in targets.chain([&table]) {
        for kind in kinds {
            let entries = part.get(*kind).and_then(toml::Value::as_table);
            for (name, entry) in entries.into_iter().flatten() {
                let renamed = entry.get("package").and_then(toml::Value::as_str);
                names.insert(renamed.unwrap_or(name).to_owned());
            }
        }
    }
    names
}

fn assert_none(findings: Vec<String>) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}
