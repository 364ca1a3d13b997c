//! What the answer to a person's bind means: result code (RFC 4511 appendix A), diagnostic text
//! (Active Directory's sub-codes) and the password policy response control together.
//!
//! OpenLDAP answers a bind with a password that must be changed with plain success, and a locked,
//! expired or wrong one with the same bare 49: only the control (draft-behera-ldap-password-policy
//! section 6.2) tells them apart, so the request control is always sent.

use super::ber::{SEQUENCE, element};
use super::failure::{Failure, FailureKind};
use crate::connector::Refusal;

/// OID of the password policy request and response control.
pub(super) const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";
/// OID of 389-ds's "password expired" response control (draft-vchu-ldap-pwd-policy).
pub(super) const PASSWORD_EXPIRED: &str = "2.16.840.1.113730.3.4.4";

/// The answer to a bind, as far as it is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BindAnswer {
    /// Result code.
    pub(super) code: u32,
    /// Diagnostic text.
    pub(super) diagnostic: String,
    /// Value of the password policy response control.
    pub(super) policy: Option<Vec<u8>>,
    /// Whether 389-ds's "password expired" control came.
    pub(super) expired_control: bool,
}

/// What a bind proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BindOutcome {
    /// Right password, and the account may be used.
    Accepted,
    /// Judged and refused.
    Refused(Refusal),
}

impl BindAnswer {
    /// Judges it.
    pub(super) fn judge(&self) -> Result<BindOutcome, Failure> {
        let policy = self.policy.as_deref().and_then(policy_error);
        let refused = |reason| Ok(BindOutcome::Refused(reason));
        match self.code {
            0 => match policy {
                Some(PolicyError::AccountLocked) => refused(Refusal::AccountLocked),
                Some(PolicyError::PasswordExpired) => refused(Refusal::PasswordExpired),
                Some(PolicyError::ChangeAfterReset) => refused(Refusal::PasswordMustChange),
                _ if self.expired_control => refused(Refusal::PasswordMustChange),
                _ => Ok(BindOutcome::Accepted),
            },
            49 => refused(match policy {
                Some(PolicyError::AccountLocked) => Refusal::AccountLocked,
                Some(PolicyError::PasswordExpired) => Refusal::PasswordExpired,
                Some(PolicyError::ChangeAfterReset) => Refusal::PasswordMustChange,
                _ if self.expired_control => Refusal::PasswordExpired,
                _ => active_directory(&self.diagnostic).unwrap_or(Refusal::WrongPassword),
            }),
            // 389-ds: retry limit reached; account inactivated by nsAccountLock.
            19 => refused(Refusal::AccountLocked),
            53 if self.diagnostic.to_ascii_lowercase().contains("inactivated") => {
                refused(Refusal::AccountDisabled)
            }
            // The entry has no password at all.
            48 => refused(Refusal::WrongPassword),
            32 => refused(Refusal::UnknownUser),
            code => Err(self.failure(code)),
        }
    }

