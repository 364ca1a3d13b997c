//! Memory and processor time of a running program, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel counts processor time for user space in hundredths of a second (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Resident memory in bytes (`VmRSS`).
///
/// # Errors
/// The process is gone.
pub(super) fn resident(process: u32) -> Result<u64> {
    status(process, "VmRSS")
}

/// The most resident memory that the process ever had, in bytes (`VmHWM`).
///
/// # Errors
/// The process is gone.
pub(super) fn peak(process: u32) -> Result<u64> {
    status(process, "VmHWM")
}

/// Processor time of all threads so far, user and system.
///
/// # Errors
/// The process is gone.
pub(super) fn processor_time(process: u32) -> Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    ticks(&stat).map(|ticks| TICK * ticks).with_context(|| format!("{path}: {stat}"))
}

/// A size for people.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

fn status(process: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    kibibytes(&status, field).map(|kib| kib * 1024).with_context(|| format!("{path}: no {field}"))
}

fn kibibytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// `utime` and `stime`: fields 14 and 15. The second field, the name, may hold blanks.
fn ticks(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<u32>().ok();
    Some(field()? + field()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found() {
        assert_eq!(kibibytes("Name:\tx\nVmHWM:\t  1234 kB\nVmRSS:\t 99 kB\n", "VmRSS"), Some(99));
        assert_eq!(kibibytes("Name:\tx\n", "VmRSS"), None);
        assert_eq!(ticks("7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 20 22 0 0"), Some(42));
    }

    #[test]
    fn this_process_has_memory_and_processor_time() {
        let own = std::process::id();
        assert!(peak(own).unwrap() >= resident(own).unwrap() / 2);
        assert!(processor_time(own).is_ok());
    }
}
