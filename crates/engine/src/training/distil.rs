//! What a step minimises beside the losses of the labels where finished runs teach: see
//! [`DistilRecipe`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polyptych_data::{Batch, TaskKind, TaskSpec};
use polyptych_tensor::{Device, Kind, Tensor, manual_seed, no_grad};

use crate::model::tapped::TappedOutput;
use crate::{DistilRecipe, Error, Inputs, Model, OpenRun, Recipe, Result};

/// The teachers of a run.
pub(crate) struct Teachers {
    teachers: Vec<Teacher>,
    settings: DistilRecipe,
}

/// A finished run, and the tasks that it teaches.
struct Teacher {
    path: PathBuf,
    model: Model,
    /// Their places in the student and in the teacher.
    tasks: Vec<[usize; 2]>,
}

/// What teachers say of a batch, by the student's tasks.
pub(super) struct Lessons<'a> {
    settings: &'a DistilRecipe,
    by_task: BTreeMap<usize, Lesson<'a>>,
}

struct Lesson<'a> {
    expected: TappedOutput,
    /// The run that says it.
    path: &'a Path,
}

impl Teachers {
    /// Opens the teachers of `recipe`, whose tasks are `specs`; none where it has none.
    ///
    /// # Errors
    /// A folder that is no run; a teacher that lacks the task, has other classes of it, or sees
    /// images of another size or scale.
    pub(super) fn open(
        recipe: &Recipe,
        specs: &[TaskSpec],
        device: Device,
    ) -> Result<Option<Self>> {
        let Some(settings) = recipe.distil.clone() else { return Ok(None) };
        let mut by_run: BTreeMap<&Path, Vec<&str>> = BTreeMap::new();
        for (task, run) in &settings.teachers {
            by_run.entry(run).or_default().push(task);
        }
        let open = |(path, tasks): (&Path, Vec<&str>)| {
            Teacher::open(recipe, specs, path, (&tasks, settings.best), device)
        };
        let teachers = by_run.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Some(Self { teachers, settings }))
    }

    /// What they say of `batch` with its `images` on the device.
    ///
    /// # Errors
    /// Images that a teacher cannot read.
    pub(super) fn lessons(&self, batch: &Batch, images: &Tensor) -> Result<Lessons<'_>> {
        let mut by_task = BTreeMap::new();
        for teacher in &self.teachers {
            let expected = no_grad(|| outputs(&teacher.model, batch, images, false))?;
            for (place, expected) in expected.into_iter().enumerate() {
                let taught = teacher.tasks.iter().find(|[_, theirs]| *theirs == place);
                by_task.extend(taught.map(|&[own, _]| {
                    let path = teacher.path.as_path();
                    (own, Lesson { expected, path })
                }));
            }
        }
        Ok(Lessons { settings: &self.settings, by_task })
    }

    /// Whether outputs that losses of `student` are computed of have the size of the teachers', for
    /// `images`, so that one pass serves both.
    pub(super) fn fit_losses(&self, student: &Model, images: &Tensor) -> bool {
        let [.., height, width] = images.size()[..] else { return false };
        let size = [height, width];
        let mut taught = self.teachers.iter().flat_map(|teacher| &teacher.tasks);
        taught.all(|&[own, _]| student.tasks[own].loss_size(size) == size)
    }

    /// What `student` is to minimise for `batch`, by a pass of its own with the `seed` of dropout.
    ///
    /// # Errors
    /// Outputs or features of other shapes than the teacher's.
    pub(super) fn term(
        &self,
        student: &Model,
        (batch, images): (&Batch, &Tensor),
        seed: i64,
    ) -> Result<Tensor> {
        let lessons = self.lessons(batch, images)?;
        manual_seed(seed);
        let found = outputs(student, batch, images, true)?.into_iter().enumerate();
        let terms = found.map(|(task, found)| lessons.term(student, task, &found));
        let terms = terms.collect::<Result<Vec<_>>>()?.into_iter().flatten();
        let none = || Tensor::zeros([0i64; 0], (Kind::Float, images.device()));
        Ok(terms.reduce(|sum, term| sum + term).unwrap_or_else(none))
    }
}

impl Lessons<'_> {
    /// Whether there is one for the student's task at `index` of the task axis.
    pub(super) fn has(&self, index: usize) -> bool {
        self.by_task.contains_key(&index)
    }

    /// What `student` is to minimise for its task at `index`, of which it says `found`; nothing
    /// without a teacher.
    ///
    /// # Errors
    /// An output or features of other shapes than the teacher's.
    pub(super) fn term(
        &self,
        student: &Model,
        index: usize,
        found: &TappedOutput,
    ) -> Result<Option<Tensor>> {
        let Some(lesson) = self.by_task.get(&index) else { return Ok(None) };
        let apart = self.apart(student.tasks[index].spec.kind, found, lesson)?;
        Ok(Some(apart * self.settings.weight))
    }

    fn apart(&self, kind: TaskKind, found: &TappedOutput, lesson: &Lesson) -> Result<Tensor> {
        let Lesson { expected, path } = lesson;
        let DistilRecipe { logits, features, temperature, .. } = *self.settings;
        check_outputs(&found.output, &expected.output, path)?;
        let outputs = divergence(kind, &found.output, &expected.output, temperature) * logits;
        if features == 0.0 {
            return Ok(outputs);
        }
        Ok(outputs + features_apart(&found.features, &expected.features, path)? * features)
    }
}

