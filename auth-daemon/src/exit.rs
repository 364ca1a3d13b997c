//! Exit codes of the command line.

use std::process::{ExitCode, Termination};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done.
    Done,
    /// 1: failed.
    Failed,
    /// 2: finished, with conflicts or findings.
    Findings,
    /// 3: refused by a safety rule; nothing was changed.
    Refused,
    /// 64: the command line is wrong.
    Usage,
    /// 78: the configuration is wrong.
    Configuration,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Findings => 2,
            Self::Refused => 3,
            Self::Usage => 64,
            Self::Configuration => 78,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
