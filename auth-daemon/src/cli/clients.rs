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
    /// Check what the access token at a Mattermost server may do, and whether the settings of both
    /// sides fit together; changes nothing there.
    Check {
        /// Id of the client.
        #[arg(long = "client", value_name = "ID")]
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List what a client has still to be told, and what was given up.
    Deliveries(Deliveries),
    /// Take over the accounts that a chat server has.
    #[command(group = ArgGroup::new("step").required(true).args(["plan", "apply"]))]
    Adopt {
        /// Id of the client.
        #[arg(long = "client", value_name = "ID")]
        id: String,
        /// Write a plan to this file, for a person to read.
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
        /// Carry out the plan of this file.
        #[arg(long, value_name = "FILE")]
        apply: Option<PathBuf>,
        /// For the plan: adopt this system administrator or bot too, by its user name there; may
        /// be repeated.
        #[arg(long, value_name = "NAME", requires = "plan")]
        include: Vec<String>,
        /// For the plan: match by addresses too that the server never saw proved.
        #[arg(long, requires = "plan")]
        accept_unverified: bool,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `client deliveries …` and the like.
#[derive(Debug, Args)]
pub(crate) struct Deliveries {
    /// Id of the client. Without it, all destinations with what waits there.
    #[arg(long = "client", value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Try those again that were given up.
    #[arg(long, requires = "id")]
    pub(crate) retry: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `client add …`
#[derive(Debug, Args)]
pub(crate) struct AddClient {
    /// Its id.
    pub(crate) id: String,
    /// Its name for people.
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// By which protocol it is served: oidc or gitlab.
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
    /// Where logout tokens are posted, for kind oidc.
    #[arg(long, value_name = "URI")]
    pub(crate) backchannel_logout_uri: Option<String>,
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
