//! A whole job with a made-up program.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

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
            recipe: "toy".into(),
            seeds,
            out: self.path("out"),
            rows: rows.iter().map(|&row| row.to_owned()).collect(),
            dry_run: false,
        }
    }

    fn run(&self, seeds: u64, rows: &[&str]) -> Result<ExitCode> {
        let plan = Plan::open(&self.path("toy.toml"), &self.path("runs"))?;
        let flags = self.flags(seeds, rows);
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
        let job = Job::new(&plan, &flags, Program(script), origin)?;
        carry_out(&job, &flags, &plan)
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
        serde_json::from_str(&self.out("toy.json")).unwrap()
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
            "inspect toy.toml --set seed=0 --set compare=[] --json",
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
        assert!((value - expected).abs() < 1e-9, "{value} instead of {expected}");
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
    assert_eq!(full["runs"].as_array().unwrap().len(), 4);
    assert!(lora["folded_ms"].is_null());
    assert_eq!(lora["runs"][0]["fold_refused"], "lora: expected a method that merges");
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
    // Points, and the middles of their error bars.
    assert_eq!(svg.matches("<circle").count(), 6);
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
