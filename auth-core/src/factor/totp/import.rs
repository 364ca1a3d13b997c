//! Seeds that another program made, one a line or as JSON, so that nobody has to enrol again.
//!
//! A line is an `otpauth://totp/…` URI, or `NAME,SECRET` (the form of Mattermost's columns `Email`
//! and `MfaSecret`), or a JSON object with the members `email` or `username`, and `secret`,
//! `mfa_secret` or `MfaSecret`, or `otpauth`. A whole JSON array of such objects is read too.
//! Blank lines, lines that begin with `#` and a heading are passed over. Every line that cannot be
//! used is told by its number; nothing of a secret is repeated.

use std::fmt;

use serde_json::Value;
use zeroize::Zeroizing;

use super::{SeedError, TotpSeed, TotpSettings};

/// One seed of a file.
pub struct ImportLine {
    /// The line, or the element of the array, counted from 1.
    pub number: usize,
    /// User name or e-mail address.
    pub account: String,
    /// The seed.
    pub seed: TotpSeed,
}

impl fmt::Debug for ImportLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportLine({}, {:?})", self.number, self.account)
    }
}

/// A line that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportProblem {
    /// The line, or the element of the array, counted from 1.
    pub number: usize,
    /// What is wrong and how to mend it.
    pub problem: String,
}

/// Reads a file. Every line is judged, so that one run tells all that is wrong.
#[must_use]
pub fn parse_import(text: &str) -> (Vec<ImportLine>, Vec<ImportProblem>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut lines, mut problems) = (Vec::new(), Vec::new());
    let mut take = |number, read: Result<(String, TotpSeed), String>| match read {
        Ok((account, seed)) => lines.push(ImportLine { number, account, seed }),
        Err(problem) => problems.push(ImportProblem { number, problem }),
    };
    if text.trim_start().starts_with('[') {
        match serde_json::from_str::<Vec<Value>>(text) {
            Ok(elements) => {
                for (number, element) in (1..).zip(&elements) {
                    take(number, object(element));
                }
            }
            // The parser's own message could repeat a secret.
            Err(error) => take(error.line(), Err("is no JSON array".to_owned())),
        }
        return (lines, problems);
    }
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || is_heading(line) {
            continue;
        }
        take(number, read_line(line));
    }
    (lines, problems)
}

fn read_line(line: &str) -> Result<(String, TotpSeed), String> {
    if line.starts_with('{') {
        let element = serde_json::from_str(line).map_err(|_| "is no JSON object".to_owned())?;
        return object(&element);
    }
    if line.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("otpauth://")) {
        return uri(line);
    }
    let (account, secret) = line.split_once([',', ';', '\t']).ok_or_else(|| {
        "is neither an otpauth URI nor `email,secret` nor a JSON object".to_owned()
    })?;
    if secret.contains([',', ';', '\t']) {
        return Err("has more than the two columns email and secret".to_owned());
    }
    named(unquoted(account), unquoted(secret))
}

fn object(element: &Value) -> Result<(String, TotpSeed), String> {
    let text = |names: &[&str]| {
        names.iter().find_map(|name| element.get(*name)?.as_str()).filter(|text| !text.is_empty())
    };
    let account = text(&["username", "Username", "email", "Email"]);
    if let Some(found) = text(&["otpauth", "uri"]) {
        let (labelled, seed) = uri(found)?;
        return Ok((account.map_or(labelled, str::to_owned), seed));
    }
    let account = account.ok_or("has neither `email` nor `username`")?;
    let secret = text(&["secret", "mfa_secret", "MfaSecret", "mfasecret"])
        .ok_or("has no `secret` (nor `mfa_secret`, nor `MfaSecret`)")?;
    named(account, secret)
}

fn uri(text: &str) -> Result<(String, TotpSeed), String> {
    let imported = TotpSeed::import_otpauth_uri(text).map_err(of_seed)?;
    if imported.account.is_empty() {
        return Err("the otpauth URI names no account".to_owned());
    }
    Ok((imported.account, imported.seed))
}

/// A bare secret: SHA-1, 6 digits, 30 seconds, which is what every program means by one.
fn named(account: &str, secret: &str) -> Result<(String, TotpSeed), String> {
    let account = account.trim();
    if account.is_empty() {
        return Err("names no account".to_owned());
    }
    let seed = TotpSeed::import_base32(secret, TotpSettings::default()).map_err(of_seed)?;
    Ok((account.to_owned(), seed))
}

fn of_seed(error: SeedError) -> String {
    error.to_string()
}

fn unquoted(column: &str) -> &str {
    let column = column.trim();
    column.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(column)
}

/// `email,secret` in any of the spellings that exports have.
fn is_heading(line: &str) -> bool {
    let plain: Zeroizing<String> = Zeroizing::new(
        line.chars().filter(|c| c.is_ascii_alphabetic()).collect::<String>().to_ascii_lowercase(),
    );
    matches!(
        plain.as_str(),
        "emailsecret" | "emailmfasecret" | "usernamesecret" | "usernamemfasecret"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    fn accounts(text: &str) -> Vec<(usize, String)> {
        let (lines, problems) = parse_import(text);
        assert_eq!(problems, [], "{text}");
        lines.into_iter().map(|line| (line.number, line.account)).collect()
    }

    #[test]
    fn every_form_is_read_with_its_line_numbers() {
        let text = format!(
            "\u{feff}Email,MfaSecret\n# note\n\nann@example.org,{SECRET}\r\n\
             \"bob@example.org\";\"{SECRET}\"\n\
             otpauth://totp/Chat:cy?secret={SECRET}&algorithm=SHA256&digits=8\n\
             {{\"email\":\"di@example.org\",\"MfaSecret\":\"{SECRET}\"}}\n"
        );
        let (lines, problems) = parse_import(&text);
        assert_eq!(problems, []);
        let found: Vec<_> = lines.iter().map(|l| (l.number, l.account.as_str())).collect();
        let expected =
            [(4, "ann@example.org"), (5, "bob@example.org"), (6, "cy"), (7, "di@example.org")];
        assert_eq!(found, expected);
        assert_eq!(lines[2].seed.settings().digits, 8);
        assert_eq!(*lines[0].seed.expose_base32(), SECRET);
        let array = format!(
            "[{{\"username\":\"ann\",\"secret\":\"{SECRET}\"}},\n\
             {{\"otpauth\":\"otpauth://totp/bob?secret={SECRET}\"}}]"
        );
        assert_eq!(accounts(&array), [(1, "ann".to_owned()), (2, "bob".to_owned())]);
        assert_eq!(accounts(""), []);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_without_its_secret() {
        let text = format!(
            "ann@example.org,{SECRET}\n\
             bob@example.org,GEZDGNBV\n\
             cy@example.org,NOT!BASE32!SECRET\n\
             nonsense\n\
             ,{SECRET}\n\
             a,b,c\n\
             otpauth://hotp/x?secret={SECRET}\n\
             {{\"secret\":\"{SECRET}\"}}\n\
             {{\"email\":\"x@example.org\"}}\n\
             {{broken\n\
             otpauth://totp/?secret={SECRET}\n"
        );
        let (lines, problems) = parse_import(&text);
        assert_eq!(lines.len(), 1);
        let numbers: Vec<_> = problems.iter().map(|problem| problem.number).collect();
        assert_eq!(numbers, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        for problem in &problems {
            assert!(!problem.problem.contains(SECRET), "{problem:?}");
            assert!(!problem.problem.contains("NOT!BASE32"), "{problem:?}");
        }
        let (_, problems) = parse_import("[{]");
        assert_eq!(problems.len(), 1);
    }
}
