//! The page of a run stands alone, is whole, and escapes what files say; measurements are kept and
//! compared.
use crate::common::Playground;

/// A run whose class is called as no page may repeat it.
fn trained() -> Playground {
    let playground = Playground::new();
    let manifest = std::fs::read_to_string(playground.path("toy.toml")).unwrap();
    playground.write("toy.toml", &manifest.replace("\"thing\"", "\"<script>thing&'\""));
    playground.succeed(&["train", "recipe.toml", "--out", "run", "--set", "train.eval_every=2"]);
    playground
}

fn page(playground: &Playground, name: &str) -> String {
    std::fs::read_to_string(playground.path(name)).unwrap()
}

#[test]
fn a_page_has_every_part_and_asks_nothing_of_the_network() {
    let playground = trained();
    let written = playground.succeed(&["report", "run"]);
    assert_eq!(written, "run/report.html\n");
    let html = page(&playground, "run/report.html");
    for part in [
        "<h2 id=\"runs\">",
        "<h2 id=\"results\">",
        "<h2 id=\"curves\">",
        "<h2 id=\"classes\">",
        "<h2 id=\"samples\">",
        "<h2 id=\"parameters\">",
        "<h2 id=\"timing\">",
        "<h2 id=\"provenance\">",
        "Content-Security-Policy",
        "lang=\"en\"",
        "data:image/png;base64,",
        "data:image/jpeg;base64,",
        "polyptych train recipe.toml --out run --set train.eval_every=2",
        "&lt;script&gt;thing&amp;",
    ] {
        assert!(html.contains(part), "{part}");
    }
    for absent in
        ["<script", "http://", "https://", "url(", "@import", "<link", "<h2 id=\"conflict\">"]
    {
        assert!(!html.contains(absent), "{absent}");
    }
    // Every heading of a section can be jumped to.
    let linked = |id: &str| {
        html.contains(&format!("href=\"#{id}\"")) && html.contains(&format!("id=\"{id}\""))
    };
    assert!(["main", "runs", "provenance"].into_iter().all(linked));
    assert!(html.matches("<img alt=\"").count() == html.matches("<img").count());
}

#[test]
fn a_page_of_several_runs_tells_their_differences() {
    let playground = trained();
    let args = ["train", "recipe.toml", "--out", "other", "--set", "train.lr=1e-2"];
    playground.succeed(&args);
    playground.succeed(&["report", "run", "other", "--out", "both.html", "--samples", "0"]);
    let html = page(&playground, "both.html");
    let differences = &html[html.find("<h2 id=\"differences\">").unwrap()..];
    let differences = &differences[..differences.find("</section>").unwrap()];
    assert!(differences.contains("train.lr") && differences.contains("0.01"), "{differences}");
    assert!(differences.contains("train.eval_every"), "{differences}");
    assert!(!differences.contains("seed") && !html.contains("<h2 id=\"samples\">"));
    assert!(html.contains("class=\"legend\""), "runs have a legend");
}

#[test]
fn a_page_goes_without_data_that_are_gone_and_says_so() {
    let playground = trained();
    std::fs::rename(playground.path("toy"), playground.path("gone")).unwrap();
    let output = playground.run(&["report", "run"]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("run: the report has no samples: "), "{said}");
    assert!(page(&playground, "run/report.html").contains("<h2 id=\"classes\">"));
    let message = playground.refused(&["report", "toy.toml"]);
    assert!(message.starts_with("toy.toml: expected the folder of a run"), "{message}");
}

#[test]
fn measurements_are_kept_compared_and_of_other_data() {
    let playground = trained();
    let tables = playground.succeed(&["eval", "run"]);
    assert!(tables.contains("| semseg: label, predicted [%] |"), "{tables}");
    let kept: serde_json::Value =
        serde_json::from_str(&page(&playground, "run/eval.json")).unwrap();
    let confusion = kept["tasks"][0]["confusion"].as_array().unwrap();
    let count = |row: &serde_json::Value| {
        row.as_array().unwrap().iter().filter_map(|c| c.as_u64()).sum::<u64>()
    };
    assert_eq!(confusion.len(), 3);
    assert_eq!(confusion.iter().map(count).sum::<u64>(), 3 * 32 * 32, "every labelled pixel");

    let args = ["train", "recipe.toml", "--out", "other", "--set", "train.steps=1"];
    playground.succeed(&args);
    let both = playground.succeed(&["eval", "run", "other"]);
    assert!(both.contains("|   run | other |") || both.contains("run") && both.contains("other"));
    assert_eq!(both.lines().count(), 3, "{both}");
    let fewer = playground.succeed(&["eval", "run", "--set", "data.eval.0.limit=1", "--json"]);
    let fewer: serde_json::Value = serde_json::from_str(&fewer).unwrap();
    let rows = fewer["tasks"][0]["confusion"].as_array().unwrap();
    assert_eq!(rows.iter().map(count).sum::<u64>(), 32 * 32);
    let message = playground.refused(&["eval", "run", "--set", "train.lr=1"]);
    assert!(message.starts_with("--set train.lr=1: expected a field of data"), "{message}");
    let message = playground.refused(&["eval", "run", "other", "--out", "x.json"]);
    assert!(message.starts_with("--out: expected one run, found 2"), "{message}");
}

#[test]
fn quiet_runs_say_results_alone() {
    let playground = Playground::new();
    let output = playground.run(&["train", "recipe.toml", "--out", "run", "-q"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("report: polyptych report run --open"), "{table}");
    let output = playground.run(&["eval", "absent", "-q"]);
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: absent: "));
}
