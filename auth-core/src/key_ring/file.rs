//! The ring's file: mode 0600, written durably, never half. The only part of the ring that does
//! I/O; all calls block, briefly.
//!
//! A file that its group or others may read is refused, not repaired: whoever read it meanwhile
//! has the keys, and a person has to know.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{FormatError, KeyRing};

/// Why the ring's file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingFileError {
    /// `create_new` found a file there already. It was not touched.
    #[error("{}: a key ring file is there already and was left as it is", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The content is no key ring.
    #[error("{}: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        source: FormatError,
    },
    /// No such file.
    #[error("{}: no such key ring file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Others than its owner may read or write it.
    #[error(
        "{}: mode {mode:04o} lets others read or change the sealing keys; run `chmod 600 {}`, and rotate the keys if somebody may have read them",
        path.display(), path.display()
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Reading failed.
    #[error("{}: the key ring file cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another change of the ring is under way or was interrupted.
    #[error(
        "{}: another change of the key ring is under way; if none is running, one was interrupted: remove this file and try again",
        path.display()
    )]
    UnderWay {
        /// The temporary file.
        path: PathBuf,
    },
    /// Writing failed. The ring's file is as it was before.
    #[error("{}: the key ring file cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the ring from `path`.
///
/// # Errors
/// `Missing`, `Permissions`, `Format` or `Read`.
pub fn load(path: &Path) -> Result<KeyRing, RingFileError> {
    let read_error = |source| RingFileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => RingFileError::Missing { path: path.to_owned() },
        _ => read_error(source),
    })?;
    let metadata = file.metadata().map_err(read_error)?;
    if !metadata.is_file() {
        return Err(read_error(io::Error::other("not a regular file")));
    }
    check_permissions(path, &metadata)?;
    if metadata.len() > LONGEST {
        return Err(read_error(io::Error::other("too long for a key ring")));
    }
    // Large enough from the start: growing would leave copies of keys in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(LONGEST as usize + 1));
    file.take(LONGEST).read_to_string(&mut text).map_err(read_error)?;
    KeyRing::parse(&text).map_err(|source| RingFileError::Format { path: path.to_owned(), source })
}

/// Writes `ring` to a file that must not exist yet.
///
/// # Errors
/// `Exists` when there is one (of two nodes or processes only one makes it), or `Write`.
pub fn create_new(path: &Path, ring: &KeyRing) -> Result<(), RingFileError> {
    let write_error = |source| RingFileError::Write { path: path.to_owned(), source };
    let mut file = open_new(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => RingFileError::Exists { path: path.to_owned() },
        _ => write_error(source),
    })?;
    write_durably(&mut file, ring).and_then(|()| sync_folder(path)).map_err(|source| {
        // Ours and incomplete; what removing it says adds nothing to the first error.
        let _ = fs::remove_file(path);
        write_error(source)
    })
}

/// Replaces the file at `path` by `ring`: after a crash there is the old one or the new one. The
/// owner of the file stays the same, also when another user (root) replaces it.
///
/// # Errors
/// `Missing`, `Permissions`, `UnderWay` or `Write`; the old file is then as it was.
pub fn replace(path: &Path, ring: &KeyRing) -> Result<(), RingFileError> {
    // A symbolic link stays one: the file behind it is replaced.
    let target = fs::canonicalize(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => RingFileError::Missing { path: path.to_owned() },
        _ => RingFileError::Read { path: path.to_owned(), source },
    })?;
    let before = fs::metadata(&target)
        .map_err(|source| RingFileError::Read { path: path.to_owned(), source })?;
    check_permissions(path, &before)?;
    let mut name = target.clone().into_os_string();
    name.push(".new");
    let temporary = PathBuf::from(name);
    let write_error = |source| RingFileError::Write { path: path.to_owned(), source };
    let mut file = open_new(&temporary).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => RingFileError::UnderWay { path: temporary.clone() },
        _ => write_error(source),
    })?;
    keep_owner(&file, &before)
        .and_then(|()| write_durably(&mut file, ring))
        .and_then(|()| fs::rename(&temporary, &target))
        .map_err(|source| {
            let _ = fs::remove_file(&temporary);
            write_error(source)
        })?;
    sync_folder(&target).map_err(write_error)
}

fn open_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write_durably(file: &mut File, ring: &KeyRing) -> io::Result<()> {
    file.write_all(ring.render().as_bytes())?;
    file.sync_all()
}

/// Without this the name of a new file may be gone after a power cut, though its content is there.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(unix)]
fn check_permissions(path: &Path, metadata: &fs::Metadata) -> Result<(), RingFileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(RingFileError::Permissions { path: path.to_owned(), mode })
    }
}

#[cfg(not(unix))]
fn check_permissions(_: &Path, _: &fs::Metadata) -> Result<(), RingFileError> {
    Ok(())
}

#[cfg(unix)]
fn keep_owner(file: &File, before: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let mine = file.metadata()?;
    if (mine.uid(), mine.gid()) == (before.uid(), before.gid()) {
        return Ok(());
    }
    fchown(file, Some(before.uid()), Some(before.gid()))
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

const LONGEST: u64 = 64 * 1024;
