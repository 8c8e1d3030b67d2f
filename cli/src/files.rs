//! Files written whole or not at all.

use std::io::Write;
use std::path::Path;

use crate::failure::Failure;

/// Writes where a user says: what is there need be no file. A link to a file stays one, to the new file; into a device or a
/// pipe bytes go as they come; else as [`write_whole`].
///
/// # Errors
/// Where it cannot be written; no file is left behind.
pub fn write_out(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        return std::fs::write(path, bytes).map_err(|e| Failure::io("write", path, &e));
    }
    write_whole(&std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), bytes)
}

/// Writes a file beside its place, then renames it: a reader sees the old file or the new one, never half of one. What a link
/// led to is left alone.
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

/// Whether files can be written into a folder, before the work that one is to be of.
///
/// # Errors
/// Where they cannot.
pub fn check_writable(folder: &Path) -> Result<(), Failure> {
    let probe = folder.join(".imaml.partial");
    std::fs::File::create(&probe).map_err(|e| Failure::io("write", &probe, &e))?;
    remove(&probe)
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn links_stay_links_and_devices_devices() {
        let folder = std::env::temp_dir().join(format!("imaml-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, link) = (folder.join("file"), folder.join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_out(&link, b"new").unwrap();
        assert!(link.is_symlink() && std::fs::read(&file).unwrap() == b"new");
        let device = folder.join("device");
        std::os::unix::fs::symlink("/dev/null", &device).unwrap();
        write_out(&device, b"gone").unwrap();
        assert!(device.is_symlink() && !std::fs::metadata("/dev/null").unwrap().is_file());
        // What is not the user's own word replaces the link, and leaves alone what it led to.
        write_whole(&link, b"newer").unwrap();
        assert!(!link.is_symlink() && std::fs::read(&file).unwrap() == b"new");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
