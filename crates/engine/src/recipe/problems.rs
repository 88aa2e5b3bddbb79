//! Everything that is wrong with a recipe, in one go and in our words.
//!
//! The reader of TOML stops at its first mistake. So each one is noted, what stands there is put
//! right from a recipe that is whole, and the text is read again.

use toml::{Table, Value};

use super::config::Recipe;
use crate::Error;

/// A recipe with every field that must be there; `*` stands for any name or number.
const WHOLE: &str = r#"
name = "x"
description = "x"
seed = 0
device = "cpu"
precision = "fp32"
baselines = "x"
label = "x"
stage_name = "x"
stage = [{ name = "x", set = [], tasks = ["x"], from = "fresh", result = "keep" }]
compare = [{ name = "x", set = [] }]
tune = { seed = 1000, lr = [1.0], steps = [1], train = [], eval = [] }
backbone = { name = "swin_micro_patch4_window4_128", weights = "none", drop_path_rate = 0.0 }
adapter = { method = "full" }
compose = { runs = ["x"], best = false }
distil = { teachers = { x = "x" }, best = false, weight = 1.0, logits = 1.0, features = 1.0, temperature = 1.0 }
replay = { tasks = ["x"], samples = 1 }
text = { name = "x", weights = "x", tokenizer = "x" }
extend = { run = "x", tasks = ["x"] }
union = { label_smoothing = 0.0 }
balancer = {}
[data]
img_size = [32, 32]
batch_size = 1
prefetch = 0
cache_mib = 0
sampling = "union"
on_bad_sample = "stop"
allow_overlap = false
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
augment = { flip = 0.0, scale = [1.0, 1.0], rotate_degrees = 0.0 }
train = [{ dataset = "folder", manifest = "x", split = "x" }]
eval = [{ dataset = "folder", manifest = "x", split = "x" }]
[tasks."*"]
weight = 1.0
head = { name = "linear" }
loss = { name = "l1" }
[train]
steps = 1
eval_every = 1
save_every = 1
save_total_limit = 1
max_skipped = 1
conflict_every = 1
lr = 1.0
accumulate = 1
sync_batch_norm = false
weight_decay = 0.0
clip_grad_norm = 1.0
optimiser = { name = "adamw", betas = [0.9, 0.999], eps = 1e-8 }
schedule = { warmup_steps = 0, cooldown_steps = 0, start_factor = 0.1, min_factor = 0.1 }
"#;

/// More mistakes than a person mends in one go.
const MOST: usize = 50;

/// One thing that is wrong: the path of its field, and the reason.
pub(super) type Problem = (String, String);

/// The recipe that `table` is.
///
/// # Errors
/// All fields that are missing, unknown or of another type, at least one.
pub(super) fn read(mut table: Table) -> Result<Recipe, Vec<Problem>> {
    let mut problems: Vec<Problem> = Vec::new();
    loop {
        let read: Result<Recipe, _> = serde_path_to_error::deserialize(Value::Table(table.clone()));
        let (path, message) = match read {
            Ok(recipe) if problems.is_empty() => return Ok(recipe),
            Ok(_) => return Err(problems),
            Err(e) => (dotted(&e.path().to_string()), e.inner().message().to_owned()),
        };
        let (path, reason) = explain(&path, &message, &table);
        let again = problems.iter().any(|(known, _)| *known == path);
        let stuck = again || !mend(&mut table, &path);
        if !again {
            problems.push((path, reason));
        }
        if stuck || problems.len() == MOST {
            return Err(problems);
        }
    }
}

/// The error of all `problems`, if there is one.
pub(super) fn refuse(
    origin: &str,
    problems: impl IntoIterator<Item = Problem>,
) -> crate::Result<()> {
    let all: Vec<Problem> = problems.into_iter().collect();
    if all.is_empty() { Ok(()) } else { Err(error(origin, all)) }
}

/// The error of all `problems`, at least one.
pub(super) fn error(origin: &str, problems: Vec<Problem>) -> Error {
    let mut all = problems.into_iter();
    let (key, first) = all.next().unwrap_or_default();
    let rest = all.map(|(key, reason)| format!("; {key}: {reason}"));
    let reason = rest.fold(first, |text, more| text + &more);
    Error::Recipe { origin: origin.into(), key, reason }
}

/// The one of `known` that `word` was probably meant to be.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let close = known.into_iter().map(|name| (strsim::jaro_winkler(word, name), name));
    let best = close.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, name)| name)
}

