//! The command line, as clap definitions. Every listing takes `--json`, every destructive command
//! `--dry-run`; what is wrong with a command line ends with exit code 64.

mod accounts;
mod clients;
mod directory;
mod keys;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::exit::Exit;
pub(crate) use accounts::{
    CreateUser, ExportFormat, IdentityArgument, MigrateUsers, SessionCommand, UserCommand,
};
pub(crate) use clients::{AddClient, ClaimsCommand, ClientCommand, Deliveries};
pub(crate) use directory::{LdapCommand, ReadArguments, SamlCommand, SyncCommand};
pub(crate) use keys::{AuditCommand, KeyCommand, TokenCommand};

/// Single sign-on for a chat server: LDAP, SAML and local accounts, handed on by OpenID Connect.
#[derive(Debug, Parser)]
#[command(name = "auth-daemon", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Configuration file. Default: AUTH_DAEMON_CONFIG, ./auth-daemon.toml,
    /// /etc/auth-daemon/auth-daemon.toml.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The exit code when there is nothing to run: help or version was asked for (and printed),
    /// or the command line is wrong (and clap said how).
    pub(crate) fn from_arguments(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, Exit> {
        Self::try_parse_from(arguments).map_err(|error| {
            // A closed pipe is no reason to change the exit code.
            let _ = error.print();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
                _ => Exit::Usage,
            }
        })
    }
}

/// The command groups.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon (applies migrations first).
    Serve,
    /// The configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Directory synchronisation.
    #[command(subcommand)]
    Sync(SyncCommand),
    /// Directories.
    #[command(subcommand)]
    Ldap(LdapCommand),
    /// SAML connections.
    #[command(subcommand)]
    Saml(SamlCommand),
    /// Accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// Sessions.
    #[command(subcommand)]
    Session(SessionCommand),
    /// Chat servers and other relying parties.
    #[command(subcommand)]
    Client(ClientCommand),
    /// What clients are told.
    #[command(subcommand)]
    Claims(ClaimsCommand),
    /// Signing keys and sealing keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// API tokens of the administration listener.
    #[command(subcommand)]
    Token(TokenCommand),
    /// The audit trail.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Copy an SQLite store while it runs.
    Backup {
        /// Where to.
        file: PathBuf,
    },
    /// Put a copy back.
    Restore {
        /// Where from.
        file: PathBuf,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// The administration console.
    #[command(hide = true)]
    Console,
}

/// `config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Write a commented starter file.
    Init {
        /// Where to. Default: the file of --config, else ./auth-daemon.toml.
        file: Option<PathBuf>,
        /// Overwrite a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Check the file, its secrets, and whether store and directories answer.
    Check {
        /// Do not connect to anything.
        #[arg(long)]
        offline: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON schema of the file.
    Schema {
        /// Print the reference page instead.
        #[arg(long)]
        markdown: bool,
    },
}
