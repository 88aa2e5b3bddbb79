//! All values that a pickle has made so far, by their places.

use super::fault::Checked;
use super::value::{Ref, Value};

/// Values, which name each other by their places.
pub(super) struct Heap {
    pub(super) values: Vec<Value>,
    /// Items that calls may still copy.
    copies: usize,
}

impl Heap {
    /// No values yet, and calls that may copy so many items.
    pub(super) fn new(copies: usize) -> Self {
        Self { values: Vec::new(), copies }
    }

    /// A new value, which nothing refers to yet.
    pub(super) fn add(&mut self, value: Value) -> Ref {
        self.values.push(value);
        self.values.len() - 1
    }

    pub(super) fn value(&self, place: Ref) -> &Value {
        &self.values[place]
    }

    /// The parts of a tuple or list.
    pub(super) fn items(&self, place: Ref) -> Checked<&[Ref]> {
        match self.value(place) {
            Value::Tuple(items) | Value::List(items) => Ok(items),
            _ => Err("something else where a tuple is needed".into()),
        }
    }

    pub(super) fn int(&self, place: Ref) -> Checked<i64> {
        match self.value(place) {
            Value::Int(number) => Ok(*number),
            _ => Err("something else where an integer is needed".into()),
        }
    }

    pub(super) fn as_text(&self, place: Ref) -> Checked<&str> {
        match self.value(place) {
            Value::Text(text) => Ok(text),
            _ => Err("something else where text is needed".into()),
        }
    }

    /// Lets a call copy so many items, all calls together no more than a pickle has bytes.
    pub(super) fn charge(&mut self, items: usize) -> Checked<()> {
        let left = self.copies.checked_sub(items);
        self.copies = left.ok_or_else(|| "the same items are copied again and again".to_owned())?;
        Ok(())
    }
}
