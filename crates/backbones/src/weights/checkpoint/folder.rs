//! A folder of weights as the hub has it: `config.json` and one file, or several and their index.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use polyptych_formats::pth::Choice;
use polyptych_tensor::Tensors;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::HuggingFaceConfig;
use super::read::{Read, headless, read};
use crate::error::{Error, Result};

/// Whole files, the likeliest first; each may be cut into shards, with an index beside them.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
const ADAPTER: &str = "adapter_config.json";

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The tensors of the folder at `path` under their own names, and its configuration. Shards have
/// no common header.
pub(super) fn open(path: &Path, choice: &Choice) -> Result<(Read, Option<HuggingFaceConfig>)> {
    let config = path.join("config.json");
    let config =
        if config.exists() { Some(json::<HuggingFaceConfig>(&config)?.of_images()) } else { None };
    for name in FILES {
        let (whole, index) = (path.join(name), path.join(format!("{name}.index.json")));
        if whole.exists() {
            return Ok((read(&whole, choice)?, config));
        }
        if index.exists() {
            let file = headless(shards(path, &index, choice)?);
            return Ok((Read { file, notes: Vec::new(), left: choice.clone() }, config));
        }
    }
    let found = match path.join(ADAPTER).exists() {
        true => format!("{ADAPTER}: an adapter, which `polyptych convert --adapter` merges"),
        false => "none of them".into(),
    };
    Err(wrong(path, "weights", format!("{} or an index of shards", FILES.join(", ")), found))
}

/// The error for a file that is one of several: the folder is to be named.
pub(super) fn of_shard(path: &Path) -> Option<Error> {
    let stem = path.file_stem()?.to_str()?;
    let (_, count) = stem.rsplit_once("-of-")?;
    let number = count.len() == 5 && count.bytes().all(|byte| byte.is_ascii_digit());
    let expected = "the folder with all shards and their index";
    number.then(|| wrong(path, "weights", expected.into(), "one shard".into()))
}

fn shards(folder: &Path, index: &Path, choice: &Choice) -> Result<Tensors> {
    let Index { weight_map } = json(index)?;
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    weight_map.values().for_each(|shard| *names.entry(shard).or_default() += 1);
    let mut tensors = Tensors::new();
    for (name, count) in names {
        let shard = shard_path(folder, index, name)?;
        if !shard.exists() {
            let found = format!("no such file; {count} tensors are in it: fetch it too");
            return Err(wrong(folder, name, "a shard that the index names".into(), found));
        }
        tensors.extend(read(&shard, choice)?.file.tensors);
    }
    match weight_map.keys().find(|name| !tensors.contains_key(*name)) {
        None => Ok(tensors),
        Some(name) => {
            let shard = &weight_map[name];
            Err(wrong(folder, shard, format!("{name}, as the index says"), "no such tensor".into()))
        }
    }
}

/// The path of a shard, which lies in the folder and nowhere else.
fn shard_path(folder: &Path, index: &Path, name: &str) -> Result<PathBuf> {
    let plain = Path::new(name).components().eq([Component::Normal(name.as_ref())]);
    match plain {
        true => Ok(folder.join(name)),
        false => Err(wrong(index, "weight_map", "names of files".into(), format!("{name:?}"))),
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let io = |source| polyptych_formats::Error::Io { path: path.into(), source };
    let text = std::fs::read(path).map_err(io)?;
    let what = "JSON with the fields of its kind";
    serde_json::from_slice(&text).map_err(|e| wrong(path, "content", what.into(), e.to_string()))
}

fn wrong(origin: &Path, key: &str, expected: String, found: String) -> Error {
    Error::Checkpoint { origin: origin.display().to_string(), key: key.into(), expected, found }
}
