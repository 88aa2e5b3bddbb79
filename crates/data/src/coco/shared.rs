//! Files that are open, parsed once for all tasks and splits that name them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::annotations::{CocoFile, CocoImages};
use crate::Result;
use crate::decode::unreadable;

static OPEN: Mutex<BTreeMap<PathBuf, Open>> = Mutex::new(BTreeMap::new());

/// A file that somebody holds or held.
struct Open {
    stamp: Stamp,
    file: Weak<CocoFile>,
}

/// What differs once a file was written again.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: String,
    bytes: u64,
}

/// Names of the images of the file at `path`, in its order: those of the one that is open, if there is
/// one; else nothing but its images is kept.
///
/// # Errors
/// As [`CocoFile::read`].
pub(crate) fn image_names(path: &Path) -> Result<Vec<String>> {
    let (place, stamp) = stamped(path)?;
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = held(&open, &place, &stamp);
    drop(open);
    match known {
        Some(file) => Ok(file.images.iter().map(|image| image.file_name.clone()).collect()),
        None => Ok(CocoImages::read(path)?.images.into_iter().map(|i| i.file_name).collect()),
    }
}

/// The file at `path`: the one that is open, unless it was written again meanwhile.
///
/// # Errors
/// As [`CocoFile::read`].
pub(super) fn shared(path: &Path) -> Result<Arc<CocoFile>> {
    let (place, stamp) = stamped(path)?;
    // Held while the file is read, so that whoever asks for it meanwhile does not read it too.
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = held(&open, &place, &stamp) {
        return Ok(file);
    }
    let file = Arc::new(CocoFile::read(path)?);
    open.retain(|_, other| other.file.strong_count() > 0);
    open.insert(place, Open { stamp, file: Arc::downgrade(&file) });
    Ok(file)
}

fn stamped(path: &Path) -> Result<(PathBuf, Stamp)> {
    let about = path.metadata().map_err(unreadable(path))?;
    let stamp = Stamp { modified: format!("{:?}", about.modified().ok()), bytes: about.len() };
    Ok((path.canonicalize().map_err(unreadable(path))?, stamp))
}

/// The file at `place` that is open, unless it was written again meanwhile.
fn held(open: &BTreeMap<PathBuf, Open>, place: &Path, stamp: &Stamp) -> Option<Arc<CocoFile>> {
    let known = open.get(place).filter(|known| known.stamp == *stamp)?;
    known.file.upgrade()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_while_it_is_open_and_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let write = |id: u32| {
            let image =
                format!("{{\"id\": {id}, \"file_name\": \"a\", \"height\": 2, \"width\": 2}}");
            let rest = "\"annotations\": [], \"categories\": []";
            std::fs::write(&path, format!("{{\"images\": [{image}], {rest}}}")).unwrap();
        };
        write(7);
        let first = shared(&path).unwrap();
        let again = shared(&folder.path().join("./a.json")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        // With its old stamp what is written now is not looked at.
        let modified = path.metadata().unwrap().modified().unwrap();
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, vec![b' '; text.len()]).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(image_names(&path).unwrap(), ["a"]);
        write(70);
        let other = shared(&path).unwrap();
        assert_eq!((first.images[0].id, other.images[0].id), (7, 70));
        let held = Arc::downgrade(&other);
        drop(other);
        assert!(held.upgrade().is_none());
        assert_eq!(image_names(&path).unwrap(), ["a"]);
        assert_eq!(shared(&path).unwrap().images[0].id, 70);
        std::fs::remove_file(&path).unwrap();
        assert!(shared(&path).unwrap_err().to_string().contains("a.json"));
    }
}
