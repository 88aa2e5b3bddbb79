//! Our backbones beside the outputs that other packages noted in a folder, as a page of Markdown.
//!
//! `cargo xtask parity` makes the folder with `benches/peers/parity.py` and runs this:
//! `cargo run -p polyptych-backbones --example parity -- FOLDER`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use polyptych_backbones::{BackboneConfig, Checkpoint, Options, computed};
use polyptych_formats::{TensorFile, file};
use polyptych_tensor::{
    Activations, Device, LoadOptions, NoAdapter, Store, Tensor, Tensors, no_grad,
};
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
        let (head, rule) = HEADS[usize::from(cells.iter().any(|(_, cell)| cell.contains('|')))];
        println!("\n## {source}, {what}\n\n{head}\n{rule}");
        let columns = rule.matches('|').count() - 2;
        for (size, cell) in &cells {
            let rest = " |".repeat(columns - 1 - cell.matches('|').count());
            println!("| {size} | {cell} |{rest}");
        }
    }
    Ok(())
}

/// Of sources whose output alone is noted, and of those whose pooled features and levels are too.
const HEADS: [(&str, &str); 2] = [
    ("| image | largest difference |", "|---|---|"),
    ("| image | logits | pooled | levels |", "|---|---|---|---|"),
];

fn cell(path: &Path, case: &Case) -> String {
    let number = |worst: f64| match worst <= TOLERANCE {
        true => format!("{worst:.1e}"),
        false => format!("**{worst:.1e}**"),
    };
    match compare(path, case) {
        Ok(all) => all.into_iter().map(number).collect::<Vec<_>>().join(" | "),
        Err(e) => format!("**refused here: {e}**"),
    }
}

/// Largest differences relative to the largest number: of the output, and where they are noted of
/// pooled features and of the worst level.
fn compare(path: &Path, case: &Case) -> Outcome<Vec<f64>> {
    let mut tensors = file::load(path)?.tensors;
    let take = |tensors: &mut Tensors, name: &str| tensors.remove(name).ok_or(name.to_owned());
    let (image, expected) = (take(&mut tensors, "image")?, take(&mut tensors, "output")?);
    let weights = tensors
        .iter()
        .filter_map(|(name, t)| Some((name.strip_prefix("weights.")?.to_owned(), t.copy())));
    let weights = TensorFile { tensors: weights.collect(), metadata: Default::default() };
    let checkpoint = Checkpoint::of(&case.source, weights)?;
    checkpoint.check(&case.config)?;
    let found = forward(&checkpoint, &case.config, &image, &expected)?;
    let mut all = vec![difference(&found.output, &expected)?];
    if let Some(pooled) = tensors.remove("pooled") {
        all.push(difference(&found.pooled, &pooled)?);
    }
    let mut worst: Option<f64> = None;
    for (index, level) in found.levels.iter().enumerate() {
        if let Some(expected) = tensors.remove(&format!("level{index}")) {
            let of_level = difference(&level.permute([0, 3, 1, 2]), &expected)?;
            worst = Some(worst.map_or(of_level, |worst| worst.max(of_level)));
        }
    }
    all.extend(worst);
    Ok(all)
}

fn difference(found: &Tensor, expected: &Tensor) -> Outcome<f64> {
    if found.size() != expected.size() {
        return Err(format!("{:?} and not {:?}", found.size(), expected.size()).into());
    }
    let worst = |tensor: &Tensor| tensor.abs().max().double_value(&[]);
    Ok(worst(&(found - expected)) / worst(expected))
}

/// What a backbone gives.
struct Found {
    output: Tensor,
    pooled: Tensor,
    levels: Vec<Tensor>,
}

fn forward(
    checkpoint: &Checkpoint,
    config: &BackboneConfig,
    image: &Tensor,
    expected: &Tensor,
) -> Outcome<Found> {
    let store = Store::new(Device::Cpu);
    let backbone = config.init(&store.root(), &NoAdapter::Frozen, Options::default())?;
    let allow_unused = &[&computed()[..], &["embeddings.mask_token", "pooler.*"]].concat();
    // Tables of windows that are larger than their maps are fitted, as when a file is loaded.
    let resample =
        |name: &str, tensor: &Tensor, wanted: &[i64]| config.resample(name, tensor, wanted);
    let options = LoadOptions { allow_unused, resample: Some(&resample), ..Default::default() };
    store.load(&checkpoint.origin, &checkpoint.tensors, &options)?;
    no_grad(|| {
        let out = backbone.forward_intermediates(image, false)?;
        let head = |pre_logits| backbone.forward_head(&out.features, pre_logits).into_shared();
        let (pooled, logits) = (head(true), head(false));
        let levels = out.levels.into_iter().map(Activations::into_shared).collect();
        // Without a classifier the packages give tokens, or pooled features.
        let tokens = config.num_classes() == 0 && expected.dim() == 3;
        let output = if tokens { out.features.into_shared() } else { logits };
        Ok(Found { output, pooled, levels })
    })
}