impl Teacher {
    fn open(
        recipe: &Recipe,
        specs: &[TaskSpec],
        path: &Path,
        (tasks, best): (&[&str], bool),
        device: Device,
    ) -> Result<Self> {
        let wrong = |key: String, expected: &str, found: &str| {
            let reason =
                format!("{key}: expected {expected} for the tasks that it teaches, found {found}");
            Err(Error::Run { path: path.into(), reason })
        };
        let name = match device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".into(),
        };
        let run = OpenRun::open(path, best, Some(&name))?;
        let (own, theirs) = (&recipe.data, &run.recipe.data);
        if own.img_size != theirs.img_size {
            let [expected, found] = [own.img_size, theirs.img_size].map(|size| format!("{size:?}"));
            return wrong("data.img_size".into(), &expected, &found);
        }
        if (own.mean, own.std) != (theirs.mean, theirs.std) {
            return wrong("data.mean".into(), "mean and std of the recipe", "others");
        }
        let mut places = Vec::new();
        for task in tasks {
            let place = |specs: &[TaskSpec]| specs.iter().position(|spec| spec.name == *task);
            let known: Vec<TaskSpec> =
                run.model.tasks.iter().map(|task| task.spec.clone()).collect();
            let (Some(student), Some(teacher)) = (place(specs), place(&known)) else {
                return wrong(format!("tasks.{task}"), "the task", "none");
            };
            if specs[student].classes != known[teacher].classes {
                return wrong(
                    format!("tasks.{task}"),
                    "the classes of the recipe's task",
                    "others",
                );
            }
            places.push([student, teacher]);
        }
        run.model.store_frozen();
        Ok(Self { path: path.into(), model: run.model, tasks: places })
    }
}

/// What `model` says of a batch, each task with what its head reads.
fn outputs(
    model: &Model,
    batch: &Batch,
    images: &Tensor,
    train: bool,
) -> Result<Vec<TappedOutput>> {
    let texts = model.texts(batch)?;
    model.forward_tapped(Inputs { images, texts: texts.as_ref() }, train)
}

fn check_outputs(found: &Tensor, expected: &Tensor, path: &Path) -> Result<()> {
    let [own, theirs] = [found, expected].map(Tensor::size);
    if own == theirs {
        return Ok(());
    }
    let reason = format!(
        "outputs: expected {own:?} as the recipe's task has, found {theirs:?}; give the task the \
         head that its teacher has"
    );
    Err(Error::Run { path: path.into(), reason })
}

/// What raw outputs of a task differ by.
fn divergence(kind: TaskKind, student: &Tensor, teacher: &Tensor, temperature: f64) -> Tensor {
    match kind {
        TaskKind::Semseg | TaskKind::HumanParts | TaskKind::Classification => {
            let logs = |t: &Tensor| (t / temperature).log_softmax(1, Kind::Float);
            let (found, expected) = (logs(student), logs(teacher));
            let each = (expected.exp() * (expected - found)).sum_dim_intlist(
                [1i64].as_slice(),
                false,
                None::<Kind>,
            );
            each.mean(Kind::Float) * temperature.powi(2)
        }
        _ => squares(student, teacher),
    }
}

fn squares(found: &Tensor, expected: &Tensor) -> Tensor {
    (found - expected).square().mean(Kind::Float)
}

fn features_apart(found: &[Tensor], expected: &[Tensor], path: &Path) -> Result<Tensor> {
    let shapes = |all: &[Tensor]| all.iter().map(Tensor::size).collect::<Vec<_>>();
    let [own, theirs] = [found, expected].map(shapes);
    if own != theirs {
        let reason = format!(
            "features: expected {own:?} as the recipe's backbone has, found {theirs:?}; set \
             distil.features=0 to compare outputs alone"
        );
        return Err(Error::Run { path: path.into(), reason });
    }
    let pairs = found.iter().zip(expected);
    let float = |t: &Tensor| t.to_kind(Kind::Float);
    let sum = pairs.map(|(a, b)| squares(&float(a), &float(b))).reduce(|a, b| a + b);
    let none = || Tensor::zeros([0i64; 0], (Kind::Float, Device::Cpu));
    Ok(sum.unwrap_or_else(none) / found.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).view([1, -1])
    }

    #[test]
    fn classes_are_compared_as_distributions_and_numbers_as_numbers() {
        let (student, teacher) = (of(&[0.0, 0.0]), of(&[3f32.ln(), 0.0]));
        let kl = divergence(TaskKind::Classification, &student, &teacher, 1.0).double_value(&[]);
        let expected = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        assert!((kl - expected).abs() < 1e-6, "{kl}");
        let squares = divergence(TaskKind::Depth, &student, &of(&[2.0, 0.0]), 1.0);
        assert_eq!(squares.double_value(&[]), 2.0);
        let soft = divergence(TaskKind::Semseg, &student, &(&teacher * 2.0), 2.0);
        assert!((soft.double_value(&[]) - 4.0 * expected).abs() < 1e-5);
    }

    #[test]
    fn outputs_of_other_shapes_are_named() {
        let path = Path::new("runs/teacher");
        assert!(check_outputs(&of(&[1.0]), &of(&[2.0]), path).is_ok());
        let message = check_outputs(&of(&[1.0]), &of(&[2.0, 1.0]), path).unwrap_err();
        let expected = "runs/teacher: outputs: expected [1, 1] as the recipe's task has, found";
        assert!(message.to_string().starts_with(expected), "{message}");
    }

    #[test]
    fn features_of_other_shapes_are_named() {
        let path = Path::new("runs/teacher");
        let apart = features_apart(&[of(&[1.0]), of(&[2.0])], &[of(&[2.0]), of(&[4.0])], path);
        assert_eq!(apart.unwrap().double_value(&[]), 2.5);
        let message = features_apart(&[of(&[1.0])], &[of(&[2.0, 1.0])], path).unwrap_err();
        let expected =
            "runs/teacher: features: expected [[1, 1]] as the recipe's backbone has, found";
        assert!(message.to_string().starts_with(expected), "{message}");
    }
}
