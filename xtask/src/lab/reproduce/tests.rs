//! A whole job with a made-up program.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::summary::Summary;
use super::*;
use crate::workspace;

const RECIPE: &str = r#"
label = "EMTAL r=4"
description = "Two data sets at once"
[adapter]
method = "emtal"
[tasks.birds]
[tasks.cars]
[[compare]]
name = "LoRA r=16"
set = ["adapter={ method = \"lora\" }"]
band = { top1 = [60.0, 70.0] }
[[compare]]
name = "separate full fine-tuning"
set = ["adapter={ method = \"full\" }"]
separate = true
band = { mean = [80.0, 90.0] }
"#;

struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench.write_recipe(RECIPE);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write_recipe(&self, text: &str) {
        fs::write(self.path("toy.toml"), text).unwrap();
    }

    fn flags(&self, seeds: u64, rows: &[&str]) -> Reproduce {
        Reproduce {
            program: None,
            recipe: "toy".into(),
            seeds,
            first_seed: 0,
            out: self.path("out"),
            rows: rows.iter().map(|&row| row.to_owned()).collect(),
            tune: false,
            tuned: false,
            dry_run: false,
        }
    }

    fn run(&self, seeds: u64, rows: &[&str]) -> Result<ExitCode> {
        self.run_with(&self.flags(seeds, rows))
    }

    fn run_with(&self, flags: &Reproduce) -> Result<ExitCode> {
        let plan = Plan::open(&self.path("toy.toml"), &self.path("runs"))?;
        let (plan, tuning) = tuned(flags, plan)?;
        let job = Job::new(&plan, flags, Self::trainer(&plan))?;
        carry_out(&job, flags, &plan, tuning.as_ref())
    }

    /// One process of `--tune`.
    fn tune(&self, rows: &[&str]) -> Result<ExitCode> {
        let plan = Plan::open(&self.path("toy.toml"), &self.path("runs"))?;
        let flags = Reproduce { tune: true, ..self.flags(1, rows) };
        choose(&Share::new(&plan, &flags, Self::trainer(&plan))?, &flags)
    }

    fn trainer(plan: &Plan) -> Trainer<'_> {
        let script = workspace::root().join("xtask/src/lab/reproduce/tests/polyptych.sh");
        let origin = Origin {
            cpu: "A CPU".into(),
            cores: 2,
            os: "An OS".into(),
            git: crate::lab::machine::Git { commit: "0123456789abcdef".into(), clean: true },
            rustc: "rustc 1.0".into(),
            tch: "0.24.0".into(),
            libtorch: "2.11.0".into(),
            gpu: None,
        };
        Trainer { plan, program: Program(script), origin }
    }

    /// Calls of the program since the last look.
    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        text.lines().map(str::to_owned).collect()
    }

    fn trained(&self) -> usize {
        self.log().iter().filter(|line| line.starts_with("train")).count()
    }

    fn out(&self, name: &str) -> String {
        fs::read_to_string(self.path("out").join(name)).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        self.json_of("toy.json")
    }

    fn json_of(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.out(name)).unwrap()
    }
}

fn assert_code(code: ExitCode, expected: u8) {
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(expected)));
}

#[test]
fn a_fresh_job_trains_every_method_with_every_seed_once() {
    let bench = Bench::new();
    assert_code(bench.run(2, &[]).unwrap(), 0);
    let log = bench.log();
    assert_eq!(
        log[..4],
        [
            "train toy.toml --set seed=0 --set compare=[] --out runs/toy/emtal-r-4/seed-0",
            "merge runs/toy/emtal-r-4/seed-0 --out runs/toy/emtal-r-4/seed-0/merged",
            "time runs/toy/emtal-r-4/seed-0 --json",
            "inspect runs/toy/emtal-r-4/seed-0 --json",
        ]
    );
    // Two methods with one model, one with a model for each of two tasks; two seeds.
    assert_eq!(log.iter().filter(|line| line.starts_with("train")).count(), 8);
    bench.run(2, &[]).unwrap();
    assert_eq!(bench.log(), [""; 0]);
    bench.run(3, &["emtal-r-4"]).unwrap();
    assert_eq!(bench.trained(), 1);
}

