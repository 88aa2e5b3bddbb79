//! A data set that is a folder, described by a manifest.

mod entry;
mod format;
mod label;
mod manifest;
mod pattern;
mod split;

use std::path::{Path, PathBuf};

use ndarray::Array3;

use self::entry::TaskEntry;
use self::format::Format;
use self::manifest::{Manifest, refused};
use self::pattern::{Pattern, Slots};
use crate::{Dataset, Error, Label, Result, Sample, TaskSpec, read_image};

/// Photographs and label files in a folder.
///
/// A TOML manifest says how they lie:
///
/// ```toml
/// name = "street"
///
/// [layout]
/// images = "images/{split}/{id}.jpg"      # JPEG or PNG, whatever the ending says
///
/// [splits]
/// train = { list = "train.txt" }           # one id a line
/// val = {}                                 # every file that the pattern finds
/// dev = { folder = "train", fraction = [0.9, 1.0] } # a tenth of `train`, by a hash of the names
///
/// [[tasks]]
/// name = "semseg"
/// kind = "semseg"        # human_parts, sal, normals, depth, edge, classification, tags
/// label = "semseg/{split}/{id}.png"        # an image without this file has no label
/// format = "index_png"
/// classes = ["road", "car"]
/// palette = [[128, 64, 128], [64, 0, 128]]
/// ignore = [255]
///
/// [[tasks]]
/// name = "depth"
/// kind = "depth"
/// label = "depth/{split}/{id}.png"
/// format = "png16"
/// scale = 0.001                            # metres per stored unit
/// ```
///
/// | format | holds | further keys |
/// |---|---|---|
/// | `index_png`, `palette_png` | grey value or palette index | `ignore`, `map` (pairs of stored value and class), `map_others`, `threshold` |
/// | `rgb_png` | a colour of `palette` | `ignore_colors` |
/// | `png16` | depth as grey value of up to 16 bits | `scale`, `offset`, `ignore` |
/// | `normals_png` | x, y, z as red, green, blue from -1 to 1 | `signs` |
/// | `npy` | `[height, width]`, normals `[height, width, 3]` | those of the kind |
/// | `mat_boundaries` | `groundTruth{annotator}.Boundaries` as in BSDS500 | `threshold` |
/// | `mat:NAME` | variable `NAME` of a MATLAB v5 file | those of the kind |
/// | `path` | the expanded `label`, such as `"{class}"`, names the class | |
/// | `names_txt` | names of classes, one a line | |
///
/// Any slot of `images` may stand in `label`; a slot takes any name without a slash, `{ext}` only
/// `jpg`, `jpeg` and `png`. Images are sorted by path unless a list orders them. Human parts without any part carry no label.
/// A label whose every pixel is ignored is an error unless the task says `allow_void = true`,
/// which makes it absent.
#[derive(Debug)]
pub struct FolderDataset {
    name: String,
    root: PathBuf,
    images: Pattern,
    items: Vec<Slots>,
    tasks: Vec<TaskSpec>,
    entries: Vec<(TaskEntry, Pattern)>,
}

impl FolderDataset {
    /// Opens one split of the data set that `manifest` describes and `root` holds.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::Decode`] for the manifest, [`Error::Io`] for a missing list
    /// or a listed image that is missing, [`Error::EmptySplit`], and [`Error::NoLabels`] for a
    /// task without one label file in the split.
    pub fn open(manifest: &Path, root: &Path, split: &str) -> Result<Self> {
        let origin = manifest.display().to_string();
        let manifest = Manifest::read(manifest)?;
        let chosen = manifest.split(&origin, split)?;
        let images = image_pattern(&origin, &manifest.layout.images)?;
        let entries = manifest.tasks.iter().map(|task| {
            let label = label_pattern(&origin, task, &images)?;
            Ok((task.clone(), label))
        });
        let entries = entries.collect::<Result<Vec<_>>>()?;
        let items = split::images(root, &images, split, chosen)?;
        if items.is_empty() {
            let split = split.to_owned();
            return Err(Error::EmptySplit { dataset: manifest.name, split });
        }
        let tasks = manifest.tasks.iter().map(TaskEntry::spec).collect();
        let root = root.to_owned();
        let dataset = Self { name: manifest.name, root, images, items, tasks, entries };
        dataset.require_labels(split)?;
        Ok(dataset)
    }

    /// A pattern that fits no file is more likely a slip than a data set without labels.
    fn require_labels(&self, split: &str) -> Result<()> {
        let files = self.entries.iter().filter(|(task, _)| task.format != Format::Path);
        for (task, label) in files {
            let mut paths = self.items.iter().map(|slots| self.root.join(label.expand(slots)));
            if !paths.any(|path| path.is_file()) {
                return Err(Error::NoLabels {
                    dataset: self.name.clone(),
                    split: split.to_owned(),
                    task: task.name.clone(),
                    first: self.root.join(label.expand(&self.items[0])),
                });
            }
        }
        Ok(())
    }

    fn label(&self, task: usize, slots: &Slots, image: &Array3<u8>) -> Result<Option<Label>> {
        let (entry, pattern) = &self.entries[task];
        let named = PathBuf::from(pattern.expand(slots));
        let path = if entry.format == Format::Path { named } else { self.root.join(named) };
        if entry.format != Format::Path && !path.exists() {
            return Ok(None);
        }
        let raw = entry.format.read(&path)?;
        let (height, width, _) = image.dim();
        let label = entry.label(raw).and_then(|label| match label {
            Some(label) => {
                label.check(&self.tasks[task], [height, width])?;
                entry.unless_void(label)
            }
            None => Ok(None),
        });
        label.map_err(|fault| fault.of(&path.display().to_string(), &entry.name))
    }
}

impl Dataset for FolderDataset {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let slots = &self.items[index];
        let image = read_image(&self.root.join(self.images.expand(slots)))?;
        let label = |task: usize| {
            let label = self.label(task, slots, &image)?;
            Ok(label.map(|label| (self.tasks[task].name.clone(), label)))
        };
        let labels = (0..self.tasks.len()).filter_map(|task| label(task).transpose());
        let labels = labels.collect::<Result<_>>()?;
        Ok(Sample { name: split::title(&self.images, slots), image, labels })
    }
}

fn image_pattern(origin: &str, text: &str) -> Result<Pattern> {
    let wrong = |expected: String| refused(origin, "layout.images", expected, text);
    let pattern = Pattern::parse(text).map_err(wrong)?;
    let named = pattern.slots().any(|slot| slot == "id");
    let missing = || wrong("a pattern with {id}".to_owned());
    named.then_some(pattern).ok_or_else(missing)
}

fn label_pattern(origin: &str, task: &TaskEntry, images: &Pattern) -> Result<Pattern> {
    let key = format!("tasks.{}.label", task.name);
    let wrong = |expected: String| refused(origin, &key, expected, &task.label);
    let pattern = Pattern::parse(&task.label).map_err(wrong)?;
    let known = |slot: &str| slot == "split" || images.slots().any(|other| other == slot);
    let fits = pattern.slots().all(known);
    let unknown = || wrong("only slots that layout.images has".to_owned());
    fits.then_some(pattern).ok_or_else(unknown)
}

#[cfg(test)]
mod tests;
