//! `user …`, `session …`

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

/// `user …`
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// List accounts.
    List {
        /// Only accounts without a second factor.
        #[arg(long)]
        without_factor: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show an account.
    Show {
        /// User name.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make an account with a local password.
    Create(CreateUser),
    /// End an account's sessions and refuse its sign-ins.
    Disable {
        /// User name.
        name: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a disabled account sign in again.
    Enable {
        /// User name.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set the local password of an account; its sessions end.
    SetPassword {
        /// User name.
        name: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Read the password from standard input instead of asking for it.
        #[arg(long)]
        password_stdin: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove all second factors of an account.
    ResetMfa {
        /// User name.
        name: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take over the authenticator apps that people set up in another program: a file of otpauth
    /// URIs, of lines `email,secret` or of JSON objects; `-` for standard input.
    ImportTotp {
        /// The file.
        file: PathBuf,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Link an identity of a connector to an account.
    Link {
        /// User name.
        name: String,
        #[command(flatten)]
        identity: IdentityArgument,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Take an identity away from an account.
    Unlink {
        /// User name.
        name: String,
        #[command(flatten)]
        identity: IdentityArgument,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Move accounts from one connector to another, or undo that.
    Migrate(MigrateUsers),
    /// Give an account's identities to another one and close it.
    Merge {
        /// User name of the account to close.
        from: String,
        /// User name of the account that stays.
        into: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make accounts from the lines of Mattermost's bulk import; those that are there already stay
    /// as they are. Nothing is made when a line is wrong.
    Import {
        /// The file; `-` for standard input.
        file: PathBuf,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write accounts to standard output.
    Export {
        /// `json`, or `mattermost`: lines for its bulk import.
        #[arg(long, value_enum, value_name = "FORMAT", default_value = "json")]
        format: ExportFormat,
        /// With `mattermost`: use the user names that people have at this client.
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What `user export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// The objects of `user list --json`.
    Json,
    /// Lines for Mattermost's bulk import.
    Mattermost,
}

/// `user create …`
#[derive(Debug, Args)]
pub(crate) struct CreateUser {
    /// User name.
    pub(crate) name: String,
    /// E-mail address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// Given name.
    #[arg(long, value_name = "NAME")]
    pub(crate) first_name: Option<String>,
    /// Family name.
    #[arg(long, value_name = "NAME")]
    pub(crate) last_name: Option<String>,
    /// Nickname or display name.
    #[arg(long, value_name = "NAME")]
    pub(crate) nickname: Option<String>,
    /// Position, e.g. a job title.
    #[arg(long, value_name = "TEXT")]
    pub(crate) position: Option<String>,
    /// Language, as a BCP 47 tag.
    #[arg(long, value_name = "TAG")]
    pub(crate) locale: Option<String>,
    /// Role: administrator, member or guest; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<String>,
    /// Group; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// Number for clients of kind gitlab; for a site that moves here. Default: the next one.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) numeric_id: Option<i64>,
    /// Read the password from standard input instead of asking for it.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `user migrate …`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["from", "undo"]))]
pub(crate) struct MigrateUsers {
    /// Connector to move from.
    #[arg(long, value_name = "ID", requires = "to", requires = "match_by")]
    pub(crate) from: Option<String>,
    /// Connector to move to.
    #[arg(long, value_name = "ID", conflicts_with = "undo")]
    pub(crate) to: Option<String>,
    /// What of an account finds its new subject: username, email (verified ones only), id, or
    /// subject (the one at the old connector). A directory is searched for it; at other
    /// connectors it is the subject, unless --to-subjects says which one.
    #[arg(long = "match", value_name = "ATTR", conflicts_with = "undo")]
    pub(crate) match_by: Option<String>,
    /// CSV file with two columns and no header: the value of --match, and the new subject.
    #[arg(long, value_name = "FILE", conflicts_with = "undo")]
    pub(crate) to_subjects: Option<PathBuf>,
    /// Where to write what undoes it. Default: `migrate-FROM-TO.undo.json`; never overwritten.
    #[arg(long, value_name = "FILE", conflicts_with = "undo")]
    pub(crate) undo_file: Option<PathBuf>,
    /// Undo what this file names.
    #[arg(long, value_name = "FILE")]
    pub(crate) undo: Option<PathBuf>,
    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// An identity: connector and stable subject.
#[derive(Debug, Args)]
pub(crate) struct IdentityArgument {
    /// The connector.
    #[arg(long, value_name = "ID")]
    pub(crate) connector: String,
    /// The stable subject there.
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: String,
}

/// `session …`
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List live sessions.
    List {
        /// Only of this account.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End sessions.
    #[command(group = ArgGroup::new("which").required(true).args(["session", "user", "all"]))]
    Revoke {
        /// The handle of one session, as `session list` shows it.
        session: Option<String>,
        /// All of this account.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// All of everybody.
        #[arg(long)]
        all: bool,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
