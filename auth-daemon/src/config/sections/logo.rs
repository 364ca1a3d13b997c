//! Pictures of connectors on the sign-in page.

use std::path::Path;

use crate::config::finding::{KeyPath, Problems};

/// A picture.
#[derive(Clone, Debug)]
pub(crate) struct Logo {
    /// Its media type.
    pub(crate) kind: &'static str,
    /// The file.
    pub(crate) bytes: Vec<u8>,
}

impl Problems {
    /// Reads a picture's file.
    pub(in crate::config) fn logo(&mut self, at: &KeyPath, file: &Path) -> Option<Logo> {
        const LARGEST: usize = 64 * 1024;
        self.readable_file(at, file);
        let bytes = std::fs::read(file).ok()?;
        let kind = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            "image/png"
        } else if std::str::from_utf8(&bytes).is_ok_and(|text| text.contains("<svg")) {
            "image/svg+xml"
        } else {
            ""
        };
        if kind.is_empty() || bytes.len() > LARGEST {
            self.error(at, "is no SVG or PNG of 64 KiB at most", "give another file");
            return None;
        }
        Some(Logo { kind, bytes })
    }
}
