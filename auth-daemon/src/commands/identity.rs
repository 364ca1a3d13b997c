//! `user link`, `user unlink`, `user merge`: whose identity is whose, on an administrator's word.

use serde_json::json;

use super::{Context, user};
use crate::cli::IdentityArgument;
use crate::exit::Exit;
use crate::output;

/// `user link NAME --connector ID --subject S`.
pub(super) async fn link(
    context: &Context,
    name: &str,
    identity: &IdentityArgument,
    dry_run: bool,
) -> anyhow::Result<Exit> {
    let IdentityArgument { connector, subject } = identity;
    let broker = &context.broker;
    let is_new = broker.link_identity(name, connector, subject, dry_run, &context.origin).await?;
    output::message(&match (is_new, dry_run) {
        (false, _) => format!("{connector}:{subject} is linked to {name} already"),
        (true, true) => format!("{connector}:{subject} would be linked to {name}"),
        (true, false) => format!("{connector}:{subject} is linked to {name}"),
    });
    Ok(Exit::Done)
}

/// `user unlink NAME --connector ID --subject S`.
pub(super) async fn unlink(
    context: &Context,
    name: &str,
    identity: &IdentityArgument,
    dry_run: bool,
) -> anyhow::Result<Exit> {
    let IdentityArgument { connector, subject } = identity;
    context.broker.unlink_identity(name, connector, subject, dry_run, &context.origin).await?;
    let word = if dry_run { "would be" } else { "is" };
    output::message(&format!("{connector}:{subject} {word} taken away from {name}"));
    Ok(Exit::Done)
}

/// `user merge FROM INTO`.
pub(super) async fn merge(
    context: &Context,
    from: &str,
    into: &str,
    dry_run: bool,
    as_json: bool,
) -> anyhow::Result<Exit> {
    let (from, into) = context.broker.merge_accounts(from, into, dry_run, &context.origin).await?;
    let word = if dry_run { "would be" } else { "is" };
    output::message(&format!(
        "{} {word} closed and its sessions ended; {} {word} the owner of {} more identities \
         (those of local accounts and their passwords go)",
        from.account.username,
        into.account.username,
        from.identities.iter().filter(|one| one.connector != "local").count(),
    ));
    if as_json {
        let after = context.broker.show_account(&into.account.id.to_string()).await?;
        output::json(&json!({
            "dry_run": dry_run,
            "from": user::object(&from),
            "into": user::object(&after),
        }));
    }
    Ok(Exit::Done)
}
