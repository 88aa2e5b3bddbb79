//! What was found of a series of labels.

/// The kind of a task and the keys of its manifest that go with it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) kind: &'static str,
    pub(super) format: String,
    /// Name of the array, of files with several.
    pub(super) array: Option<String>,
    /// Names of the classes.
    pub(super) classes: Vec<String>,
    /// Whether a file gave these names.
    pub(super) has_names: bool,
    /// Values without label.
    pub(super) ignore: Vec<i64>,
    pub(super) palette: Vec<[u8; 3]>,
    /// More lines of the manifest.
    pub(super) keys: Vec<String>,
    /// What its owner should know.
    pub(super) notes: Vec<String>,
}

impl Found {
    pub(super) fn new(kind: &'static str, format: impl Into<String>) -> Self {
        Self { kind, format: format.into(), ..Self::default() }
    }

    pub(super) fn with(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    pub(super) fn noting(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}
