//! `client …`, `claims …`

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

/// `client …`
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// List clients of the file and of the store.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a client.
    Show {
        /// Its id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add a client to the store; its secret is printed once.
    Add(AddClient),
    /// Give a client of the store a new secret, which is printed once.
    RotateSecret {
        /// Its id.
        id: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a client from the store; its sessions end.
    Remove {
        /// Its id.
        id: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check a client's settings against the chat server.
    Check {
        /// Its id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take over the accounts that a chat server has.
    #[command(group = ArgGroup::new("step").required(true).args(["plan", "apply"]))]
    Adopt {
        /// Its id.
        id: String,
        /// Write a plan to this file, for a person to read.
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
        /// Carry out the plan of this file.
        #[arg(long, value_name = "FILE")]
        apply: Option<PathBuf>,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `client add …`
#[derive(Debug, Args)]
pub(crate) struct AddClient {
    /// Its id.
    pub(crate) id: String,
    /// Its name for people.
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// By which protocol it is served: oidc, gitlab, forward-auth or session-api.
    #[arg(long, value_name = "KIND", default_value = "oidc")]
    pub(crate) kind: String,
    /// Where browsers return to with a code; may be repeated.
    #[arg(long = "redirect-uri", value_name = "URI")]
    pub(crate) redirect_uris: Vec<String>,
    /// Where a sign-out may return to; may be repeated.
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// A host behind the reverse proxy, for `forward-auth`; may be repeated.
    #[arg(long = "host", value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// A group of which somebody has to be to sign in to it; may be repeated. Default: all may.
    #[arg(long = "allowed-group", value_name = "GROUP")]
    pub(crate) allowed_groups: Vec<String>,
    /// A scope that it may ask for; may be repeated. Default: all.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// A client that can keep no secret.
    #[arg(long)]
    pub(crate) public: bool,
    /// Algorithm of its ID tokens: RS256 or EdDSA.
    #[arg(long, value_name = "ALG", default_value = "RS256")]
    pub(crate) id_token_alg: String,
    /// What sort of session it gets: web, mobile, desktop or sso.
    #[arg(long, value_name = "KIND", default_value = "web")]
    pub(crate) session_kind: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `claims …`
#[derive(Debug, Subcommand)]
pub(crate) enum ClaimsCommand {
    /// Show what a client would be told of a person.
    Preview {
        /// User name.
        #[arg(long, value_name = "NAME")]
        user: String,
        /// Id of the client.
        #[arg(long, value_name = "ID")]
        client: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
