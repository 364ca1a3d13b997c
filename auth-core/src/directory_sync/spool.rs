//! People who are new or changed, kept until the read is known to be complete.
//!
//! In memory up to a limit, then in a file without a name: it is gone with the process, and nobody
//! else can open it.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use tempfile::SpooledTempFile;

use super::decision::Candidate;

/// So much is kept in memory.
const IN_MEMORY: usize = 16 * 1024 * 1024;

/// Candidates by number, in the order in which they came.
pub(super) struct Spool {
    file: SpooledTempFile,
    /// Where each one ends; one begins where the one before ends.
    ends: Vec<u64>,
    /// Whether each one may have an account.
    maybe_known: Vec<bool>,
    buffer: Vec<u8>,
}

impl Spool {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self {
            file: SpooledTempFile::new(IN_MEMORY),
            ends: Vec::new(),
            maybe_known: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// Adds one; it is written with [`Spool::flush`].
    pub(super) fn push(&mut self, candidate: &Candidate, maybe_known: bool) -> std::io::Result<()> {
        let before = self.buffer.len();
        serde_json::to_writer(&mut self.buffer, candidate)?;
        let length = (self.buffer.len() - before) as u64;
        let begin = self.ends.last().copied().unwrap_or(0);
        self.ends.push(begin + length);
        self.maybe_known.push(maybe_known);
        Ok(())
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self) -> std::io::Result<()> {
        self.file.seek(SeekFrom::End(0))?;
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Whether one may have an account.
    pub(super) fn maybe_known(&self, index: u32) -> bool {
        self.maybe_known.get(index as usize).copied().unwrap_or(true)
    }

    /// Reads one again.
    pub(super) fn get(&mut self, index: u32) -> std::io::Result<Candidate> {
        let at = index as usize;
        let begin = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let begin = begin.unwrap_or(0);
        let end = self.ends.get(at).copied().unwrap_or(begin);
        let length = usize::try_from(end.saturating_sub(begin)).unwrap_or(0);
        let mut bytes = vec![0; length];
        self.file.seek(SeekFrom::Start(begin))?;
        self.file.read_exact(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("people", &self.ends.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::person;
    use super::*;

    #[test]
    fn what_goes_in_comes_out_by_its_number() {
        let mut spool = Spool::new();
        for n in 0u8..3 {
            let mut person = person(&format!("subject-{n}"), "ältere\n\"Name\"");
            person.profile.groups = vec!["x".repeat(usize::from(n) * 9 * 1024 * 1024)];
            spool.push(&Candidate::of(person, [n; 16]), n == 1).unwrap();
            spool.flush().unwrap();
        }
        assert!(spool.file.is_rolled(), "more than is kept in memory goes to the file");
        for n in [2u8, 0, 1, 2] {
            let candidate = spool.get(u32::from(n)).unwrap();
            assert_eq!(candidate.subject, format!("subject-{n}"));
            assert_eq!(candidate.digest, [n; 16]);
            assert_eq!(candidate.profile.username, "ältere\n\"Name\"");
            assert_eq!(spool.maybe_known(u32::from(n)), n == 1);
        }
        assert_eq!(spool.len(), 3);
        assert!(spool.get(3).is_err());
    }
}
