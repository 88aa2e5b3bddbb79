//! A trained run gets more tasks: those that it had stay bit-equal, and what does not fit is named.
use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{Until, alone, recipe, refused, train};
use polyptych_engine::{DataSets, OpenRun, ParameterSummary, Recipe, Trainer, evaluate, merge};
use polyptych_tensor::{Device, Kind, Tensor, manual_seed, no_grad};

const VMT: &str = "adapter={method=\"vmt_adapter\", bottleneck={fixed=4}}";
const NORMALS: &str =
    "tasks.normals={weight=1.0, head={name=\"hrnet\", channels=[4, 4, 4, 4], hidden=8}}";
const TAGS: &str = "tasks.tags={weight=1.0, head={name=\"linear\"}}";

fn extend(run: &Path, tasks: &str) -> String {
    format!("extend={{run=\"{}\", tasks=[{tasks}]}}", run.display())
}

/// The run of two tasks in `path`, trained.
fn old(path: &Path, overrides: &[&str]) -> OpenRun {
    drop(train(recipe(&[&[VMT], overrides].concat()), path));
    OpenRun::open(path, false, None).unwrap()
}

/// The recipe that adds normals to the run in `path`.
fn more(path: &Path, overrides: &[&str]) -> Recipe {
    let extend = extend(path, "\"normals\"");
    recipe(&[&[VMT, NORMALS, &extend], overrides].concat())
}

/// Raw outputs of every task for the same two images.
fn outputs(run: &OpenRun) -> BTreeMap<String, Tensor> {
    manual_seed(1);
    let images = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
    let outputs = no_grad(|| run.model.forward(&images, false)).unwrap();
    run.model.tasks.iter().map(|task| task.spec.name.clone()).zip(outputs).collect()
}

fn old_tasks_are_equal(old: &OpenRun, new: &OpenRun) {
    let (before, after) = (outputs(old), outputs(new));
    before.iter().for_each(|(task, output)| assert!(output.equal(&after[task]), "{task} differs"));
    let tensors: BTreeMap<String, Tensor> = new.model.store.tensors().into_iter().collect();
    for (name, tensor) in old.model.store.tensors() {
        assert!(tensor.kind() == tensors[&name].kind() && tensor.equal(&tensors[&name]), "{name}");
    }
}

#[test]
fn old_tasks_stay_bit_equal_while_a_new_one_learns() {
    let _alone = alone();
    for precision in ["precision=fp32", "precision=bf16"] {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("old"), folder.path().join("new"));
        let old = old(&first, &[precision]);
        let recipe = more(&first, &[precision, "seed=5", "train.lr=0.1"]);
        // Counted without the old run.
        let summary =
            ParameterSummary::of_recipe(&more(Path::new("no/run"), &[precision])).unwrap();
        let (trainer, _) = train(recipe, &second);
        assert_eq!(ParameterSummary::of(trainer.model()), summary);
        for row in summary.rows {
            // Scale and shift of four numbers at each of four taps.
            let expected = match row.group.as_str() {
                "backbone, adapter" => 4 * 2 * 4,
                "heads.normals" => row.total,
                _ => 0,
            };
            assert_eq!(row.trainable, expected, "{}", row.group);
        }
        drop(trainer);
        let new = OpenRun::open(&second, false, None).unwrap();
        old_tasks_are_equal(&old, &new);
        for (name, tensor) in new.model.store.tensors() {
            if name.ends_with("vmt_ke.normals.bias") {
                assert!(tensor.abs().max().double_value(&[]) > 0.0, "{name} was not trained");
            }
        }
        let log = std::fs::read_to_string(second.join("metrics.jsonl")).unwrap();
        assert!(log.lines().next().unwrap().contains("\"losses\":{\"normals\":"), "{log}");
    }
}

/// The folder of the new run is whole: the old one may go.
#[test]
fn an_extended_run_resumes_folds_and_is_extended_again() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let old = old(&path("old"), &[]);
    let (whole, _) = train(more(&path("old"), &[]), &path("whole"));
    let (mut first, _) = Trainer::start(more(&path("old"), &[]), None, &path("parts")).unwrap();
    first.run(&mut Until { until: 4, ..Until::default() }).unwrap();
    drop(first);
    std::fs::remove_dir_all(path("old")).unwrap();
    let mut second = Trainer::resume(&path("parts")).unwrap();
    second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    let parts = second.model().store.tensors();
    for ((name, a), (_, b)) in whole.model().store.tensors().iter().zip(&parts) {
        assert!(a.equal(b), "{name} differs");
    }
    drop((whole, second));

    let run = OpenRun::open(&path("parts"), false, None).unwrap();
    old_tasks_are_equal(&old, &run);
    let report = merge(&run, &path("merged"), false).unwrap();
    assert_eq!(report.differences.len(), 3);
    let merged = OpenRun::open(&path("merged"), false, None).unwrap();
    let loader = DataSets::open_eval(&merged.recipe).unwrap();
    assert_eq!(evaluate(&merged.model, &loader, None, |_| ()).unwrap().tasks.len(), 3);

    // A first task of whole images brings the final norm, which dense tasks do not read.
    let again = extend(&path("parts"), "\"tags\"");
    let (trainer, _) = train(recipe(&[VMT, NORMALS, TAGS, &again]), &path("again"));
    let rows = ParameterSummary::of(trainer.model()).rows;
    let adapter = rows.iter().find(|row| row.group == "backbone, adapter").unwrap();
    // It reads the last of the four levels alone.
    assert_eq!(adapter.trainable, 2 * 4);
    drop(trainer);
    let last = OpenRun::open(&path("again"), false, None).unwrap();
    assert_eq!(last.recipe.task_names(), ["depth", "normals", "semseg", "tags"]);
    old_tasks_are_equal(&run, &last);
}

