//! Our backbones beside the outputs that other packages noted in a folder, as a page of Markdown.
//!
//! `cargo xtask parity` makes the folder with `benches/peers/parity.py` and runs this:
//! `cargo run -p polyptych-backbones --example parity -- FOLDER`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use polyptych_backbones::{BackboneConfig, Checkpoint, Options, computed};
use polyptych_formats::{TensorFile, file};
use polyptych_tensor::{Device, LoadOptions, NoAdapter, Store, Tensor, Tensors, no_grad};
use schemars::JsonSchema;
use serde::Deserialize;

/// Largest difference, relative to the largest output, that counts as the same.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize, JsonSchema)]
struct Noted {
    versions: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize, JsonSchema)]
struct Case {
    source: String,
    size: [i64; 2],
    what: String,
    config: BackboneConfig,
    /// What the package said instead of giving an output.
    failed: Option<String>,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let folder = std::env::args().nth(1).ok_or("expected the folder of parity.py")?;
    let folder = Path::new(&folder);
    let noted: Noted = serde_json::from_slice(&std::fs::read(folder.join("cases.json"))?)?;
    let mut rows: BTreeMap<(String, String), Vec<(String, String)>> = BTreeMap::new();
    for (index, case) in noted.cases.iter().enumerate() {
        let cell = match &case.failed {
            Some(reason) => format!("the package refuses: {reason}"),
            None => cell(&folder.join(format!("{index}.safetensors")), case),
        };
        let [height, width] = case.size;
        let row = (case.source.clone(), case.what.clone());
        rows.entry(row).or_default().push((format!("{height} x {width}"), cell));
    }
    let versions = noted.versions.iter().map(|(name, version)| format!("{name} {version}"));
    println!("{}.", versions.collect::<Vec<_>>().join(", "));
    for ((source, what), cells) in rows {
        println!("\n## {source}, {what}\n\n| image | largest difference |\n|---|---|");
        cells.iter().for_each(|(size, cell)| println!("| {size} | {cell} |"));
    }
    Ok(())
}

fn cell(path: &Path, case: &Case) -> String {
    match compare(path, case) {
        Ok(worst) if worst <= TOLERANCE => format!("{worst:.1e}"),
        Ok(worst) => format!("**{worst:.1e}**"),
        Err(e) => format!("**refused here: {e}**"),
    }
}

/// Largest difference relative to the largest output.
fn compare(path: &Path, case: &Case) -> Outcome<f64> {
    let mut tensors = file::load(path)?.tensors;
    let take = |tensors: &mut Tensors, name: &str| tensors.remove(name).ok_or(name.to_owned());
    let (image, expected) = (take(&mut tensors, "image")?, take(&mut tensors, "output")?);
    let weights = tensors
        .into_iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("weights.")?.to_owned(), tensor)));
    let weights = TensorFile { tensors: weights.collect(), metadata: Default::default() };
    let checkpoint = Checkpoint::of(&case.source, weights)?;
    checkpoint.check(&case.config)?;
    let found = forward(&checkpoint, &case.config, &image)?;
    if found.size() != expected.size() {
        return Err(format!("{:?} and not {:?}", found.size(), expected.size()).into());
    }
    let worst = |tensor: &Tensor| tensor.abs().max().double_value(&[]);
    Ok(worst(&(found - &expected)) / worst(&expected))
}

fn forward(checkpoint: &Checkpoint, config: &BackboneConfig, image: &Tensor) -> Outcome<Tensor> {
    let store = Store::new(Device::Cpu);
    let backbone = config.init(&store.root(), &NoAdapter::Frozen, Options::default())?;
    let allow_unused = &[&computed()[..], &["embeddings.mask_token", "pooler.*"]].concat();
    // Tables of windows that are larger than their maps are fitted, as when a file is loaded.
    let resample =
        |name: &str, tensor: &Tensor, wanted: &[i64]| config.resample(name, tensor, wanted);
    let options = LoadOptions { allow_unused, resample: Some(&resample), ..Default::default() };
    store.load(&checkpoint.origin, &checkpoint.tensors, &options)?;
    no_grad(|| {
        let features = backbone.forward_features(image, false)?;
        Ok(match config.num_classes() {
            0 => features.into_shared(),
            _ => backbone.forward_head(&features, false).into_shared(),
        })
    })
}
