//! What the system says about memory, and whether what is planned fits into it.

use crate::failure::Failure;

/// Memory that a program can still take, where the system tells.
fn available_bytes() -> Option<u64> {
    kib("/proc/meminfo", "MemAvailable:")
}

/// The process's largest resident memory so far, where the system tells.
pub fn peak_rss_bytes() -> Option<u64> {
    kib("/proc/self/status", "VmHWM:")
}

fn kib(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Refuses what cannot fit: `what` takes `bytes` and as much is not free.
///
/// # Errors
/// With `advice` on how to take less.
pub fn check(what: &str, bytes: u64, advice: &str) -> Result<(), Failure> {
    match available_bytes().filter(|&available| bytes > available) {
        None => Ok(()),
        Some(available) => {
            let (bytes, available) = (bytes >> 20, available >> 20);
            Err(Failure::new(format_args!("{what} takes {bytes} MB of memory and {available} MB are free: {advice}")))
        }
    }
}
