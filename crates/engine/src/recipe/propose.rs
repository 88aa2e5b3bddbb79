//! A whole recipe for a data set of one's own: what fits its tasks, images and size, and why.

use std::path::Path;
use std::sync::Arc;

use polyptych_data::{Dataset, Error as DataError, FolderDataset, Root, TaskSpec, folder_of};

use crate::{Error, Result};

/// Names of splits that are measured on, the best first.
const EVAL: [&str; 6] = ["val", "valid", "validation", "dev", "test", "eval"];
/// Images whose size is looked at.
const LOOKED_AT: usize = 16;
/// The longer side of images with maps; the shipped backbone is small.
const LONGEST: usize = 256;
/// Passes over the data, within the bounds of steps.
const EPOCHS: usize = 20;
const STEPS: [usize; 2] = [200, 2000];

/// A recipe as text, and what was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The recipe in TOML, with the reasons as comments.
    pub text: String,
    /// What was chosen and why, one line each.
    pub reasons: Vec<String>,
}

/// What is known of the data.
struct Seen {
    train: String,
    eval: String,
    tasks: Vec<TaskSpec>,
    /// Tasks that the data have no labels of in one of the splits.
    left_out: Vec<String>,
    images: usize,
    /// Median height and width.
    size: [usize; 2],
}

/// What follows from it.
struct Choice {
    backbone: &'static str,
    adapter: String,
    img_size: [usize; 2],
    batch: usize,
    steps: usize,
    scale: &'static str,
}

/// A recipe that learns every task of the data set of `manifest` which has labels; `root` is its
/// folder, by default `data/<name of the manifest>`. `steps` is the number of steps, where it is
/// known already.
///
/// # Errors
/// A manifest or folder that cannot be read, or without a label of any task.
pub fn propose(manifest: &Path, root: Option<&Path>, steps: Option<usize>) -> Result<Proposal> {
    let root = folder_of(manifest, root)?;
    let seen = look(manifest, &root)?;
    let choice = choose(&seen, steps);
    let reasons = reasons(&seen, &choice);
    Ok(Proposal { text: text(manifest, &root, &seen, &choice, &reasons), reasons })
}

fn look(manifest: &Path, root: &Path) -> Result<Seen> {
    let splits = FolderDataset::splits(manifest)?;
    let train = splits.iter().find(|name| name.starts_with("train")).or(splits.first());
    let wrong = |reason: &str| Error::Recipe {
        origin: manifest.display().to_string(),
        key: "splits".into(),
        reason: reason.into(),
    };
    let train = train.ok_or_else(|| wrong("expected a split to learn from, found none"))?.clone();
    let known = EVAL.iter().find_map(|name| splits.iter().find(|split| split == name));
    let other = || splits.iter().find(|split| **split != train);
    let place = Root::new(root, false);
    let open = |split: &str| FolderDataset::open_for(manifest, &place, split, |_| false);
    // A share of so few images is none.
    let has_images = |split: &&String| !matches!(open(split), Err(DataError::EmptySplit { .. }));
    let eval = known.or_else(other).filter(has_images).unwrap_or(&train).clone();
    let all = open(&train)?;
    let labelled = |split: &str, task: &str| {
        FolderDataset::open_for(manifest, &place, split, |name| name == task).map(drop)
    };
    let (mut tasks, mut left_out, mut cause) = (Vec::new(), Vec::new(), None);
    for task in all.tasks() {
        let both = labelled(&train, &task.name).and_then(|()| labelled(&eval, &task.name));
        match both {
            Ok(()) => tasks.push(task.clone()),
            Err(e) => {
                left_out.push(task.name.clone());
                cause = cause.or(Some(e));
            }
        }
    }
    match (tasks.is_empty(), cause) {
        (true, Some(e)) => Err(e.into()),
        (true, None) => Err(wrong("expected a task with labels, found none")),
        (false, _) => {
            let (images, size) = (all.len(), median_size(&(Arc::new(all) as Arc<dyn Dataset>))?);
            Ok(Seen { train, eval, tasks, left_out, images, size })
        }
    }
}

