//! What the value of a key must be.

use toml::Value;

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    Texts,
    TextOrTexts,
    TextsOrTable,
    Number,
    Flag,
    Whole,
    Wholes,
    Pairs,
    Numbers(usize),
    Colours,
    Table,
    Texttable,
    Tables(&'static [Key]),
    Fields(&'static [Key]),
    OneOf(&'static [&'static str]),
    Format,
    /// Read by somebody else.
    Any,
}

impl Shape {
    pub(super) fn fits(self, value: &Value) -> bool {
        let number = |value: &Value| value.is_float() || value.is_integer();
        let all = |fits: &dyn Fn(&Value) -> bool| {
            value.as_array().is_some_and(|items| items.iter().all(fits))
        };
        let row = |value: &Value, len: usize| {
            value
                .as_array()
                .is_some_and(|row| row.len() == len && row.iter().all(Value::is_integer))
        };
        let byte = |value: &Value| value.as_integer().is_some_and(|v| (0..=255).contains(&v));
        let colour = |value: &Value| {
            row(value, 3) && value.as_array().is_some_and(|row| row.iter().all(byte))
        };
        match self {
            Self::Text | Self::OneOf(_) | Self::Format => value.is_str(),
            Self::Texts => all(&Value::is_str),
            Self::TextOrTexts => value.is_str() || all(&Value::is_str),
            Self::TextsOrTable => value.is_table() || all(&Value::is_str),
            Self::Number => number(value),
            Self::Flag => value.is_bool(),
            Self::Whole => byte(value),
            Self::Wholes => all(&Value::is_integer),
            Self::Pairs => all(&|value| row(value, 2)),
            Self::Numbers(len) => {
                value.as_array().is_some_and(|row| row.len() == len) && all(&number)
            }
            Self::Colours => all(&colour),
            Self::Table | Self::Fields(_) => value.is_table(),
            Self::Texttable => {
                value.as_table().is_some_and(|table| table.values().all(Value::is_str))
            }
            Self::Tables(_) => value.is_array(),
            Self::Any => true,
        }
    }

    pub(super) fn word(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Texts => "a list of texts".to_owned(),
            Self::TextOrTexts => "names of classes or the path of a file of them".to_owned(),
            Self::TextsOrTable => "a list of names, or a table of such lists by class".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Whole => "a whole number from 0 to 255".to_owned(),
            Self::Wholes => "a list of whole numbers".to_owned(),
            Self::Pairs => "a list of pairs of whole numbers".to_owned(),
            Self::Numbers(len) => format!("a list of {len} numbers"),
            Self::Colours => "a list of colours [red, green, blue], 0 to 255 each".to_owned(),
            Self::Table | Self::Fields(_) => "a table".to_owned(),
            Self::Texttable => "a table of texts".to_owned(),
            Self::Tables(_) => "a list of tables, such as [[tasks]]".to_owned(),
            Self::OneOf(names) => format!("one of {}", names.join(", ")),
            Self::Format => "a format of labels, such as index_png".to_owned(),
            Self::Any => "anything".to_owned(),
        }
    }
}

/// A key of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
}

pub(super) const fn must(name: &'static str, shape: Shape) -> Key {
    Key { name, shape, required: true }
}

pub(super) const fn may(name: &'static str, shape: Shape) -> Key {
    Key { name, shape, required: false }
}

/// The `N` keys of several lists, one behind the other.
pub(super) const fn joined<const N: usize>(lists: &[&[Key]]) -> [Key; N] {
    let mut all = [may("", Shape::Any); N];
    let (mut place, mut list) = (0, 0);
    while list < lists.len() {
        let mut key = 0;
        while key < lists[list].len() {
            all[place] = lists[list][key];
            (place, key) = (place + 1, key + 1);
        }
        list += 1;
    }
    all
}
