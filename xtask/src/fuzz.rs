//! `cargo xtask fuzz`: each target of `fuzz/` for some time, with the corpus of `fixtures/saml` as
//! seeds. Without a nightly compiler or cargo-fuzz, the same targets run in a plain loop of
//! mutations, which sees panics and wrong acceptances but is not led by coverage.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::steps::{build_programs, finish, programs, workspace};

/// A target by its name, and where its seeds are.
struct Target {
    name: &'static str,
    seeds: &'static [Seeds],
}

/// Files of a folder below `fixtures/saml`, by start and end of their names.
struct Seeds {
    folder: &'static str,
    start: &'static str,
    end: &'static str,
}

const TARGETS: [Target; 4] = [
    Target {
        name: "response",
        seeds: &[seeds("hostile", "", ".xml"), seeds("genuine", "", ".xml")],
    },
    Target {
        name: "metadata",
        seeds: &[
            seeds("hostile", "33-", ".xml"),
            seeds("hostile/metadata", "", ".xml"),
            seeds("genuine/metadata", "", ".xml"),
        ],
    },
    Target {
        name: "redirect",
        seeds: &[seeds("hostile", "", ".query"), seeds("hostile", "32-", ".xml")],
    },
    Target { name: "form", seeds: &[seeds("hostile", "", ".form")] },
];

const fn seeds(folder: &'static str, start: &'static str, end: &'static str) -> Seeds {
    Seeds { folder, start, end }
}

/// What leads the mutations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Led {
    /// What the last ones reached: cargo-fuzz.
    ByCoverage,
    /// Chance.
    ByChance,
}

/// Runs every target for `seconds`.
pub(crate) fn run(seconds: u32) -> Result<Led, Failure> {
    if can_be_led_by_coverage() {
        TARGETS.iter().try_for_each(|target| by_coverage(target, seconds))?;
        return Ok(Led::ByCoverage);
    }
    println!("no nightly compiler with cargo-fuzz: a plain loop of mutations instead");
    build_programs(crate::steps::Profile::Debug)?;
    // A new seed each day, and the same all day: what was found is found again.
    let seed = day();
    for Target { name: target, .. } in TARGETS {
        let mut command = Command::new(programs(false)?.join("saml_corpus"));
        command.args(["mutate", target, &seconds.to_string(), &seed.to_string()]);
        finish(&format!("mutations of {target}, seed {seed}"), command.current_dir(workspace()))?;
    }
    Ok(Led::ByChance)
}

fn can_be_led_by_coverage() -> bool {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn by_coverage(target: &Target, seconds: u32) -> Result<(), Failure> {
    let Target { name: target, seeds } = target;
    // Found inputs go into a folder of their own; the seeds are copied, so that none is changed.
    let corpus = workspace().join("fuzz/corpus").join(target);
    let failed =
        |path: &Path, error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(&corpus).map_err(|error| failed(&corpus, error))?;
    for Seeds { folder, start, end } in *seeds {
        let folder = workspace().join("fixtures/saml").join(folder);
        for entry in std::fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
            let path: PathBuf = entry.map_err(|error| failed(&folder, error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(*start) && name.ends_with(*end) {
                std::fs::copy(&path, corpus.join(&name)).map_err(|error| failed(&path, error))?;
            }
        }
    }
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz", "run", target, "--", "-max_len=65536"]);
    command.arg(format!("-max_total_time={seconds}"));
    finish(&format!("fuzzing {target}"), command.current_dir(workspace()))
}

/// Days since 1970.
#[expect(clippy::disallowed_methods, reason = "a seed, not a rule")]
fn day() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs() / 86_400)
}