fn median_size(dataset: &Arc<dyn Dataset>) -> Result<[usize; 2]> {
    let count = dataset.len().min(LOOKED_AT);
    let mut sizes = [Vec::new(), Vec::new()];
    for index in (0..count).map(|k| k * dataset.len() / count) {
        let (height, width, _) = dataset.get(index)?.image.dim();
        sizes[0].push(height);
        sizes[1].push(width);
    }
    Ok(sizes.map(|mut side| {
        side.sort_unstable();
        side[side.len() / 2]
    }))
}

fn choose(seen: &Seen, steps: Option<usize>) -> Choice {
    let dense = seen.tasks.iter().any(TaskSpec::is_dense);
    let img_size = img_size(seen.size, dense);
    let batch = match (dense, img_size[0] * img_size[1] > 160 * 160) {
        (false, _) => 32,
        (true, false) => 8,
        (true, true) => 4,
    };
    let batch = batch.min(seen.images);
    let steps = steps.unwrap_or((EPOCHS * seen.images / batch).clamp(STEPS[0], STEPS[1]));
    let several = seen.tasks.len() > 1;
    let (backbone, scale) = match dense {
        true => ("swin_micro_patch4_window4_128", "[0.75, 1.5]"),
        false => ("vit_micro_patch8_128", "[0.9, 1.1]"),
    };
    let adapter = match dense && several {
        true => mtlora(&seen.tasks),
        false => {
            "method = \"lora\"\nr = 16\nlora_alpha = 16\ntarget_modules = \"all-linear\"\n".into()
        }
    };
    Choice { backbone, adapter, img_size, batch, steps: steps.max(1), scale }
}

/// The size of the images, square for tasks of whole images; with maps no side below 64, and at most [`LONGEST`] in multiples of what the
/// Swin's stages divide by.
fn img_size(size: [usize; 2], dense: bool) -> [usize; 2] {
    let longer = size[0].max(size[1]).max(1);
    match dense {
        true => size.map(|side| {
            let side = if longer > LONGEST { side * LONGEST / longer } else { side };
            ((side + 16) / 32 * 32).max(64)
        }),
        false => [(longer.clamp(32, 128) + 4) / 8 * 8; 2],
    }
}

fn mtlora(tasks: &[TaskSpec]) -> String {
    let ranks: Vec<String> = tasks.iter().map(|task| format!("{:?} = 4", task.name)).collect();
    format!(
        "method = \"mtlora\"\nr = 16\nr_per_task = {{ {} }}\nscale = 1.0\nlora_dropout = 0.0\n",
        ranks.join(", ")
    )
}

fn reasons(seen: &Seen, choice: &Choice) -> Vec<String> {
    let names: Vec<String> =
        seen.tasks.iter().map(|task| format!("{} ({})", task.name, kind(task))).collect();
    let method = match choice.adapter.contains("mtlora") {
        true => "MTLoRA: several tasks, factors that they share and factors of each",
        false => "LoRA on all linear layers: it merges completely into the backbone",
    };
    let [height, width] = seen.size;
    let [to_height, to_width] = choice.img_size;
    let measured = match seen.eval == seen.train {
        true => format!(
            "{}, also used for training, because no other split has images: scores are optimistic",
            seen.eval
        ),
        false => seen.eval.clone(),
    };
    let left_out = match seen.left_out.is_empty() {
        true => String::new(),
        false => format!(
            "; without {}, of which {} or {} has no label",
            seen.left_out.join(", "),
            seen.train,
            seen.eval
        ),
    };
    vec![
        format!("tasks: {}{left_out}", names.join(", ")),
        format!(
            "splits: trains on {} ({} {}), measured on {measured}",
            seen.train,
            seen.images,
            if seen.images == 1 { "image" } else { "images" }
        ),
        format!("backbone: {}, with the weights that ship with the program", choice.backbone),
        format!("method: {method}"),
        format!("img_size: {to_height} x {to_width}, as images have {height} x {width} pixels"),
        format!("batch_size: {} of {} images", choice.batch, seen.images),
        format!(
            "steps: {}, {:.1} passes over the images",
            choice.steps,
            (choice.steps * choice.batch) as f64 / seen.images as f64
        ),
    ]
}