/// `data.train[0].root`, `.` and `train.?` as `data.train.0.root`, nothing and `train`.
fn dotted(path: &str) -> String {
    let path = path.replace('[', ".").replace(']', "");
    path.split('.').filter(|part| !part.is_empty() && *part != "?").collect::<Vec<_>>().join(".")
}

/// The path of the field that `message` is about, and what is wrong with it.
fn explain(path: &str, message: &str, table: &Table) -> Problem {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let first = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let below = |name: &str| match path.rsplit('.').next() {
        Some(last) if last == name => path.to_owned(),
        _ if path.is_empty() => name.to_owned(),
        _ => format!("{path}.{name}"),
    };
    if message.starts_with("missing field") {
        return (below(first), "expected a value, found none".into());
    }
    if message.starts_with("unknown field") {
        let expected = match known.is_empty() {
            true => "no such field".into(),
            false => format!("one of {}", known.join(", ")),
        };
        return (
            below(first),
            format!("expected {expected}, found {first}{}", meant(first, &known)),
        );
    }
    if message.starts_with("unknown variant") {
        let path = tag(path, first, table);
        let expected = known.join(", ");
        return (
            path,
            format!("expected one of {expected}, found {first}{}", meant(first, &known)),
        );
    }
    if let Some((found, expected)) = mismatch(message) {
        return (path.to_owned(), format!("expected {expected}, found {found}"));
    }
    (path.to_owned(), message.lines().map(str::trim).collect::<Vec<_>>().join(", "))
}

fn meant(word: &str, known: &[&str]) -> String {
    let found = closest(word, known.iter().copied());
    found.map(|name| format!(": did you mean {name}?")).unwrap_or_default()
}

/// The field below `path` that holds the variant's name, where `path` is a table.
fn tag(path: &str, found: &str, table: &Table) -> String {
    let value = at(table, path).and_then(Value::as_table);
    let key = value.and_then(|t| t.iter().find(|(_, v)| v.as_str() == Some(found)));
    key.map_or_else(|| path.to_owned(), |(key, _)| format!("{path}.{key}"))
}

/// What was found and expected, of `invalid type: string "x", expected u64`.
fn mismatch(message: &str) -> Option<(String, String)> {
    let rest = ["invalid type: ", "invalid value: ", "invalid length "];
    let rest = rest.iter().find_map(|start| message.strip_prefix(start))?;
    let (found, expected) = rest.split_once(", expected ")?;
    let expected = match expected.trim() {
        "u64" | "usize" | "u32" => "a whole number of 0 or more",
        "i64" | "i32" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" | "bool" => "true or false",
        "a string" | "a formatted string" | "path string" | "string" => "a text",
        "a map" | "map" => "a table",
        "a sequence" | "sequence" => "a list",
        other if other.starts_with("struct ") || other.contains("enum ") => "a table",
        other => other,
    };
    let found =
        found.replace("string ", "the text ").replace("integer ", "").replace("boolean ", "");
    let found = found.replace("floating point ", "").replace("sequence", "a list");
    let found = if found == "map" { "a table".into() } else { found };
    Some((found.replace('`', ""), expected.to_owned()))
}

/// Puts what stands at `path` right: as in the recipe that is whole, or away with it. Whether
/// anything has changed.
fn mend(table: &mut Table, path: &str) -> bool {
    let whole: Table = WHOLE.parse().expect("the text is a constant");
    let parts: Vec<&str> = path.split('.').collect();
    for len in (1..=parts.len()).rev() {
        let wanted = like(&Value::Table(whole.clone()), &parts[..len]);
        if let Some(wanted) = wanted {
            return put(table, &parts[..len], Some(wanted));
        }
        if len == parts.len() && put(table, &parts, None) {
            return true;
        }
    }
    false
}

/// What `whole` has at `parts`, or at any name or number in their place.
fn like(whole: &Value, parts: &[&str]) -> Option<Value> {
    let Some((first, rest)) = parts.split_first() else { return Some(whole.clone()) };
    let below = match whole {
        Value::Table(table) => table.get(*first).or_else(|| table.get("*"))?,
        Value::Array(list) if first.parse::<usize>().is_ok() => list.first()?,
        _ => return None,
    };
    like(below, rest)
}

