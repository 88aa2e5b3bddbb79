//! Galleries of methods and balancers: one card each, from what the program says, the table of
//! `docs/methods.md`, and the data of the results.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::reference::{Part, escaped};
use super::stage::Pages;
use crate::tidy::table;

const TABLE: &str = "docs/methods.md";

#[derive(Deserialize)]
struct Said {
    parts: Vec<Part>,
    balancers: Vec<Balancer>,
}

#[derive(Deserialize)]
struct Balancer {
    name: String,
    kind: String,
    needs: String,
    cost: String,
    source: String,
}

/// What a comparison measured.
#[derive(Deserialize)]
struct Results {
    rows: Vec<Measured>,
}

#[derive(Deserialize)]
struct Measured {
    name: String,
    set: Vec<String>,
    trainable: f64,
    delta_m: Option<Spread>,
    step_ratio: Option<Spread>,
}

#[derive(Deserialize)]
struct Spread {
    mean: f64,
    sd: Option<f64>,
}

/// Both pages by their path.
///
/// # Errors
/// A method without a row in the table of methods, or data that cannot be read.
pub(super) fn pages(root: &Path, said: &Value) -> Result<Pages> {
    let said = Said::deserialize(said)?;
    let page = |name: &str| format!("docs/reference/{name}.md");
    Ok(Pages::from([
        (page("method-gallery"), methods(root, &said)?),
        (page("balancer-gallery"), balancers(root, &said)?),
    ]))
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| path.to_owned())
}

fn results(root: &Path, name: &str) -> Result<Results> {
    let path = format!("docs/results/{name}.json");
    serde_json::from_str(&read(root, &path)?).context(path)
}

fn methods(root: &Path, said: &Said) -> Result<String> {
    let rows = table::rows(&read(root, TABLE)?, |cells| {
        cells.get(1).is_some_and(|cell| cell == "`adapter.method`")
    });
    let rows = rows.with_context(|| format!("{TABLE}: expected the table of methods"))?;
    let measured = results(root, "vmt-scenes")?;
    let recipe: toml::Table = read(root, "crates/cli/recipes/vmt-scenes.toml")?.parse()?;
    let own = recipe.get("adapter").and_then(|adapter| adapter.get("method")?.as_str());
    let mut text = "# Gallery of methods\n\nOne card per method. Results are those of \
        [vmt-scenes](../results/vmt-scenes.md): six tasks on a small Swin, three seeds, \
        or one where a number has no spread; delta-m compares with six fully fine-tuned models. \
        In the pictures, what is frozen is grey.\n\n<div class=\"cards\">\n"
        .to_owned();
    for part in said.parts.iter().filter(|part| part.kind == "adapter method") {
        let quoted = format!("`{}`", part.name);
        let row = rows.iter().find(|row| row.get(1) == Some(&quoted));
        let row =
            row.with_context(|| format!("{TABLE}: expected a row for {quoted}, found none"))?;
        let cell = |index: usize| row.get(index).map_or("", String::as_str);
        card(&mut text, cell(0), &scheme(cell(5), &part.name)?, part);
        let paper = if cell(4).is_empty() { "none" } else { cell(4) };
        let _ = writeln!(
            text,
            "| in a recipe | `adapter.method = \"{}\"`, [settings](methods.md#{}) |\n\
             | tasks differ | {} |\n| merges | {} |\n| paper | {paper} |",
            part.name,
            part.name,
            cell(2),
            cell(3)
        );
        let named = format!("method = \"{}\"", part.name);
        let of = |row: &&Measured| {
            let is_own = row.set.is_empty() && own == Some(&part.name);
            is_own || row.set.iter().any(|set| set.contains(&named))
        };
        for row in measured.rows.iter().filter(of) {
            let trainable = row.trainable / 1e6;
            let delta = spread(row.delta_m.as_ref(), " %");
            let _ =
                writeln!(text, "| {} | {trainable:.2} M trainable, delta-m {delta} |", row.name);
        }
        let page = format!("docs/methods/{}.md", part.name);
        if root.join(&page).is_file() {
            let _ = writeln!(text, "| more | [{}](../methods/{}.md) |", cell(0), part.name);
        }
        text.push_str("\n</div>\n");
    }
    text.push_str("\n</div>\n");
    Ok(text)
}

