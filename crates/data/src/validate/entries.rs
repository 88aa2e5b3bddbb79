//! Names and links that the folder of a data set should not hold.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::decode::unreadable;
use crate::folder::{Root, outside};

/// Every odd entry below `root` in the order of paths. Links are not followed; hidden entries are
/// passed over, as data sets do.
pub(crate) fn odd(root: &Root) -> Vec<Error> {
    let (mut found, mut pending) = (Vec::new(), vec![root.path().to_path_buf()]);
    while let Some(folder) = pending.pop() {
        let entries =
            fs::read_dir(&folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        match entries.map_err(unreadable(&folder)) {
            Ok(entries) => {
                entries.iter().for_each(|entry| look(root, entry, &mut pending, &mut found));
            }
            Err(error) => found.push((folder, error)),
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found.into_iter().map(|(_, error)| error).collect()
}

fn look(
    root: &Root,
    entry: &DirEntry,
    pending: &mut Vec<PathBuf>,
    found: &mut Vec<(PathBuf, Error)>,
) {
    let (name, path) = (entry.file_name(), entry.path());
    if name.to_string_lossy().starts_with('.') {
        return;
    }
    let mut odd = |reason: String| {
        found.push((path.clone(), Error::Entry { path: path.clone(), reason }));
    };
    match name.to_str() {
        None => odd("expected a name in UTF-8, found other bytes; it is skipped".into()),
        Some(name) if name.contains(char::is_control) => {
            odd("expected a name of one line, found a control character".into());
        }
        Some(_) => {}
    }
    match entry.file_type() {
        Ok(kind) if kind.is_dir() => pending.push(path),
        Ok(kind) if kind.is_symlink() => link(root, &path).into_iter().for_each(odd),
        Ok(_) => {}
        Err(cause) => odd(cause.to_string()),
    }
}

/// What is wrong with a link.
fn link(root: &Root, path: &Path) -> Option<String> {
    match path.canonicalize() {
        Ok(target) if root.follows_links() || target.starts_with(root.real()) => None,
        Ok(target) => Some(outside(&target)),
        Err(cause) => Some(format!("a link that leads nowhere: {cause}")),
    }
}
