//! What looking at a folder gives.

/// A manifest that was inferred, to be read over by its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferredManifest {
    /// The manifest as TOML.
    pub manifest: String,
    /// Names of its splits.
    pub splits: Vec<String>,
    /// What was seen and not understood.
    pub notes: Vec<String>,
    /// The same manifest with a tenth of the only split held out, where there is but one.
    pub held_out: Option<String>,
}
