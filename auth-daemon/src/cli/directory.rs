//! `sync …`, `ldap …`, `saml …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The directory that a command is about.
#[derive(Debug, Args)]
pub(crate) struct DirectoryArgument {
    /// Id of the directory.
    #[arg(long, value_name = "ID")]
    pub(crate) directory: String,
}

/// What a synchronisation reads.
#[derive(Debug, Args)]
pub(crate) struct ReadArguments {
    /// Read everybody (the default).
    #[arg(long, conflicts_with = "incremental")]
    pub(crate) full: bool,
    /// Read only what changed since the last run.
    #[arg(long)]
    pub(crate) incremental: bool,
}

/// `sync …`
#[derive(Debug, Subcommand)]
pub(crate) enum SyncCommand {
    /// Show what a run would change.
    Plan {
        #[command(flatten)]
        directory: DirectoryArgument,
        #[command(flatten)]
        read: ReadArguments,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Synchronise.
    Run {
        #[command(flatten)]
        directory: DirectoryArgument,
        #[command(flatten)]
        read: ReadArguments,
        /// Go on although the plan would deactivate more people than the brake allows.
        #[arg(long)]
        override_brake: bool,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the last run and the next.
    Status {
        #[command(flatten)]
        directory: DirectoryArgument,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show past runs, newest first.
    History {
        #[command(flatten)]
        directory: DirectoryArgument,
        /// At most so many.
        #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
        lines: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `ldap …`
#[derive(Debug, Subcommand)]
pub(crate) enum LdapCommand {
    /// Diagnose a directory step by step.
    Test {
        #[command(flatten)]
        directory: DirectoryArgument,
        /// Look this person up, and sign in when a password is given.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Read the person's password from standard input.
        #[arg(long, requires = "user")]
        password_stdin: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Move accounts to another id attribute.
    MigrateId {
        #[command(flatten)]
        directory: DirectoryArgument,
        /// The new id attribute.
        #[arg(long, value_name = "ATTR", required_unless_present = "undo_from")]
        to: Option<String>,
        /// Where the undo file goes. Default: a new file in the working folder.
        #[arg(long, value_name = "FILE", conflicts_with = "undo_from")]
        undo: Option<PathBuf>,
        /// Take back what this undo file says.
        #[arg(long, value_name = "FILE", conflicts_with = "to")]
        undo_from: Option<PathBuf>,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The SAML connection that a command is about.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArgument {
    /// Id of the connection.
    #[arg(long, value_name = "ID")]
    pub(crate) connection: String,
}

/// `saml …`
#[derive(Debug, Subcommand)]
pub(crate) enum SamlCommand {
    /// Print our metadata.
    Metadata {
        #[command(flatten)]
        connection: ConnectionArgument,
    },
    /// Take over an identity provider's metadata.
    Import {
        #[command(flatten)]
        connection: ConnectionArgument,
        /// The metadata: a file, or an https URL.
        source: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Judge a captured response.
    Inspect {
        #[command(flatten)]
        connection: ConnectionArgument,
        /// Judge it as at this moment.
        #[arg(long, value_name = "RFC3339")]
        at: Option<String>,
        /// The request that it has to answer; empty: there is none.
        #[arg(long, value_name = "ID")]
        in_response_to: Option<String>,
        /// The response: XML, base64 as posted, or the form body.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Accept changed keys of an identity provider.
    ApproveKeys {
        #[command(flatten)]
        connection: ConnectionArgument,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make another key of ours, or withdraw one.
    RotateKey {
        #[command(flatten)]
        connection: ConnectionArgument,
        /// Withdraw this key instead of making one.
        #[arg(long, value_name = "SHA256")]
        retire: Option<String>,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the values to paste at the identity provider.
    Setup {
        #[command(flatten)]
        connection: ConnectionArgument,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
