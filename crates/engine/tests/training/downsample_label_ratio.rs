//! Losses of tasks of classes at a coarser resolution than the image, against labels that are
//! sliced by hand.
use crate::common::{Until, alone, recipe, refused};
use polyptych_adapters::Form;
use polyptych_engine::{DataSets, Model, OpenRun, Trainer};
use polyptych_tensor::{Device, Kind, Tensor, manual_seed, no_grad};

const RATIO: &str = "tasks.semseg.downsample_label_ratio=4";
const LORA: &str = "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"]}";

fn random(shape: &[i64]) -> Tensor {
    Tensor::rand(shape, (Kind::Float, Device::Cpu))
}

#[test]
fn the_loss_is_that_of_every_fourth_label() {
    let _alone = alone();
    manual_seed(3);
    let recipe = recipe(&[LORA, RATIO]);
    let specs = DataSets::describe(&recipe).unwrap();
    let model = Model::new(&recipe, &specs, Form::Adapted, Device::Cpu).unwrap();
    let semseg = model.tasks.iter().find(|task| task.spec.name == "semseg").unwrap();
    let classes = semseg.spec.classes.len() as i64;
    let labels = Tensor::randint(classes, [2, 1, 32, 32], (Kind::Float, Device::Cpu));
    let labels = labels.masked_fill(&random(&[2, 1, 32, 32]).lt(0.2), f64::NAN);
    let sliced = labels.slice(2, 0, 32, 4).slice(3, 0, 32, 4);
    let found = semseg.loss_target(labels.shallow_clone()).unwrap();
    assert!(found.nan_to_num(-1.0, None, None).equal(&sliced.nan_to_num(-1.0, None, None)));
    let mut sizes = Vec::new();
    let images = random(&[2, 3, 32, 32]);
    let seen = |index: usize, output: &Tensor| {
        let name = model.tasks[index].spec.name.clone();
        sizes.push((name.clone(), output.size()[2..].to_vec()));
        if name != "semseg" {
            return Ok(output.mean(Kind::Float));
        }
        let target = semseg.loss_target(labels.shallow_clone())?;
        let loss = semseg.loss.forward(output, &target)?;
        let expected = semseg.loss.forward(&output.detach(), &sliced)?;
        assert_eq!(loss.labelled.int64_value(&[]), expected.labelled.int64_value(&[]));
        assert!(loss.loss.detach().equal(&expected.loss));
        Ok(loss.loss)
    };
    model.backward_by_head(&images, 0, seen).unwrap();
    let expected = [("depth".to_owned(), vec![32, 32]), ("semseg".to_owned(), vec![8, 8])];
    assert_eq!(sizes, expected);
    // What is predicted and measured has the size of the image.
    let outputs = no_grad(|| model.forward(&images, false)).unwrap();
    assert!(outputs.iter().all(|output| output.size()[2..] == [32, 32]));
}

/// A ratio of 1 is none; parts of a batch and balancers see the same loss.
#[test]
fn runs_learn_from_coarse_labels_in_parts_and_beside_balancers() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let losses = |name: &str, overrides: &[&str]| -> Vec<f64> {
        let still = [LORA, "backbone.drop_path_rate=0.0", "train.steps=3"];
        let recipe = recipe(&[&still, overrides].concat());
        let (mut trainer, _) = Trainer::start(recipe, None, &folder.path().join(name)).unwrap();
        let mut seen = Until { until: u64::MAX, ..Until::default() };
        trainer.run(&mut seen).unwrap();
        seen.reports.iter().map(|report| report.losses["semseg"].unwrap()).collect()
    };
    let plain = losses("plain", &[]);
    assert_eq!(losses("one", &["tasks.semseg.downsample_label_ratio=1"]), plain);
    let coarse = losses("coarse", &[RATIO]);
    assert!(coarse.iter().all(|loss| loss.is_finite()) && coarse != plain);
    let balanced = losses("balanced", &[RATIO, "balancer={loss={name=\"uw\"}}"]);
    assert!((balanced[0] - coarse[0]).abs() <= 1e-6 * coarse[0]);
    // Norms of the head take statistics of parts.
    let parts = losses("parts", &[RATIO, "train.accumulate=2"]);
    assert!((parts[0] - coarse[0]).abs() <= 0.2 * coarse[0], "{parts:?}, {coarse:?}");
    let run = OpenRun::open(&folder.path().join("coarse"), false, None).unwrap();
    assert_eq!(run.recipe.tasks["semseg"].downsample_label_ratio, Some(4));
}

#[test]
fn what_has_no_nearest_label_is_refused() {
    let _alone = alone();
    for (overrides, expected) in [
        (
            "tasks.depth.downsample_label_ratio=4",
            "tasks.depth: downsample_label_ratio: expected none for this kind of task, found 4: \
             only labels of semseg, human_parts and sal can be resampled by nearest pixels",
        ),
        (
            "tasks.semseg.downsample_label_ratio=0",
            "tiny: tasks.semseg.downsample_label_ratio: expected 1 to the sides of an image [32, \
             32], found 0",
        ),
        (
            "tasks.semseg.downsample_label_ratio=33",
            "tiny: tasks.semseg.downsample_label_ratio: expected 1 to the sides of an image [32, \
             32], found 33",
        ),
    ] {
        assert_eq!(refused(&[overrides]), expected);
    }
}