#[test]
fn numbers_agree_with_those_made_by_hand() {
    let bench = Bench::new();
    bench.run(2, &[]).unwrap();
    let json = bench.json();
    let [own, lora, full] = [0, 1, 2].map(|row| json["rows"][row].clone());
    let near = |value: &serde_json::Value, expected: f64| {
        let value = value.as_f64().unwrap();
        // Six digits are written.
        assert!((value - expected).abs() <= 1e-5 * expected.abs(), "{value} instead of {expected}");
    };
    // Seeds 0 and 1: birds 60, 61 and cars 70, 71.
    near(&own["mean"]["mean"], 65.5);
    near(&own["mean"]["sd"], 0.5f64.sqrt());
    // Against 80, 90 and 81, 91.
    let first = 50.0 * (-20.0 / 80.0 - 20.0 / 90.0);
    let second = 50.0 * (-20.0 / 81.0 - 20.0 / 91.0);
    near(&own["delta_m"]["mean"], (first + second) / 2.0);
    near(&full["delta_m"]["mean"], 0.0);
    // Two models of 80,000 and 2,000 trained parameters, one after the other.
    assert_eq!((&full["trainable"], &full["total"]), (&164_000.into(), &2_004_000.into()));
    near(&full["adapted_ms"]["mean"], 25.0);
    assert_eq!(own["scores"][0]["values"], serde_json::json!([60.0, 61.0]));
    assert_eq!(full["scores"][0]["values"].as_array().unwrap().len(), 2);
    assert!(lora["folded_ms"].is_null());
    assert!(bench.out("toy.md").contains("lora: expected a method that merges"));
    assert_eq!(lora["band"]["differs"]["found"], 55.5);
    assert_eq!(full["band"]["in_band"], true);
}

#[test]
fn an_interrupted_job_goes_on() {
    let bench = Bench::new();
    fs::write(bench.path("interrupt"), "").unwrap();
    assert_code(bench.run(1, &[]).unwrap(), 130);
    assert_eq!(bench.trained(), 1);
    assert!(!bench.path("out").exists());
    bench.run(1, &[]).unwrap();
    let log = bench.log();
    assert_eq!(log[0], "train --resume runs/toy/emtal-r-4/seed-0");
    assert_eq!(bench.json()["rows"][0]["mean"]["mean"], 65.0);
}

#[test]
fn a_run_that_failed_before_its_first_checkpoint_starts_again() {
    let bench = Bench::new();
    fs::write(bench.path("fail"), "").unwrap();
    let message = bench.run(1, &[]).unwrap_err().to_string();
    assert!(message.contains("expected a finished run: exit status: 1"), "{message}");
    bench.log();
    bench.run(1, &[]).unwrap();
    assert!(bench.log()[0].ends_with("--out runs/toy/emtal-r-4/seed-0"));
}

#[test]
fn a_changed_recipe_is_refused_and_a_changed_band_is_not() {
    let bench = Bench::new();
    bench.run(1, &[]).unwrap();
    bench.write_recipe(&RECIPE.replace("60.0, 70.0", "50.0, 70.0"));
    bench.run(1, &[]).unwrap();
    assert_eq!(bench.json()["rows"][1]["band"]["in_band"], true);
    bench.log();
    bench.write_recipe(&RECIPE.replace("lora\\\" }", "lora\\\", r = 8 }"));
    let message = bench.run(1, &[]).unwrap_err().to_string();
    let folder = bench.path("runs/toy/lora-r-16/seed-0");
    assert!(message.starts_with(&format!("{}: expected a run", folder.display())), "{message}");
    assert!(message.ends_with("remove the folder to train it again"), "{message}");
    assert_eq!(bench.log(), [""; 0]);
    fs::remove_dir_all(folder).unwrap();
    bench.run(1, &[]).unwrap();
    assert_eq!(bench.trained(), 1);
}

#[test]
fn rows_that_are_not_asked_for_stay_where_they_are_done() {
    let bench = Bench::new();
    bench.run(1, &["LoRA r=16"]).unwrap();
    bench.run(1, &["EMTAL r=4"]).unwrap();
    let names = bench.json()["rows"].as_array().unwrap().clone();
    let names: Vec<&str> = names.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["EMTAL r=4", "LoRA r=16"]);
    // The models that delta-m compares with are not there yet.
    assert!(bench.json()["rows"][0]["delta_m"].is_null());
}

