//! Where are the repository, the per-user cache, and cargo?

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Root of this checkout.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable at run time too; the compiled-in value serves a binary run by hand.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or(package.clone(), Path::to_path_buf)
}

/// Folder shared by all checkouts of a user: `$POLYPTYCH_CACHE`, else below the XDG cache folder.
pub(crate) fn cache() -> Result<PathBuf> {
    cache_from(|name| env::var_os(name).filter(|value| !value.is_empty()))
}

fn cache_from(var: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let own = var("POLYPTYCH_CACHE").map(PathBuf::from);
    let xdg = || var("XDG_CACHE_HOME").map(|dir| PathBuf::from(dir).join("polyptych"));
    let home = || var("HOME").map(|dir| PathBuf::from(dir).join(".cache/polyptych"));
    let cache = own.or_else(xdg).or_else(home);
    let cache = cache.context(
        "no cache folder: expected POLYPTYCH_CACHE, XDG_CACHE_HOME or HOME to be set, found none",
    )?;
    Ok(std::path::absolute(cache)?)
}

/// The cargo that runs us.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A command of the cargo that runs us, as from a shell.
pub(crate) fn cargo_command() -> Command {
    command(&cargo())
}

/// A command of `cargo` without what the one that runs us says of our own package: build scripts
/// that look at it (ring's) would run anew, and all that stands on them, whenever somebody changes
/// between `cargo xtask test` and `cargo test`.
pub(crate) fn command(cargo: &OsStr) -> Command {
    let mut command = Command::new(cargo);
    env::vars_os().map(|(name, _)| name).filter(|name| is_of_package(name)).for_each(|name| {
        command.env_remove(name);
    });
    command
}

fn is_of_package(name: &OsStr) -> bool {
    let of_package =
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    name.to_str().is_some_and(|name| of_package.iter().any(|start| name.starts_with(start)))
}

/// `path` relative to `folder`, with forward slashes.
pub(crate) fn below(folder: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(folder).unwrap_or(path);
    relative
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache_with(vars: &[(&str, &str)]) -> Result<PathBuf> {
        cache_from(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn cargo_hears_nothing_of_our_package() {
        assert!(
            cargo_command().get_envs().all(|(name, value)| value.is_none() && is_of_package(name))
        );
        assert!(is_of_package(OsStr::new("CARGO_MANIFEST_DIR")));
        assert!(!is_of_package(OsStr::new("CARGO_PROFILE_DEV_DEBUG")));
    }

    #[test]
    fn the_more_special_variable_wins() {
        let vars = [("POLYPTYCH_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(cache_with(&vars).unwrap(), Path::new("/a"));
        assert_eq!(cache_with(&vars[1..]).unwrap(), Path::new("/b/polyptych"));
        assert_eq!(cache_with(&vars[2..]).unwrap(), Path::new("/c/.cache/polyptych"));
        assert!(cache_with(&[]).unwrap_err().to_string().contains("HOME"));
    }

    #[test]
    fn root_is_the_workspace() {
        assert!(root().join("xtask/Cargo.toml").is_file());
    }
}
