//! What can a model be trained on without a download?
//!
//! Rendered data sets with exact labels, [`Scenes`], [`FineGrained`] and [`CaptionedScenes`], and small synthetic copies
//! of published ones ([`write_copy`]) in the layout of their archives.

mod captions;
mod copies;
mod fine_grained;
mod scenes;

pub use captions::{CaptionedScenes, CaptionedScenesConfig};
pub use copies::{CopyContents, write_copy};
pub use fine_grained::{FineGrained, FineGrainedConfig};
pub use scenes::{Scenes, ScenesConfig};
