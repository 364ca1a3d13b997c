//! `key …`, `token …`, `audit …`

use std::path::PathBuf;

use clap::Subcommand;

/// `key …`
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List signing keys and sealing keys.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make new keys; the old ones stay until they are retired.
    Rotate {
        /// Seal everything in the store with the new sealing key.
        #[arg(long)]
        reseal: bool,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a key that nothing uses any more.
    Retire {
        /// Its id.
        id: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `token …`
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List API tokens.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make an API token; its secret is printed once.
    Create {
        /// What it may do: read, users, sessions, configuration; may be repeated.
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke an API token.
    Revoke {
        /// Its id.
        id: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `audit …`
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show the latest events.
    Tail {
        /// So many.
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
        lines: usize,
        /// Go on with new events as they come.
        #[arg(short, long)]
        follow: bool,
        /// Print JSON, one event a line.
        #[arg(long)]
        json: bool,
    },
    /// Write events, one a line.
    Export {
        /// Only from this moment on.
        #[arg(long, value_name = "RFC3339")]
        since: Option<String>,
        /// Only before this moment.
        #[arg(long, value_name = "RFC3339")]
        until: Option<String>,
        /// Where to. Default: standard output.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Print JSON, one event a line.
        #[arg(long)]
        json: bool,
    },
    /// Check that nothing was taken out of the trail.
    Verify {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
