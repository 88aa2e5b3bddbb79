//! Where the images of a split are: one file each, or one file for all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::{Array3, Axis};

use super::field_error::refused;
use super::pattern::{Pattern, Slots};
use super::picture::Picture;
use super::root::Root;
use super::split_context::SplitContext;
use super::store::Store;
use super::{fraction, split, table};
use crate::Result;
use crate::decode::{
    damaged, decode_photograph, read, read_idx_images, read_photograph, unreadable,
};
use crate::grey_png::grey_png;
use crate::packed::{self, Packed, Records, Remote, is_address};

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
    /// Parts of records.
    Packed(PackedImages),
}

/// The images of a split that are parts of records.
#[derive(Debug)]
pub(crate) struct PackedImages {
    pub(crate) records: Arc<dyn Records>,
    /// Which of the records belong to the split.
    pub(crate) rows: Vec<usize>,
    /// Names of the parts, the first that a record has.
    parts: Vec<String>,
    upright: bool,
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
            Store::Packed(format) => packed(context, format),
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
            Self::Packed(packed) => packed.read(index),
        }
    }

    /// The bytes of image `index` as they are stored.
    pub(crate) fn bytes(&self, index: usize, slots: &Slots) -> Result<Vec<u8>> {
        match self {
            Self::Files { root, pattern, .. } => read(&root.file(pattern.expand(slots))?),
            Self::Stack(stack) => {
                let map = stack.pixels.index_axis(Axis(0), index).to_owned();
                grey_png(&map).map_err(|reason| damaged(&stack.path, "image", reason))
            }
            Self::Packed(packed) => Ok(packed.stored(index)?.1),
        }
    }

    /// Lengths of the files of many samples, of `all` samples together.
    pub(crate) fn shards(&self, all: usize) -> Vec<usize> {
        let Self::Packed(packed) = self else { return vec![all] };
        let path = |row: &usize| packed.records.path(*row);
        packed.rows.chunk_by(|a, b| path(a) == path(b)).map(<[usize]>::len).collect()
    }

    /// Whether orientation marks are applied.
    pub(crate) fn are_upright(&self) -> bool {
        match self {
            Self::Files { upright, .. } => *upright,
            Self::Stack(_) => true,
            Self::Packed(packed) => packed.upright,
        }
    }

    /// The file that holds an image.
    pub(crate) fn path(&self, index: usize, slots: &Slots) -> PathBuf {
        match self {
            Self::Files { root, pattern, .. } => root.find(pattern.expand(slots)),
            Self::Stack(stack) => stack.path.clone(),
            Self::Packed(packed) => packed.records.path(packed.rows[index]).to_owned(),
        }
    }

    /// Length in bytes of the file or record that holds an image; 0 where it has gone.
    pub(crate) fn length(&self, index: usize, slots: &Slots) -> u64 {
        match self {
            Self::Packed(packed) => packed.records.length(packed.rows[index]),
            _ => std::fs::metadata(self.path(index, slots)).map_or(0, |file| file.len()),
        }
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
            Self::Packed(packed) => {
                let (row, path) = (packed.rows[index], self.path(index, slots));
                let path = path.canonicalize().unwrap_or(path);
                format!("{}#{}", path.display(), packed.records.key(row))
            }
        }
    }

    /// Name of an image.
    pub(crate) fn title(&self, slots: &Slots) -> String {
        match self {
            Self::Files { pattern, .. } => pattern.title(slots),
            Self::Stack(_) | Self::Packed(_) => slots.get("id").cloned().unwrap_or_default(),
        }
    }
}

impl PackedImages {
    fn read(&self, index: usize) -> Result<Picture> {
        let (part, bytes) = self.stored(index)?;
        let stored = decode_photograph(&bytes, &self.records.place(self.rows[index], part))?;
        Ok(Picture::of(stored, self.upright))
    }