    fn failure(&self, code: u32) -> Failure {
        let kind = match code {
            3 => FailureKind::Timeout,
            51 => FailureKind::Busy,
            1 | 52 | 80 => FailureKind::Unavailable,
            _ => FailureKind::BindRefused,
        };
        let repair = match code {
            8 | 13 => ": the server wants TLS; use ldaps:// or starttls = true",
            10 => ": the server refers the bind to another server; name that one in servers",
            34 => ": the name is no valid DN for this server",
            _ => "",
        };
        Failure::new(
            kind,
            format!(
                "the server did not judge the bind: result {code} ({}){repair}",
                self.diagnostic
            ),
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PolicyError {
    PasswordExpired,
    AccountLocked,
    ChangeAfterReset,
    Other,
}

/// The error of a `PasswordPolicyResponseValue`:
/// `SEQUENCE { warning [0] CHOICE {…} OPTIONAL, error [1] ENUMERATED OPTIONAL }`.
fn policy_error(value: &[u8]) -> Option<PolicyError> {
    let (tag, mut body, _) = element(value)?;
    if tag != SEQUENCE {
        return None;
    }
    while !body.is_empty() {
        let (tag, content, rest) = element(body)?;
        if tag == 0x81 {
            return Some(match content {
                [0] => PolicyError::PasswordExpired,
                [1] => PolicyError::AccountLocked,
                [2] => PolicyError::ChangeAfterReset,
                _ => PolicyError::Other,
            });
        }
        body = rest;
    }
    None
}

/// `80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, v1db1`
fn active_directory(diagnostic: &str) -> Option<Refusal> {
    let code = diagnostic.split("data ").nth(1)?.split(',').next()?.trim();
    Some(match code {
        "525" => Refusal::UnknownUser,
        "52e" => Refusal::WrongPassword,
        "530" => Refusal::LogonHours,
        "531" => Refusal::Workstation,
        "532" => Refusal::PasswordExpired,
        "533" => Refusal::AccountDisabled,
        "701" => Refusal::AccountExpired,
        "773" => Refusal::PasswordMustChange,
        "775" => Refusal::AccountLocked,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u32, diagnostic: &str, policy: Option<&[u8]>, expected: BindOutcome) {
        let answer = BindAnswer {
            code,
            diagnostic: diagnostic.to_owned(),
            policy: policy.map(<[u8]>::to_vec),
            expired_control: false,
        };
        assert_eq!(answer.judge().unwrap(), expected, "{answer:?}");
    }

    /// Values as a real server sent them.
    #[test]
    fn the_password_policy_control_decides() {
        use BindOutcome::{Accepted, Refused};
        check(0, "", None, Accepted);
        check(0, "", Some(&[0x30, 0x00]), Accepted);
        check(0, "", Some(&[0x30, 0x05, 0xa0, 0x03, 0x81, 0x01, 0x02]), Accepted);
        check(0, "", Some(&[0x30, 0x03, 0x81, 0x01, 0x02]), Refused(Refusal::PasswordMustChange));
        check(49, "", Some(&[0x30, 0x03, 0x81, 0x01, 0x01]), Refused(Refusal::AccountLocked));
        check(49, "", Some(&[0x30, 0x03, 0x81, 0x01, 0x00]), Refused(Refusal::PasswordExpired));
        check(49, "", Some(&[0x30, 0x00]), Refused(Refusal::WrongPassword));
        check(49, "", None, Refused(Refusal::WrongPassword));
        let both = [0x30, 0x08, 0xa0, 0x03, 0x81, 0x01, 0x02, 0x81, 0x01, 0x02];
        check(0, "", Some(&both), Refused(Refusal::PasswordMustChange));
    }

    #[test]
    fn a_malformed_control_accepts_nothing_that_the_code_refuses() {
        for value in [&[][..], &[0x30], &[0x30, 0x81, 0x01], &[0x30, 0x05, 0x81], &[0x04, 0x00]] {
            check(49, "", Some(value), BindOutcome::Refused(Refusal::WrongPassword));
        }
    }

    #[test]
    fn sub_codes_of_active_directory() {
        let cases = [
            ("525", Refusal::UnknownUser),
            ("52e", Refusal::WrongPassword),
            ("530", Refusal::LogonHours),
            ("531", Refusal::Workstation),
            ("532", Refusal::PasswordExpired),
            ("533", Refusal::AccountDisabled),
            ("701", Refusal::AccountExpired),
            ("773", Refusal::PasswordMustChange),
            ("775", Refusal::AccountLocked),
            ("999", Refusal::WrongPassword),
        ];
        for (code, reason) in cases {
            let text = format!(
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {code}, v1db1"
            );
            check(49, &text, None, BindOutcome::Refused(reason));
        }
    }

    #[test]
    fn answers_of_389_ds() {
        let text = "Account inactivated. Contact system administrator.";
        check(53, text, None, BindOutcome::Refused(Refusal::AccountDisabled));
        check(
            19,
            "Exceed password retry limit.",
            None,
            BindOutcome::Refused(Refusal::AccountLocked),
        );
        let expired = BindAnswer { code: 49, expired_control: true, ..BindAnswer::default() };
        assert_eq!(expired.judge().unwrap(), BindOutcome::Refused(Refusal::PasswordExpired));
        let reset = BindAnswer { expired_control: true, ..BindAnswer::default() };
        assert_eq!(reset.judge().unwrap(), BindOutcome::Refused(Refusal::PasswordMustChange));
    }

    #[test]
    fn everything_else_is_a_failure_and_no_judgement() {
        let kinds = [
            (51, FailureKind::Busy),
            (52, FailureKind::Unavailable),
            (3, FailureKind::Timeout),
            (8, FailureKind::BindRefused),
            (53, FailureKind::BindRefused),
            (12345, FailureKind::BindRefused),
        ];
        for (code, kind) in kinds {
            let answer = BindAnswer { code, ..BindAnswer::default() };
            assert_eq!(answer.judge().unwrap_err().kind, kind, "{code}");
        }
    }
}
