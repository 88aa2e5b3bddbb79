//! Shards that we pack, read by Python's `webdataset`; and those that it writes, read by us.
//!
//! Needs Python with the package: `POLYPTYCH_PYTHON`, or `python3`. Without, the test says so.

use std::path::{Path, PathBuf};
use std::process::Command;

use polyptych_data::{Dataset, FolderDataset, PackOptions, Root, pack};
use polyptych_synthetic::write_copy;

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("POLYPTYCH_PYTHON").unwrap_or_else(|| "python3".into());
    let there = Command::new(&python).args(["-c", "import webdataset"]).output();
    there.is_ok_and(|output| output.status.success()).then(|| python.into())
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn both_packages_read_shards_of_the_other() {
    let Some(python) = python() else {
        println!("skipped: no Python with webdataset in POLYPTYCH_PYTHON or as python3");
        return;
    };
    for name in ["nyud", "cityscapes"] {
        let folder = tempfile::tempdir().unwrap();
        let [copy, ours, theirs] = ["copy", "ours", "theirs"].map(|part| folder.path().join(part));
        write_copy(name, &copy).unwrap();
        let options = PackOptions { samples: 4, splits: vec!["train".into()] };
        let manifest = root(&format!("datasets/{name}.toml"));
        let report =
            pack(&manifest, &Root::new(&copy, false), &ours, &options, &|_, _, _| {}).unwrap();
        std::fs::create_dir(&theirs).unwrap();
        let shards = (0..report.splits[0].shards).map(|n| ours.join(format!("train-{n:06}.tar")));
        let mut command = Command::new(&python);
        command.arg(root("benches/peers/webdataset_shards.py")).arg(&theirs).args(shards);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let open = |folder: &Path| {
            FolderDataset::open(&report.manifest, &Root::new(folder, false), "train").unwrap()
        };
        let (one, other) = (open(&ours), open(&theirs));
        assert_eq!((said.lines().count(), other.len()), (one.len(), one.len()), "{name}");
        for (index, line) in said.lines().enumerate() {
            let (a, b) = (one.get(index).unwrap(), other.get(index).unwrap());
            assert_eq!(a, b, "{name} {index}");
            assert!(line.starts_with(&format!("{{\"key\": \"{}\", ", a.name)), "{line}");
            // An image, and a part for each label.
            assert_eq!(line.matches(": \"").count(), 1 + 1 + a.labels.len(), "{line}");
        }
        println!("{name}: {} samples in {} shards", one.len(), report.splits[0].shards);
    }
}
