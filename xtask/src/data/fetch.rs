//! Bringing a data set: downloaded, from local archives, or linked to a folder that is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;

use super::archive::{Archive, place};
use super::home::Home;
use super::manifest::Manifest;
use crate::command::Subcommand;
use crate::setup::download::Client;
use crate::setup::download::file::{self, Download};
use crate::setup::folder;
use crate::setup::record::{self, Depth, Entry};
use crate::setup::unpack::{Format, unpack};
use crate::workspace;

/// A local file that does not follow the published layout may unpack to this much.
const LOCAL_LIMIT: u64 = 64 << 30;

/// Bring a data set from its published addresses
#[derive(Parser)]
#[command(name = "fetch")]
pub(crate) struct Fetch {
    /// Name of a manifest in `datasets/`
    pub(crate) name: String,
    /// A local archive, or a folder that holds the data set or its archives
    #[arg(long, value_name = "PATH")]
    pub(crate) from: Option<PathBuf>,
    /// Folder to fill, `data/<name>` by default
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// Say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Subcommand for Fetch {
    fn run(flags: &Self) -> Result<ExitCode> {
        let root = workspace::root();
        let manifest = Manifest::named(&root.join("datasets"), &flags.name)?;
        let home = Home::new(&root, &manifest.name, flags.into.as_deref())?;
        let work = Work {
            manifest: &manifest,
            home: &home,
            downloads: workspace::cache()?.join("datasets").join(&manifest.name),
        };
        if work.is_done()? {
            println!("{} is whole already", home.folder.display());
            return Ok(ExitCode::SUCCESS);
        }
        let way = work.way(flags.from.as_deref())?;
        if flags.dry_run {
            println!("would {}", work.described(&way));
            return Ok(ExitCode::SUCCESS);
        }
        println!("{}: {}", manifest.name, work.described(&way));
        work.announce_terms();
        let _lock = folder::lock(&workspace::cache()?)?;
        work.go(&way, &Client::new())?;
        Ok(ExitCode::SUCCESS)
    }
}

struct Work<'a> {
    manifest: &'a Manifest,
    home: &'a Home,
    downloads: PathBuf,
}

/// How the files come.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// From the published addresses.
    Download,
    /// From a folder that holds every published archive.
    Archives(PathBuf),
    /// From a file that is the only published archive.
    Archive(PathBuf),
    /// From a file that holds the data set in the layout of the manifest.
    Packed(PathBuf),
    /// From a folder in the layout of the manifest.
    Folder(PathBuf),
}

