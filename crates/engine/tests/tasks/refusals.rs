//! What a user can get wrong is refused with one line, and nothing is left behind.

use crate::common::{alone, recipe, refused};
use polyptych_engine::{OpenRun, Trainer};

#[test]
fn recipes_are_checked_key_by_key() {
    let _alone = alone();
    let cases: [(&[&str], &str); 12] = [
        (&["train.stepz=3"], "found stepz: did you mean steps?"),
        (&["train.steps=0"], "tiny: train.steps: expected at least 1, found 0"),
        (
            &["train.steps=\"many\""],
            "tiny: train.steps: expected a whole number of 0 or more, found the text \"many\"",
        ),
        (&["tasks={}"], "tiny: tasks: expected at least one task, found none"),
        (&["tasks.semseg.weight=-1.0"], "tiny: tasks.semseg.weight: expected a finite factor"),
        (&["data.eval=[]"], "tiny: data.eval: expected at least one data set, found none"),
        (&["data.eval.7.len=3"], "data.eval.7.len=3: 7: expected an index below 1"),
        (&["seed"], "tiny: seed: expected path.to.key=value"),
        (&["device=cuda:99"], "device `cuda:99`: "),
        (&["adapter.r=0"], "adapter.r: expected at least 1, found 0"),
        (&["backbone.name=swin_micro"], "swin_micro"),
        (&["train.schedule.warmup_steps=9"], "expected at most 6 steps, found 9"),
    ];
    for (overrides, expected) in cases {
        let message = refused(overrides);
        assert!(message.contains(expected), "{message} lacks {expected}");
    }
}

/// The small Swin has two blocks in its first stage, six in its third.
#[test]
fn vmt_adapter_must_fit_the_backbone() {
    let _alone = alone();
    let vmt = |fields: &str| refused(&[&format!("adapter={{method=\"vmt_adapter\", {fields}}}")]);
    let message = vmt("taps=[\"layers.9.blocks.0\"]");
    let (start, end) =
        ("adapter.taps: expected some of layers.0.blocks.0, ", ", found layers.9.blocks.0");
    assert!(message.starts_with(start) && message.ends_with(end), "{message}");
    assert_eq!(
        vmt("ke_blocks=\"all\", taps=[\"layers.2.blocks.3\"]"),
        "adapter.ke_blocks: expected blocks with a tap at or behind them in their stage, found \
         layers.0.blocks.0, whose modules would get no gradient"
    );
    for (fields, key) in [("fixed=0", "fixed"), ("reduction=0", "reduction")] {
        let message = vmt(&format!("bottleneck={{{fields}}}"));
        assert_eq!(message, format!("adapter.bottleneck.{key}: expected at least 1, found 0"));
    }
    // The small Swin's first stage is 32 wide.
    assert_eq!(
        vmt("bottleneck={reduction=64}"),
        "layers.0.blocks.0.mlp: bottleneck.reduction: expected at most 32, found 64"
    );
}

/// A task added to a run that has it is refused in `extend.rs`.
#[test]
fn a_task_stands_once_in_a_file() {
    let _alone = alone();
    let task = "[tasks.semseg]\nweight = 1.0\nhead = { name = \"linear\" }\n";
    let text = format!("{}{task}", recipe(&[]).to_toml().unwrap());
    let message = polyptych_engine::Recipe::parse("tiny", &text, &[]).unwrap_err().to_string();
    assert!(message.starts_with("tiny: line ") && message.contains("duplicate key"), "{message}");
}

#[test]
fn rows_have_names_that_folders_and_flags_can_have() {
    let _alone = alone();
    let text = recipe(&[]).to_toml().unwrap();
    let message = |names: &[&str]| {
        let row = |name: &&str| format!("{{ name = '{name}', set = [] }}");
        let rows: Vec<String> = names.iter().map(row).collect();
        let rows = format!("compare=[{}]", rows.join(", "));
        let recipe = polyptych_engine::Recipe::parse("tiny", &text, &[rows]).unwrap();
        let made = recipe.check_later(polyptych_engine::Ranks::ALONE, "run".as_ref());
        made.map_err(|error| error.to_string())
    };
    assert!(message(&["LoRA r=4", "LoRA+"]).is_ok());
    for name in ["", "LoRA, shared", "a/b", "..", "a\\b"] {
        let message = message(&["LoRA", name]).unwrap_err();
        assert!(message.starts_with("tiny: compare.1.name: expected a name without"), "{message}");
    }
    let twice = message(&["LoRA 4", "lora_4"]).unwrap_err();
    assert!(twice.ends_with("compare.1.name: expected every name once, found lora_4 twice"));
}

