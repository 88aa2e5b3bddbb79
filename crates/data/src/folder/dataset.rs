//! One split of a folder, opened.

use std::path::Path;

use super::classes::Classes;
use super::images::Images;
use super::labels::Labels;
use super::manifest::Manifest;
use super::pattern::Slots;
use super::root::Root;
use super::settings::settings;
use super::split_context::SplitContext;
use super::unmatched;
use crate::{Result, TaskSpec};

/// Photographs and label files in a folder.
///
/// A TOML manifest says how they lie:
///
/// ```toml
/// name = "street"
///
/// [layout]
/// images = "images/{split}/{id}.jpg"      # JPEG, PNG, WebP, TIFF or BMP, whatever the ending says
///
/// [splits]
/// train = { list = "train.txt" }           # one id a line
/// val = {}                                 # every file that the pattern finds
/// dev = { folder = "train", fraction = [0.9, 1.0] } # a tenth of the folder, by a hash of names
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
/// | format | holds | more keys |
/// |---|---|---|
/// | `index_png` | grey value or palette index | `ignore`, `map` (pairs of stored value and class), `map_others`, `threshold`, `outline` |
/// | `palette_png` | the same, or colours of `palette` in files that were turned to RGB | those of both |
/// | `rgb_png` | a colour of `palette` | `ignore_colors`, `map_others` |
/// | `png16` | depth as grey value of up to 16 bits | `scale`, `offset`, `ignore`, `disparity` |
/// | `normals_png` | x, y, z as red, green, blue from -1 to 1 | `signs` |
/// | `npy`, `exr`, `pfm`, `tiff` | `[height, width]`, normals `[height, width, 3]` | those of the kind |
/// | `mat_boundaries` | `groundTruth{annotator}.Boundaries` as in BSDS500 | `threshold` |
/// | `mat:NAME` | variable `NAME` of a MATLAB file, v5 or v7.3 | those of the kind |
/// | `hdf5:NAME` | array `NAME` of an HDF5 file | those of the kind |
/// | `text` | what is said of the image (kind `retrieval`) | |
/// | `mat_parts:CLASS` | `anno.objects` of PASCAL-Part; images without an object of this class have no label | `parts` (class of each named part) |
/// | `names_txt`, `index_txt` | names of classes, or their numbers from 0, one a line | |
/// | `coco` | COCO's JSON for all images of the split | `categories`, `map_others` |
/// | `path` | the expanded `label`, such as `"{class}"`, names the class | `classes` may be left out |
/// | `index` | the expanded `label` is the class's number, from 0 | `classes` may be a file |
/// | `idx` | one idx file (plain or `.gz`) for the split, one number from 0 for each image | |
///
/// A key that no format of its task reads is refused. `map_others` is the class of every value or
/// colour that nothing else lists, 255 for no label, as softened borders need it.
///
/// Any slot of `images` may stand in `label`; a slot takes any name without a slash, `{ext}` only
/// endings of images, and ids of a list may lead into folders (`a/b/001`). A file that is a label of
/// another image is no image (`7_mask.png` beside `7.png`). Two files with all slots
/// but `{ext}` alike are refused. Names in either Unicode form are one name. Images are sorted by
/// path unless a list orders them. Human parts without any part carry no label.
/// A label whose every pixel is ignored is an error unless the task says `allow_void = true`,
/// which makes it absent.
///
/// # Labels that differ from copy to copy
///
/// `or = [{ label = "..", format = ".." }]` names more places: the first that has a file counts. A
/// place may state `ignore`, `map`, `map_others`, `scale`, `offset`, `disparity`, `rotate_right`,
/// `outline`, `threshold` and `signs` of its own and else has the task's; what a model predicted
/// (`safetensors:NAME`, `safetensors_argmax:NAME`) is taken as it is instead.
/// `resize = true` brings a label of another size to that of its image instead of refusing it.
/// `mask = { label = "..", format = "..", values = [3, 4] }` keeps a label only where another map
/// has one of these values. `outline = true` takes the boundaries between numbered regions as edges
/// (Laplacian not zero, thinned). `disparity = 473.6` divides metres times pixels by what `scale`
/// and `offset` make of the stored value.
///
/// # Orientation marks
///
/// Images are turned as their Exif mark says, which is how tools show them while labels are drawn.
/// `apply_exif_orientation = false` in `[layout]` leaves them as stored. A label whose sides say that
/// it was drawn the other way is an error that names the key; where sizes do not tell (turned by
/// 180 degrees, mirrored, square) and the key is absent, [`ValidationReport`](crate::ValidationReport) asks for it.
///
/// # Shares
///
/// `fraction` takes the images whose names hash into a range: the same name is in the same split
/// whatever is added. Of fewer than 200 images, and of each value of the slot that
/// `stratify = "class"` names, the share is exact: the images in the order of hashes, one at least
/// on each side. `stratify_labels = true` does the same for images that have labels of the same
/// tasks, so that each task has labels on both sides.
///
/// # Classes of whole images
///
/// With `format = "path"` and `label = "{class}"`, `classes` may be left out: the classes are then
/// the folders that stand for `{class}` in any of the splits, in natural order (`2` before `10`).
/// `classes = "classes.txt"` names a file with lines `number name`; labels then give these numbers.
/// A split whose name starts with `train` must hold an image of every class of a task in the
/// formats `path`, `index` or `idx`.
///
/// # Tables
///
/// What the folders do not say, files with lines `id value` may. Each fills one slot:
///
/// ```toml
/// [layout]
/// images = "images/{path}"
/// tables = { path = "images.txt", class = "labels.txt", part = "split.txt" }
///
/// [splits]
/// train = { only = { part = "1" } }                # rows where the slot stands for this, or one of a list
/// extra = { tables = { class = "extra.txt" } }     # tables of one split, beside the layout's
/// ```
///
/// The tables of a split must list the same ids; the id itself is the slot `{id}`. A `.csv` or
/// `.tsv` file is a table too: its first line may name columns, one as the slot and one `id`.
/// Lists, tables and manifests may be UTF-8 or UTF-16 with a byte order mark.
///
/// # Copies in circulation
///
/// `[[variants]]` tell copies of one data set apart: `name`, and what holds of it alone among
/// `images` (number by split), `size` (height and width of most images) and `has` (patterns of
/// files). [`Facts`](crate::Facts) says which one is there.
///
/// # Splits that share images
///
/// `overlaps = ["val"]` in a split says that it may hold images of the split `val`, as a split of
/// all images to learn from does. Otherwise [`ValidationReport`](crate::ValidationReport) tells of images in two
/// splits. A run that is measured on images it learns from is refused
/// whatever the manifest says.
///
/// # Categories of COCO's JSON
///
/// `categories = { vehicle = ["car", "bus"] }` says which categories a class is of, where it is not
/// that of its own name; tasks without classes have one list of those that count. `map_others` is
/// the class of pixels in no region. A `.json` file as `list` of a split lists the images that it
/// names.
///
/// # Files of many samples
///
/// `format = "webdataset"`, `"parquet"`, `"arrow"` or `"hdf5"` in `[layout]` says that `images` names tar shards or
/// tables, with ranges in braces (`{split}-{000..146}.tar`) or a star. Labels are then parts of
/// samples, endings of members or columns, and `image` names the part that holds the image. A `list`
/// of a split holds keys of records. Shards
/// of WebDataset may be http(s) addresses; `[layout.remote]` says how they are fetched.
///
/// # Images in one file
///
/// `format = "idx"` in `[layout]` says that `images`, whose only slot may be `{split}`, is an idx
/// file of grey images, plain or `.gz`. They become RGB, and are called by their places from `00000` on.
#[derive(Debug)]
pub struct FolderDataset {
    pub(super) name: String,
    pub(super) split: String,
    pub(super) images: Images,
    pub(super) items: Vec<Slots>,
    pub(super) tasks: Vec<TaskSpec>,
    /// None of tasks that nobody asked for.
    pub(super) labels: Vec<Option<Labels>>,
    /// What the manifest says of samples, for the record of a run.
    pub(super) settings: serde_json::Value,
}

