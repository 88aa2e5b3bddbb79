//! The link `.libtorch` in the checkout, which `.cargo/config.toml` names.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::setup::folder;

/// Name of the link at the root of the checkout; git ignores it.
pub(super) const NAME: &str = ".libtorch";

/// Fails where the checkout's link does not lead to `home`.
pub(crate) fn points_to(root: &Path, home: &Path) -> Result<()> {
    match fs::read_link(root.join(NAME)) {
        Ok(target) if target == home => Ok(()),
        Ok(target) => bail!("{NAME} leads to {}", target.display()),
        Err(_) => bail!("no link {NAME} in this checkout"),
    }
}

/// Makes the checkout's link lead to `home`, in one step.
pub(crate) fn repoint(root: &Path, home: &Path) -> Result<()> {
    let link = root.join(NAME);
    if link.symlink_metadata().is_ok_and(|meta| !meta.is_symlink()) {
        bail!(
            "{}: expected a link that set-up made, found something else; move it away",
            link.display()
        );
    }
    folder::link(home, &link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_link_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (root, home) = (dir.path(), dir.path().join("home"));
        assert!(points_to(root, &home).is_err());
        folder::link(Path::new("gone"), &root.join(NAME)).unwrap();
        assert!(points_to(root, &home).unwrap_err().to_string().contains("gone"));
        repoint(root, &home).unwrap();
        points_to(root, &home).unwrap();
        assert_eq!(fs::read_dir(root).unwrap().count(), 1, "nothing is left beside the link");
    }

    #[test]
    fn a_real_folder_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(NAME)).unwrap();
        let error = repoint(dir.path(), Path::new("home")).unwrap_err().to_string();
        assert!(error.contains("found something else"), "{error}");
    }
}