/// What the old tasks are is in the old run's folder.
#[test]
fn data_of_the_new_task_suffice() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let old = old(&folder.path().join("old"), &[]);
    let birds = |split: &str| {
        let size = "height=32, width=32";
        format!(
            "data.{split}=[{{dataset=\"fine_grained\", domain=\"birds\", seed=0, split=\"train\", \
             len=12, {size}}}]"
        )
    };
    let task = "tasks.birds={weight=1.0, head={name=\"linear\"}}";
    let extend = extend(&folder.path().join("old"), "\"birds\"");
    let (train_on, eval_on) = (birds("train"), birds("eval"));
    let path = folder.path().join("new");
    drop(train(recipe(&[VMT, task, &extend, &train_on, &eval_on]), &path));
    let new = OpenRun::open(&path, false, None).unwrap();
    assert_eq!(new.model.tasks[2].spec, old.model.tasks[1].spec);
    old_tasks_are_equal(&old, &new);
}

#[test]
fn a_plain_recipe_is_turned_into_one_that_extends() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old");
    drop(old(&path, &[]));
    let row = "compare=[{name=\"linear\", set=[\"adapter={method='decoder_only'}\"]}]";
    let plain = recipe(&[VMT, NORMALS, row]);
    let extending = plain.extending(&path, true).unwrap();
    let extend = extending.extend.as_ref().unwrap();
    assert_eq!((&extend.run, extend.best), (&path, true));
    assert_eq!(extend.tasks, ["normals"]);
    assert!(extending.learns("normals") && !extending.learns("depth"));
    assert!(recipe(&[VMT]).learns("depth"));
    let copy = Recipe::parse("copy", &extending.to_toml().unwrap(), &[]).unwrap();
    assert_eq!(copy, extending);
    let message = recipe(&[VMT]).extending(&path, false).unwrap_err().to_string();
    let expected = format!("expected a task that {} does not have, found", path.display());
    assert_eq!(message, format!("tiny: tasks: {expected} depth, semseg"));
}

#[test]
fn what_cannot_be_extended_is_refused_before_the_run_is_read() {
    let _alone = alone();
    let normals = &extend(Path::new("no/run"), "\"normals\"");
    let combiner = "balancer={gradient={name=\"pcgrad\"}}";
    let row = "compare=[{name=\"linear\", set=[\"adapter={method='decoder_only'}\"]}]";
    let none = &extend(Path::new("no/run"), "");
    let twice = &extend(Path::new("no/run"), "\"normals\", \"normals\"");
    let stray = &extend(Path::new("no/run"), "\"edge\"");
    let cases: [(&[&str], &str); 11] = [
        (&[VMT, NORMALS, none], "tiny: extend.tasks: expected at least one task, found none"),
        (
            &[VMT, NORMALS, twice],
            "tiny: extend.tasks: expected every task once, found normals twice",
        ),
        (
            &[VMT, NORMALS, stray],
            "tiny: extend.tasks: expected some of depth, normals, semseg, found edge",
        ),
        (
            &["adapter={method=\"lora\", r=2, target_modules=[\"qkv\"]}", NORMALS, normals],
            "adapter.method: expected rcm, vmt_adapter, whose tasks own modules beside a trunk that \
             stays as it is, found lora, which could learn a task only by changing what others \
             depend on",
        ),
        (
            &["adapter={method=\"decoder_only\"}", NORMALS, normals],
            "adapter.method: expected rcm, vmt_adapter, whose tasks own modules beside a trunk that \
             stays as it is, found decoder_only, whose tasks are independent: train the new ones \
             by themselves",
        ),
        (
            &[VMT, NORMALS, normals, combiner],
            "tiny: balancer: expected none with [extend], found one: the new tasks have no \
             trainable parameters in common",
        ),
        (
            &[VMT, NORMALS, normals, "train.conflict_every=2"],
            "tiny: train.conflict_every: expected none with [extend], found one: the new tasks have \
             no trainable parameters in common",
        ),
        (
            &[VMT, NORMALS, normals, "train.optimiser={name=\"adatask\"}"],
            "tiny: train.optimiser: expected adamw or sgd with [extend], found adatask: the new \
             tasks have no trainable parameters in common",
        ),
        (
            &[VMT, NORMALS, normals, row],
            "tiny: compare: expected none with [extend], found one: rows of other methods start \
             from other values",
        ),
        (
            &[VMT, NORMALS, normals, "union={label_smoothing=0.1}"],
            "tiny: union: expected none with [extend], found one: new classes would change what \
             old tasks predict",
        ),
        (&[VMT, NORMALS, normals], "no/run: expected the folder of a run, found no recipe.toml"),
    ];
    for (overrides, expected) in cases {
        assert_eq!(refused(overrides), expected);
    }
}