#[test]
fn rows_whose_runs_are_elsewhere_stay() {
    let bench = Bench::new();
    bench.run(2, &[]).unwrap();
    let before = bench.json();
    fs::remove_dir_all(bench.path("runs")).unwrap();
    bench.run(1, &["LoRA r=16"]).unwrap();
    let after = bench.json();
    assert_eq!([&before["rows"][0], &before["rows"][2]], [&after["rows"][0], &after["rows"][2]]);
    // Compared with the kept models of single tasks, of which seed 0 has 80 and 90.
    let lora = &after["rows"][1];
    assert_eq!((&lora["seeds"], &lora["delta_m"]["n"]), (&1.into(), &1.into()));
    let expected = 50.0 * (-30.0 / 80.0 - 30.0 / 90.0);
    assert!((lora["delta_m"]["mean"].as_f64().unwrap() - expected).abs() < 1e-3, "{lora}");
    assert!(!bench.out("toy.md").contains("compare with each other"));
    // Another machine made some of them.
    let path = bench.path("out/toy.json");
    fs::write(&path, bench.out("toy.json").replacen("A CPU with", "B CPU with", 1)).unwrap();
    bench.run(1, &["LoRA r=16"]).unwrap();
    let page = bench.out("toy.md");
    assert!(page.contains("\nRows EMTAL r=4:\nMachine: B CPU with 2 cores"), "{page}");
    assert!(
        page.contains("\nRows LoRA r=16; separate full fine-tuning:\nMachine: A CPU"),
        "{page}"
    );
    // One whose settings are others now is of no use, nor is any under another recipe.
    let others = RECIPE.replace("{ method = \\\"full\\\" }", "{ method = \\\"full\\\", r = 8 }");
    assert_ne!(others, RECIPE);
    bench.write_recipe(&others);
    bench.run(1, &["LoRA r=16"]).unwrap();
    assert_eq!(bench.json()["rows"].as_array().unwrap().len(), 2);
    bench.write_recipe(&RECIPE.replace("[tasks.birds]", "[tasks.birds]\nweight = 2.0"));
    fs::remove_dir_all(bench.path("runs")).unwrap();
    bench.run(1, &["LoRA r=16"]).unwrap();
    assert_eq!(bench.json()["rows"].as_array().unwrap().len(), 1);
}

#[test]
fn seeds_go_on_behind_those_whose_runs_are_elsewhere() {
    let bench = Bench::new();
    bench.run(3, &[]).unwrap();
    let numbers = || {
        let fields = ["name", "scores", "mean", "delta_m", "adapted_ms", "seeds", "band", "stages"];
        let rows = bench.json()["rows"].as_array().unwrap().clone();
        rows.iter().map(|row| fields.map(|field| row[field].clone())).collect::<Vec<_>>()
    };
    let whole = numbers();
    fs::remove_dir_all(bench.path("runs")).unwrap();
    let rows = ["LoRA r=16", "separate full fine-tuning"];
    bench.run(1, &rows).unwrap();
    fs::remove_dir_all(bench.path("runs")).unwrap();
    bench.log();
    let rest = |rows: &[&str]| Reproduce { first_seed: 1, ..bench.flags(3, rows) };
    bench.run_with(&rest(&rows)).unwrap();
    assert_eq!(bench.trained(), 6, "seeds 1 and 2 of a model, and of two models");
    assert_eq!(numbers(), whole);
    assert!(bench.out("toy.md").contains("--seeds 3 --first-seed 1 --out"));
    // The same command again changes nothing.
    bench.run_with(&rest(&rows)).unwrap();
    assert_eq!((bench.trained(), numbers()), (0, whole));
    // Seeds of another machine are named, and times are those of one machine.
    let path = bench.path("out/toy.json");
    fs::remove_dir_all(bench.path("runs")).unwrap();
    bench.run(1, &["LoRA r=16"]).unwrap();
    fs::write(&path, bench.out("toy.json").replace("A CPU with", "B CPU with")).unwrap();
    fs::remove_dir_all(bench.path("runs")).unwrap();
    bench.run_with(&rest(&["LoRA r=16"])).unwrap();
    let lora = &bench.json()["rows"][1];
    assert_eq!((&lora["seeds"], &lora["adapted_ms"]["n"]), (&3.into(), &2.into()));
    let page = bench.out("toy.md");
    assert!(page.contains("Rows LoRA r=16:\nMachine: B CPU"), "{page}");
    assert!(page.contains(" Seeds 1 to 2: Machine: A CPU"), "{page}");
}