fn at<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, part| match value {
        Value::Table(table) => table.get(part),
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Puts `value` at `parts`, or takes away what is there; whether it could.
fn put(table: &mut Table, parts: &[&str], value: Option<Value>) -> bool {
    let Some((last, parents)) = parts.split_last() else { return false };
    let mut place = Value::Table(std::mem::take(table));
    let done = enter(&mut place, parents).is_some_and(|parent| match (parent, value) {
        (Value::Table(table), Some(value)) => {
            table.insert((*last).to_owned(), value);
            true
        }
        (Value::Table(table), None) => table.remove(*last).is_some(),
        (Value::Array(list), Some(value)) => {
            let slot = last.parse::<usize>().ok().and_then(|index| list.get_mut(index));
            slot.map(|slot| *slot = value).is_some()
        }
        _ => false,
    });
    if let Value::Table(back) = place {
        *table = back;
    }
    done
}

fn enter<'a>(value: &'a mut Value, parts: &[&str]) -> Option<&'a mut Value> {
    let Some((first, rest)) = parts.split_first() else { return Some(value) };
    let below = match value {
        Value::Table(table) => table.get_mut(*first)?,
        Value::Array(list) => list.get_mut(first.parse::<usize>().ok()?)?,
        _ => return None,
    };
    enter(below, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(change: impl Fn(&mut Table)) -> Vec<String> {
        let mut table: Table = WHOLE.replace("\"*\"", "sky").parse().unwrap();
        table.remove("extend");
        change(&mut table);
        let found = read(table).err().unwrap_or_default();
        found.into_iter().map(|(path, reason)| format!("{path}: {reason}")).collect()
    }

    fn set(table: &mut Table, path: &str, text: &str) {
        let value: Table = format!("v = {text}").parse().unwrap();
        assert!(
            put(table, &path.split('.').collect::<Vec<_>>(), Some(value["v"].clone())),
            "{path}"
        );
    }

    #[test]
    fn the_whole_recipe_is_whole() {
        assert_eq!(problems(|_| ()), [""; 0]);
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let found = problems(|table| {
            put(table, &["train", "lr"], None);
            put(table, &["seed"], None);
            set(table, "train.stepz", "4");
            set(table, "data.batch_size", "\"four\"");
            set(table, "data.train.0.spilt", "\"train\"");
            set(table, "adapter", "{ method = \"lorra\" }");
            set(table, "tasks.sky.head", "{ name = \"segfromer\" }");
            set(table, "precision", "\"fp23\"");
            set(table, "tranning", "{}");
        });
        let has = |path: &str, reason: &str| {
            let line = found.iter().find(|line| line.starts_with(&format!("{path}: ")));
            assert!(line.is_some_and(|line| line.contains(reason)), "{path}: {found:#?}");
        };
        has("train.lr", "expected a value, found none");
        has("seed", "expected a value, found none");
        has("train.stepz", "found stepz: did you mean steps?");
        has("data.batch_size", "expected a whole number of 0 or more, found the text \"four\"");
        has("data.train.0.spilt", "did you mean split?");
        has("adapter.method", "found lorra: did you mean lora?");
        has("tasks.sky.head.name", "did you mean segformer?");
        has("precision", "expected one of fp32, bf16, fp16, found fp23");
        has("tranning", "did you mean");
        assert_eq!(found.len(), 9, "{found:#?}");
    }

    #[test]
    fn numbers_out_of_range_are_reported_at_once() {
        let recipe = |change: &dyn Fn(&mut Table)| {
            let mut table: Table = WHOLE.replace("\"*\"", "sky").parse().unwrap();
            for section in ["stage", "compose", "distil", "replay", "text", "extend", "union"] {
                table.remove(section);
            }
            table.remove("balancer");
            change(&mut table);
            let text = toml::to_string(&table).unwrap();
            Recipe::parse("r.toml", &text, &[]).map(drop).map_err(|e| e.to_string())
        };
        assert_eq!(recipe(&|table| set(table, "train.clip_grad_norm", "inf")), Ok(()));
        let message = recipe(&|table| {
            set(table, "train.lr", "-1.0");
            set(table, "train.weight_decay", "inf");
            set(table, "train.clip_grad_norm", "0.0");
            set(table, "train.optimiser.betas", "[0.9, 1.0]");
            set(table, "tasks.sky.weight", "nan");
            set(table, "train.max_skipped", "0");
        });
        assert_eq!(
            message.unwrap_err(),
            "r.toml: train.max_skipped: expected at least 1, found 0; tasks.sky.weight: expected a \
             number, found nan; train.lr: expected a finite number of at least 0, found -1; \
             train.weight_decay: expected a finite number of at least 0, found inf; \
             train.clip_grad_norm: expected a number above 0, found 0; train.optimiser.betas: \
             expected rates of at least 0 and below 1, found 1"
        );
    }

    #[test]
    fn words_are_compared_by_their_letters() {
        assert_eq!(closest("stepz", ["steps", "save_every"]), Some("steps"));
        assert_eq!(closest("banana", ["steps", "save_every"]), None);
    }
}