/// The kind of a task as a manifest writes it.
fn kind(task: &TaskSpec) -> String {
    let kind = serde_json::to_value(task.kind).ok();
    kind.and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default()
}

fn text(manifest: &Path, root: &Path, seen: &Seen, choice: &Choice, reasons: &[String]) -> String {
    let name = manifest.file_stem().unwrap_or_default().to_string_lossy();
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.into());
    let source = |split: &str| {
        format!(
            "dataset = \"folder\"\nmanifest = {:?}\nroot = {:?}\nsplit = {split:?}\n",
            if manifest.exists() { whole(manifest) } else { manifest.into() },
            whole(root)
        )
    };
    let comments: String = reasons.iter().map(|reason| format!("# {reason}\n")).collect();
    let every = choice.steps.div_ceil(4);
    let overlap = if seen.eval == seen.train { "allow_overlap = true\n" } else { "" };
    let mut out = format!(
        "name = {name:?}\ndescription = \"chosen by the program for {name}\"\nseed = 0\n\
         device = \"auto\"\nprecision = \"fp32\"\n\n{comments}\n\
         [backbone]\nname = {backbone:?}\nweights = \"{backbone}.scenes_cifar10\"\n\
         drop_path_rate = 0.0\n{pyramid}\n[adapter]\n{adapter}\n\
         [data]\nimg_size = {size:?}\nbatch_size = {batch}\nprefetch = 2\ncache_mib = 1024\n\
         {overlap}\n[data.augment]\nflip = 0.5\nscale = {scale}\nrotate_degrees = 0.0\n\n\
         [[data.train]]\n{train}\n[[data.eval]]\n{eval}\n",
        backbone = choice.backbone,
        pyramid =
            if choice.backbone.starts_with("swin") { "pyramid = \"after_blocks\"\n" } else { "" },
        adapter = choice.adapter,
        size = choice.img_size,
        batch = choice.batch,
        scale = choice.scale,
        train = source(&seen.train),
        eval = source(&seen.eval),
    );
    for task in &seen.tasks {
        let head = match task.is_dense() {
            true => "{ name = \"hrnet\", channels = [16, 16, 24, 32], hidden = 64 }",
            false => "{ name = \"linear\" }",
        };
        out += &format!("[tasks.{:?}]\nweight = 1.0\nhead = {head}\n\n", task.name);
    }
    let warmup = (choice.steps / 10).min(40);
    out + &format!(
        "[train]\nsteps = {}\neval_every = {every}\nsave_every = {every}\nlr = 2e-3\n\
             weight_decay = 0.05\nclip_grad_norm = 5.0\n\
             optimiser = {{ name = \"adamw\", betas = [0.9, 0.999], eps = 1e-8 }}\n\
             schedule = {{ warmup_steps = {warmup}, cooldown_steps = 0, start_factor = 0.01, \
             min_factor = 0.01 }}\n",
        choice.steps
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_keep_their_shape_within_bounds() {
        assert_eq!(img_size([360, 480], true), [192, 256]);
        assert_eq!(img_size([480, 360], true), [256, 192]);
        assert_eq!(img_size([48, 64], true), [64, 64]);
        assert_eq!(img_size([2000, 500], true), [256, 64]);
        assert_eq!(img_size([32, 32], false), [32, 32]);
        assert_eq!(img_size([333, 500], false), [128, 128]);
    }
}
