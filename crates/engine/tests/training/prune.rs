//! Pruning takes away channels that no gate lets through and changes no output.
use crate::common::methods::VIT;
use crate::common::{Until, alone, recipe, train};
use polyptych_engine::{
    DataSets, ExportFormat, OpenRun, PruneReport, Ranks, StagedRun, evaluate, export, prune,
};
use polyptych_tensor::Tensor;

const GATES: &str = "adapter={method=\"interrogate\", r=2, task_r=2, alpha_init=0.0}";

fn refused(run: &OpenRun, out: &std::path::Path, images: usize) -> String {
    prune(run, out, images, 1).unwrap_err().to_string()
}

#[test]
fn closed_channels_go_and_outputs_stay() {
    let _alone = alone();
    for backbone in [&[][..], &VIT] {
        let folder = tempfile::tempdir().unwrap();
        let (path, out) = (folder.path().join("run"), folder.path().join("pruned"));
        drop(train(recipe(&[backbone, &[GATES]].concat()), &path));
        let run = OpenRun::open(&path, false, None).unwrap();
        assert!(refused(&run, &out, 0).ends_with("images: expected at least 1, found 0"));
        let report = prune(&run, &out, 1, 1).unwrap();
        for (task, found) in &report.differences {
            assert!(found.largest <= 1e-5 * found.of, "{task}: {found:?}");
        }
        // Half of the gates are closed: of both tasks and the shared stream about 1.75 of 3 rows stay.
        let kept = report.after.multiply_adds as f64 / report.before.multiply_adds as f64;
        assert!((0.5..0.65).contains(&kept), "{kept}");
        assert!(report.after.numbers < report.before.numbers);
        let pruned = OpenRun::open(&out, false, None).unwrap();
        let loader = DataSets::open_eval(&run.recipe).unwrap();
        let scores = |run: &OpenRun| evaluate(&run.model, &loader, None, |_| ()).unwrap();
        for ((task, a), (_, b)) in scores(&run).headlines().iter().zip(scores(&pruned).headlines())
        {
            assert!((a.value - b.value).abs() <= 1e-4, "{task}: {} {}", a.value, b.value);
        }
        // Both compare what they wrote with the pruned model.
        for (format, name) in [(ExportFormat::TorchScript, "m.pt"), (ExportFormat::Onnx, "m.onnx")]
        {
            export(&pruned, format, &folder.path().join(name), None).unwrap();
        }
        let message = refused(&pruned, &folder.path().join("again"), 1);
        assert!(message.ends_with("expected a trained run, found a merged model"), "{message}");
    }
}

/// Gate, harden, prune: the second stage takes the gates of the first and leaves them, and the run ends
/// as the pruned model, whatever a cut had left of it.
#[test]
fn a_run_in_stages_ends_as_the_pruned_model() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let gates = GATES.replace("alpha_init=0.0", "alpha_init=0.0, alpha_lr_scale=10.0");
    let stages = r#"stage=[{ name = "gate", set = ["adapter.harden_at=1.0"] }, { name = "harden", set = ["adapter.harden_at=0.0"], result = "prune" }]"#;
    let mut run =
        StagedRun::create(Ranks::ALONE, &recipe(&[gates.as_str(), stages]), None, &path).unwrap();
    assert_eq!(run.pruned(), Some(path.join("pruned")));
    let mut report: Option<PruneReport> = None;
    for (index, moves) in [(0, true), (1, false)] {
        let mut stage = run.open_stage(Ranks::ALONE, index, &[]).unwrap();
        let trained = stage.trainer.model().store.trainable();
        assert_eq!(trained.iter().any(|(name, _)| name.contains("interro_alpha")), moves);
        stage.trainer.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
        drop(stage);
        if index == 1 {
            // What a cut leaves of pruning.
            std::fs::create_dir(path.join("pruned")).unwrap();
            std::fs::write(path.join("pruned/recipe.toml"), "").unwrap();
        }
        report = run.finish_stage(Ranks::ALONE, index).unwrap();
        assert_eq!(report.is_some(), index == 1);
    }
    let report = report.unwrap();
    for (task, found) in &report.differences {
        assert!(found.largest <= 1e-5 * found.of, "{task}: {found:?}");
    }
    assert!(report.after.multiply_adds < report.before.multiply_adds);
    let values = |path: &std::path::Path| -> Vec<(String, Tensor)> {
        OpenRun::open(path, false, None).unwrap().model.store.tensors()
    };
    let (gated, hardened) = (values(&path.join("stages/gate")), values(&path));
    let mut moved = 0;
    for ((name, before), (_, after)) in gated.iter().zip(&hardened) {
        match name.contains("interro_alpha") {
            true => assert!(before.equal(after), "{name}"),
            false => moved += usize::from(!before.equal(after)),
        }
    }
    assert!(moved > 0);
    assert!(values(&path.join("pruned")).iter().all(|(name, _)| !name.contains("interro_alpha")));
}

