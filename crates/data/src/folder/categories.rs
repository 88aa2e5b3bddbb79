//! Which categories of a file count, and as what.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coco::Category;

/// What the key `categories` of a task holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected names, or lists of names by class")]
pub(crate) enum Categories {
    /// Those that count, for tasks without classes.
    Names(Vec<String>),
    /// Those that each class is of.
    Classes(BTreeMap<String, Vec<String>>),
}

/// Expected and found.
type Wrong = (String, String);

/// What each category of a file, by its id, counts as: the index of one of `classes`, or 0 where
/// there are none. A class is of the categories that `chosen` lists, or of that of its own name;
/// `background`, the index of a class, may be of none.
///
/// # Errors
/// A name that is no category, a class without one, and a category of two classes.
pub(super) fn kinds(
    chosen: Option<&Categories>,
    classes: &[String],
    background: Option<u8>,
    categories: &[Category],
) -> Result<HashMap<i64, usize>, Wrong> {
    let mut kinds = HashMap::new();
    let mut take = |name: &str, kind: usize| {
        let own: Vec<i64> = categories.iter().filter(|c| c.name == name).map(|c| c.id).collect();
        if own.is_empty() {
            return Err((expected(name, categories), format!("`{name}`")));
        }
        for id in own {
            if kinds.insert(id, kind).is_some_and(|other| other != kind) {
                return Err(("each category once".to_owned(), format!("`{name}` in two classes")));
            }
        }
        Ok(())
    };
    match chosen {
        None if classes.is_empty() => return Ok(categories.iter().map(|c| (c.id, 0)).collect()),
        Some(Categories::Names(names)) => names.iter().try_for_each(|name| take(name, 0))?,
        _ => {
            let lists = match chosen {
                Some(Categories::Classes(lists)) => Some(lists),
                _ => None,
            };
            for (kind, class) in classes.iter().enumerate() {
                match lists.and_then(|lists| lists.get(class)) {
                    Some(names) => names.iter().try_for_each(|name| take(name, kind))?,
                    None if background.is_some_and(|own| usize::from(own) == kind) => {}
                    None => take(class, kind)?,
                }
            }
        }
    }
    Ok(kinds)
}

fn expected(name: &str, categories: &[Category]) -> String {
    let likeness = |other: &&str| strsim::jaro_winkler(name, other);
    let names = categories.iter().map(|category| category.name.as_str());
    let near = names.clone().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match near.filter(|near| likeness(near) > 0.8) {
        Some(near) => format!("a category of the file; did you mean `{near}`?"),
        None => {
            let shown: Vec<&str> = names.take(12).collect();
            let more = if categories.len() > shown.len() { ", .." } else { "" };
            format!("a category of the file, such as {}{more}", shown.join(", "))
        }
    }
}
