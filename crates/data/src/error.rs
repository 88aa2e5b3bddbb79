//! What can go wrong with data, named by file, key, expected and found.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a data set, a sample or a manifest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file's bytes are not what its format says.
    #[error("{}: not a readable {format}: {reason}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The format that was expected, such as `JPEG image`.
        format: &'static str,
        /// What the decoder found.
        reason: String,
    },
    /// A label does not fit its image or its task.
    #[error("{sample}: {task}: expected {expected}, found {found}")]
    Label {
        /// Name of the sample.
        sample: String,
        /// Task of the label.
        task: String,
        /// What the task needs.
        expected: String,
        /// What the label holds.
        found: String,
    },
    /// A manifest or configuration field is wrong.
    #[error("{origin}: {key}: expected {expected}, found {found}")]
    Config {
        /// File or structure that holds the field.
        origin: String,
        /// Path of the field, dots between levels.
        key: String,
        /// What the field must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A split holds no sample.
    #[error("{dataset}: split `{split}` is empty: expected at least 1 sample, found 0")]
    EmptySplit {
        /// Name of the data set.
        dataset: String,
        /// Name of the split.
        split: String,
    },
    /// The code that reads or transforms a sample panicked.
    #[error("{dataset}: sample {index}: panicked: {reason}")]
    Panic {
        /// Name of the data set.
        dataset: String,
        /// Index of the sample.
        index: usize,
        /// What the panic said.
        reason: String,
    },
    /// The operating system refused a thread.
    #[error("loader: cannot start threads: {reason}")]
    Threads {
        /// The cause.
        reason: String,
    },
    /// Two data sets give one name to different tasks.
    #[error("task {task}: {first} and {second} differ in {field}")]
    Conflict {
        /// Name of the task.
        task: String,
        /// Data set that has it first.
        first: String,
        /// Data set that has another.
        second: String,
        /// Field of [`TaskSpec`](crate::TaskSpec) that differs.
        field: &'static str,
    },
    /// No image of a split has a label file of a task.
    #[error(
        "{dataset}: split `{split}`: {task}: expected at least 1 label file, found 0, looked for {}",
        first.display()
    )]
    NoLabels {
        /// Name of the data set.
        dataset: String,
        /// Name of the split.
        split: String,
        /// Name of the task.
        task: String,
        /// Where the label of the first image would be.
        first: PathBuf,
    },
    /// Listed images are not there.
    #[error("{}: no such image{}", first_of(paths), more_than_one(paths))]
    Missing {
        /// All of them, at least one.
        paths: Vec<PathBuf>,
    },
    /// Several images of a split have one name.
    #[error("{dataset}: split `{split}`: {name}: expected 1 image of this name, found {count}")]
    Repeated {
        /// Name of the data set.
        dataset: String,
        /// Name of the split.
        split: String,
        /// The name.
        name: String,
        /// How many images have it.
        count: usize,
    },
    /// Images in two splits.
    #[error(
        "{dataset}: splits `{one}` and `{other}`: expected no image in both, found {count}, the \
         first: {first}"
    )]
    Overlap {
        /// Name of the data set.
        dataset: String,
        /// One split.
        one: String,
        /// The other.
        other: String,
        /// How many images are in both.
        count: usize,
        /// File of the first of them.
        first: String,
    },
    /// A name or a link in the folder of a data set that none should hold.
    #[error("{}: {reason}", path.to_string_lossy().escape_debug())]
    Entry {
        /// The entry.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No sample of a batch can be used, so none is left when bad samples are skipped.
    #[error(
        "{dataset}: expected at least 1 good sample in a batch of {count}, found 0, the first: {first}"
    )]
    BadBatch {
        /// Name of the data set.
        dataset: String,
        /// Samples in the batch.
        count: usize,
        /// What is wrong with the first of them.
        first: String,
    },
    /// A training split has no image of some classes.
    #[error(
        "{dataset}: split `{split}`: {task}: expected at least 1 image of every class, found none of {}",
        listed(classes)
    )]
    AbsentClasses {
        /// Name of the data set.
        dataset: String,
        /// Name of the split.
        split: String,
        /// Name of the task.
        task: String,
        /// Names of the classes.
        classes: Vec<String>,
    },
}

impl Error {
    /// Whether the files of one sample cause it, so that others may be read.
    pub(crate) fn is_of_a_sample(&self) -> bool {
        matches!(
            self,
            Error::Io { .. } | Error::Decode { .. } | Error::Label { .. } | Error::Entry { .. }
        )
    }
}

fn first_of(paths: &[PathBuf]) -> String {
    paths.first().map(|path| path.display().to_string()).unwrap_or_default()
}

fn more_than_one(paths: &[PathBuf]) -> String {
    match paths.len() {
        0 | 1 => String::new(),
        all => format!(", and {} more are missing", all - 1),
    }
}

/// The first names of a list that may be long.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(5).map(|name| format!("`{name}`"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=5 => shown,
        all => format!("{shown} and {} more", all - 5),
    }
}
