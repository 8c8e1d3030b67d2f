//! Where the drawings are: in an archive or in folders, as `<alphabet>/<character>/<drawing>.png`.

use std::fs;
use std::io::{Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use zip::ZipArchive;

use super::drawing::{self, PIXELS};
use crate::tasks::DataError;

/// The largest file that is taken for a drawing; the real ones have some 200 bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// The background or the evaluation set: its drawings in the order of their paths.
pub(super) struct Part {
    path: PathBuf,
    container: Container,
    drawings: Vec<Drawing>,
}

#[derive(Clone)]
enum Container {
    Folder,
    /// The bytes are shared: a clone per thread costs nothing.
    Archive(ZipArchive<Cursor<Arc<[u8]>>>),
}

struct Drawing {
    /// `<alphabet>/<character>/<drawing>.png`
    path: String,
    /// Bytes of `<alphabet>/<character>`.
    character_len: usize,
    /// Number of the file in the archive.
    index: usize,
}

impl Part {
    /// Finds `name.zip`, else the folder `name`, in `folder` or in `python` in it.
    pub fn open(folder: &Path, name: &'static str) -> Result<Part, DataError> {
        for place in [folder.to_path_buf(), folder.join("python")] {
            let archive = place.join(format!("{name}.zip"));
            if archive.is_file() {
                return Part::open_archive(archive)?.sorted();
            }
            let unpacked = place.join(name);
            if unpacked.is_dir() {
                return Part::open_folder(unpacked)?.sorted();
            }
        }
        Err(DataError::Missing { part: name, folder: folder.to_path_buf() })
    }

    fn open_archive(path: PathBuf) -> Result<Part, DataError> {
        let bytes: Arc<[u8]> = match fs::read(&path) {
            Ok(bytes) => bytes.into(),
            Err(source) => return Err(DataError::Read { path, source }),
        };
        let damaged = |reason: String| DataError::Archive { path: path.clone(), reason };
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(e.to_string()))?;
        let mut drawings = Vec::with_capacity(archive.len());
        for index in 0..archive.len() {
            if let Some(name) = archive.name_for_index(index) {
                let name = name.map_err(|e| damaged(e.to_string()))?;
                drawings.extend(Drawing::named(&name, index));
            }
        }
        Ok(Part { path, container: Container::Archive(archive), drawings })
    }

    fn open_folder(path: PathBuf) -> Result<Part, DataError> {
        let mut drawings = Vec::new();
        for (alphabet, folder) in list(&path)? {
            for (character, folder) in list(&folder)? {
                for (file, _) in list(&folder)? {
                    drawings.extend(Drawing::named(&format!("{alphabet}/{character}/{file}"), 0));
                }
            }
        }
        Ok(Part { path, container: Container::Folder, drawings })
    }

    fn sorted(mut self) -> Result<Part, DataError> {
        if self.drawings.is_empty() {
            return Err(DataError::Empty { path: self.path });
        }
        self.drawings.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(self)
    }

    /// How many drawings there are.
    pub fn len(&self) -> usize {
        self.drawings.len()
    }

    /// Each character's name and number of drawings, in order.
    pub fn characters(&self) -> impl Iterator<Item = (&str, usize)> {
        self.drawings.chunk_by(|a, b| a.character() == b.character()).map(|group| (group[0].character(), group.len()))
    }

    /// Decodes every drawing into its place in `pixels`, in parallel.
    pub fn read_all(&self, pixels: &mut [u8]) -> Result<(), DataError> {
        let worker = || (self.container.clone(), Vec::new());
        self.drawings
            .par_iter()
            .zip(pixels.par_chunks_exact_mut(PIXELS))
            .map_init(worker, |(container, bytes), (drawing, out)| {
                container
                    .read(&self.path, drawing, bytes)
                    .and_then(|()| drawing::decode(bytes, out))
                    .map_err(|reason| (drawing, reason))
            })
            // All of them before the first failure is looked for: which one is found must not depend
            // on the threads.
            .collect::<Vec<_>>()
            .into_iter()
            .collect::<Result<(), _>>()
            .map_err(|(drawing, reason)| DataError::Image { path: self.path.join(&drawing.path), reason })
    }
}

impl Container {
    /// The bytes of one file, or what is wrong with it.
    fn read(&mut self, path: &Path, drawing: &Drawing, bytes: &mut Vec<u8>) -> Result<(), String> {
        bytes.clear();
        let read = match self {
            Container::Folder => {
                fs::File::open(path.join(&drawing.path)).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(bytes))
            }
            Container::Archive(archive) => {
                let file = archive.by_index(drawing.index).map_err(|e| e.to_string())?;
                file.take(LARGEST_FILE + 1).read_to_end(bytes)
            }
        };
        match read {
            Err(e) => Err(e.to_string()),
            Ok(len) if len as u64 > LARGEST_FILE => Err("too large for a drawing".to_owned()),
            Ok(_) => Ok(()),
        }
    }
}

impl Drawing {
    /// A drawing, if the path is of one: what else lies about (folders, hidden files and what
    /// archivers add) is passed over.
    fn named(path: &str, index: usize) -> Option<Drawing> {
        let mut parts = path.rsplit('/');
        let (file, character, alphabet) = (parts.next()?, parts.next()?, parts.next()?);
        let is_png = file.to_ascii_lowercase().ends_with(".png");
        let hidden = file.starts_with('.') || path.starts_with("__MACOSX");
        (is_png && !hidden).then(|| Drawing {
            path: format!("{alphabet}/{character}/{file}"),
            character_len: alphabet.len() + 1 + character.len(),
            index,
        })
    }

    fn character(&self) -> &str {
        &self.path[..self.character_len]
    }
}

/// The entries of a folder with their names; none if it is a file. The order is the system's.
fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let failed = |source| DataError::Read { path: folder.to_path_buf(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    entries
        .map(|entry| {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, entry.path()))
        })
        .collect()
}
