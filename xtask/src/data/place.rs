//! Where the files of a published archive go in the layout that the manifest describes.

use serde::Deserialize;

use super::manifest::Archive;

/// Takes one folder or file of an archive; what no rule takes is left out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    /// Folder or file in the archive, after stripping.
    from: String,
    /// Its place below the data set's folder; empty is the folder itself.
    to: String,
}

/// Place of the archive's entry `name` below the data set's folder, or `None` to leave it out.
pub(super) fn place(archive: &Archive, name: &str) -> Option<String> {
    let stripped = strip(name, archive.strip)?;
    let moved = if archive.moves.is_empty() {
        Some(stripped.to_owned())
    } else {
        archive.moves.iter().find_map(|rule| rule.apply(stripped))
    };
    moved.map(|moved| join(&archive.into, &moved))
}

fn strip(name: &str, folders: usize) -> Option<&str> {
    (0..folders).try_fold(name, |name, _| name.split_once('/').map(|(_, rest)| rest))
}

impl Move {
    fn apply(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(self.from.as_str())?;
        match rest.strip_prefix('/') {
            Some(rest) => Some(join(&self.to, rest)),
            None if rest.is_empty() => Some(self.to.clone()),
            // `train` must not take `trainannot`.
            None => None,
        }
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(rest: &str) -> Archive {
        toml::from_str(&format!("file = 'a.zip'\nurls = ['u']\n{rest}")).unwrap()
    }

    #[test]
    fn folders_are_stripped_and_prefixed() {
        let archive = archive("strip = 1\ninto = 'sub'\n");
        assert_eq!(place(&archive, "root/a/b").as_deref(), Some("sub/a/b"));
        assert_eq!(place(&archive, "README"), None);
    }

    #[test]
    fn only_named_folders_are_taken() {
        let archive = archive(
            "moves = [{ from = 'C/train', to = 'images/train' }, { from = 'C/x.txt', to = 'y.txt' }]\n",
        );
        assert_eq!(place(&archive, "C/train/1.png").as_deref(), Some("images/train/1.png"));
        assert_eq!(place(&archive, "C/x.txt").as_deref(), Some("y.txt"));
        assert_eq!(place(&archive, "C/trainannot/1.png"), None);
        assert_eq!(place(&archive, "models/big"), None);
    }
}
