//! The regions of each photograph of a COCO file, for the categories that are asked for.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ndarray::Array2;

use super::annotations::{Annotation, Category, CocoFile, FORMAT, Image, Segment};
use super::shared::shared;
use crate::decode::{bounded, damaged, read_colour_png};
use crate::{Error, Result};

/// Regions by photograph.
#[derive(Debug)]
pub(crate) struct CocoIndex {
    path: PathBuf,
    pub(super) file: Arc<CocoFile>,
    /// By the name in the file.
    images: HashMap<String, IndexedImage>,
}

#[derive(Debug)]
struct IndexedImage {
    size: [usize; 2],
    marks: Vec<Mark>,
    /// The PNG of a panoptic file.
    png: Option<PathBuf>,
}

/// A region that is not rasterised yet.
#[derive(Debug)]
struct Mark {
    region: Region,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    /// The masks of this annotation of the file.
    Masks(usize),
    /// The number in the PNG.
    Segment(u32),
}

/// The pixels of one instance, of stuff or of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Region {
    /// Its place among the regions of the photograph.
    pub(crate) number: usize,
    /// What its category was asked for as.
    pub(crate) kind: usize,
    /// Whether it is several instances that are not separated.
    pub(crate) crowd: bool,
}

impl CocoIndex {
    /// Reads the file `path`; regions of categories for which `kinds` has nothing are left out.
    ///
    /// # Errors
    /// As [`CocoFile::read`]; ids of images and categories that the file does not list, and images
    /// of one id or name.
    pub(crate) fn open(
        path: &Path,
        kinds: impl Fn(&[Category]) -> Result<HashMap<i64, usize>>,
    ) -> Result<Self> {
        let file = shared(path)?;
        let kinds = kinds(&file.categories)?;
        let wrong = |reason: String| damaged(path, FORMAT, reason);
        let known: HashMap<i64, Option<usize>> =
            file.categories.iter().map(|c| (c.id, kinds.get(&c.id).copied())).collect();
        let mut names = HashMap::new();
        let mut images = HashMap::new();
        for Image { id, file_name, height, width } in &file.images {
            let (id, height, width) = (*id, *height, *width);
            bounded(width, height).map_err(|reason| wrong(format!("{file_name}: {reason}")))?;
            let size = [height, width];
            let new = IndexedImage { size, marks: Vec::new(), png: None };
            let again = images.insert(file_name.clone(), new).is_some();
            if names.insert(id, file_name.clone()).is_some() || again {
                return Err(wrong(format!("images: two with id {id} or name {file_name}")));
            }
        }
        // Panoptic files have their PNGs in a folder of their own name.
        let pngs = path.with_extension("");
        for (place, annotation) in file.annotations.iter().enumerate() {
            let at = |reason: String| wrong(format!("annotations.{place}: {reason}"));
            let image = names.get(&annotation.image_id).and_then(|name| images.get_mut(name));
            let image = image.ok_or_else(|| {
                at(format!("image_id: expected one of `images`, found {}", annotation.image_id))
            })?;
            if let Some(name) = &annotation.file_name {
                let plain = |part| matches!(part, Component::Normal(_));
                if !Path::new(name).components().all(plain) {
                    return Err(at(format!(
                        "file_name: expected one below {}, found {name}",
                        pngs.display()
                    )));
                }
                image.png = Some(pngs.join(name));
            }
            marks(place, annotation, &known, &mut image.marks).map_err(at)?;
        }
        Ok(Self { path: path.to_owned(), file, images })
    }

    /// The name in the file of the photograph at `path` below the data set's folder: the longest
    /// end of the path that the file has.
    pub(crate) fn name_of(&self, path: &str) -> Option<String> {
        let ends = path.char_indices().filter(|(_, c)| *c == '/').map(|(place, _)| place + 1);
        let mut ends = std::iter::once(0).chain(ends).map(|start| &path[start..]);
        ends.find(|end| self.images.contains_key(*end)).map(str::to_owned)
    }

    /// Some name of a photograph.
    pub(crate) fn any_name(&self) -> &str {
        self.images.keys().min().map_or("none", String::as_str)
    }

