//! Labels as parts of samples, in formats that give them back.

use ndarray::ArrayView;

use crate::grey_png::grey_png;
use crate::npy::npy;
use crate::{Label, TaskKind};

/// How labels of a kind are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartFormat {
    /// Name in manifests.
    pub(super) name: &'static str,
    /// Ending of the part.
    pub(super) ending: &'static str,
    /// Whether 255 stands for no label.
    pub(super) ignores: bool,
}

/// The format of labels of `kind`.
pub(super) fn format_of(kind: TaskKind) -> PartFormat {
    let (name, ending, ignores) = match kind {
        TaskKind::Semseg | TaskKind::HumanParts | TaskKind::Sal | TaskKind::Edge => {
            ("index_png", "png", true)
        }
        TaskKind::Normals | TaskKind::Depth => ("npy", "npy", false),
        TaskKind::Retrieval => ("text", "txt", false),
        // Modifications have no label format: [`label_part`] refuses them.
        TaskKind::Classification | TaskKind::Tags | TaskKind::ModifiedRetrieval => {
            ("index_txt", "txt", false)
        }
    };
    PartFormat { name, ending, ignores }
}

/// The bytes of `label`.
///
/// # Errors
/// What a label has that no part can hold.
pub(super) fn label_part(label: &Label) -> Result<Vec<u8>, String> {
    match label {
        Label::Classes(map) | Label::Binary(map) => grey_png(map),
        Label::Edges(maps) => match &maps[..] {
            [map] => grey_png(map),
            maps => Err(format!("edges of {} annotators", maps.len())),
        },
        Label::Normals(map) => Ok(floats(map.view())),
        Label::Depth(map) => Ok(floats(map.view())),
        Label::Caption(text) => Ok(format!("{text}\n").into_bytes()),
        Label::Modified { .. } => {
            Err("a text and an image, which no label format of a manifest reads".into())
        }
        Label::Category(class) => Ok(format!("{class}\n").into_bytes()),
        Label::Tags(flags) => {
            let on = flags.iter().enumerate().filter(|(_, on)| **on);
            Ok(on.map(|(class, _)| format!("{class}\n")).collect::<String>().into_bytes())
        }
    }
}

/// A NumPy file of float32.
fn floats<D: ndarray::Dimension>(array: ArrayView<'_, f32, D>) -> Vec<u8> {
    npy("<f4", array.shape(), array.iter().flat_map(|value| value.to_le_bytes()))
}
