//! The steps of the commands, each a program that runs in the foreground: Ctrl-C reaches it, and
//! its exit code is ours.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::Failure;

/// Pages that the program writes itself, and how it is asked for them.
const WRITTEN: &[(&str, &[&str])] = &[
    ("docs/config-schema.json", &["config", "schema"]),
    ("docs/configuration.md", &["config", "schema", "--markdown"]),
];

pub(crate) fn format() -> Result<(), Failure> {
    finish("format", &mut cargo(&["fmt", "--all", "--check"]))
}

pub(crate) fn lints() -> Result<(), Failure> {
    finish(
        "lints",
        &mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    )?;
    // Groups of tests that are not part of every run are no part of all targets either.
    let groups = ["clippy", "--workspace", "--test", "keycloak", "--", "-D", "warnings"];
    finish("lints of the test groups", &mut cargo(&groups))?;
    // The library builds without its features too.
    let alone = ["clippy", "-p", "auth-core", "--no-default-features", "--", "-D", "warnings"];
    finish("lints of the library without features", &mut cargo(&alone))
}

pub(crate) fn documentation() -> Result<(), Failure> {
    let mut command = cargo(&["doc", "--workspace", "--no-deps"]);
    finish("documentation", command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// How programs are built.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// For tests and the demo.
    Debug,
    /// For measuring, which needs no example.
    Release,
}

pub(crate) fn build_programs(profile: Profile) -> Result<(), Failure> {
    let mut command = cargo(&["build", "--bins"]);
    // Not `--workspace`: this program is running and cannot be written.
    command.args(["-p", "auth-daemon", "-p", "auth-tests"]);
    match profile {
        Profile::Debug => command.args(["-p", "auth-examples"]),
        Profile::Release => command.arg("--release"),
    };
    finish("build", &mut command)
}

pub(crate) fn tests(filter: Option<&str>) -> Result<(), Failure> {
    let mut command = cargo(&["test", "--workspace"]);
    command.args(filter).env("AUTH_BINARIES", programs(false)?);
    finish("tests", &mut command)
}

/// Becomes one of the workspace's own programs: Ctrl-C and the exit code are then its own. Returns
/// only when it cannot be started.
pub(crate) fn become_program(name: &str, release: bool, arguments: &[&str]) -> Failure {
    let folder = match programs(release) {
        Ok(folder) => folder,
        Err(failure) => return failure,
    };
    let mut command = Command::new(folder.join(name));
    command.args(arguments).env("AUTH_BINARIES", &folder).current_dir(workspace());
    println!("==> {}", show(&command));
    let error = command.exec();
    cannot_start(&command, &error)
}

/// Writes schema and reference of the configuration, as the program knows them.
pub(crate) fn schema() -> Result<(), Failure> {
    finish("build", &mut cargo(&["build", "-p", "auth-daemon"]))?;
    for (page, arguments) in WRITTEN {
        let mut command = Command::new(programs(false)?.join("auth-daemon"));
        command.args(*arguments);
        let output = command.output().map_err(|error| cannot_start(&command, &error))?;
        check(page, output.status)?;
        let written = std::fs::write(workspace().join(page), output.stdout);
        written.map_err(|error| Failure::new(format!("{page}: {error}")))?;
    }
    Ok(())
}

/// Compares with another SAML library, which has a workspace of its own.
pub(crate) fn second_opinion() -> Result<(), Failure> {
    let manifest = workspace().join("tests/second-opinion/Cargo.toml");
    finish("second opinion", cargo(&["run", "--quiet", "--manifest-path"]).arg(manifest))
}

/// Runs the generator of the SAML corpus, with the packages that it pins, and compares.
pub(crate) fn fixtures() -> Result<(), Failure> {
    let corpus = workspace().join("fixtures/saml");
    let home = programs(false)?.join("saml-corpus-python");
    let python = home.join("bin/python");
    if !python.exists() {
        finish("python", Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "-r"]).arg(corpus.join("requirements.txt"));
    finish("packages of the generator", &mut install)?;
    finish("generator", Command::new(&python).arg(corpus.join("generate.py")))?;
    let mut compare = Command::new("git");
    compare.args(["status", "--porcelain", "--"]).arg(&corpus).current_dir(workspace());
    let output = compare.output().map_err(|error| cannot_start(&compare, &error))?;
    check("git status", output.status)?;
    let changed = String::from_utf8_lossy(&output.stdout);
    if changed.trim().is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("the corpus changed:\n{changed}")))
}

/// Runs a command to its end.
pub(crate) fn finish(step: &str, command: &mut Command) -> Result<(), Failure> {
    println!("==> {step}: {}", show(command));
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    check(step, status)
}

/// The command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or(program.as_os_str()).to_string_lossy()];
    // A script among the arguments is no line.
    words.extend(command.get_args().map(|it| it.to_string_lossy()).filter(|it| !it.contains('\n')));
    words.join(" ")
}

fn check(step: &str, status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(Failure { code, message: format!("{step} failed ({status})") })
}

fn cannot_start(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be started: {error}", show(command)))
}

pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(workspace());
    command
}

pub(crate) fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Where the programs are built: beside this one, which stands in `debug`.
pub(crate) fn programs(release: bool) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|error| Failure::new(error.to_string()))?;
    let target = own.ancestors().nth(2).ok_or_else(|| Failure::new("no build folder"))?;
    Ok(target.join(if release { "release" } else { "debug" }))
}
