//! Free loopback ports, taken below the kernel's own range for outgoing connections, so that a
//! port stays free between the moment it is chosen and a (re)start of the program that uses it.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

const FIRST: u32 = 18_000;
const COUNT: u32 = 14_000;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A TCP port of 127.0.0.1 on which nobody listens and which this process gave to nobody else.
///
/// # Errors
/// All ports of the range are in use.
pub fn free() -> Result<u16> {
    // Test programs that run side by side begin at different places.
    let offset = std::process::id().wrapping_mul(619) % COUNT;
    for _ in 0..COUNT {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (offset + step) % COUNT;
        let Ok(port) = u16::try_from(port) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free TCP port between {FIRST} and {}", FIRST + COUNT)
}
