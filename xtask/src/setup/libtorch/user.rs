//! Does the user bring a LibTorch of their own?

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::home::{check_version, is_version};
use crate::process;

/// Whose LibTorch a build uses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// `LIBTORCH` names a folder.
    Folder(PathBuf),
    /// `LIBTORCH_USE_PYTORCH` asks for the one inside the Python that is active.
    PyTorch,
    /// The one that set-up brings.
    Ours,
}

/// The choice in the environment; what `.cargo/config.toml` injects is ours.
pub(crate) fn choice(root: &Path) -> Choice {
    choose(root, |name| env::var_os(name))
}

// The order of torch-sys: asking for PyTorch outranks a folder.
fn choose(root: &Path, var: impl Fn(&str) -> Option<OsString>) -> Choice {
    if var("LIBTORCH_USE_PYTORCH").is_some() {
        return Choice::PyTorch;
    }
    match var("LIBTORCH").map(PathBuf::from) {
        Some(folder) if !is_our_link(root, &folder) => Choice::Folder(folder),
        _ => Choice::Ours,
    }
}

fn is_our_link(root: &Path, folder: &Path) -> bool {
    let same_parent = || Some(folder.parent()?.canonicalize().ok()? == root.canonicalize().ok()?);
    folder.file_name() == Some(super::link::NAME.as_ref()) && same_parent() == Some(true)
}

impl Choice {
    /// Checks the user's own LibTorch and says in words what it is.
    pub(crate) fn check(&self) -> Result<String> {
        match self {
            Choice::Folder(folder) => {
                check_folder(folder).with_context(|| format!("LIBTORCH={}", folder.display()))
            }
            Choice::PyTorch => check_pytorch().context("LIBTORCH_USE_PYTORCH"),
            Choice::Ours => Ok("the cache's".into()),
        }
    }
}

fn check_folder(folder: &Path) -> Result<String> {
    let library = format!("{}torch_cpu{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    // `LIBTORCH_LIB` moves the libraries elsewhere, see torch-sys.
    let lib = env::var_os("LIBTORCH_LIB")
        .map_or_else(|| folder.to_path_buf(), PathBuf::from)
        .join("lib")
        .join(library);
    if !lib.is_file() {
        bail!("expected {}, found no such file", lib.display());
    }
    if !folder.join("build-version").is_file() {
        return Ok(format!("yours, LIBTORCH={}, version not recorded there", folder.display()));
    }
    let bypass = env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_some();
    check_version(folder).or_else(|error| if bypass { Ok(()) } else { Err(error) })?;
    Ok(format!("yours, LIBTORCH={}", folder.display()))
}

fn check_pytorch() -> Result<String> {
    let mut ask = Command::new("python3");
    ask.args(["-c", "import torch; print(torch.__version__)"]);
    let version = process::output(&mut ask)
        .context("expected `import torch` to work in python3, it failed")?;
    is_version(&version)?;
    Ok(format!("yours, PyTorch {version} of python3"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn chosen(root: &Path, vars: &[(&str, &Path)]) -> Choice {
        choose(root, |name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn what_cargo_injects_is_not_the_users() {
        let dir = tempfile::tempdir().unwrap();
        let (root, link) = (dir.path(), dir.path().join(".libtorch"));
        assert_eq!(chosen(root, &[("LIBTORCH", &link)]), Choice::Ours);
        assert_eq!(chosen(root, &[]), Choice::Ours);
        let own = Path::new("/opt/libtorch");
        assert_eq!(chosen(root, &[("LIBTORCH", own)]), Choice::Folder(own.into()));
        let elsewhere = Path::new("/opt/.libtorch");
        assert_eq!(chosen(root, &[("LIBTORCH", elsewhere)]), Choice::Folder(elsewhere.into()));
        assert_eq!(
            chosen(root, &[("LIBTORCH", &link), ("LIBTORCH_USE_PYTORCH", Path::new("1"))]),
            Choice::PyTorch
        );
    }

    #[test]
    fn a_folder_is_checked_for_library_and_version() {
        let dir = tempfile::tempdir().unwrap();
        let choice = Choice::Folder(dir.path().into());
        assert!(format!("{:#}", choice.check().unwrap_err()).contains("torch_cpu"));
        fs::create_dir(dir.path().join("lib")).unwrap();
        let library = format!("{}torch_cpu{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
        fs::write(dir.path().join("lib").join(library), "").unwrap();
        assert!(choice.check().unwrap().contains("version not recorded"));
        fs::write(dir.path().join("build-version"), "1.0").unwrap();
        assert!(
            format!("{:#}", choice.check().unwrap_err())
                .contains("expected LibTorch 2.11.0, found `1.0`")
        );
        fs::write(dir.path().join("build-version"), "2.11.0+cpu").unwrap();
        assert!(choice.check().unwrap().contains("yours"));
    }
}