    /// `[height, width]` of the photograph `name`, and the kinds of its regions.
    pub(crate) fn about(&self, name: &str) -> Option<([usize; 2], impl Iterator<Item = usize>)> {
        let image = self.images.get(name)?;
        Some((image.size, image.marks.iter().map(|mark| mark.region.kind)))
    }

    /// Polygons of the regions of the photograph `name` that are skipped.
    pub(crate) fn skipped(&self, name: &str) -> usize {
        let marks = self.images.get(name).into_iter().flat_map(|image| &image.marks);
        let of = |mark: &Mark| match mark.shape {
            Shape::Masks(place) => self.file.annotations[place].skipped(),
            Shape::Segment(_) => 0,
        };
        marks.map(of).sum()
    }

    /// Calls `paint` with every pixel, row and column, of every region of the photograph `name`,
    /// region by region in the order of the file; those of a PNG in the order of its pixels.
    ///
    /// # Errors
    /// [`Error::Decode`] for a mask or a PNG that cannot be decoded, [`Error::Label`] for a PNG of
    /// another size.
    pub(crate) fn each_pixel(
        &self,
        name: &str,
        mut paint: impl FnMut(Region, usize, usize),
    ) -> Result<()> {
        let Some(image) = self.images.get(name) else { return Ok(()) };
        let wrong = |reason: String| damaged(&self.path, FORMAT, format!("{name}: {reason}"));
        let mut segments = HashMap::new();
        for mark in &image.marks {
            match &mark.shape {
                Shape::Segment(id) => drop(segments.insert(*id, mark.region)),
                Shape::Masks(place) => {
                    let annotation = &self.file.annotations[*place];
                    for mask in annotation.masks(image.size).map_err(wrong)? {
                        mask.each_pixel(|y, x| paint(mark.region, y, x));
                    }
                }
            }
        }
        if segments.is_empty() {
            return Ok(());
        }
        let png = image.png.as_ref().ok_or_else(|| wrong("segments without `file_name`".into()))?;
        for ((y, x), id) in numbers(png, image.size)?.indexed_iter() {
            if let Some(region) = segments.get(id) {
                paint(*region, y, x);
            }
        }
        Ok(())
    }
}

/// Adds the regions of the annotation at `place` whose categories are asked for.
fn marks(
    place: usize,
    annotation: &Annotation,
    known: &HashMap<i64, Option<usize>>,
    marks: &mut Vec<Mark>,
) -> std::result::Result<(), String> {
    let mut add = |category: i64, crowd: u8, shape: Shape| {
        let unknown = || format!("category_id: expected one of `categories`, found {category}");
        if let Some(kind) = *known.get(&category).ok_or_else(unknown)? {
            let region = Region { number: marks.len(), kind, crowd: crowd != 0 };
            marks.push(Mark { region, shape });
        }
        Ok(())
    };
    if let Some(segments) = &annotation.segments_info {
        let add = |segment: &Segment| {
            add(segment.category_id, segment.iscrowd, Shape::Segment(segment.id))
        };
        return segments.iter().try_for_each(add);
    }
    let category = annotation.category_id.ok_or("category_id: expected a number, found none")?;
    add(category, annotation.iscrowd, Shape::Masks(place))
}

/// The numbers of the segments of a panoptic PNG: `R + 256 G + 65536 B`.
fn numbers(png: &Path, [height, width]: [usize; 2]) -> Result<Array2<u32>> {
    let (colours, _) = read_colour_png(png)?;
    let (h, w, _) = colours.dim();
    if [h, w] != [height, width] {
        return Err(Error::Label {
            sample: png.display().to_string(),
            task: "segments".to_owned(),
            expected: format!("{height} x {width} pixels, as the JSON says"),
            found: format!("{h} x {w}"),
        });
    }
    let colour = |(y, x): (usize, usize), c: usize| u32::from(colours[[y, x, c]]);
    Ok(Array2::from_shape_fn((h, w), |at| {
        colour(at, 0) + 256 * colour(at, 1) + 65536 * colour(at, 2)
    }))
}
