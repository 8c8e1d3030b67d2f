//! One writer to a folder: a lock that goes with the process, whatever ends it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A folder that is this process's to write to, for as long as this is there.
#[derive(Debug)]
pub struct Claim {
    /// Of the folder itself; there is none where the system or the file system has no locks of folders.
    _lock: Option<File>,
    /// The folders that were made for it, innermost first.
    made: Vec<PathBuf>,
}

impl Claim {
    /// Claims a folder, and makes it where it is not there.
    ///
    /// # Errors
    /// Where it cannot be made, or another process writes to it.
    pub fn of(folder: &Path) -> Result<Claim, Failure> {
        let missing = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let mut claim = Claim { _lock: None, made: missing.map(PathBuf::from).collect() };
        std::fs::create_dir_all(folder).map_err(|e| Failure::io("make the folder", folder, &e))?;
        let Ok(lock) = File::open(folder) else { return Ok(claim) };
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {
                claim.made.clear();
                let shown = folder.display();
                Err(format!("another imaml writes to {shown}: wait for it, or write elsewhere").into())
            }
            locked => {
                claim._lock = locked.is_ok().then_some(lock);
                Ok(claim)
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Folders in which there is something stay.
        self.made.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_writer_and_is_gone_where_nothing_was_written() {
        let outer = std::env::temp_dir().join(format!("imaml-claim-{}", std::process::id()));
        let folder = outer.join("a/b");
        let first = Claim::of(&folder).unwrap();
        if cfg!(target_os = "linux") {
            let second = Claim::of(&folder).unwrap_err();
            assert!(second.to_string().contains("another imaml"), "{second}");
        }
        assert!(folder.is_dir());
        drop(first);
        assert!(!outer.exists());
        let again = Claim::of(&folder).unwrap();
        std::fs::write(folder.join("x"), "").unwrap();
        drop(again);
        assert!(folder.join("x").is_file());
        std::fs::remove_dir_all(&outer).unwrap();
    }
}