#[test]
fn a_recipe_that_does_not_fit_the_run_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (path, merged) = (folder.path().join("old"), folder.path().join("merged"));
    let run = old(&path, &[]);
    merge(&run, &merged, false).unwrap();
    let normals = &extend(&path, "\"normals\"");
    let depth = &extend(&path, "\"depth\", \"normals\"");
    let of_merged = &extend(&merged, "\"normals\"");
    let semseg =
        "tasks.semseg={weight=1.0, head={name=\"hrnet\", channels=[4, 4, 4, 4], hidden=8}}";
    let without = &format!("tasks={{{}, {}}}", &semseg[6..], &NORMALS[6..]);
    let as_in = |expected: &str, found: &str| {
        format!("expected {expected} as in {}, found {found}", path.display())
    };
    let old = path.display();
    let cases: [(&[&str], String); 10] = [
        (
            &[VMT, NORMALS, depth],
            format!("tiny: extend.tasks: expected tasks that {old} does not have, found depth"),
        ),
        (
            &[VMT, without, normals],
            format!("tiny: tasks: expected all tasks of {old}: depth, semseg, found no depth"),
        ),
        (
            &[VMT, NORMALS, TAGS, normals],
            format!(
                "tiny: extend.tasks: expected every task that {old} does not have, found no tags"
            ),
        ),
        (
            &["adapter={method=\"vmt_adapter\", bottleneck={fixed=8}}", NORMALS, normals],
            format!("tiny: adapter.bottleneck.fixed: {}", as_in("4", "8")),
        ),
        (
            &[VMT, NORMALS, normals, "adapter.projections=tied"],
            format!("tiny: adapter.projections: {}", as_in("separate", "tied")),
        ),
        (
            &[VMT, NORMALS, normals, "backbone.name=swin_tiny_patch4_window7_224"],
            format!(
                "tiny: backbone.name: {}",
                as_in("swin_micro_patch4_window4_128", "swin_tiny_patch4_window7_224")
            ),
        ),
        (
            &[VMT, NORMALS, normals, "data.img_size=[64, 64]"],
            format!("tiny: data.img_size: {}", as_in("[32,32]", "[64,64]")),
        ),
        (
            &[VMT, NORMALS, normals, "precision=bf16"],
            format!("tiny: precision: {}", as_in("fp32", "bf16")),
        ),
        (
            &[VMT, NORMALS, normals, "tasks.semseg.head.hidden=16"],
            format!("tiny: tasks.semseg.head.hidden: {}", as_in("8", "16")),
        ),
        (
            &[VMT, NORMALS, of_merged],
            format!("{}: expected a trained run to extend, found a merged model", merged.display()),
        ),
    ];
    for (overrides, expected) in cases {
        assert_eq!(refused(overrides), expected);
    }
}

/// RCM's tasks share nothing that trains: one more leaves the others bit-equal, with axes or without.
#[test]
fn a_task_more_leaves_the_others_of_rcm_bit_equal() {
    let _alone = alone();
    for more in ["", ", response_init=true, response_images=4"] {
        let rcm = format!("adapter={{method=\"rcm\", r=2{more}}}");
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("old"), folder.path().join("new"));
        let old = old(&first, &[&rcm]);
        let recipe = more_of(&first, &rcm);
        drop(train(recipe, &second));
        let new = OpenRun::open(&second, false, None).unwrap();
        old_tasks_are_equal(&old, &new);
        let own = |(name, t): &(String, Tensor)| {
            name.ends_with("rcm_B.normals") && t.abs().max().double_value(&[]) > 0.0
        };
        let trained = new.model.store.tensors().iter().filter(|one| own(one)).count();
        assert!(trained > 0);
    }
}

fn more_of(path: &Path, adapter: &str) -> Recipe {
    recipe(&[adapter, NORMALS, &extend(path, "\"normals\""), "seed=5", "train.lr=0.1"])
}
