//! Shards at addresses: read by ranges or kept whole, from a server that does as it should or not.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "remote/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polyptych_data::folder_of;
use polyptych_data::{Dataset, FolderDataset, Label, Loader, LoaderConfig, Result, Root, Sampling};
use tempfile::TempDir;

use self::server::{Manner, Server};

const SHARDS: usize = 3;
const SAMPLES: usize = 8;

/// A shard of samples whose images say which they are.
fn shard(number: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for index in number * SAMPLES..(number + 1) * SAMPLES {
        let mut image = Vec::new();
        let pixels = image::RgbImage::from_pixel(5, 4, image::Rgb([index as u8, 7, 9]));
        let mut to = std::io::Cursor::new(&mut image);
        pixels.write_to(&mut to, image::ImageFormat::Png).unwrap();
        // What fills a sample up, so that shards are longer than a request.
        let filling = vec![index as u8; 50_000];
        for (part, bytes) in
            [("png", &image), ("cls", &format!("{}", index % 2).into_bytes()), ("bin", &filling)]
        {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, format!("{index:04}.{part}"), &bytes[..]).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn served() -> Server {
    Server::new((0..SHARDS).map(|number| (format!("a/train-{number:02}.tar"), shard(number))))
}

/// A data set over the server's shards, in the folder of a test.
struct Set {
    folder: TempDir,
    manifest: PathBuf,
}

impl Set {
    fn new(server: &Server, remote: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("m.toml");
        let images = format!("{}/a/{{split}}-{{00..{:02}}}.tar", server.address, SHARDS - 1);
        let text = format!(
            "name = \"far\"\n[layout]\nformat = \"webdataset\"\nimages = \"{images}\"\n\
             [layout.remote]\nretries = 2\nwait_s = 0.01\ntimeout_s = 2.0\n{remote}\n\
             [splits]\ntrain = {{}}\n[[tasks]]\nname = \"kind\"\nkind = \"classification\"\n\
             label = \"cls\"\nformat = \"index_txt\"\nclasses = [\"x\", \"y\"]\n"
        );
        fs::write(&manifest, text).unwrap();
        Self { folder, manifest }
    }

    fn open(&self) -> Result<FolderDataset> {
        FolderDataset::open(&self.manifest, &Root::new(self.folder.path(), false), "train")
    }

    fn kept(&self, ending: &str) -> Vec<(PathBuf, u64)> {
        let Ok(entries) = fs::read_dir(self.folder.path().join(".shards")) else {
            return Vec::new();
        };
        let entries = entries.map(|entry| entry.unwrap());
        let kept = entries.map(|entry| (entry.path(), entry.metadata().unwrap().len()));
        kept.filter(|(path, _)| path.extension().is_some_and(|found| found == ending)).collect()
    }
}

/// Every sample is what its number says.
fn read_all(set: &dyn Dataset) {
    assert_eq!(set.len(), SHARDS * SAMPLES);
    for index in 0..set.len() {
        let sample = set.get(index).unwrap();
        assert_eq!(sample.name, format!("{index:04}"));
        assert_eq!(usize::from(sample.image[[3, 4, 0]]), index);
        sample.check(set.tasks()).unwrap();
    }
}

fn refused(set: &Set, server: &Server) -> String {
    set.open().unwrap_err().to_string().replace(&server.address, "HOST")
}

#[test]
fn samples_are_read_by_ranges_and_members_listed_once() {
    let server = served();
    let set = Set::new(&server, "");
    let opened = set.open().unwrap();
    let asked = server.asked();
    assert!(asked.iter().all(|asked| asked.range.is_some() || asked.path.ends_with(".idx")));
    read_all(&opened);
    // One request for each sample, of no more than it: no request for each of its parts.
    let asked = server.asked();
    assert_eq!(asked.len(), SHARDS * SAMPLES);
    let longest = asked.iter().map(|asked| asked.range.unwrap()).map(|(a, b)| b + 1 - a).max();
    assert!(longest.unwrap() < 55_000, "{longest:?}");
    assert!(set.kept("tar").is_empty());
    assert_eq!(set.kept("idx").len(), SHARDS);
    // The second time one byte of each shard is enough.
    let again = set.open().unwrap();
    assert_eq!(server.asked().len(), SHARDS);
    assert_eq!(again.records(), opened.records());
    let place = again.origin(9).unwrap().image;
    assert_eq!(place, format!("{}/a/train-01.tar#0009", server.address));
    // No folder need be there, so a recipe need not name one.
    folder_of(&set.manifest, None).unwrap();
}

#[test]
fn a_list_of_members_beside_a_shard_is_used_and_a_wrong_one_noticed() {
    let server = served();
    let folder = tempfile::tempdir().unwrap();
    let text = |number: usize| {
        let path = folder.path().join("a.tar");
        fs::write(&path, shard(number)).unwrap();
        let mut text = format!("v1.2 {SAMPLES}\n");
        let mut archive = tar::Archive::new(fs::File::open(&path).unwrap());
        for (place, entry) in archive.entries().unwrap().enumerate() {
            let entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let (start, size) = (entry.raw_file_position(), entry.size());
            let end = if place % 3 == 2 { "\n" } else { " " };
            text += &format!("{} {start} {size} {name}{end}", &name[5..]);
        }
        text.into_bytes()
    };
    (0..SHARDS).for_each(|number| server.put(&format!("a/train-{number:02}.idx"), text(number)));
    let set = Set::new(&server, "");
    let opened = set.open().unwrap();
    // A byte of the shard, and the list.
    assert_eq!(server.asked().len(), 2 * SHARDS);
    read_all(&opened);
    // The list is of another shard of the same length.
    let mut other = shard(0);
    other.rotate_right(512);
    server.put("a/train-00.tar", other);
    let message = Set::new(&server, "").open().unwrap().get(0).unwrap_err().to_string();
    assert!(message.ends_with("another than when its members were listed"), "{message}");
}

#[test]
fn what_passes_is_tried_again_from_where_it_stopped() {
    let server = served();
    for manner in [Manner::Cut(2), Manner::Busy(2), Manner::Slow(1)] {
        let set = Set::new(&server, "");
        server.set(manner);
        let opened = set.open().unwrap();
        server.set(manner);
        read_all(&opened);
    }
    server.set(Manner::Well);
    let opened = Set::new(&server, "").open().unwrap();
    server.set(Manner::Cut(1));
    server.asked();
    opened.get(3).unwrap();
    let ranges: Vec<_> = server.asked().iter().map(|asked| asked.range.unwrap()).collect();
    let [(start, last), (rest, end)] = ranges[..] else { panic!("{ranges:?}") };
    assert_eq!((rest, end), (start + (last + 1 - start) / 2, last));
}

#[test]
fn what_does_not_pass_names_address_status_and_attempt() {
    let server = served();
    let set = Set::new(&server, "");
    server.set(Manner::Busy(100));
    let message = refused(&set, &server);
    let expected = "answered with status 503 Service Unavailable (attempt 3 of 3)";
    assert_eq!(message, format!("HOST/a/train-00.tar: {expected}"));
    server.set(Manner::Well);
    let opened = set.open().unwrap();
    server.set(Manner::Cut(100));
    let message = opened.get(0).unwrap_err().to_string();
    assert!(
        message.contains("a/train-00.tar: ") && message.ends_with("(attempt 3 of 3)"),
        "{message}"
    );
    server.set(Manner::Slow(100));
    let message = opened.get(0).unwrap_err().to_string();
    assert!(message.contains("timeout") && message.ends_with("(attempt 3 of 3)"), "{message}");
    // A file that is not there stays away, so it is asked for once.
    server.set(Manner::Well);
    let gone = Server::new([("a/train-00.tar".to_owned(), shard(0))]);
    let message = refused(&Set::new(&gone, ""), &gone);
    assert_eq!(message, "HOST/a/train-01.tar: answered with status 404 Not Found (attempt 1 of 3)");
    // Nobody listens there.
    let text = fs::read_to_string(&set.manifest).unwrap();
    fs::write(&set.manifest, text.replace(&server.address, "http://127.0.0.1:1")).unwrap();
    let message = set.open().unwrap_err().to_string();
    assert!(message.starts_with("http://127.0.0.1:1/a/train-00.tar: "), "{message}");
    assert!(message.ends_with("(attempt 3 of 3)"), "{message}");
}

#[test]
fn shards_that_are_cut_or_change_are_named() {
    let whole = shard(0);
    let server = served();
    server.put("a/train-00.tar", whole[..whole.len() / 2].to_vec());
    let message = refused(&Set::new(&server, ""), &server);
    assert!(message.starts_with("HOST/a/train-00.tar: not a readable tar shard: "), "{message}");
    server.put("a/train-00.tar", whole.clone());
    let opened = Set::new(&server, "").open().unwrap();
    server.put("a/train-00.tar", vec![b'x'; whole.len()]);
    let message = opened.get(0).unwrap_err().to_string();
    assert!(message.ends_with("another than when its members were listed"), "{message}");
}

#[test]
fn a_server_without_ranges_needs_shards_to_be_kept() {
    let server = served();
    server.set(Manner::Whole);
    let message = refused(&Set::new(&server, ""), &server);
    assert!(message.contains("set layout.remote.cache_mib"), "{message}");
    let set = Set::new(&server, "cache_mib = 4");
    server.asked();
    read_all(&set.open().unwrap());
    let whole = server.asked().into_iter().filter(|asked| asked.range.is_none());
    let whole = whole.filter(|asked| asked.path.ends_with(".tar"));
    assert_eq!(whole.count(), SHARDS, "every shard is fetched once");
    assert_eq!(set.kept("tar").len(), SHARDS);
}

#[test]
fn what_is_kept_is_bounded_and_whole() {
    let server = served();
    let set = Set::new(&server, "cache_mib = 1");
    let opened = set.open().unwrap();
    read_all(&opened);
    let kept = set.kept("tar");
    let bytes: u64 = kept.iter().map(|(_, length)| length).sum();
    assert!(kept.len() == 2 && bytes <= 1 << 20, "{kept:?}");
    // What was spoilt, or removed by another process, is fetched again.
    let opened = set.open().unwrap();
    kept.iter().for_each(|(path, _)| fs::write(path, "cut").unwrap());
    read_all(&opened);
    let opened = set.open().unwrap();
    server.set(Manner::Cut(2));
    fs::remove_dir_all(set.folder.path().join(".shards")).unwrap();
    read_all(&opened);
    assert!(set.kept("part").is_empty());
    let large = Server::new([("a/train-00.tar".to_owned(), vec![0; 2 << 20])]);
    let message = refused(&Set::new(&large, "cache_mib = 1"), &large);
    let expected = "layout.remote.cache_mib: expected at least 2 for this shard, found 1";
    assert_eq!(message, format!("HOST/a/train-00.tar: {expected}"));
}

/// Every sample comes once in an epoch, each process reads its own, and a run goes on in the middle
/// of a shard with the samples that it would have read.
#[test]
fn epochs_are_parted_and_go_on_in_the_middle_of_a_shard() {
    let server = served();
    let set = Set::new(&server, "");
    let config = LoaderConfig {
        shuffle: true,
        sampling: Sampling::Shards,
        threads: Some(2),
        ..LoaderConfig::evaluation(4, [4, 4])
    };
    let loader = Loader::new(Arc::new(set.open().unwrap()), config).unwrap();
    let names = |loader: &Loader, first: usize| -> Vec<Vec<String>> {
        let epoch = loader.epoch(1, first).unwrap();
        epoch.map(|batch| batch.unwrap().names.clone()).collect()
    };
    let whole = names(&loader, 0);
    let all: BTreeSet<&String> = whole.iter().flatten().collect();
    assert_eq!((all.len(), whole.concat().len()), (SHARDS * SAMPLES, SHARDS * SAMPLES));
    // What the run has read is not read again.
    let resumed = Loader::new(Arc::new(set.open().unwrap()), loader.config().clone()).unwrap();
    server.asked();
    assert_eq!(names(&resumed, 3), whole[3..]);
    assert_eq!(server.asked().len(), 3 * 4);
    let parts: Vec<_> = (0..2).map(|rank| names(&loader.part_of_batches(rank, 2), 0)).collect();
    let joined: Vec<Vec<String>> =
        parts[0].iter().zip(&parts[1]).map(|(a, b)| [a.clone(), b.clone()].concat()).collect();
    assert_eq!(joined, whole);
}

#[test]
fn what_manifests_say_of_addresses_is_checked() {
    let server = served();
    let set = Set::new(&server, "");
    let text = fs::read_to_string(&set.manifest).unwrap();
    let message = |from: &str, to: &str| {
        fs::write(&set.manifest, text.replace(from, to)).unwrap();
        set.open().unwrap_err().to_string()
    };
    let found = message("retries = 2", "retries = 101");
    assert!(found.ends_with("layout.remote.retries: expected 0 to 100, found 101"), "{found}");
    let found = message("timeout_s = 2.0", "timeout_s = 0.0");
    assert!(found.contains("layout.remote.timeout_s: expected above 0"), "{found}");
    let found = message("wait_s", "waits");
    assert!(found.contains("did you mean `wait_s`?"), "{found}");
    let found = message("{00..02}", "*");
    assert!(found.contains("layout.images: expected ranges in braces"), "{found}");
    let found = message("\"webdataset\"", "\"hdf5\"");
    assert!(found.contains("layout.images: expected files on disk for hdf5"), "{found}");
    let found = message(&server.address, "shards");
    assert!(found.contains("layout.remote: expected no such key"), "{found}");
    assert!(Path::new(&set.manifest).exists() && server.asked().is_empty());
}

/// Tables of `tests/parquet` and `tests/arrow` at addresses, as a hub resolves them.
struct Tables {
    server: Server,
    folder: TempDir,
    manifest: PathBuf,
}

impl Tables {
    fn new(format: &str, remote: &str) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let (files, images) = match format {
            "parquet" => (
                ["parquet/train-00000-of-00002.parquet", "parquet/train-00001-of-00002.parquet"],
                "parquet/train-{00000..00001}-of-00002.parquet",
            ),
            _ => (
                ["arrow/train/data-00000-of-00001.arrow", "arrow/val/data-00000-of-00001.arrow"],
                "arrow/{train,val}/data-00000-of-00001.arrow",
            ),
        };
        let read = |name: &str| (format!("r/{name}"), fs::read(tests.join(name)).unwrap());
        let server = Server::new(files.map(read));
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("m.toml");
        let text = format!(
            "name = \"far\"\n[layout]\nformat = \"{format}\"\nimages = \"{}/r/{images}\"\n\
             [layout.remote]\nretries = 2\nwait_s = 0.01\ntimeout_s = 2.0\n{remote}\n\
             [splits]\ntrain = {{}}\n[[tasks]]\nname = \"semseg\"\nkind = \"semseg\"\n\
             label = \"mask\"\nformat = \"index_png\"\nclasses = [\"a\", \"b\", \"c\"]\n",
            server.address
        );
        fs::write(&manifest, text).unwrap();
        Self { server, folder, manifest }
    }

    fn open(&self) -> Result<FolderDataset> {
        FolderDataset::open(&self.manifest, &Root::new(self.folder.path(), false), "train")
    }

    fn refused(&self) -> String {
        self.open().unwrap_err().to_string().replace(&self.server.address, "HOST")
    }
}

/// Every row is what its number says; the seventh has no mask.
fn read_rows(set: &FolderDataset) {
    assert_eq!(set.len(), 8);
    for index in 0..set.len() {
        let sample = set.get(index).unwrap();
        assert_eq!(sample.image.dim(), (10, 12, 3));
        match sample.labels.get("semseg") {
            Some(Label::Classes(map)) => {
                assert!(map.iter().all(|&class| usize::from(class) == index % 3));
            }
            _ => assert_eq!(index, 6),
        }
    }
}

#[test]
fn pages_of_tables_are_read_by_ranges() {
    let tables = Tables::new("parquet", "");
    let set = tables.open().unwrap();
    let asked = tables.server.asked();
    // A byte that says how long each file is, its end, and its directory.
    assert!(asked.len() <= 6 && asked.iter().all(|asked| asked.range.is_some()), "{asked:?}");
    tables.server.set(Manner::Cut(2));
    read_rows(&set);
    assert!(tables.server.asked().iter().all(|asked| asked.range.is_some()));
    // What was read is held.
    read_rows(&set);
    assert!(tables.server.asked().is_empty());
    assert!(!tables.folder.path().join(".shards").exists());
    let again = tables.open().unwrap();
    tables.server.set(Manner::Busy(100));
    let expected = "train-00000-of-00002.parquet: answered with status 503 Service Unavailable \
                    (attempt 3 of 3)";
    let message = again.get(0).unwrap_err().to_string();
    assert!(message.ends_with(expected), "{message}");
    let message = tables.refused();
    assert_eq!(message, format!("HOST/r/parquet/{expected}"));
}

#[test]
fn whole_tables_are_kept_where_there_is_room() {
    for format in ["parquet", "arrow"] {
        let tables = Tables::new(format, "cache_mib = 1");
        let set = tables.open().unwrap();
        assert!(tables.server.asked().iter().all(|asked| asked.range.is_some()));
        read_rows(&set);
        let asked = tables.server.asked();
        assert!(asked.len() == 2 && asked.iter().all(|asked| asked.range.is_none()), "{asked:?}");
        let kept = fs::read_dir(tables.folder.path().join(".shards")).unwrap();
        let kept = kept.map(|entry| entry.unwrap().path());
        assert_eq!(kept.filter(|path| path.extension().is_some_and(|e| e == format)).count(), 2);
        read_rows(&tables.open().unwrap());
        let without_parts = Tables::new(format, "cache_mib = 1");
        without_parts.server.set(Manner::Whole);
        read_rows(&without_parts.open().unwrap());
    }
    let message = Tables::new("arrow", "").refused();
    let expected = "HOST/r/arrow/train/data-00000-of-00001.arrow: layout.remote.cache_mib: \
                    expected room for whole files, since rows of this format are not read by \
                    ranges, found 0";
    assert_eq!(message, expected);
    let tables = Tables::new("parquet", "");
    tables.server.set(Manner::Whole);
    let message = tables.refused();
    assert!(message.contains("set layout.remote.cache_mib"), "{message}");
}
