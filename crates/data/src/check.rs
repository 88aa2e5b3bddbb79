//! Whether the labels of a sample fit its image and its tasks.

use ndarray::Array2;

use crate::sample::IGNORE;
use crate::{Error, Label, Result, Sample, TaskKind, TaskSpec};

impl Sample {
    /// Checks that the image is not empty, that every label belongs to one of `tasks` and has its
    /// kind, that maps have the image's size and that values are in range.
    ///
    /// # Errors
    /// [`Error::Label`] names sample, task, expected and found.
    pub fn check(&self, tasks: &[TaskSpec]) -> Result<()> {
        let refused = |task: &str, fault: Fault| fault.of(&self.name, task);
        let (height, width, channels) = self.image.dim();
        if height * width == 0 || channels != 3 {
            let found = format!("[{height}, {width}, {channels}]");
            return Err(refused("image", Fault::new("an RGB image [height, width, 3]", found)));
        }
        self.labels.iter().try_for_each(|(name, label)| {
            let task = tasks.iter().find(|task| task.name == *name);
            let task = task.ok_or_else(|| refused(name, Fault::new("no label", "a label")))?;
            label.check(task, [height, width]).map_err(|fault| refused(name, fault))
        })
    }
}

/// What a label should be and what it is.
pub(crate) struct Fault {
    expected: String,
    found: String,
}

impl Fault {
    pub(crate) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }

    /// The error of this fault in the label that `task` has in `sample`.
    pub(crate) fn of(self, sample: &str, task: &str) -> Error {
        let Self { expected, found } = self;
        Error::Label { sample: sample.to_owned(), task: task.to_owned(), expected, found }
    }
}

impl Label {
    /// Whether the label fits a task and an image of `size`, `[height, width]`.
    pub(crate) fn check(&self, task: &TaskSpec, size: [usize; 2]) -> Result<(), Fault> {
        self.check_kind(task.kind)?;
        self.sizes().into_iter().try_for_each(|found| same_size(size, found))?;
        let classes = task.classes.len();
        match self {
            Label::Classes(map) => below(map, classes, "class"),
            Label::Binary(map) => below(map, 2, "value"),
            Label::Edges(maps) if maps.is_empty() => {
                Err(Fault::new("at least 1 annotator", "0 annotators"))
            }
            Label::Edges(maps) => maps.iter().try_for_each(|map| below(map, 2, "value")),
            Label::Depth(map) => {
                let wrong = map.iter().find(|v| !(v.is_finite() && **v >= 0.0));
                wrong.map_or(Ok(()), |v| Err(Fault::new("metres, 0 or more", v.to_string())))
            }
            Label::Normals(map) => {
                let wrong = map.iter().find(|v| !v.is_finite());
                wrong.map_or(Ok(()), |v| Err(Fault::new("finite components", v.to_string())))
            }
            Label::Category(class) if *class as usize >= classes => {
                Err(Fault::new(format!("a class below {classes}"), format!("class {class}")))
            }
            Label::Category(_) => Ok(()),
            Label::Tags(flags) if flags.len() != classes => {
                Err(Fault::new(format!("{classes} flags"), flags.len().to_string()))
            }
            Label::Tags(_) => Ok(()),
            Label::Caption(text) | Label::Modified { text, .. } if text.trim().is_empty() => {
                Err(Fault::new("words", "none"))
            }
            Label::Caption(_) | Label::Modified { .. } => Ok(()),
        }
    }

    /// Whether no pixel is labelled; never so for labels of the whole image.
    pub(crate) fn is_void(&self) -> bool {
        let ignored = |map: &Array2<u8>| map.iter().all(|&v| v == IGNORE);
        match self {
            Label::Classes(map) | Label::Binary(map) => ignored(map),
            Label::Edges(maps) => maps.iter().all(ignored),
            Label::Normals(map) => map.iter().all(|&v| v == 0.0),
            Label::Depth(map) => map.iter().all(|&v| v == 0.0),
            Label::Category(_) | Label::Tags(_) => false,
            Label::Caption(_) | Label::Modified { .. } => false,
        }
    }

    fn check_kind(&self, kind: TaskKind) -> Result<(), Fault> {
        let fits = match self {
            Label::Classes(_) => matches!(kind, TaskKind::Semseg | TaskKind::HumanParts),
            Label::Binary(_) => kind == TaskKind::Sal,
            Label::Edges(_) => kind == TaskKind::Edge,
            Label::Normals(_) => kind == TaskKind::Normals,
            Label::Depth(_) => kind == TaskKind::Depth,
            Label::Category(_) => kind == TaskKind::Classification,
            Label::Tags(_) => kind == TaskKind::Tags,
            Label::Caption(_) => kind == TaskKind::Retrieval,
            Label::Modified { .. } => kind == TaskKind::ModifiedRetrieval,
        };
        let fault = || Fault::new(format!("a {kind:?} label"), self.variant());
        fits.then_some(()).ok_or_else(fault)
    }

    fn variant(&self) -> &'static str {
        match self {
            Label::Classes(_) => "a class map",
            Label::Binary(_) => "a binary map",
            Label::Edges(_) => "edge maps",
            Label::Normals(_) => "a map of normals",
            Label::Depth(_) => "a depth map",
            Label::Category(_) => "a category",
            Label::Tags(_) => "tags",
            Label::Caption(_) => "a caption",
            Label::Modified { .. } => "a modification",
        }
    }

    /// `[height, width]` of a map; `[0, 0]` for labels of the whole image, which have none.
    pub(crate) fn size(&self) -> [usize; 2] {
        self.sizes().first().copied().unwrap_or([0, 0])
    }

    fn sizes(&self) -> Vec<[usize; 2]> {
        let of = |map: &Array2<u8>| [map.nrows(), map.ncols()];
        match self {
            Label::Classes(map) | Label::Binary(map) => vec![of(map)],
            Label::Edges(maps) => maps.iter().map(of).collect(),
            Label::Normals(map) if map.dim().2 == 3 => vec![[map.dim().0, map.dim().1]],
            // Not three components: no size fits.
            Label::Normals(_) => vec![[0, 0]],
            Label::Depth(map) => vec![[map.nrows(), map.ncols()]],
            Label::Modified { image, .. } => vec![[image.dim().0, image.dim().1]],
            Label::Category(_) | Label::Tags(_) | Label::Caption(_) => Vec::new(),
        }
    }
}