impl FolderDataset {
    /// Opens one split of the data set that `manifest` describes and `root` holds.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config), [`Error::Fields`](crate::Error::Fields) or [`Error::Decode`](crate::Error::Decode) for the manifest, a table or an idx
    /// file, [`Error::SameName`](crate::Error::SameName) for two files that are one image,
    /// [`Error::Io`](crate::Error::Io) for a missing list or a listed image that is missing, [`Error::EmptySplit`](crate::Error::EmptySplit),
    /// [`Error::Label`](crate::Error::Label) for a class that the task does not have, [`Error::NoLabels`](crate::Error::NoLabels) for a task
    /// without one label file in the split, [`Error::AbsentClasses`](crate::Error::AbsentClasses) for a split whose name starts
    /// with `train` and that lacks a class which names and lists can tell, and [`Error::Entry`](crate::Error::Entry) for
    /// a list or table that lies outside of `root`. Images and labels outside of it are refused
    /// when they are read.
    pub fn open(manifest: &Path, root: &Root, split: &str) -> Result<Self> {
        Self::open_for(manifest, root, split, |_| true)
    }

    /// As [`FolderDataset::open`], but only tasks that are `wanted` by name need files: samples
    /// carry no labels of the others, which [`Dataset::tasks`](crate::Dataset::tasks) lists all the same.
    ///
    /// # Errors
    /// As [`FolderDataset::open`].
    pub fn open_for(
        manifest: &Path,
        root: &Root,
        split: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let origin = manifest.display().to_string();
        let manifest = Manifest::read(manifest)?;
        let context = SplitContext::new(origin, &manifest, root, split)?;
        let (images, items) = Images::open(&context)?;
        if items.is_empty() {
            return Err(unmatched::empty(&context, &manifest.name));
        }
        let (mut tasks, mut labels) = (Vec::new(), Vec::new());
        for entry in &manifest.tasks {
            let classes = Classes::of(entry, &context)?;
            let found = wanted(&entry.name)
                .then(|| Labels::open(entry, &context, &classes, (&images, &items)))
                .transpose()?;
            let task = entry.spec(classes.names);
            if let Some(found) = &found {
                found.require(&manifest.name, split, &task, (&images, &items))?;
            }
            tasks.push(task);
            labels.push(found);
        }
        let found: Vec<bool> = labels.iter().map(Option::is_some).collect();
        let settings = settings(&manifest, &tasks, &found);
        let (name, split) = (manifest.name, split.to_owned());
        Ok(Self { name, split, images, items, tasks, labels, settings })
    }

    /// The bytes of image `index` as they are stored; a PNG of those that lie in one file.
    pub(crate) fn image_bytes(&self, index: usize) -> Result<Vec<u8>> {
        self.images.bytes(index, &self.items[index])
    }

    /// Whether orientation marks of images are applied.
    pub(crate) fn is_upright(&self) -> bool {
        self.images.are_upright()
    }

    /// The tasks that samples carry labels of.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (&TaskSpec, &Labels)> {
        let pairs = self.tasks.iter().zip(&self.labels);
        pairs.filter_map(|(task, labels)| Some((task, labels.as_ref()?)))
    }
}