fn balancers(root: &Path, said: &Said) -> Result<String> {
    let measured = results(root, "balancers")?;
    let mut text = "# Gallery of balancers\n\nOne card per balancer. Results are those of \
        [balancers](../results/balancers.md): MTLoRA on six tasks, three seeds; delta-m compares \
        with six fully fine-tuned models, and the time of a step with that of equal weights.\n\n\
        <div class=\"cards\">\n"
        .to_owned();
    for balancer in &said.balancers {
        let name = &balancer.name;
        match said.parts.iter().find(|part| part.kind == "balancer" && part.name == *name) {
            Some(part) => {
                card(&mut text, &format!("`{name}`"), "", part);
                let _ = writeln!(text, "| in a recipe | [settings](balancers.md#{name}) |");
            }
            // It takes the place of the optimiser.
            None => {
                let _ = write!(text, "\n<div class=\"card\">\n\n## `{name}`\n\n| | |\n|---|---|\n");
                let _ =
                    writeln!(text, "| in a recipe | `train.optimiser = {{ name = \"{name}\" }}` |");
            }
        }
        let (kind, needs, cost) = (&balancer.kind, &balancer.needs, &balancer.cost);
        let source = escaped(&balancer.source);
        let _ = writeln!(
            text,
            "| kind | {kind} |\n| needs | {needs} |\n| cost | {cost} |\n| paper | {source} |"
        );
        let named = format!("name = \"{name}\"");
        let of = |row: &&Measured| {
            let is_own = row.set.is_empty() && name == "ew";
            is_own || row.set.iter().any(|set| set.contains(&named))
        };
        for row in measured.rows.iter().filter(of) {
            let delta = spread(row.delta_m.as_ref(), " %");
            let ratio = row.step_ratio.as_ref().map_or(f64::NAN, |ratio| ratio.mean);
            let _ = writeln!(text, "| {} | delta-m {delta}, step {ratio:.2} x |", row.name);
        }
        text.push_str("\n</div>\n");
    }
    text.push_str("\n</div>\n");
    Ok(text)
}

/// The picture of a card, from the link in the table's last cell.
///
/// # Errors
/// A cell without one.
fn scheme(cell: &str, method: &str) -> Result<String> {
    let picture = cell.strip_prefix('[').and_then(|cell| cell.strip_suffix(')'));
    let (name, path) = picture.and_then(|cell| cell.split_once("](")).with_context(|| {
        format!("{TABLE}: {method}: expected a link to its scheme, found {cell:?}")
    })?;
    Ok(format!("![{name}](../{path})\n\n"))
}

/// The beginning of a card: title, idea, picture, and the head of its table.
fn card(text: &mut String, title: &str, picture: &str, part: &Part) {
    let first = part.about.split("\n\n").next().unwrap_or_default();
    // Says what the type is, not the method.
    let first = if first.starts_with("Configuration of") { "" } else { first };
    let idea = format!("{}. {}", escaped(&part.summary), escaped(first).replace('\n', " "));
    let _ = write!(
        text,
        "\n<div class=\"card\">\n\n## {title}\n\n**Idea:** {}\n\n{picture}| | |\n|---|---|\n",
        idea.trim_end()
    );
}

fn spread(spread: Option<&Spread>, unit: &str) -> String {
    let Some(Spread { mean, sd }) = spread else { return "not measured".to_owned() };
    let sd = sd.map_or_else(String::new, |sd| format!(" ± {sd:.1}"));
    format!("{mean:+.1}{sd}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;
    use serde_json::json;

    fn said(method: &str) -> Value {
        let part = |kind: &str, name: &str| {
            json!({"kind": kind, "name": name, "summary": "factors", "about": "First.\n\nSecond.",
                "at": "", "keys": []})
        };
        let balancer = |name: &str| {
            json!({"name": name, "kind": "loss", "needs": "losses", "cost": "1 backward",
                "source": "arXiv 1803.10704"})
        };
        json!({
            "parts": [part("adapter method", method), part("balancer", "dwa")],
            "balancers": [balancer("dwa"), balancer("adatask")],
        })
    }

    #[test]
    fn a_card_has_idea_merging_paper_and_results() {
        let pages = pages(&workspace::root(), &said("lora")).unwrap();
        let methods = &pages["docs/reference/method-gallery.md"];
        let picture = "\n![parallel factors](../images/schemes/parallel-factors.svg)\n";
        for part in
            [picture, "## LoRA\n", "**Idea:** factors. First.", "| merges | whole |", "2106.09685"]
        {
            assert!(methods.contains(part), "{part}: {methods}");
        }
        assert!(methods.contains("| LoRA | 0.21 M trainable, delta-m +5.2 ± "), "{methods}");
        let balancers = &pages["docs/reference/balancer-gallery.md"];
        assert!(balancers.contains("| DWA | delta-m -1.8 ± 0.7 %, step 1.03 x |"), "{balancers}");
        assert!(balancers.contains("## `adatask`\n"), "{balancers}");
    }

    #[test]
    fn a_row_without_a_scheme_is_named() {
        let error = scheme("", "lora").unwrap_err().to_string();
        assert_eq!(error, "docs/methods.md: lora: expected a link to its scheme, found \"\"");
    }

    #[test]
    fn a_method_that_the_table_lacks_is_named() {
        let error = pages(&workspace::root(), &said("new")).unwrap_err().to_string();
        assert_eq!(error, "docs/methods.md: expected a row for `new`, found none");
    }
}
