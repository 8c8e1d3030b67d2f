//! Files written whole or not at all.

use std::io::Write;
use std::path::Path;

use crate::failure::Failure;

/// Writes a file beside its place, then renames it: a reader sees the old file or the new one, never half of one.
///
/// # Errors
/// Where it cannot be written; nothing is left behind.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".partial");
    write_through(Path::new(&temporary), path, bytes)
}

/// [`write_whole`], by way of a file of this name in the same folder.
///
/// # Errors
/// Where it cannot be written; nothing is left behind.
pub fn write_through(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = std::fs::File::create(temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(temporary, path));
    written.map_err(|e| {
        // That it cannot be removed is no second error.
        let _ = std::fs::remove_file(temporary);
        Failure::io("write", path, &e)
    })
}

/// Removes a file where it is there.
///
/// # Errors
/// Where it is there and stays.
pub fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Failure::io("remove", path, &e)),
        _ => Ok(()),
    }
}