    /// The part that holds an image, and its bytes.
    fn stored(&self, index: usize) -> Result<(&str, Vec<u8>)> {
        let row = self.rows[index];
        for part in &self.parts {
            if let Some(bytes) = self.records.image(row, part)? {
                return Ok((part, bytes));
            }
        }
        let there = self.records.parts(row);
        if let Some(part) = self.parts.iter().find(|part| there.contains(part)) {
            let reason = self.without_bytes(row, part)?;
            return Err(damaged(&self.records.place(row, part), "image", reason));
        }
        let (parts, there) = (self.parts.join(", "), there.join(", "));
        let reason = format!("expected one of the parts {parts}, found {there}");
        Err(damaged(&self.records.place(row, "*"), "sample", reason))
    }

    /// Why a record has no image in a part that it has.
    fn without_bytes(&self, row: usize, part: &str) -> Result<String> {
        let path = self.records.read(row, &format!("{part}.path"))?;
        Ok(match path.map(|path| String::from_utf8_lossy(&path).into_owned()) {
            Some(path) => format!(
                "expected the bytes of the image, found none but its path, {path:?}, which is not \
                 followed: save the table with its images in it"
            ),
            None => "expected the bytes of the image, found none in this row".to_owned(),
        })
    }
}

/// Key of the slot of a record's number while a split is chosen; no pattern can name it.
const ROW: &str = "/row";

/// The records of all files that the pattern stands for, as far as they belong to the split.
fn packed(context: &SplitContext, format: &Packed) -> Result<(Images, Vec<Slots>)> {
    let pattern = context.files.replace("{split}", context.folder());
    let wrong = |expected| refused(&context.origin, "layout.images", expected, context.files);
    let names = packed::expanded(&pattern).map_err(wrong)?;
    let records: Arc<dyn Records> = opened(context, format, &names)?.into();
    let parts = context.image.unwrap_or(format.image);
    let parts: Vec<String> = parts.split(';').map(str::to_owned).collect();
    if !(0..records.len()).any(|row| records.parts(row).iter().any(|part| parts.contains(part))) {
        let last = records.len().checked_sub(1);
        let there = last.map_or_else(|| "[]".to_owned(), |row| records.there(row));
        let expected = format!("parts of records, which are {there}");
        return Err(refused(&context.origin, "layout.image", expected, parts.join(";")));
    }
    let slots = |row: usize| {
        let own = [("id".to_owned(), records.key(row)), (ROW.to_owned(), row.to_string())];
        context.known().into_iter().chain(own).collect::<Slots>()
    };
    let items = split::listed_records(context, (0..records.len()).map(slots).collect())?;
    let mut items = fraction::select(context, items);
    let row = |slots: &mut Slots| slots.remove(ROW).and_then(|row| row.parse().ok());
    let rows = items.iter_mut().filter_map(row).collect();
    let upright = context.upright.unwrap_or(true);
    Ok((Images::Packed(PackedImages { records, rows, parts, upright }), items))
}

/// The records of the files or addresses `names`.
fn opened(context: &SplitContext, format: &Packed, names: &[String]) -> Result<Box<dyn Records>> {
    if let (Some(open), true) = (format.open_remote, names.iter().all(|name| is_address(name))) {
        return open(names, &Remote::new(context.remote, context.root.path())?);
    }
    let outside = |name: &&String| !table::is_inside(name) || is_address(name);
    if let Some(odd) = names.iter().find(outside) {
        let expected = "files below the data set's folder";
        return Err(refused(&context.origin, "layout.images", expected, odd));
    }
    let files = names.iter().map(|name| starred(context, name)).collect::<Result<Vec<_>>>()?;
    (format.open)(&files.concat())
}

/// The files that a name with a star in its last part stands for, in order; one at least.
fn starred(context: &SplitContext, name: &str) -> Result<Vec<PathBuf>> {
    let (above, last) = name.rsplit_once('/').map_or(("", name), |(above, last)| (above, last));
    let Some((head, tail)) = last.split_once('*') else {
        return Ok(vec![context.root.file(name)?]);
    };
    let folder = context.root.find(above);
    let entries = std::fs::read_dir(&folder).map_err(unreadable(&folder))?;
    let fits = |name: &String| {
        name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(fits).collect();
    names.sort();
    if names.is_empty() {
        return Err(refused(
            &context.origin,
            "layout.images",
            "files",
            format!("none like {name}"),
        ));
    }
    names.iter().map(|name| context.root.file(Path::new(above).join(name))).collect()
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
