//! Which files there are.

use std::path::{Path, PathBuf};

use image::ImageFormat;

use crate::failure::Failure;

/// The folders in a folder, in the order of their names; hidden ones are passed over.
///
/// # Errors
/// Where it cannot be read.
pub fn folders(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// The images in a folder, in the order of their names: files whose names end as those of images do, hidden ones passed
/// over.
///
/// # Errors
/// Where it cannot be read, or there are none.
pub fn images(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = entries(folder)?;
    files.retain(|path| !path.is_dir() && ImageFormat::from_path(path).is_ok());
    if files.is_empty() {
        return Err(format!("the folder {} has no images: put PNG or JPEG files into it", folder.display()).into());
    }
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let read = std::fs::read_dir(folder).and_then(|entries| entries.map(|e| Ok(e?.path())).collect());
    let mut paths: Vec<PathBuf> = read.map_err(|e| Failure::io("read", folder, &e))?;
    paths.retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
    paths.sort();
    Ok(paths)
}
