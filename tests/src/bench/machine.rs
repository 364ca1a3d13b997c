//! The machine in one line: figures mean nothing without it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::report::per_second;

const SYNC_TIME: Duration = Duration::from_millis(500);
/// One page of SQLite and of PostgreSQL's log is about that.
const BLOCK: [u8; 4096] = [7; 4096];

/// Cores, processor, memory, kernel, and what a durable write costs where the stores are.
///
/// # Errors
/// The temporary folder cannot be written.
pub(super) fn describe() -> Result<String> {
    let cores = available_parallelism().map_or(0, usize::from);
    let folder = std::env::temp_dir();
    let kind = file_system(&folder).unwrap_or_else(|| "unknown".into());
    let syncs = syncs_per_second(&folder)?;
    let mut line = format!(
        "{cores} cores ({}), {} memory, Linux {}; stores on {kind}, {} fdatasync of 4 KiB",
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into()),
        memory().unwrap_or_else(|| "unknown".into()),
        fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        per_second(syncs),
    );
    if kind == "tmpfs" {
        line.push_str(" (nothing is durable there: set TMPDIR to a folder on a disk)");
    }
    Ok(line)
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory() -> Option<String> {
    let kib: f64 = field("/proc/meminfo", "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{:.0} GiB", kib / (1024.0 * 1024.0)))
}

/// The kind of file system of the mount that `folder` is on.
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((fields.nth(1)?, fields.next()?))
    });
    let around = mounts.filter(|(place, _)| folder.starts_with(place));
    // The last of equals is mounted over the others.
    around.max_by_key(|(place, _)| place.len()).map(|(_, kind)| kind.to_owned())
}

fn syncs_per_second(folder: &Path) -> Result<f64> {
    let file = tempfile::tempfile_in(folder).context("temporary folder")?;
    let write = |file: &File, number: u64| -> Result<()> {
        file.write_all_at(&BLOCK, number * BLOCK.len() as u64)?;
        Ok(file.sync_data()?)
    };
    write(&file, 0)?;
    let begun = Instant::now();
    let mut count = 0u32;
    while begun.elapsed() < SYNC_TIME {
        // Always the same places, as in a log that is used again.
        write(&file, u64::from(count % 64))?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}
