//! `user import-totp FILE`: seeds that people set up in another program.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use auth_core::factor::totp::parse_import;
use auth_core::secret::Secret;
use serde_json::json;

use crate::commands::Context;
use crate::exit::Exit;
use crate::output;

/// Reads the file, judges every line, and imports all of it or nothing.
pub(super) async fn run(
    context: &Context,
    file: &Path,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let text = read(file).with_context(|| file.display().to_string())?;
    let (lines, problems) = parse_import(text.expose());
    drop(text);
    let import = context.broker.import_totp(lines, problems, dry_run, &context.origin).await?;
    for problem in &import.problems {
        output::message(&format!("{}:{}: {}", file.display(), problem.number, problem.problem));
    }
    let is_good = import.problems.is_empty();
    let added = import.lines.iter().filter(|line| line.added).count();
    let kept = import.lines.len() - added;
    if as_json {
        let lines: Vec<_> = import
            .lines
            .iter()
            .map(
                |line| json!({ "line": line.number, "account": line.account, "added": line.added }),
            )
            .collect();
        let problems: Vec<_> = import
            .problems
            .iter()
            .map(|problem| json!({ "line": problem.number, "problem": problem.problem }))
            .collect();
        let applied = is_good && !dry_run;
        output::json(&json!({ "applied": applied, "lines": lines, "problems": problems }));
    }
    output::message(&match (is_good, dry_run) {
        (false, _) => format!(
            "nothing is imported: {} lines cannot be used; mend them and run it again",
            import.problems.len()
        ),
        (true, true) => format!(
            "{added} accounts would get their authenticator app, {kept} have one and keep it"
        ),
        (true, false) => {
            format!("{added} accounts have their authenticator app, {kept} had one and keep it")
        }
    });
    Ok(if is_good { Exit::Done } else { Exit::Findings })
}

/// Seeds are secrets: what was read is wiped.
fn read(file: &Path) -> anyhow::Result<Secret> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input is no UTF-8 text")?;
        return Ok(Secret::new(text));
    }
    Ok(Secret::new(std::fs::read_to_string(file)?))
}
