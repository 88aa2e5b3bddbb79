//! What a task predicts: its kind, its classes, and how a mirror image changes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kinds of task that the crates know how to label, learn and score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// One class per pixel: semantic segmentation.
    Semseg,
    /// One body part per pixel; images without people carry no label.
    HumanParts,
    /// One probability per pixel: saliency.
    Sal,
    /// One unit vector per pixel, camera coordinates: x right, y up, z towards the camera.
    Normals,
    /// One distance in metres per pixel.
    Depth,
    /// One boundary probability per pixel.
    Edge,
    /// One class per image.
    Classification,
    /// Any number of classes per image.
    Tags,
    /// The text that was written for an image, among those of others, and the image of a text.
    Retrieval,
    /// The image that another image and a text together ask for, among others.
    ModifiedRetrieval,
}

impl TaskKind {
    /// The name that manifests use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Semseg => "semseg",
            Self::HumanParts => "human_parts",
            Self::Sal => "sal",
            Self::Normals => "normals",
            Self::Depth => "depth",
            Self::Edge => "edge",
            Self::Classification => "classification",
            Self::Tags => "tags",
            Self::Retrieval => "retrieval",
            Self::ModifiedRetrieval => "modified_retrieval",
        }
    }
}

/// A task of a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// Name of the task, the key of its labels: `semseg`, `depth`.
    pub name: String,
    /// What it predicts.
    pub kind: TaskKind,
    /// Names of the classes in the order of their indices; empty where the kind has none.
    #[serde(default)]
    pub classes: Vec<String>,
    /// One RGB colour per class; empty where the kind has no classes.
    #[serde(default)]
    pub palette: Vec<[u8; 3]>,
    /// Pairs of class indices that swap in a mirror image (left arm, right arm).
    #[serde(default)]
    pub flip_pairs: Vec<[u8; 2]>,
}

impl TaskSpec {
    /// Number of channels of a prediction: classes, 3 for normals, else 1. How long the embeddings of
    /// retrieval are is the head's to say.
    pub fn num_outputs(&self) -> usize {
        match self.kind {
            TaskKind::Normals => 3,
            TaskKind::Sal | TaskKind::Depth | TaskKind::Edge => 1,
            TaskKind::Retrieval | TaskKind::ModifiedRetrieval => 1,
            _ => self.classes.len(),
        }
    }

    /// Whether there is one prediction per pixel rather than one per image.
    pub fn is_dense(&self) -> bool {
        !matches!(self.kind, TaskKind::Classification | TaskKind::Tags) && !self.reads_texts()
    }

    /// Whether a text belongs to every image.
    pub fn reads_texts(&self) -> bool {
        matches!(self.kind, TaskKind::Retrieval | TaskKind::ModifiedRetrieval)
    }
}
