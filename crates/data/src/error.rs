//! What can go wrong with data, named by file, key, expected and found.

mod text;

use std::path::PathBuf;

pub use self::text::Absent;
use self::text::{and_more, first_of, listed, more_than_one, one_a_line, there_is};
use crate::Orientation;

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
    /// A server did not give a file.
    #[error("{address}: {reason} (attempt {attempt} of {most})")]
    Fetch {
        /// The address.
        address: String,
        /// What the server answered, or why it did not.
        reason: String,
        /// Which attempt was the last.
        attempt: u32,
        /// How many there may be.
        most: u32,
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
    /// Several fields of a manifest are wrong.
    #[error("{origin}: {} keys are wrong:{}", fields.len(), one_a_line(origin, fields))]
    Fields {
        /// The manifest.
        origin: String,
        /// An [`Error::Config`] for each.
        fields: Vec<Error>,
    },
    /// A split holds no sample.
    #[error("{dataset}: split `{split}` is empty: expected at least 1 sample, found 0{reason}")]
    EmptySplit {
        /// Name of the data set.
        dataset: String,
        /// Name of the split.
        split: String,
        /// Why, behind a separator; empty where nothing is known.
        reason: String,
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
    #[error(
        "task {task}: {first} and {second} differ in {field}: {first} has {}, {second} has {}",
        found[0],
        found[1]
    )]
    Conflict {
        /// Name of the task.
        task: String,
        /// Data set that has it first.
        first: String,
        /// Data set that has another.
        second: String,
        /// Field of [`TaskSpec`](crate::TaskSpec) that differs.
        field: &'static str,
        /// What each has there.
        found: Box<[String; 2]>,
    },
    /// No image of a split has a label file of a task.
    #[error(
        "{dataset}: split `{split}`: {task}: expected at least 1 label file, found 0, looked for {}{}",
        first.display(),
        there_is(first, near.as_ref())
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
        /// The file that is called nearly so.
        near: Option<PathBuf>,
    },
    /// Listed images are not there.
    #[error("{}{}", first_of(images), more_than_one(images))]
    Missing {
        /// All of them, at least one.
        images: Vec<Absent>,
    },
    /// A label is not where it should be, and a file beside it is called nearly so.
    #[error("{task}: {}: no such file{}", path.display(), there_is(path, Some(near)))]
    MisnamedLabel {
        /// Task of the label.
        task: String,
        /// The file that is looked for.
        path: PathBuf,
        /// The file that is there.
        near: PathBuf,
    },
    /// Files that nearly fit the pattern of images are passed over.
    #[error(
        "{}: skipped, {pattern} does not fit it{}; name its ending, or `{{ext}}` for any",
        first.display(),
        and_more(*count)
    )]
    UnmatchedImage {
        /// The pattern.
        pattern: String,
        /// The first file.
        first: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// Two files are one image.
    #[error(
        "{origin}: split `{split}`: expected one image called {name}, found {} and {}{}; name the \
         ending or the folder of the images in layout.images",
        files[0].display(),
        files[1].display(),
        and_more(*count)
    )]
    SameName {
        /// The manifest.
        origin: String,
        /// Name of the split.
        split: String,
        /// Name of both images.
        name: String,
        /// Their files.
        files: Box<[PathBuf; 2]>,
        /// How many names have several files.
        count: usize,
    },
    /// Orientation marks with which nobody can tell where labels belong.
    #[error(
        "{}: orientation mark {} ({}){}: sizes do not tell whether labels are drawn on the image \
         turned so; say `apply_exif_orientation = true` or `false` in [layout]",
        first.display(),
        mark.mark(),
        mark.describe(),
        and_more(*count)
    )]
    UnclearOrientation {
        /// The first image.
        first: PathBuf,
        /// Its mark.
        mark: Orientation,
        /// How many images it concerns.
        count: usize,
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
    /// The task of a label that is called otherwise than it should be.
    pub fn task(&self) -> Option<&String> {
        match self {
            Error::MisnamedLabel { task, .. } => Some(task),
            _ => None,
        }
    }

    /// Whether the files of one sample cause it, so that others may be read.
    pub(crate) fn is_of_a_sample(&self) -> bool {
        matches!(
            self,
            Error::Io { .. } | Error::Decode { .. } | Error::Label { .. } | Error::Entry { .. }
        )
    }
}
