//! Pages of the reference, from what the program says about itself.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use super::stage::Pages;

#[derive(Deserialize)]
struct Reference {
    recipe: Vec<Key>,
    manifest: Vec<Key>,
    parts: Vec<Part>,
    backbones: Vec<Backbone>,
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
struct Key {
    path: String,
    value: String,
    choices: Vec<Choice>,
    default: Option<String>,
    required: bool,
    #[serde(default)]
    within: Vec<String>,
    about: String,
}

#[derive(Deserialize)]
struct Choice {
    value: String,
    about: String,
}

#[derive(Deserialize)]
pub(super) struct Part {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) summary: String,
    pub(super) about: String,
    at: String,
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Backbone {
    name: String,
    architecture: String,
    embed_dim: i64,
    depths: Vec<usize>,
    img_size: [i64; 2],
}

#[derive(Deserialize)]
struct Metric {
    kind: String,
    name: String,
    unit: String,
    higher_is_better: bool,
    about: String,
}

/// Pages of kinds of parts: kind, page, title, what stands above the list.
const KINDS: [(&str, &str, &str, &str); 6] = [
    (
        "adapter method",
        "methods",
        "Methods: settings",
        "A method says what is trained in the backbone. `polyptych recipe methods` lists the same names.",
    ),
    (
        "balancer",
        "balancers",
        "Balancers: settings",
        "A balancer says how much each task counts in a step. `polyptych recipe balancers` lists what each needs and costs.",
    ),
    ("head", "heads", "Heads", "A head turns features into the output of one task."),
    (
        "loss",
        "losses",
        "Losses",
        "The loss of a task. Without one, a task takes the loss of its kind.",
    ),
    (
        "data source",
        "sources",
        "Data sources",
        "An entry of `data.train` or `data.eval`. `folder` reads a data set by its manifest, the others draw.",
    ),
    (
        "backbone",
        "architectures",
        "Architectures: fields of `config.json`",
        "A recipe takes a backbone by its name. The fields of its architecture stand in the `config.json` of an export, in timm's words.",
    ),
];

/// The pages by their path, from the JSON of `polyptych recipe schema reference`.
pub(super) fn pages(said: &Value) -> anyhow::Result<Pages> {
    let reference = Reference::deserialize(said)?;
    let mut pages = Pages::new();
    let mut put = |name: &str, text: String| {
        pages.insert(format!("docs/reference/{name}.md"), text);
    };
    put("recipe", keys_page("Keys of a recipe", RECIPE, &reference.recipe));
    put("manifest", keys_page("Keys of a manifest", MANIFEST, &reference.manifest));
    for (kind, name, title, about) in KINDS {
        let parts: Vec<&Part> = reference.parts.iter().filter(|part| part.kind == kind).collect();
        put(name, parts_page(title, about, &parts));
    }
    put("backbones", backbones_page(&reference.backbones));
    put("metrics", metrics_page(&reference.metrics));
    Ok(pages)
}

const RECIPE: &str = "A recipe is a TOML file that says everything about a run. \
    `NAME` stands for a name of yours and `N` for a number in a list, counted from 0. \
    `--set path.to.key=value` sets a key on the command line, \
    and `polyptych recipe explain KEY` prints what is here. \
    For completion in an editor: `polyptych recipe schema > recipe.schema.json`.";

const MANIFEST: &str = "A manifest is a TOML file that says how the files of a data set are stored and \
    what they mean. `polyptych data new DIR` writes one for a folder of yours. \
    `NAME` stands for a name of yours and `N` for a number in a list, counted from 0. \
    For completion in an editor: `polyptych recipe schema manifest > manifest.schema.json`.";

fn keys_page(title: &str, about: &str, keys: &[Key]) -> String {
    let mut text = format!("# {title}\n\n{about}\n");
    for key in keys {
        let level = if key.path.contains('.') { "###" } else { "##" };
        let _ = write!(text, "\n{level} `{}`\n\n{}\n", key.path, described(key));
    }
    text
}

fn described(key: &Key) -> String {
    let default = match (&key.default, key.required) {
        (_, true) => "**required**".to_owned(),
        (Some(default), _) => format!("default `{default}`"),
        (None, _) => "optional".to_owned(),
    };
    let within: Vec<String> = key.within.iter().map(|variant| format!("`{variant}`")).collect();
    let within =
        if within.is_empty() { within.concat() } else { format!(", with {}", within.join(" or ")) };
    let about = escaped(&key.about);
    let mut text = format!("*{}*, {default}{within}\n\n{about}\n", value_link(&key.value));
    for choice in &key.choices {
        let about = escaped(&choice.about);
        let colon = if about.is_empty() { "" } else { ": " };
        let _ = write!(text, "\n- `\"{}\"`{colon}{about}", choice.value);
    }
    text
}

/// Parts have pages of their own.
fn value_link(value: &str) -> String {
    match KINDS.iter().find(|(kind, ..)| *kind == value) {
        Some((_, page, ..)) => format!("[{value}]({page}.md)"),
        None => value.to_owned(),
    }
}

fn parts_page(title: &str, about: &str, parts: &[&Part]) -> String {
    let mut text = format!("# {title}\n\n{about}\n\n| name | what it is |\n|---|---|\n");
    for part in parts {
        let (name, summary) = (&part.name, escaped(&part.summary));
        let _ = writeln!(text, "| [`{name}`](#{name}) | {summary} |");
    }
    for part in parts {
        let _ = write!(text, "\n## `{}`\n\n{}\n", part.name, escaped(&part.about));
        if !part.at.is_empty() {
            let _ = write!(text, "\nIn a recipe: `[{}]`.\n", part.at);
        }
        let _ = write!(text, "\n{}", keys_table(part));
    }
    text
}

fn keys_table(part: &Part) -> String {
    let mut text = "| key | value | default | meaning |\n|---|---|---|---|\n".to_owned();
    for key in &part.keys {
        let below = key.path.strip_prefix(&part.at).unwrap_or(&key.path);
        let default = match (&key.default, key.required) {
            (_, true) => "required".to_owned(),
            (default, _) => default.iter().map(|value| format!("`{value}`")).collect(),
        };
        let mut about = escaped(&key.about);
        // The name of the part says it already.
        for choice in key.choices.iter().filter(|choice| choice.value != part.name) {
            let _ = write!(about, " `\"{}\"`: {}", choice.value, escaped(&choice.about));
        }
        let about = about.replace("\n\n", " ").replace('\n', " ").replace('|', "\\|");
        let path = below.trim_start_matches('.');
        let _ = writeln!(text, "| `{path}` | {} | {default} | {about} |", key.value);
    }
    text
}

fn backbones_page(backbones: &[Backbone]) -> String {
    let mut text = "# Backbones\n\nThe value of `backbone.name`, by timm's name. \
        `polyptych recipe backbones` prints the same. Images of other sizes are chosen by \
        `data.img_size`.\n\n\
        | name | architecture | channels | blocks | size |\n|---|---|---|---|---|\n"
        .to_owned();
    for Backbone { name, architecture, embed_dim, depths, img_size: [height, width] } in backbones {
        let depths: Vec<String> = depths.iter().map(ToString::to_string).collect();
        let depths = depths.join(" + ");
        let _ = writeln!(
            text,
            "| `{name}` | [`{architecture}`](architectures.md#{architecture}) | {embed_dim} | {depths} | {height} x {width} |"
        );
    }
    text
}

fn metrics_page(metrics: &[Metric]) -> String {
    let mut text =
        "# Metrics\n\nWhat `polyptych eval` prints for each kind of task. The first one of \
        a kind is its headline, which delta-m compares: the mean over tasks of \
        `100 (-1)^l (M - B) / B` with the headline `M`, that of the baseline `B`, and `l` 1 where \
        lower is better.\n\n\
        | kind | metric | unit | better | definition |\n|---|---|---|---|---|\n"
            .to_owned();
    for Metric { kind, name, unit, higher_is_better, about } in metrics {
        let better = if *higher_is_better { "higher" } else { "lower" };
        let about = escaped(about).replace('|', "\\|");
        let _ = writeln!(text, "| {kind} | `{name}` | {unit} | {better} | {about} |");
    }
    text
}

/// `text` without what Markdown would take for HTML or emphasis, code left as it is.
pub(super) fn escaped(text: &str) -> String {
    let escape = |(index, part): (usize, &str)| {
        if index % 2 == 0 {
            part.replace('<', "&lt;").replace('*', "\\*")
        } else {
            format!("`{part}`")
        }
    };
    text.split('`').enumerate().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_key_and_part_has_its_place() {
        let key = |path: &str| {
            json!({"path": path, "value": "number", "choices": [{"value": "a", "about": "b"}],
                "default": "1.0", "required": false, "about": "A `<b>` a < b."})
        };
        let said = json!({
            "recipe": [key("name"), key("train.lr")], "manifest": [key("layout.images")],
            "parts": [{"kind": "head", "name": "linear", "summary": "one layer", "about": "`y = W x`",
                "at": "tasks.NAME.head", "keys": [key("tasks.NAME.head.bias")]}],
            "backbones": [{"name": "vit", "architecture": "vit", "embed_dim": 4, "depths": [1, 2],
                "img_size": [8, 9]}],
            "metrics": [{"kind": "depth", "name": "rmse_m", "unit": "m", "higher_is_better": false,
                "about": "Of |z|."}],
        });
        let pages = pages(&said).unwrap();
        let page = |name: &str| &pages[&format!("docs/reference/{name}.md")];
        let key = "### `train.lr`\n\n*number*, default `1.0`\n\nA `<b>` a &lt; b.\n\n- `\"a\"`: b";
        assert!(page("recipe").contains("\n## `name`\n") && page("recipe").contains(key));
        assert!(page("manifest").contains("### `layout.images`"));
        assert!(
            page("heads").contains("| `bias` | number | `1.0` | A `<b>` a &lt; b. `\"a\"`: b |")
        );
        assert!(page("backbones").contains("| 4 | 1 + 2 | 8 x 9 |"));
        assert!(page("metrics").contains("| depth | `rmse_m` | m | lower | Of \\|z\\|. |"));
    }
}