/// A finished run that is resumed with more steps has no pruned model until it is finished again, and
/// then another; with no step left, the same.
#[test]
fn a_resumed_run_is_pruned_anew() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let stages =
        r#"stage=[{ name = "harden", set = ["adapter.harden_at=0.0"], result = "prune" }]"#;
    let mut run = StagedRun::create(Ranks::ALONE, &recipe(&[GATES, stages]), None, &path).unwrap();
    let mut trained = |overrides: &[String], until: u64| {
        let mut trainer = run.open_stage(Ranks::ALONE, 0, overrides).unwrap().trainer;
        let (steps, next) = (trainer.recipe().train.steps, run.next());
        let outcome = trainer.run(&mut Until { until, ..Until::default() }).unwrap();
        drop(trainer);
        if outcome.finished && run.next() == Some(0) {
            assert!(run.finish_stage(Ranks::ALONE, 0).unwrap().is_some());
        }
        (steps, next)
    };
    let out = path.join("pruned");
    let values = || OpenRun::open(&out, false, None).unwrap().model.store.tensors();
    let same = |a: &[(String, Tensor)], b: &[(String, Tensor)]| {
        a.iter().zip(b).all(|((_, a), (_, b))| a.equal(b))
    };
    let (steps, _) = trained(&[], u64::MAX);
    let first = values();
    assert_eq!(trained(&[], u64::MAX), (steps, None));
    assert!(same(&first, &values()));
    let more = [format!("train.steps={}", steps + 2)];
    assert_eq!(trained(&more, steps + 1), (steps + 2, Some(0)));
    assert!(!out.exists());
    assert_eq!(trained(&[], u64::MAX), (steps + 2, Some(0)));
    assert!(!same(&first, &values()));
}

/// Gates that are all closed leave one stream for all tasks.
#[test]
fn one_shared_network_is_left_where_no_gate_is_open() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("run"), folder.path().join("pruned"));
    let closed = GATES.replace("alpha_init=0.0", "alpha_init=-9.0");
    drop(train(recipe(&[&closed]), &path));
    let report = prune(&OpenRun::open(&path, false, None).unwrap(), &out, 1, 1).unwrap();
    assert_eq!(report.after.multiply_adds * 3, report.before.multiply_adds);
    let pruned = OpenRun::open(&out, false, None).unwrap();
    assert!(pruned.model.store.tensors().iter().all(|(name, _)| !name.contains("interro_tasks")));
}

#[test]
fn other_methods_have_nothing_to_prune() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("run"), folder.path().join("pruned"));
    drop(train(recipe(&["adapter={method=\"lora\", r=2, target_modules=[\"qkv\"]}"]), &path));
    let message = refused(&OpenRun::open(&path, false, None).unwrap(), &out, 1);
    assert_eq!(message, "adapter.method: expected one that prunes, interrogate, found lora");
    assert!(!out.exists());
}