impl Work<'_> {
    /// Whether the data set is whole; an unknown folder in its place is an error, never overwritten.
    fn is_done(&self) -> Result<bool> {
        let folder = &self.home.folder;
        match self.home.check(Depth::Sizes) {
            Ok(_) => Ok(true),
            Err(_) if !self.home.record.exists() && folder.symlink_metadata().is_ok() => {
                bail!(
                    "{}: expected nothing there yet, found something not fetched; move it away or pass --into",
                    folder.display()
                )
            }
            Err(_) => Ok(false),
        }
    }

    fn way(&self, from: Option<&Path>) -> Result<Way> {
        let archives = &self.manifest.archive;
        let Some(from) = from else {
            return match &self.manifest.source.manual {
                Some(manual) if archives.is_empty() => {
                    bail!("{} must be asked for by hand\n{manual}", self.manifest.name)
                }
                _ => Ok(Way::Download),
            };
        };
        let path = from.canonicalize().with_context(|| from.display().to_string())?;
        let has = |archive: &Archive| path.join(&archive.file).is_file();
        Ok(match archives.as_slice() {
            [_, ..] if path.is_dir() && archives.iter().all(has) => Way::Archives(path),
            _ if path.is_dir() => Way::Folder(path),
            [only] if path.file_name().is_some_and(|name| name == only.file.as_str()) => {
                Way::Archive(path)
            }
            _ => Way::Packed(path),
        })
    }

    fn described(&self, way: &Way) -> String {
        let to = self.home.folder.display();
        match way {
            Way::Download => {
                let files = self.manifest.archive.iter().map(|archive| archive.file.as_str());
                format!(
                    "download {} to {} and unpack to {to}",
                    files.collect::<Vec<_>>().join(", "),
                    self.downloads.display()
                )
            }
            Way::Archives(path) | Way::Archive(path) => {
                format!("unpack the published archive at {} to {to}", path.display())
            }
            Way::Packed(path) => format!("unpack {} as it is to {to}", path.display()),
            Way::Folder(path) => format!("link {to} to {}, without a copy", path.display()),
        }
    }

    fn announce_terms(&self) {
        let source = &self.manifest.source;
        println!("licence: {}", source.licence);
        if let Some(terms) = &source.terms {
            println!("terms: {terms}");
        }
        println!("cite: {}\nhome: {}", source.citation, source.homepage);
    }

    fn go(&self, way: &Way, client: &Client) -> Result<()> {
        let parent = self.home.folder.parent().context("expected a folder inside another")?;
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        folder::remove_leftovers(parent)?;
        let entries = match way {
            Way::Download => self.download(client)?,
            Way::Archives(folder) => self.unpacked(|archive| Ok(folder.join(&archive.file)))?,
            Way::Archive(path) => self.unpacked(|_| Ok(path.clone()))?,
            Way::Packed(path) => self.packed(path)?,
            Way::Folder(path) => self.linked(path)?,
        };
        record::write(&self.home.record, &entries)?;
        println!("{}: {} files", self.home.folder.display(), entries.len());
        Ok(())
    }

    fn download(&self, client: &Client) -> Result<Vec<Entry>> {
        let entries =
            self.unpacked(|archive| Ok(client.fetch(&published(archive), &self.downloads)?.path))?;
        // Kept until here, so that a run cut short starts where it was.
        fs::remove_dir_all(&self.downloads)
            .with_context(|| self.downloads.display().to_string())?;
        Ok(entries)
    }

    /// Unpacks every published archive, which `local` brings, into the data set's folder.
    fn unpacked(&self, local: impl Fn(&Archive) -> Result<PathBuf>) -> Result<Vec<Entry>> {
        self.filled(|fresh| {
            let mut entries = Vec::new();
            for archive in &self.manifest.archive {
                let path = local(archive)?;
                let accepted = file::accept(&published(archive), &path)?;
                if archive.sha256.is_none() {
                    println!("{}: not pinned, SHA-256 {}", archive.file, accepted.sha256);
                }
                let place = |name: &str| place(archive, name);
                entries.extend(unpack(
                    &path,
                    archive.format(),
                    fresh,
                    archive.unpacked_limit(),
                    &place,
                )?);
            }
            Ok(entries)
        })
    }

    fn packed(&self, path: &Path) -> Result<Vec<Entry>> {
        let format = Format::of(&path.to_string_lossy());
        if format == Format::None {
            bail!("{}: expected .zip, .tar, .tar.gz or .tgz", path.display());
        }
        self.filled(|fresh| unpack(path, format, fresh, LOCAL_LIMIT, &|name| Some(name.to_owned())))
    }

    fn filled(&self, fill: impl FnOnce(&Path) -> Result<Vec<Entry>>) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        folder::swap(&self.home.folder, |fresh| {
            entries = fill(fresh)?;
            Ok(())
        })?;
        Ok(entries)
    }

    fn linked(&self, path: &Path) -> Result<Vec<Entry>> {
        let entries = record::list_files(path)?;
        if entries.is_empty() {
            bail!("{}: expected the data set, found no file", path.display());
        }
        folder::link(path, &self.home.folder)?;
        Ok(entries)
    }
}

