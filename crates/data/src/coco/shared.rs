//! Files that are open, parsed once for all tasks and splits that name them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::annotations::CocoFile;
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

/// The file at `path`: the one that is open, unless it was written again meanwhile.
///
/// # Errors
/// As [`CocoFile::read`].
pub(super) fn shared(path: &Path) -> Result<Arc<CocoFile>> {
    let about = path.metadata().map_err(unreadable(path))?;
    let stamp = Stamp { modified: format!("{:?}", about.modified().ok()), bytes: about.len() };
    let place = path.canonicalize().map_err(unreadable(path))?;
    // Held while the file is read, so that whoever asks for it meanwhile does not read it too.
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = open.get(&place).filter(|known| known.stamp == stamp);
    if let Some(file) = known.and_then(|known| known.file.upgrade()) {
        return Ok(file);
    }
    let file = Arc::new(CocoFile::read(path)?);
    open.retain(|_, other| other.file.strong_count() > 0);
    open.insert(place, Open { stamp, file: Arc::downgrade(&file) });
    Ok(file)
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
        write(70);
        let other = shared(&path).unwrap();
        assert_eq!((first.images[0].id, other.images[0].id), (7, 70));
        let held = Arc::downgrade(&other);
        drop(other);
        assert!(held.upgrade().is_none());
        assert_eq!(shared(&path).unwrap().images[0].id, 70);
        std::fs::remove_file(&path).unwrap();
        assert!(shared(&path).unwrap_err().to_string().contains("a.json"));
    }
}