fn same_size([height, width]: [usize; 2], found: [usize; 2]) -> Result<(), Fault> {
    let fault = || {
        let expected = format!("{height} x {width} pixels, the size of the image");
        Fault::new(expected, format!("{} x {}", found[0], found[1]))
    };
    (found == [height, width]).then_some(()).ok_or_else(fault)
}

fn below(map: &Array2<u8>, limit: usize, what: &str) -> Result<(), Fault> {
    // Nearly every map is right: the place is looked for only where there is one. One more than a
    // class, so that no label is the smallest number: many pixels are compared at once.
    let most = map.iter().fold(0, |most: u8, &v| most.max(v.wrapping_add(1)));
    if usize::from(most) <= limit {
        return Ok(());
    }
    let wrong = |&v: &u8| v != IGNORE && usize::from(v) >= limit;
    let found = map.indexed_iter().find(|(_, v)| wrong(v));
    found.map_or(Ok(()), |((y, x), v)| {
        let expected = format!("a {what} below {limit} or {IGNORE} for no label");
        Err(Fault::new(expected, format!("{v} at x = {x}, y = {y}")))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ndarray::Array3;

    use super::*;

    fn task(kind: TaskKind) -> TaskSpec {
        TaskSpec {
            name: "t".to_owned(),
            kind,
            classes: vec!["a".to_owned(), "b".to_owned()],
            palette: Vec::new(),
            flip_pairs: Vec::new(),
        }
    }

    fn checked(kind: TaskKind, label: Label) -> Result<()> {
        let labels = BTreeMap::from([("t".to_owned(), label)]);
        let sample = Sample { name: "s".to_owned(), image: Array3::zeros((2, 3, 3)), labels };
        sample.check(&[task(kind)])
    }

    fn message(kind: TaskKind, label: Label) -> String {
        checked(kind, label).unwrap_err().to_string()
    }

    #[test]
    fn fitting_labels_pass() {
        checked(TaskKind::Semseg, Label::Classes(Array2::from_elem((2, 3), 255))).unwrap();
        checked(TaskKind::HumanParts, Label::Classes(Array2::ones((2, 3)))).unwrap();
        checked(TaskKind::Sal, Label::Binary(Array2::ones((2, 3)))).unwrap();
        checked(TaskKind::Edge, Label::Edges(vec![Array2::ones((2, 3))])).unwrap();
        checked(TaskKind::Normals, Label::Normals(Array3::zeros((2, 3, 3)))).unwrap();
        checked(TaskKind::Depth, Label::Depth(Array2::zeros((2, 3)))).unwrap();
        checked(TaskKind::Classification, Label::Category(1)).unwrap();
        checked(TaskKind::Tags, Label::Tags(vec![true, false])).unwrap();
    }

    #[test]
    fn wrong_labels_are_named() {
        assert_eq!(
            message(TaskKind::Semseg, Label::Classes(Array2::zeros((3, 2)))),
            "s: t: expected 2 x 3 pixels, the size of the image, found 3 x 2"
        );
        let mut map = Array2::zeros((2, 3));
        map[[1, 2]] = 2;
        assert_eq!(
            message(TaskKind::Semseg, Label::Classes(map.clone())),
            "s: t: expected a class below 2 or 255 for no label, found 2 at x = 2, y = 1"
        );
        assert_eq!(
            message(TaskKind::Sal, Label::Binary(map)),
            "s: t: expected a value below 2 or 255 for no label, found 2 at x = 2, y = 1"
        );
        assert_eq!(
            message(TaskKind::Depth, Label::Category(0)),
            "s: t: expected a Depth label, found a category"
        );
        assert_eq!(
            message(TaskKind::Edge, Label::Edges(Vec::new())),
            "s: t: expected at least 1 annotator, found 0 annotators"
        );
        assert_eq!(
            message(TaskKind::Depth, Label::Depth(Array2::from_elem((2, 3), -1.0))),
            "s: t: expected metres, 0 or more, found -1"
        );
        assert_eq!(
            message(TaskKind::Normals, Label::Normals(Array3::from_elem((2, 3, 3), f32::NAN))),
            "s: t: expected finite components, found NaN"
        );
        assert_eq!(
            message(TaskKind::Classification, Label::Category(2)),
            "s: t: expected a class below 2, found class 2"
        );
        assert_eq!(
            message(TaskKind::Tags, Label::Tags(vec![true])),
            "s: t: expected 2 flags, found 1"
        );
    }

    #[test]
    fn unknown_tasks_and_empty_images_are_refused() {
        let labels = BTreeMap::from([("x".to_owned(), Label::Category(0))]);
        let mut sample = Sample { name: "s".to_owned(), image: Array3::zeros((2, 3, 3)), labels };
        let message = |s: &Sample| s.check(&[task(TaskKind::Tags)]).unwrap_err().to_string();
        assert_eq!(message(&sample), "s: x: expected no label, found a label");
        sample.image = Array3::zeros((0, 3, 3));
        assert!(message(&sample).starts_with("s: image: expected an RGB image"));
    }
}
