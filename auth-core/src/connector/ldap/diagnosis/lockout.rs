//! After how many wrong passwords the directory locks an account, against our own limit: whoever
//! may guess more often through us could lock a colleague out of everything.

use ldap3::Scope;

use super::super::directory::Directory;
use super::super::entry::Entry;
use super::super::failure::Failure;
use super::super::preset::Preset;
use super::super::server::Server;
use super::Steps;

/// Active Directory's threshold stands in the domain's own entry (MS-ADTS 3.1.1.5.3.2).
const DOMAIN: [&str; 1] = ["lockoutThreshold"];
/// Password policies of OpenLDAP (draft-behera-ldap-password-policy) and FreeIPA.
const POLICY: [&str; 3] = ["krbPwdMaxFailure", "pwdLockout", "pwdMaxFailure"];
const POLICIES: &str = "(|(objectClass=pwdPolicy)(objectClass=krbPwdPolicy))";

impl Steps {
    /// `lockout`.
    pub(super) async fn lockout(
        &mut self,
        directory: &Directory,
        server: &Server,
        ours: Option<u32>,
    ) {
        match threshold(directory, server).await {
            // Not everybody may read a policy, and that is no fault.
            Err(failure) => self.good("lockout", format!("not readable: {}", failure.message)),
            Ok(None) => self.good("lockout", "no threshold is readable".to_owned()),
            Ok(Some(theirs)) => match ours {
                Some(ours) if i64::from(ours) >= theirs => self.bad(
                    "lockout",
                    format!(
                        "the directory locks an account after {theirs} wrong passwords, and \
                         throttle.failures_per_account lets {ours} through"
                    ),
                    "set throttle.failures_per_account below the directory's threshold, so that \
                     nobody can lock a colleague out of the directory from the sign-in page",
                ),
                Some(ours) => self.good(
                    "lockout",
                    format!(
                        "the directory locks an account after {theirs} wrong passwords; \
                         throttle.failures_per_account stops at {ours}"
                    ),
                ),
                None => self.good(
                    "lockout",
                    format!("the directory locks an account after {theirs} wrong passwords"),
                ),
            },
        }
    }
}

/// The smallest threshold that can be read; `None`: none, or no lockout.
async fn threshold(directory: &Directory, server: &Server) -> Result<Option<i64>, Failure> {
    let base = &directory.settings().base_dn;
    let suffix = directory.naming_context(server, base).await?;
    let (scope, filter, attributes) = match directory.settings().preset {
        Preset::ActiveDirectory => (Scope::Base, "(objectClass=*)", &DOMAIN[..]),
        _ => (Scope::Subtree, POLICIES, &POLICY[..]),
    };
    let request = directory.request(&suffix, scope, filter, attributes);
    let found = server.search(&request).await?.complete("reading the lockout policy")?;
    Ok(found.iter().filter_map(of_entry).min())
}

fn of_entry(entry: &Entry) -> Option<i64> {
    let locks = entry.first("pwdLockout").is_none_or(|_| entry.is_true("pwdLockout"));
    let own = if entry.first("pwdMaxFailure").is_some() {
        locks.then(|| entry.number("pwdMaxFailure")).flatten()
    } else {
        entry.number("lockoutThreshold").or_else(|| entry.number("krbPwdMaxFailure"))
    };
    own.filter(|&threshold| threshold > 0)
}

#[cfg(test)]
mod tests {
    use super::super::super::entry::tests::entry;
    use super::*;

    #[test]
    fn thresholds() {
        let check = |attributes: &[(&str, &[&str])], expected: Option<i64>| {
            assert_eq!(of_entry(&entry("cn=p", attributes)), expected, "{attributes:?}");
        };
        check(&[("pwdLockout", &["TRUE"]), ("pwdMaxFailure", &["5"])], Some(5));
        check(&[("pwdLockout", &["FALSE"]), ("pwdMaxFailure", &["5"])], None);
        check(&[("pwdMaxFailure", &["0"])], None);
        check(&[("lockoutThreshold", &["3"])], Some(3));
        check(&[("lockoutThreshold", &["0"])], None);
        check(&[("krbPwdMaxFailure", &["6"])], Some(6));
        check(&[], None);
    }
}
