//! The part of a data set's manifest that says where its files come from.
//!
//! The rest of the same file (layout, splits, tasks) is read by the crate `data`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::archive::Archive;

/// Source and archives of one data set.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) source: Source,
    /// Published files, in the order in which they are unpacked.
    #[serde(default)]
    pub(super) archive: Vec<Archive>,
}

/// Who made the data set, and what one may do with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) homepage: String,
    pub(super) citation: String,
    pub(super) licence: String,
    /// What the licence asks of its users, in a sentence.
    pub(super) terms: Option<String>,
    /// Where to ask and what to put where, for sets that nobody may download freely.
    pub(super) manual: Option<String>,
}

impl Manifest {
    /// The manifest `<name>.toml` in `folder`; the error lists the names there are.
    pub(super) fn named(folder: &Path, name: &str) -> Result<Manifest> {
        let path = folder.join(format!("{name}.toml"));
        let paths = paths(folder)?;
        if !paths.contains(&path) {
            let names =
                paths.iter().filter_map(|path| path.file_stem()).map(|stem| stem.to_string_lossy());
            bail!("no data set `{name}`: expected one of {}", names.collect::<Vec<_>>().join(", "));
        }
        read(&path)
    }

    /// Every manifest in `folder`, by name.
    pub(super) fn all(folder: &Path) -> Result<Vec<Manifest>> {
        paths(folder)?.iter().map(|path| read(path)).collect()
    }
}

fn paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let items = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = items.map(|item| Ok(item?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Manifest> {
    let parse = || -> Result<Manifest> {
        let manifest: Manifest = toml::from_str(&fs::read_to_string(path)?)?;
        manifest.validate(path)?;
        Ok(manifest)
    };
    parse().with_context(|| path.display().to_string())
}

impl Manifest {
    fn validate(&self, path: &Path) -> Result<()> {
        if path.file_stem().is_none_or(|stem| stem != self.name.as_str()) {
            bail!("name: expected the file's, found `{}`", self.name);
        }
        if self.archive.is_empty() && self.source.manual.is_none() {
            bail!("expected an [[archive]] or source.manual, found neither");
        }
        self.archive.iter().try_for_each(Archive::validate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::archive::UNPACKED_LIMIT;
    use super::*;
    use crate::setup::unpack::Format;

    const SOURCE: &str = "name = 'x'\n[source]\nhomepage = 'h'\ncitation = 'c'\nlicence = 'l'\n";

    fn parsed(rest: &str) -> Result<Manifest> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.toml"), format!("{SOURCE}{rest}")).unwrap();
        Manifest::named(dir.path(), "x")
    }

    fn refusal(rest: &str) -> String {
        format!("{:#}", parsed(rest).unwrap_err())
    }

    #[test]
    fn keys_of_others_are_ignored() {
        let manifest =
            parsed("manual = 'ask'\n[layout]\nimages = 'i'\n[[tasks]]\nname = 't'\n").unwrap();
        assert_eq!(manifest.source.manual.as_deref(), Some("ask"));
    }

    #[test]
    fn an_archive_has_defaults() {
        let manifest = parsed("[[archive]]\nfile = 'a.tgz'\nurls = ['u']\n").unwrap();
        let archive = &manifest.archive[0];
        assert_eq!(
            (archive.format(), archive.strip, archive.into.as_str()),
            (Format::TarGz, 0, "")
        );
        assert_eq!(archive.unpacked_limit(), UNPACKED_LIMIT);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(refusal("").contains("expected an [[archive]] or source.manual"));
        assert!(
            refusal("[[archive]]\nfile = '../a'\nurls = ['u']\n")
                .contains("plain file name, found `../a`")
        );
        assert!(refusal("[[archive]]\nfile = 'a'\nurls = []\n").contains("archive.urls"));
        assert!(
            refusal("[[archive]]\nfile = 'a'\nurls = ['u']\nsha256 = '12'\n")
                .contains("64 hexadecimal digits, found `12`")
        );
        assert!(
            refusal("[[archive]]\nfile = 'a'\nurls = ['u']\nsha = '12'\n")
                .contains("unknown field `sha`")
        );
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.toml"), SOURCE).unwrap();
        let error = Manifest::named(dir.path(), "y").unwrap_err().to_string();
        assert_eq!(error, "no data set `y`: expected one of x");
        assert!(Manifest::named(dir.path(), "../x").is_err());
        fs::write(dir.path().join("z.toml"), SOURCE).unwrap();
        assert!(
            format!("{:#}", Manifest::named(dir.path(), "z").unwrap_err())
                .contains("expected the file's, found `x`")
        );
    }
}
