//! What is said about many small files.

mod clients;
mod directories;
mod drift;
mod environment;
mod files;
mod sections;
mod structure;
mod upstream;

use std::ffi::OsString;

use super::finding::{Problems, Severity};
use super::{Config, Loaded, finish, from_text};

/// Most inputs want this in front of them.
const PUBLIC_URL: &str = "public_url = \"https://sso.example.com\"\n";

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, super::ConfigErrors> {
    let variables: Vec<(String, OsString)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
    let mut problems = Problems::default();
    let config = from_text(text, &variables, &mut problems);
    finish(config, "test.toml".into(), problems)
}

fn found(text: &str, severity: Severity) -> Vec<String> {
    let findings = match load(text, &[]) {
        Ok(loaded) => loaded.warnings,
        Err(errors) => errors.findings,
    };
    let of_severity = findings.into_iter().filter(|finding| finding.severity == severity);
    of_severity.map(|finding| finding.to_string()).collect()
}

fn compare(text: &str, found: &[String], expected: &[&str]) {
    let same = found.len() == expected.len()
        && expected.iter().all(|start| found.iter().any(|text| text.starts_with(start)));
    assert!(same, "{text}\nexpected: {expected:#?}\nfound: {found:#?}");
}

/// The errors of a file are exactly those that start with `expected`.
fn check(text: &str, expected: &[&str]) {
    let text = format!("{PUBLIC_URL}{text}");
    compare(&text, &found(&text, Severity::Error), expected);
}

/// The warnings of a file that starts are exactly those that start with `expected`.
fn check_warnings(text: &str, expected: &[&str]) {
    let text = format!("{PUBLIC_URL}{text}");
    compare(&text, &found(&text, Severity::Error), &[]);
    compare(&text, &found(&text, Severity::Warning), expected);
}

fn config(text: &str) -> Config {
    match load(&format!("{PUBLIC_URL}{text}"), &[]) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{text}\n{errors}"),
    }
}
