//! Where the images of a split are: one file each, or one file for all.

use std::path::PathBuf;

use ndarray::{Array3, Axis};

use super::manifest::Store;
use super::pattern::{Pattern, Slots};
use super::picture::Picture;
use super::root::Root;
use super::split;
use super::split_context::SplitContext;
use crate::Result;
use crate::decode::{read_idx_images, read_photograph};

/// The images of a split.
#[derive(Debug)]
pub(crate) enum Images {
    /// Files below `root`, which a pattern finds.
    Files {
        root: Root,
        pattern: Pattern,
        /// Whether orientation marks are applied.
        upright: bool,
    },
    /// Grey images held in memory.
    Stack(Stack),
}

/// The images of a split that lie in one file.
#[derive(Debug)]
pub(crate) struct Stack {
    /// The file.
    pub(crate) path: PathBuf,
    /// Number of images in the file.
    pub(crate) total: usize,
    /// Which of them belong to the split.
    pub(crate) rows: Vec<usize>,
    /// `[rows, height, width]`.
    pixels: Array3<u8>,
}

impl Images {
    /// The images of the split, and what the slots of each stand for.
    pub(crate) fn open(context: &SplitContext) -> Result<(Self, Vec<Slots>)> {
        match context.store {
            Store::Files => {
                let (root, pattern) = (context.root.clone(), context.images.clone());
                let upright = context.upright.unwrap_or(true);
                Ok((Self::Files { root, pattern, upright }, split::images(context)?))
            }
            Store::Idx => stack(context),
        }
    }

    /// Image `index`, whose slots are `slots`.
    pub(crate) fn read(&self, index: usize, slots: &Slots) -> Result<Picture> {
        match self {
            Self::Files { root, pattern, upright } => {
                let stored = read_photograph(&root.file(pattern.expand(slots))?)?;
                Ok(Picture::of(stored, *upright))
            }
            Self::Stack(stack) => {
                let grey = stack.pixels.index_axis(Axis(0), index);
                let (height, width) = grey.dim();
                let image = Array3::from_shape_fn((height, width, 3), |(y, x, _)| grey[[y, x]]);
                Ok(Picture::unmarked(image))
            }
        }
    }

    /// The file that holds an image.
    pub(crate) fn path(&self, slots: &Slots) -> PathBuf {
        match self {
            Self::Files { root, pattern, .. } => root.find(pattern.expand(slots)),
            Self::Stack(stack) => stack.path.clone(),
        }
    }

    /// Length in bytes of the file that holds an image; 0 where it has gone.
    pub(crate) fn length(&self, slots: &Slots) -> u64 {
        std::fs::metadata(self.path(slots)).map_or(0, |file| file.len())
    }

    /// The file of an image, and its place in a file of several, the same for every data set that
    /// reads it.
    pub(crate) fn place(&self, index: usize, slots: &Slots) -> String {
        match self {
            Self::Files { root, pattern, .. } => {
                let path = root.find(pattern.expand(slots));
                let inside = path.strip_prefix(root.path()).unwrap_or(&path);
                root.real().join(inside).display().to_string()
            }
            Self::Stack(stack) => {
                let path = stack.path.canonicalize().unwrap_or_else(|_| stack.path.clone());
                format!("{}#{}", path.display(), stack.rows[index])
            }
        }
    }

    /// Name of an image.
    pub(crate) fn title(&self, slots: &Slots) -> String {
        match self {
            Self::Files { pattern, .. } => pattern.title(slots),
            Self::Stack(_) => slots.get("id").cloned().unwrap_or_default(),
        }
    }
}

/// Images are called by their places in the file.
fn stack(context: &SplitContext) -> Result<(Images, Vec<Slots>)> {
    let known = Slots::from([("split".to_owned(), context.folder().to_owned())]);
    let path = context.root.file(context.images.expand(&known))?;
    let pixels = read_idx_images(&path)?;
    let total = pixels.dim().0;
    let names = (0..total).map(|row| (row, format!("{row:05}")));
    let (rows, names): (Vec<usize>, Vec<String>) =
        names.filter(|(_, name)| context.split.takes(name)).unzip();
    let slots = |name: String| known.clone().into_iter().chain([("id".to_owned(), name)]).collect();
    let pixels = pixels.select(Axis(0), &rows);
    Ok((Images::Stack(Stack { path, total, rows, pixels }), names.into_iter().map(slots).collect()))
}
