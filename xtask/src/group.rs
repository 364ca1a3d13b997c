//! `cargo xtask test --group NAME`: tests that need a program too large for every run, each group a
//! test program of its own.

use std::process::Command;

use crate::Failure;
use crate::audit::Outcome;
use crate::packages::{self, Use};
use crate::steps::{self, Profile, cargo, finish, programs};

/// A group: the test program, what has to run for it, and the Debian packages that have it.
struct Group {
    name: &'static str,
    needs: &'static [(&'static str, &'static str, &'static str)],
}

const GROUPS: [Group; 1] = [Group {
    name: "keycloak",
    needs: &[("java", "-version", "default-jre-headless"), ("mvn", "-version", "maven")],
}];

/// Runs a group; says why where it cannot run.
pub(crate) fn run(name: &str) -> Result<Outcome, Failure> {
    let Some(group) = GROUPS.iter().find(|group| group.name == name) else {
        let names: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
        let message = format!("no group {name}; there are {}", names.join(", "));
        return Err(Failure { code: 64, message });
    };
    for (program, argument, package) in group.needs {
        if !runs(program, argument) {
            let installed = packages::install_these(&[package]);
            if installed.is_err() || !runs(program, argument) {
                let reason = format!("{program} does not run; its Debian package is {package}");
                return Ok(Outcome::Skipped(reason));
            }
        }
    }
    packages::install(Use::Tests)?;
    steps::build_programs(Profile::Debug)?;
    let mut tests = cargo(&["test", "--workspace", "--test", group.name]);
    finish(group.name, tests.env("AUTH_BINARIES", programs(false)?))?;
    Ok(Outcome::Passed)
}

fn runs(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_group_is_no_success() {
        assert!(run("everything").is_err_and(|failure| failure.code == 64));
    }

    #[test]
    fn every_group_is_a_test_program_outside_of_the_usual_run() {
        let manifest = steps::workspace().join("tests/Cargo.toml");
        let text = std::fs::read_to_string(manifest).unwrap();
        for Group { name, .. } in GROUPS {
            let found =
                text.split("[[test]]").find(|it| it.contains(&format!("name = \"{name}\"")));
            assert!(found.is_some_and(|it| it.contains("test = false")), "{name}");
        }
    }
}
