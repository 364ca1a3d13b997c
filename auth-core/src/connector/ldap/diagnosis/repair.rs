//! What an administrator is told to do about a failed step.

use super::super::failure::{Failure, FailureKind};

/// About a connection that did not come about.
pub(super) fn tls_repair(failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::Tls if failure.message.contains("UnknownIssuer") => {
            "name the directory's certificate authority in ca_file, or pin the certificate"
        }
        FailureKind::Tls if failure.message.contains("not valid for name") => {
            "the certificate is for other names: use one of them in servers, or renew it with this name"
        }
        FailureKind::Tls if failure.message.contains("Expired") => "renew the server's certificate",
        FailureKind::Tls if failure.message.contains("StartTLS") => {
            "set up TLS at the server, or use ldaps://"
        }
        FailureKind::Tls => "compare the certificate with ca_file or pinned_certificate_sha256",
        _ => "check that this port speaks TLS: ldaps:// is usually 636, StartTLS 389",
    }
}

/// About a refused login, by the word of the audit trail.
pub(super) fn login_repair(reason: &str) -> &'static str {
    match reason {
        "unknown_user" => {
            "check login_attributes and user_filter; the person may be below another base_dn"
        }
        "ambiguous_user" => "make the login attributes unique, or use fewer of them",
        "wrong_password" => "the directory refused the password",
        "account_locked" => "unlock the account in the directory",
        "account_disabled" | "account_expired" => "enable the account in the directory",
        "password_expired" | "password_must_change" => {
            "the person has to change the password in the directory first"
        }
        "missing_id" | "missing_attribute" => {
            "check the attributes table and the rights of the service account"
        }
        "empty_password" | "malformed_input" => "give a name and a password",
        _ => "see the detail",
    }
}
