//! Settings that this version reads and judges but does not act upon. A client that relies on one
//! is refused: a security setting that is silently ignored is worse than none.

use super::kind::{ClientKind, SubjectType, TokenEndpointAuthMethod};
use super::raw::RawClient;
use crate::config::finding::{KeyPath, Problems};

pub(super) fn refuse(raw: &RawClient, at: &KeyPath, problems: &mut Problems) {
    if !matches!(raw.kind, ClientKind::Oidc | ClientKind::Gitlab) {
        problems.error(
            &at.key("kind"),
            format!("clients of kind \"{}\" are not available in this version", raw.kind.as_str()),
            "use kind = \"oidc\" or \"gitlab\", or remove the client",
        );
    }
    let keys = [
        ("jwks_file", raw.jwks_file.is_some()),
        ("hosts", !raw.hosts.is_empty()),
        ("subject_type", raw.subject_type == SubjectType::Pairwise),
        (
            "token_endpoint_auth_method",
            raw.token_endpoint_auth_method == Some(TokenEndpointAuthMethod::PrivateKeyJwt),
        ),
    ];
    for (key, _) in keys.into_iter().filter(|(_, is_used)| *is_used) {
        problems.error(
            &at.key(key),
            "is not available in this version: nothing would act upon it",
            match key {
                "subject_type" => "use \"public\"",
                "token_endpoint_auth_method" => "use a secret",
                _ => "remove it",
            },
        );
    }
}