fn published(archive: &Archive) -> Download<'_> {
    Download {
        file: &archive.file,
        urls: &archive.urls,
        sha256: archive.sha256.as_deref(),
        bytes: archive.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::download::server::{Reply, Server};
    use std::io::Write;
    use tempfile::TempDir;

    /// A checkout with one manifest `x`, whose archive holds `root/train/1.txt`, and a cache.
    struct Bench {
        dir: TempDir,
        manifest: Manifest,
        home: Home,
    }

    impl Bench {
        fn new(rest: &str) -> Bench {
            let dir = tempfile::tempdir().unwrap();
            let source = "name = 'x'\n[source]\nhomepage = 'h'\ncitation = 'c'\nlicence = 'l'\n";
            fs::write(dir.path().join("x.toml"), format!("{source}{rest}")).unwrap();
            let manifest = Manifest::named(dir.path(), "x").unwrap();
            let home = Home::new(dir.path(), "x", None).unwrap();
            Bench { dir, manifest, home }
        }

        fn published(url: &str) -> Bench {
            let moves = "moves = [{ from = 'train', to = 'images/train' }]";
            Bench::new(&format!(
                "[[archive]]\nfile = 'x.zip'\nurls = ['{url}']\nstrip = 1\n{moves}\n"
            ))
        }

        fn work(&self) -> Work<'_> {
            Work {
                manifest: &self.manifest,
                home: &self.home,
                downloads: self.dir.path().join("cache"),
            }
        }

        fn fetch(&self, from: Option<&Path>) -> Result<()> {
            let work = self.work();
            work.go(&work.way(from)?, &Client::impatient())
        }
    }

    fn zip() -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in ["root/train/1.txt", "root/other/2.txt"] {
            writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(b"abc").unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_download_ends_in_the_layout_and_verifies() {
        let server = Server::start(|request, _| Reply::ranged(&zip(), request));
        let bench = Bench::published(&server.url("x.zip"));
        assert!(!bench.work().is_done().unwrap());
        bench.fetch(None).unwrap();
        assert_eq!(bench.home.check(Depth::Hashes).unwrap(), (1, 3));
        assert!(bench.home.folder.join("images/train/1.txt").is_file());
        assert!(!bench.dir.path().join("cache").exists(), "archives do not stay");
        assert!(bench.work().is_done().unwrap());
    }

    #[test]
    fn a_damaged_data_set_is_fetched_again() {
        let server = Server::start(|request, _| Reply::ranged(&zip(), request));
        let bench = Bench::published(&server.url("x.zip"));
        bench.fetch(None).unwrap();
        fs::remove_file(bench.home.folder.join("images/train/1.txt")).unwrap();
        assert!(!bench.work().is_done().unwrap());
        bench.fetch(None).unwrap();
        bench.home.check(Depth::Hashes).unwrap();
    }

    #[test]
    fn a_failed_download_leaves_no_folder() {
        let server = Server::start(|_, _| Reply::whole(b"no zip at all"));
        let bench = Bench::published(&server.url("x.zip"));
        assert!(bench.fetch(None).is_err());
        assert!(!bench.home.folder.exists() && !bench.home.record.exists());
    }

    #[test]
    fn local_archives_are_taken_by_name() {
        let bench = Bench::published("http://none.invalid/");
        let (local, other) = (bench.dir.path().join("x.zip"), bench.dir.path().join("mine.zip"));
        fs::write(&local, zip()).unwrap();
        fs::write(&other, zip()).unwrap();
        let work = bench.work();
        assert_eq!(
            work.way(Some(bench.dir.path())).unwrap(),
            Way::Archives(bench.dir.path().canonicalize().unwrap())
        );
        bench.fetch(Some(&local)).unwrap();
        assert!(bench.home.folder.join("images/train/1.txt").is_file());
        fs::remove_dir_all(&bench.home.folder).unwrap();
        bench.fetch(Some(&other)).unwrap();
        assert!(
            bench.home.folder.join("root/train/1.txt").is_file(),
            "an unknown archive is taken as it is"
        );
    }

    #[test]
    fn a_folder_is_linked_and_verified_by_size() {
        let bench = Bench::new("manual = 'write to the authors'\n");
        let mine = tempfile::tempdir().unwrap();
        assert!(bench.fetch(Some(mine.path())).unwrap_err().to_string().contains("found no file"));
        fs::write(mine.path().join("a"), "abc").unwrap();
        bench.fetch(Some(mine.path())).unwrap();
        assert!(bench.home.folder.is_symlink());
        assert_eq!(bench.home.check(Depth::Hashes).unwrap(), (1, 3));
        assert_eq!(
            fs::read_dir(mine.path()).unwrap().count(),
            1,
            "nothing is written into the user's folder"
        );
    }

    #[test]
    fn what_must_be_asked_for_says_where() {
        let bench = Bench::new("manual = 'write to the authors'\n");
        let error = bench.fetch(None).unwrap_err().to_string();
        assert!(error.contains("write to the authors"), "{error}");
    }

    #[test]
    fn a_folder_of_the_user_is_never_replaced() {
        let bench = Bench::published("http://none.invalid/");
        fs::create_dir_all(&bench.home.folder).unwrap();
        assert!(
            bench.work().is_done().unwrap_err().to_string().contains("found something not fetched")
        );
    }

    #[test]
    fn a_file_that_is_no_archive_is_refused() {
        let bench = Bench::published("http://none.invalid/");
        let file = bench.dir.path().join("x.txt");
        fs::write(&file, "abc").unwrap();
        assert!(bench.fetch(Some(&file)).unwrap_err().to_string().contains("expected .zip"));
    }
}
