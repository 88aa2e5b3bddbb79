//! From TOML text and overrides to a checked recipe.

use std::path::Path;

use polyptych_data::read_text;
use toml::{Table, Value};

use super::config::Recipe;
use super::problems;
use crate::{Error, Result};

impl Recipe {
    /// Reads the recipe file `path`, with `overrides` of the form `path.to.key=value`.
    ///
    /// # Errors
    /// A file that cannot be read; all keys that no recipe has, that are missing, or whose value is
    /// of another type.
    pub fn open(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = read_text(path)?;
        Self::parse(&path.display().to_string(), &text, overrides)
    }

    /// Reads a recipe from `text`; `origin` names it in errors.
    ///
    /// # Errors
    /// As [`Recipe::open`].
    pub fn parse(origin: &str, text: &str, overrides: &[String]) -> Result<Self> {
        parse_edited(origin, text, overrides, |_| Ok(()))
    }

    /// The resolved recipe as TOML.
    ///
    /// # Errors
    /// A value that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Recipe {
            origin: self.name.clone(),
            key: "recipe".into(),
            reason: one_line(&e.to_string()),
        })
    }
}

/// As [`Recipe::parse`], where `edit` changes the table behind the overrides.
///
/// # Errors
/// As [`Recipe::parse`], and what `edit` finds: a key and what is wrong there.
pub(super) fn parse_edited(
    origin: &str,
    text: &str,
    overrides: &[String],
    edit: impl FnOnce(&mut Table) -> Result<(), (String, String)>,
) -> Result<Recipe> {
    let wrong = |key: String, reason: String| Error::Recipe { origin: origin.into(), key, reason };
    let mut table: Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        wrong(format!("line {line}"), one_line(e.message()))
    })?;
    for text in overrides {
        set(&mut table, text).map_err(|reason| wrong(text.clone(), reason))?;
    }
    edit(&mut table).map_err(|(key, reason)| wrong(key, reason))?;
    let recipe = match problems::read(table) {
        Ok(recipe) => recipe,
        Err(all) => return Err(problems::error(origin, all)),
    };
    recipe.validate(origin)?;
    Ok(recipe)
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

fn set(table: &mut Table, text: &str) -> Result<(), String> {
    let (path, value) = text.split_once('=').ok_or("expected path.to.key=value")?;
    let value = parse_value(value.trim());
    let keys: Vec<&str> = path.trim().split('.').collect();
    let (last, parents) = keys.split_last().ok_or("expected path.to.key=value")?;
    let mut place = Place::Table(table);
    for key in parents {
        place = place.enter(key)?;
    }
    place.put(last, value)
}

/// The text as TOML, or as a string where it is none, so that quotes may be left out.
fn parse_value(text: &str) -> Value {
    let table: Option<Table> = format!("value = {text}").parse().ok();
    let value = table.and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| Value::String(text.into()))
}

enum Place<'a> {
    Table(&'a mut Table),
    Array(&'a mut Vec<Value>),
}

impl<'a> Place<'a> {
    fn enter(self, key: &str) -> Result<Place<'a>, String> {
        let value = match self {
            Place::Table(table) => {
                table.entry(key.to_owned()).or_insert_with(|| Value::Table(Table::new()))
            }
            Place::Array(list) => {
                let len = list.len();
                let index = key.parse::<usize>().ok().filter(|&index| index < len);
                let index = index.ok_or(format!("{key}: expected an index below {len}"))?;
                &mut list[index]
            }
        };
        match value {
            Value::Table(table) => Ok(Place::Table(table)),
            Value::Array(list) => Ok(Place::Array(list)),
            other => Err(format!("{key}: expected a table, found {}", other.type_str())),
        }
    }

    fn put(self, key: &str, value: Value) -> Result<(), String> {
        match self {
            Place::Table(table) => drop(table.insert(key.into(), value)),
            Place::Array(list) => {
                let len = list.len();
                let place = key.parse::<usize>().ok().and_then(|index| list.get_mut(index));
                *place.ok_or(format!("{key}: expected an index below {len}"))? = value;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "seed = 1\n[train]\nlr = 0.5\n[[data]]\nlen = 3\n[[data]]\nlen = 4\n";

    fn with(text: &str) -> Result<Table, String> {
        let mut table: Table = TEXT.parse().unwrap();
        set(&mut table, text).map(|()| table)
    }

    #[test]
    fn overrides_reach_tables_and_arrays() {
        assert_eq!(with("seed=2").unwrap()["seed"], Value::Integer(2));
        assert_eq!(with(" train.lr = 1e-3 ").unwrap()["train"]["lr"], Value::Float(1e-3));
        assert_eq!(with("data.1.len=9").unwrap()["data"][1]["len"], Value::Integer(9));
        assert_eq!(with("data.0={len=7}").unwrap()["data"][0]["len"], Value::Integer(7));
        assert_eq!(with("new.table.key=true").unwrap()["new"]["table"]["key"], true.into());
        assert_eq!(with("data=[]").unwrap()["data"], Value::Array(vec![]));
    }

    #[test]
    fn quotes_may_be_left_out() {
        for text in ["train.name=cuda:0", "train.name=\"cuda:0\""] {
            assert_eq!(with(text).unwrap()["train"]["name"], Value::String("cuda:0".into()));
        }
        assert_eq!(with("train.name=").unwrap()["train"]["name"], Value::String(String::new()));
        assert_eq!(with("train.name=a=b").unwrap()["train"]["name"], Value::String("a=b".into()));
    }

    #[test]
    fn overrides_that_lead_nowhere_say_where() {
        for (text, reason) in [
            ("seed", "expected path.to.key=value"),
            ("seed.x=1", "seed: expected a table, found integer"),
            ("data.2.len=1", "2: expected an index below 2"),
            ("data.two.len=1", "two: expected an index below 2"),
            ("data.2=1", "2: expected an index below 2"),
        ] {
            assert_eq!(with(text).unwrap_err(), reason);
        }
    }

    #[test]
    fn broken_toml_is_named_by_its_line() {
        let message = Recipe::parse("r.toml", "a = 1\nb = = 2\n", &[]).unwrap_err().to_string();
        assert!(message.starts_with("r.toml: line 2: "), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }

    #[test]
    fn a_recipe_that_is_absent_is_named() {
        let message = Recipe::open(Path::new("no/such.toml"), &[]).unwrap_err().to_string();
        assert!(message.starts_with("no/such.toml: "), "{message}");
    }
}