#[test]
fn a_first_seed_needs_results_of_the_ones_before() {
    let bench = Bench::new();
    let check = |first_seed, kept: &[Summary]| {
        let flags = Reproduce { first_seed, ..bench.flags(3, &["LoRA r=16"]) };
        let plan = Plan::open(&bench.path("toy.toml"), &bench.path("runs")).unwrap();
        continued::check(&plan, &flags, kept).map_err(|error| error.to_string())
    };
    assert_eq!(check(0, &[]), Ok(()));
    assert_eq!(
        check(2, &[]).unwrap_err(),
        "--first-seed: expected results of 2 seeds of LoRA r=16 in the table, found 0; leave the \
         flag out to train all"
    );
    assert_eq!(check(3, &[]).unwrap_err(), "--first-seed: expected less than --seeds 3, found 3");
}

#[test]
fn pages_of_methods_get_their_rows() {
    let bench = Bench::new();
    let page = bench.path("methods/lora.md");
    fs::create_dir_all(page.parent().unwrap()).unwrap();
    fs::write(&page, "# LoRA\n\n<!-- results: toy: LoRA r=16 -->\n\n<!-- /results -->\n").unwrap();
    fs::create_dir_all(bench.path("out")).unwrap();
    bench.run(1, &[]).unwrap();
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.contains("| LoRA r=16 | 0.0520 | 50.00 |"), "{text}");
    assert!(!text.contains("EMTAL") && text.contains("(../results/toy.md)"), "{text}");
}