#[test]
fn copies_per_task_need_a_method_that_is_one_for_all() {
    let _alone = alone();
    let vmt = "adapter={method=\"vmt_adapter\"}";
    let emtal = "adapter={method=\"emtal\", r=2, num_experts=8}";
    let lora = "adapter={method=\"lora\", target_modules=[\"qkv\"]}";
    let norms = "balancer={loss={name=\"gradnorm\"}}";
    let adatask = "train.optimiser={name=\"adatask\"}";
    let (rows, union) = ("balancer={gradient={name=\"pcgrad\"}}", "union={label_smoothing=0.1}");
    for (overrides, expected) in [
        (&["seed=3"][..], "the method mtlora has parts of its own for every task in one trunk"),
        (&[vmt], "the method vmt_adapter has parts of its own for every task in one trunk"),
        (
            &["adapter={method=\"polyhistor\", embedding_dim=8, rank=4}"],
            "the method polyhistor has parts of its own for every task in one trunk",
        ),
        (
            &["adapter={method=\"hyperformer\"}"],
            "the method hyperformer has parts of its own for every task in one trunk",
        ),
        (&[emtal], "the method emtal has one router and one space of labels for all tasks"),
        (
            &["adapter={method=\"decoder_only\"}"],
            "the method decoder_only trains nothing that a copy could have for itself",
        ),
        (&[lora, union], "[union] joins the tasks of one trunk"),
        (&[lora, norms], "balancer.loss gradnorm looks at what tasks share"),
        (&[lora, adatask], "train.optimiser adatask looks at what tasks share"),
        (&[lora, rows], "balancer.gradient and train.conflict_every look at what tasks share"),
    ] {
        let message = refused(&[overrides, &["backbone.per_task=true"]].concat());
        let key = "tiny: backbone.per_task: expected false, found true: ";
        assert_eq!(message, format!("{key}{expected}"));
    }
}

#[test]
fn tasks_must_be_in_the_data() {
    let _alone = alone();
    let task = "tasks.poses={weight=1.0, head={name=\"segformer\", embed_dim=8, dropout=0.0}}";
    let message = refused(&[task, "adapter={method=\"full\"}"]);
    assert!(message.starts_with("tiny: tasks.poses: expected one of "), "{message}");
}

#[test]
fn weights_must_exist_and_fit() {
    let _alone = alone();
    let message = refused(&["backbone.weights=no/such.safetensors"]);
    assert!(message.starts_with("no/such.safetensors: "), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let one = polyptych_tensor::Tensor::from_slice(&[1.0f32]);
    let tensors = [("blocks.0.attn.qkv.weight".to_owned(), one)].into();
    polyptych_formats::file::save(&file, &tensors, Default::default()).unwrap();
    let message = refused(&[&format!("backbone.weights=\"{}\"", file.display())]);
    assert!(message.contains("layers.0.blocks.0.attn.proj.bias: missing"), "{message}");
}

#[test]
fn a_folder_that_is_no_run_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let message = OpenRun::open(folder.path(), false, None).unwrap_err().to_string();
    assert!(message.ends_with("expected the folder of a run, found no recipe.toml"), "{message}");
    let (trainer, _) = Trainer::start(recipe(&[]), None, &folder.path().join("run")).unwrap();
    drop(trainer);
    let message = OpenRun::open(&folder.path().join("run"), false, None).unwrap_err().to_string();
    assert!(message.ends_with("expected a checkpoint, found none"), "{message}");
}

#[test]
fn recipes_come_back_from_toml() {
    let _alone = alone();
    let row = "compare=[{name=\"linear\", set=[\"adapter={method='decoder_only'}\"]}]";
    let recipe = recipe(&[row]);
    let (compared, _) = recipe.compared(&recipe.compare[0]).unwrap();
    assert_eq!((compared.label().as_str(), compared.adapter.name()), ("linear", "decoder_only"));
    let text = recipe.to_toml().unwrap();
    let back = polyptych_engine::Recipe::parse("copy", &text, &[]).unwrap();
    assert_eq!(back, recipe);
}

/// Its tasks share nothing that trains, so there is nothing to combine.
#[test]
fn a_compared_row_goes_without_a_combiner_where_tasks_share_nothing() {
    let _alone = alone();
    let rows = "compare=[{name=\"linear\", set=[\"adapter={method='decoder_only'}\"]}, \
                {name=\"copies\", set=[\"adapter={method='full'}\", \
                \"backbone.per_task=true\"]}, {name=\"full\", set=[\"adapter={method='full'}\"]}]";
    for (setting, gone) in [
        ("balancer={loss={name=\"uw\"}, gradient={name=\"pcgrad\"}}", "balancer.gradient"),
        ("balancer={gradient={name=\"mgda_ub\"}}", "balancer.gradient"),
        ("balancer={loss={name=\"gradnorm\"}}", "balancer.loss"),
        ("train.conflict_every=2", "train.conflict_every"),
        ("train.optimiser={name=\"adatask\"}", "train.optimiser adatask, which is adamw"),
    ] {
        let recipe = recipe(&[rows, setting]);
        for row in &recipe.compare {
            let (_, left_out) = recipe.compared(row).unwrap();
            let expected = if row.name == "full" { vec![] } else { vec![gone] };
            assert_eq!(left_out, expected, "{setting}: {}", row.name);
        }
    }
    let copies = recipe(&["backbone.per_task=true", "adapter={method='full'}", rows]);
    let left_out: Vec<_> =
        copies.compare.iter().map(|row| copies.compared(row).unwrap().1).collect();
    assert_eq!(left_out, [vec!["backbone.per_task"], vec![], vec![]]);
    let recipe = recipe(&[rows, "balancer={loss={name=\"uw\"}, gradient={name=\"pcgrad\"}}"]);
    let (linear, _) = recipe.compared(&recipe.compare[0]).unwrap();
    assert!(linear.balancer.unwrap().loss.is_some(), "what weighs losses stays");
}
