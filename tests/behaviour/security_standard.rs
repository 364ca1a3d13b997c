//! `docs/asvs.md`: every item of the four chapters has its line, and every test that a line names
//! exists.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use auth_tests::harness::workspace;

use crate::architecture::source;

/// Sections of OWASP ASVS 5.0, and how many items each has.
const SECTIONS: &[(&str, usize)] = &[
    ("6.1", 3),
    ("6.2", 12),
    ("6.3", 8),
    ("6.4", 6),
    ("6.5", 8),
    ("6.6", 4),
    ("6.7", 2),
    ("6.8", 4),
    ("7.1", 3),
    ("7.2", 4),
    ("7.3", 2),
    ("7.4", 5),
    ("7.5", 3),
    ("7.6", 2),
    ("9.1", 3),
    ("9.2", 4),
    ("10.1", 2),
    ("10.2", 3),
    ("10.3", 5),
    ("10.4", 16),
    ("10.5", 5),
    ("10.6", 2),
    ("10.7", 3),
];

#[test]
fn every_item_has_its_line_and_every_test_exists() -> Result<()> {
    let page = std::fs::read_to_string(workspace().join("docs/asvs.md"))?;
    let (mut items, mut missing) = (BTreeSet::new(), Vec::new());
    let tests = names_of_tests();
    for line in page.lines().filter(|line| line.starts_with('|') && line.contains('.')) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [item, met, how] = cells.as_slice() else { continue };
        items.extend(numbers(item.trim_start_matches(['|', ' ']))?);
        ensure!(["yes", "open", "none"].contains(met), "{met:?} in {line}");
        ensure!(how.len() > 10, "nothing said in {line}");
        for quoted in how.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("::")) {
            let path: Vec<&str> = quoted.trim_start_matches("core:").split("::").collect();
            let (module, name) = (path[0], path[path.len() - 1]);
            if !tests.contains(&(quoted.starts_with("core:"), module.to_owned(), name.to_owned())) {
                missing.push(quoted.to_owned());
            }
        }
    }
    ensure!(missing.is_empty(), "no such tests: {missing:#?}");
    let wanted: BTreeSet<String> = SECTIONS
        .iter()
        .flat_map(|(section, count)| (1..=*count).map(move |item| format!("{section}.{item}")))
        .collect();
    ensure!(
        items == wanted,
        "items: {:?}",
        items.symmetric_difference(&wanted).collect::<Vec<_>>()
    );
    Ok(())
}

/// `6.6.1 to 6.6.4 …` or `6.1.1 …`.
fn numbers(cell: &str) -> Result<Vec<String>> {
    let words: Vec<&str> = cell.split(' ').collect();
    let [first, rest @ ..] = words.as_slice() else { return Ok(Vec::new()) };
    let ["to", last, ..] = rest else { return Ok(vec![(*first).to_owned()]) };
    let parts = |text: &str| -> Result<(String, u32)> {
        let (section, item) = text.rsplit_once('.').context("no item")?;
        Ok((section.to_owned(), item.parse()?))
    };
    let ((section, from), (_, to)) = (parts(first)?, parts(last)?);
    Ok((from..=to).map(|item| format!("{section}.{item}")).collect())
}

/// Whether it is the core's, a part of its file's path, its name.
fn names_of_tests() -> BTreeSet<(bool, String, String)> {
    let mut found = BTreeSet::new();
    for (folder, is_core) in [("auth-core/src", true), ("tests/behaviour", false)] {
        for source in source::tree(&workspace(), Path::new(folder)) {
            let path = source.path.trim_end_matches(".rs");
            let names = source.text.split("fn ").skip(1).filter_map(|rest| rest.split_once("()"));
            for (name, _) in names {
                let parts = path.split('/');
                found.extend(parts.map(|part| (is_core, part.to_owned(), name.to_owned())));
            }
        }
    }
    found
}
