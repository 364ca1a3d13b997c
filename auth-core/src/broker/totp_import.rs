//! Taking over seeds that people set up in another program.

use super::enrolment::factor_added;
use super::{Broker, BrokerError};
use crate::audit::Origin;
use crate::factor::totp::{ImportLine, ImportProblem};
use crate::store::{AccountId, AccountRecord, FactorKind};

/// What becomes of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedLine {
    /// The line.
    pub number: usize,
    /// User name of the account.
    pub account: String,
    /// Whether the account gets the seed; `false` when it has an authenticator app already, which
    /// is left as it is.
    pub added: bool,
}

/// What an import did or would do.
#[derive(Debug, Default)]
pub struct TotpImport {
    /// Lines with an account, in the order of the file.
    pub lines: Vec<ImportedLine>,
    /// Lines that cannot be used. If there is one, nothing was imported.
    pub problems: Vec<ImportProblem>,
}

impl Broker {
    /// Gives accounts the seeds of `lines`, if all of them and none of `problems` can be used;
    /// with `dry_run` only says what would be done. An account that has an authenticator app
    /// keeps it, so a second run adds nothing.
    ///
    /// # Errors
    /// When the store fails; the accounts before have their seeds then, and a second run goes on.
    pub async fn import_totp(
        &self,
        lines: Vec<ImportLine>,
        problems: Vec<ImportProblem>,
        dry_run: bool,
        origin: &Origin,
    ) -> Result<TotpImport, BrokerError> {
        let mut import = TotpImport { lines: Vec::new(), problems };
        let mut wanted: Vec<(AccountRecord, ImportLine)> = Vec::new();
        let mut seen: Vec<(AccountId, usize)> = Vec::new();
        for line in lines {
            let number = line.number;
            let mut problem = |problem: String| {
                import.problems.push(ImportProblem { number, problem });
            };
            let account = match self.find_account(&line.account).await {
                Ok(account) => account,
                Err(BrokerError::Invalid { what, .. }) => {
                    problem(format!("{what}: there is none with this user name or e-mail address"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some((_, other)) = seen.iter().find(|(id, _)| *id == account.id) {
                problem(format!("is about the same account as line {other}; keep one"));
                continue;
            }
            seen.push((account.id, number));
            let factors = self.store.factors(&[account.id]).await?;
            let added = !factors.iter().any(|factor| factor.kind == FactorKind::Totp);
            import.lines.push(ImportedLine { number, account: account.username.clone(), added });
            if added {
                wanted.push((account, line));
            }
        }
        import.problems.sort_by_key(|problem| problem.number);
        if dry_run || !import.problems.is_empty() {
            return Ok(import);
        }
        for (account, line) in wanted {
            let now = self.now();
            let factor = self.totp_factor(account.id, &line.seed, None, now);
            let event = factor_added(&account, &factor, origin, now).with("imported", true);
            self.store.add_factor(factor, None, vec![event.clone()]).await?;
            self.tell(&account, event).await;
        }
        Ok(import)
    }
}
