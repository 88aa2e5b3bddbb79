//! What `polyptych data check` says of a data set.

use std::collections::{BTreeMap, BTreeSet};

use polyptych_engine::{LabelCount, Mark, Problem, SkippedPolygons, ValidationReport};

/// Images with orientation marks that are listed one by one, for each split.
const MARKS: usize = 20;

/// One line, whatever a file is called.
pub(super) fn line(problem: &Problem) -> String {
    let split = problem.split.as_ref().map(|split| format!("{split}: ")).unwrap_or_default();
    one_line(&format!("{split}{}", problem.error))
}

/// Images that a viewer turns, and whether training does.
pub(super) fn marks(report: &ValidationReport) -> Vec<String> {
    let mut splits: BTreeMap<&str, Vec<&Mark>> = BTreeMap::new();
    report.marks.iter().for_each(|mark| splits.entry(&mark.split).or_default().push(mark));
    let mut lines = Vec::new();
    for (split, marks) in splits {
        lines.extend(marks.iter().take(MARKS).map(|mark| {
            let Mark { path, orientation, applied, undecided, .. } = mark;
            let applied = match (undecided, applied) {
                (true, _) => "undecided",
                (false, true) => "applied",
                (false, false) => "not applied",
            };
            let (mark, words) = (orientation.mark(), orientation.describe());
            one_line(&format!(
                "{split}: {}: orientation mark {mark} ({words}), {applied}",
                path.display()
            ))
        }));
        if marks.len() > MARKS {
            lines.push(format!("{split}: {} more images with such marks", marks.len() - MARKS));
        }
    }
    lines
}

/// How many images of each split have a label of each task.
pub(super) fn labels(report: &ValidationReport) -> Vec<String> {
    let count = |count: &LabelCount| {
        let LabelCount { split, task, labelled, images } = count;
        let near = report.problems.iter().find(|problem| {
            problem.split.as_ref() == Some(split) && problem.error.task() == Some(task)
        });
        let near = near.map(|near| near.error.to_string()).unwrap_or_default();
        let near = near.strip_prefix(&format!("{task}: ")).map(|near| format!("; {near}"));
        let verb = if *labelled == 1 { "has" } else { "have" };
        let images = plural(*images, "image");
        one_line(&format!(
            "{split}: {task}: {labelled} of {images} {verb} a label{}",
            near.unwrap_or_default()
        ))
    };
    report.labels.iter().map(count).collect()
}

/// Polygons that no label shows.
pub(super) fn skipped(report: &ValidationReport) -> Vec<String> {
    let line = |skipped: &SkippedPolygons| {
        let SkippedPolygons { split, task, polygons, images, first } = skipped;
        let verb = if *polygons == 1 { "is" } else { "are" };
        let (polygons, images) = (plural(*polygons, "polygon"), plural(*images, "image"));
        one_line(&format!(
            "{split}: {task}: {polygons} of less than three corners {verb} skipped in {images}, such as \
             {}",
            first.display()
        ))
    };
    report.skipped.iter().map(line).collect()
}

pub(super) fn summary(report: &ValidationReport) -> String {
    let splits = report.samples.iter().map(|(split, len)| format!("{split} {len}"));
    let opened = |split: &String| report.samples.iter().any(|(known, _)| known == split);
    let named = report.problems.iter().filter_map(|problem| problem.split.as_ref());
    let unopened: BTreeSet<&String> = named.filter(|split| !opened(split)).collect();
    let unopened = unopened.into_iter().map(|split| format!("{split} could not be opened"));
    let splits = splits.chain(unopened).collect::<Vec<_>>().join(", ");
    let few = report.samples.iter().filter(|(_, len)| *len == 1);
    let few: String = few
        .map(|(split, _)| format!("{split}: 1 image, too few to learn from or to measure on\n"))
        .collect();
    format!("{few}samples: {splits}; problems: {}", report.problems.len())
}

/// A number of things.
pub(super) fn plural(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_polygons_are_one_line_for_each_task() {
        let mut report = ValidationReport::default();
        report.skipped.push(SkippedPolygons {
            split: "train".into(),
            task: "sal".into(),
            polygons: 2,
            images: 1,
            first: "images/a.jpg".into(),
        });
        let expected = "train: sal: 2 polygons of less than three corners are skipped in 1 image, \
                        such as images/a.jpg";
        assert_eq!(skipped(&report), [expected]);
    }
}
