//! The SAML corpus by hand: `saml_corpus judge [NAME]` prints for each hostile case its code, the
//! time and the most memory that judging it took; `saml_corpus mutate TARGET SECONDS SEED` is the
//! plain form of the fuzz targets, for a stable compiler.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use auth_tests::saml_corpus::mutation::Mutator;
use auth_tests::saml_corpus::{Connections, Kind, Verdict, cases, folder};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["judge"] => judge(None),
        ["judge", name] => judge(Some(name)),
        ["mutate", target, seconds, seed] => mutate(target, seconds, seed),
        _ => {
            eprintln!("usage: saml_corpus judge [NAME] | mutate TARGET SECONDS SEED");
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("saml_corpus: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One line a case: name, code, microseconds, bytes of memory.
fn judge(name: Option<&str>) -> Result<()> {
    let folder = folder("hostile");
    let all = cases::load(&folder)?;
    let now = all.first().context("no cases")?.now()?;
    let connections = Connections::load(&folder, now)?;
    // These pay for what is initialised once.
    for case in all.iter().filter(|case| case.name.contains("-control-")) {
        if case.kind == Kind::Accepted {
            case.judge(&connections, &case.content(&folder)?)?;
        }
    }
    for case in all.iter().filter(|case| name.is_none_or(|name| case.name == name)) {
        let is_document = matches!(
            case.kind,
            Kind::Response | Kind::Form | Kind::Generated | Kind::Accepted | Kind::FormAccepted
        );
        let recipe = case.recipe.as_deref();
        if !is_document || recipe == Some("deflate-bomb") {
            continue;
        }
        let content = case.content(&folder)?;
        let run = || match recipe {
            Some("metadata") => case.metadata(&content).map(|it| it.err().map(Verdict::Refused)),
            _ => case.judge(&connections, &content).map(Some),
        };
        let before = Memory::reset()?;
        let begun = Instant::now();
        let verdict = run()?;
        let elapsed = begun.elapsed();
        let code = verdict.map_or("ok", |verdict| verdict.code());
        println!("{} {code} {} {}", case.name, elapsed.as_micros(), before.grown()?);
    }
    Ok(())
}

/// The memory of this process, by the kernel's count.
struct Memory {
    resident: u64,
}

impl Memory {
    /// Forgets the peak so far.
    fn reset() -> Result<Self> {
        std::fs::write("/proc/self/clear_refs", "5").context("/proc/self/clear_refs")?;
        Ok(Self { resident: status("VmRSS")? })
    }

    fn grown(&self) -> Result<u64> {
        Ok(status("VmHWM")?.saturating_sub(self.resident))
    }
}

fn status(field: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib: u64 = line.context("no such field")?.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

fn mutate(target: &str, seconds: &str, seed: &str) -> Result<()> {
    let run = auth_fuzz::target(target)
        .with_context(|| format!("targets are {}", auth_fuzz::TARGETS.map(|it| it.0).join(", ")))?;
    let length = Duration::from_secs(seconds.parse().context("SECONDS")?);
    let mut mutator = Mutator::new(seed.parse().context("SEED")?);
    let seeds = seeds(target)?;
    ensure!(!seeds.is_empty(), "no seeds for {target}");
    let (begun, mut rounds) = (Instant::now(), 0_u64);
    let mut accepted = 0_u64;
    while begun.elapsed() < length {
        for original in &seeds {
            let other = seeds.get(mutator.below(seeds.len())).context("a seed")?;
            accepted += u64::from(run(&mutator.mutate(original, other)));
            rounds += 1;
        }
    }
    println!("{target}: {rounds} mutants in {:?}, {accepted} accepted, no panic", begun.elapsed());
    Ok(())
}

/// The files of the corpus that are input for a target.
fn seeds(target: &str) -> Result<Vec<Vec<u8>>> {
    let wanted: &[(&str, &str)] = match target {
        "response" => &[("hostile", "xml"), ("genuine", "xml")],
        "metadata" => {
            &[("hostile/metadata", "xml"), ("genuine/metadata", "xml"), ("hostile", "33")]
        }
        "form" => &[("hostile", "form")],
        "redirect" => &[("hostile", "query"), ("hostile", "32")],
        _ => bail!("no target {target}"),
    };
    let mut found = Vec::new();
    for (name, kind) in wanted {
        let mut files: Vec<_> = std::fs::read_dir(folder(name))?
            .map(|entry| entry.map(|it| it.path()))
            .collect::<Result<_, _>>()?;
        files.sort();
        for file in files {
            let name = file.file_name().map(|it| it.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            if name.ends_with(&format!(".{kind}")) || name.starts_with(&format!("{kind}-")) {
                found.push(cases::read(file)?);
            }
        }
    }
    Ok(found)
}