/// Birds: 64 and 65, then 60 and 61, and 80 and 81 alone. Cars: 70 and 71, and 90 and 91 alone.
#[test]
fn tasks_and_stages_have_a_table_of_their_own() {
    let bench = Bench::new();
    fs::write(bench.path("staged"), "").unwrap();
    let page = bench.path("methods/emtal.md");
    fs::create_dir_all(page.parent().unwrap()).unwrap();
    fs::write(&page, "# A\n\n<!-- results: toy: EMTAL r=4 -->\n\n<!-- /results -->\n").unwrap();
    bench.run(2, &[]).unwrap();
    let lines = [
        "| method | task | first | second | forgetting | forward transfer |",
        "| EMTAL r=4 | birds top1 [%] ↑ | 64.50 ± 0.71 | 60.50 ± 0.71 | +4.00 ± 0.00 | -16.00 ± 0.00 |",
        "| EMTAL r=4 | cars top1 [%] ↑ | – | 70.50 ± 0.71 | – | -20.00 ± 0.00 |",
    ];
    for text in [bench.out("toy.md"), fs::read_to_string(&page).unwrap()] {
        for line in lines {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
    assert!(bench.out("toy.md").contains("| pruned [ms] | multiply-adds left [%] | seeds |"));
    assert!(bench.out("toy.md").contains("| 5.5 | 25.0 ± 0.0 | 2 |"));
    // What is elsewhere keeps its table, and is compared with what there is now.
    fs::remove_dir_all(bench.path("runs/toy/emtal-r-4")).unwrap();
    bench.run(2, &["LoRA r=16"]).unwrap();
    assert!(bench.out("toy.md").contains(lines[1]));
}

#[test]
fn the_page_reads_well() {
    let bench = Bench::new();
    bench.run(2, &[]).unwrap();
    let page = bench.out("toy.md").replace(&bench.path("out").display().to_string(), "OUT");
    // Wall time is the only thing that differs from run to run.
    let page: Vec<&str> = page.lines().filter(|line| !line.starts_with("All runs")).collect();
    let golden = include_str!("tests/page.md");
    assert_eq!(page.join("\n") + "\n", golden, "\n{}", page.join("\n"));
}

#[test]
fn prose_around_the_block_is_kept() {
    let bench = Bench::new();
    bench.run(1, &[]).unwrap();
    let path = bench.path("out/toy.md");
    let page = bench.out("toy.md").replace("# toy", "# My title") + "\nMy reading.\n";
    fs::write(&path, &page).unwrap();
    bench.run(2, &[]).unwrap();
    let new = bench.out("toy.md");
    assert!(new.starts_with("# My title\n\n<!-- generated:"), "{new}");
    assert!(new.ends_with("<!-- /generated -->\n\nMy reading.\n"), "{new}");
    assert!(new.contains("60.50 ± 0.71") && !page.contains("60.50 ± 0.71"), "{new}");
    fs::write(&path, "# No marks\n").unwrap();
    let message = format!("{:#}", bench.run(2, &[]).unwrap_err());
    assert!(message.ends_with("toy.md: expected `<!-- generated:`, found none"), "{message}");
}

#[test]
fn the_plot_holds_every_name() {
    let bench = Bench::new();
    bench.write_recipe(&RECIPE.replace("LoRA r=16", "LoRA <&> 16"));
    bench.run(2, &[]).unwrap();
    let ranked = bench.out("toy.ranked.svg");
    assert!(ranked.contains("LoRA &lt;&amp;&gt; 16") && ranked.contains("EMTAL r=4"), "{ranked}");
    balanced(&ranked);
    assert!(bench.out("toy.md").contains("](toy.ranked.svg)"));
    let svg = bench.out("toy.svg");
    for name in ["EMTAL r=4", "LoRA &lt;&amp;&gt; 16", "separate full fine-tuning", "mean top1 [%]"]
    {
        assert!(svg.contains(name), "{name}");
    }
    // Points.
    assert_eq!(svg.matches("<circle").count(), 3);
    balanced(&svg);
    assert!(svg.lines().all(|line| line.trim_end() == line));
}

/// Every element that is opened is closed again, in order.
fn balanced(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap();
        let name = tag.split_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn no_output_holds_a_path_of_the_machine() {
    let bench = Bench::new();
    bench.run(1, &[]).unwrap();
    let root = workspace::root().display().to_string();
    for name in ["toy.md", "toy.json", "toy.svg", "toy.ranked.svg"] {
        assert!(!bench.out(name).contains(&root), "{name}");
        assert!(!bench.out(name).contains(&format!("{}/runs", bench.0.path().display())), "{name}");
    }
    assert!(Path::new(&root).is_absolute());
}

const TUNE: &str = r#"
[tune]
seed = 1000
lr = [1e-3, 2e-3, 4e-3, 8e-3]
steps = [5, 10]
train = [{ dataset = "a" }]
eval = [{ dataset = "b" }]
"#;

/// The recipe, whose LoRA also chooses a field, with `[tune]`.
fn tuned_bench() -> Bench {
    let bench = Bench::new();
    let also = "tune = { \"adapter.f\" = [1, 2] }\nband = { top1";
    bench.write_recipe(&(RECIPE.replace("band = { top1", also) + TUNE));
    bench
}

#[test]
fn tuning_halves_the_candidates_of_every_row() {
    let bench = tuned_bench();
    assert_code(bench.tune(&[]).unwrap(), 0);
    let log = bench.log();
    let data = "--set data.train=[{ dataset = \"a\" }] --set data.eval=[{ dataset = \"b\" }]";
    let out = "--out runs/toy/lora-r-16/round-0/candidate-1";
    let lora = "--set adapter={ method = \"lora\" }";
    let first = "--set train.steps=5 --set train.eval_every=5";
    let own = "--set train.lr=0.002 --set adapter.f=2";
    assert_eq!(
        log[7],
        format!(
            "train toy.toml --set seed=1000 --set compare=[] {lora} {first} {data} {own} {out}"
        )
    );
    // Two models share all tasks, two have one each; four candidates, then two.
    assert_eq!(log.len(), 4 * (4 + 2));
    let text = bench.out("toy.tuning.json");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["budget_steps"], &json["sizes"]), (&40.into(), &serde_json::json!([4, 2])));
    let names = json["choices"].as_array().unwrap().iter().map(|c| c["task"].as_str());
    assert_eq!(names.collect::<Vec<_>>(), [None, None, Some("birds"), Some("cars")]);
    // The stand-in's scores rise with the rate.
    assert_eq!(json["choices"][1]["chosen"], serde_json::json!(["train.lr=0.008", "adapter.f=2"]));
    assert_eq!(json["choices"][1]["at_an_end"], true);
    let tried = &json["choices"][0]["rounds"][1]["candidates"];
    assert_eq!(tried.as_array().unwrap().len(), 2);
    assert_eq!(tried[0]["tasks"][0]["scores"].as_array().unwrap().len(), 1);
    // Models of trials are not kept.
    assert!(!bench.path("runs/toy/emtal-r-4/round-0/candidate-0").exists());
    bench.tune(&[]).unwrap();
    assert_eq!(bench.log(), [""; 0]);
}

#[test]
fn the_tuned_table_trains_with_what_was_chosen() {
    let bench = tuned_bench();
    bench.tune(&["LoRA r=16"]).unwrap();
    bench.log();
    let flags = Reproduce { tuned: true, ..bench.flags(1, &["LoRA r=16"]) };
    bench.run_with(&flags).unwrap();
    let log = bench.log();
    assert!(log[0].contains("--set train.lr=0.008 --set adapter.f=2 --out runs/toy-tuned/lora"));
    assert_eq!(log[3], "inspect runs/toy-tuned/lora-r-16/seed-0 --json");
    let page = bench.out("toy-tuned.md");
    let row = "| LoRA r=16 | <u>**0.008, f 2**</u> | 0.008, f 2: +";
    assert!(page.contains(row) && page.contains("4 for 5, 2 for 10"), "{page}");
    let chosen = &bench.json_of("toy-tuned.json")["rows"][0]["chosen"];
    assert_eq!(chosen[0]["set"], serde_json::json!(["train.lr=0.008", "adapter.f=2"]));
    let flags = Reproduce { tuned: true, ..bench.flags(1, &[]) };
    let message = bench.run_with(&flags).unwrap_err().to_string();
    assert_eq!(message, "EMTAL r=4: expected settings that --tune chose, found none");
}

#[test]
fn a_trial_that_fails_is_tried_no_longer() {
    let bench = tuned_bench();
    fs::write(bench.path("fail"), "").unwrap();
    bench.tune(&["EMTAL r=4"]).unwrap();
    let json = bench.json_of("toy.tuning.json");
    let last = &json["choices"][0]["rounds"][0]["candidates"][3];
    assert_eq!((&last["candidate"], &last["failed"]), (&0.into(), &"exit status: 1".into()));
    assert!(last["score"].is_null());
}

#[test]
fn tuning_goes_on_where_it_was_interrupted() {
    let bench = tuned_bench();
    fs::write(bench.path("interrupt"), "").unwrap();
    assert_code(bench.tune(&["EMTAL r=4"]).unwrap(), 130);
    assert_eq!(bench.trained(), 1);
    bench.tune(&["EMTAL r=4"]).unwrap();
    let log = bench.log();
    assert_eq!(log[0], "train --resume runs/toy/emtal-r-4/round-0/candidate-0");
    assert_eq!(log.len(), 4 + 2);
    bench
        .write_recipe(&fs::read_to_string(bench.path("toy.toml")).unwrap().replace("8e-3", "9e-3"));
    let message = bench.tune(&["EMTAL r=4"]).unwrap_err().to_string();
    assert!(message.ends_with("remove the folder to try again"), "{message}");
}

/// Another machine has the results and not the runs.
#[test]
fn tuning_goes_on_where_another_machine_left_it() {
    let bench = tuned_bench();
    bench.tune(&["EMTAL r=4"]).unwrap();
    let choice =
        |bench: &Bench, index: usize| bench.json_of("toy.tuning.json")["choices"][index].clone();
    let first = choice(&bench, 0);
    fs::remove_dir_all(bench.path("runs")).unwrap();
    bench.log();
    bench.tune(&["LoRA r=16"]).unwrap();
    assert_eq!(bench.log().len(), 4 + 2);
    assert_eq!(choice(&bench, 0), first);
    assert_eq!(choice(&bench, 1)["name"], "LoRA r=16");
    // Trials of other rates are no results of this recipe.
    let text = fs::read_to_string(bench.path("toy.toml")).unwrap();
    bench.write_recipe(&text.replace("2e-3, 4e-3, 8e-3", "4e-3, 9e-3, 2e-3"));
    fs::remove_dir_all(bench.path("runs")).unwrap();
    bench.tune(&["EMTAL r=4"]).unwrap();
    assert_eq!(bench.log().len(), 1 + 1);
    assert_eq!(bench.json_of("toy.tuning.json")["choices"].as_array().unwrap().len(), 1);
}

#[test]
fn several_processes_share_the_trials() {
    let bench = tuned_bench();
    let codes: Vec<Result<ExitCode>> = std::thread::scope(|scope| {
        let process = || bench.tune(&["EMTAL r=4", "LoRA r=16"]);
        let processes: Vec<_> = (0..3).map(|_| scope.spawn(process)).collect();
        processes.into_iter().map(|process| process.join().unwrap()).collect()
    });
    codes.into_iter().for_each(|code| assert_code(code.unwrap(), 0));
    let mut log = bench.log();
    log.sort();
    log.dedup();
    assert_eq!(log.len(), 2 * (4 + 2));
    assert_eq!(bench.json_of("toy.tuning.json")["choices"].as_array().unwrap().len(), 2);
}
