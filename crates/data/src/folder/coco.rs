//! Labels from COCO's JSON.
//!
//! | kind | label |
//! |---|---|
//! | `semseg`, `human_parts` | the class of each region, later regions over earlier ones; elsewhere `map_others`, without it no label |
//! | `sal` | 1 in every region that counts |
//! | `edge` | boundaries between regions (Laplacian not zero, thinned); no label within crowds |
//! | `tags` | the classes that have a region |

use std::path::{Path, PathBuf};

use ndarray::Array2;

use super::boundaries::region_boundaries;
use super::categories;
use super::field_error::refused;
use super::index_file::{IndexFile, IndexRequest, SplitLabels};
use super::people::people;
use crate::coco::{Category, CocoIndex};
use crate::sample::IGNORE;
use crate::{Error, Label, Result, TaskKind};

pub(super) const FORMAT: IndexFile = IndexFile {
    name: "coco",
    kinds: &[TaskKind::Semseg, TaskKind::HumanParts, TaskKind::Sal, TaskKind::Edge, TaskKind::Tags],
    keys: &["categories", "map_others"],
    open,
};

#[derive(Debug)]
struct CocoLabels {
    path: PathBuf,
    index: CocoIndex,
    kind: TaskKind,
    classes: usize,
    /// Class of pixels in no region.
    others: u8,
    /// Names of the images in the file; none of those that it does not have.
    names: Vec<Option<String>>,
}

fn open(request: IndexRequest) -> Result<Box<dyn SplitLabels>> {
    let IndexRequest { origin, task, kind, classes, path, images, .. } = request;
    let kinds = |found: &[Category]| {
        categories::kinds(request.categories, classes, request.map_others, found).map_err(
            |(expected, found)| {
                let key = format!("tasks.{task}.categories");
                refused(origin, &key, format!("{expected} ({})", path.display()), found)
            },
        )
    };
    let index = CocoIndex::open(&path, kinds)?;
    let names: Vec<Option<String>> = images.iter().map(|image| index.name_of(image)).collect();
    if names.iter().all(Option::is_none) {
        return Err(nothing_shared(&path, &index, images.first()));
    }
    let others = request.map_others.unwrap_or(IGNORE);
    Ok(Box::new(CocoLabels { path, index, kind, classes: classes.len(), others, names }))
}

fn nothing_shared(path: &Path, index: &CocoIndex, image: Option<&String>) -> Error {
    let image = image.map_or("none", String::as_str);
    let expected = format!("the end of a path of an image, such as {image}");
    refused(&path.display().to_string(), "images.file_name", expected, index.any_name())
}

impl SplitLabels for CocoLabels {
    fn place(&self, index: usize) -> String {
        let name = self.names[index].as_deref().unwrap_or_default();
        format!("{}: {name}", self.path.display())
    }

    fn label(&self, index: usize) -> Result<Option<Label>> {
        let Some(name) = &self.names[index] else { return Ok(None) };
        let Some((size, kinds)) = self.index.about(name) else { return Ok(None) };
        Ok(match self.kind {
            TaskKind::Tags => {
                let mut flags = vec![false; self.classes];
                kinds.for_each(|kind| flags[kind] = true);
                Some(Label::Tags(flags))
            }
            TaskKind::Sal => Some(Label::Binary(self.salient(name, size)?)),
            TaskKind::Edge => Some(Label::Edges(vec![self.edges(name, size)?])),
            TaskKind::HumanParts => people(self.painted(name, size)?),
            _ => {
                let label = Label::Classes(self.painted(name, size)?);
                // An image without any of the categories.
                (!label.is_void()).then_some(label)
            }
        })
    }

    fn skipped(&self, index: usize) -> usize {
        self.names[index].as_deref().map_or(0, |name| self.index.skipped(name))
    }
}

impl CocoLabels {
    fn painted(&self, name: &str, [height, width]: [usize; 2]) -> Result<Array2<u8>> {
        let mut map = Array2::from_elem((height, width), self.others);
        self.index.each_pixel(name, |region, y, x| map[[y, x]] = region.kind as u8)?;
        Ok(map)
    }

    fn salient(&self, name: &str, [height, width]: [usize; 2]) -> Result<Array2<u8>> {
        let mut map = Array2::zeros((height, width));
        self.index.each_pixel(name, |_, y, x| map[[y, x]] = 1)?;
        Ok(map)
    }

    fn edges(&self, name: &str, [height, width]: [usize; 2]) -> Result<Array2<u8>> {
        let mut regions = Array2::zeros((height, width));
        self.index.each_pixel(name, |region, y, x| {
            let number = region.number as f64 + 1.0;
            // Crowds have numbers below 0.
            regions[[y, x]] = if region.crowd { -number } else { number };
        })?;
        let mut edges = region_boundaries(&regions);
        edges.zip_mut_with(&regions, |edge, &region| {
            *edge = if region < 0.0 { IGNORE } else { *edge };
        });
        Ok(edges)
    }
}
