//! What a balancer remembers from step to step, in a form that can be saved.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Named float64 arrays. The names and lengths are fixed when the balancer is made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(BTreeMap<String, Vec<f64>>);

impl State {
    /// The arrays at their initial values.
    pub(crate) fn new<const N: usize>(arrays: [(&str, Vec<f64>); N]) -> Self {
        Self(arrays.into_iter().map(|(name, values)| (name.to_owned(), values)).collect())
    }

    /// The arrays by name.
    pub fn arrays(&self) -> &BTreeMap<String, Vec<f64>> {
        &self.0
    }

    /// These arrays and those of `other`, whose names differ.
    pub(crate) fn joined(&self, other: &State) -> State {
        Self(self.0.iter().chain(&other.0).map(|(name, v)| (name.clone(), v.clone())).collect())
    }

    /// Takes the arrays of `saved`, bit for bit.
    ///
    /// # Errors
    /// [`Error::State`] where a name is missing or unknown, or a length is another; then nothing
    /// has changed.
    pub(crate) fn restore(&mut self, saved: &State) -> Result<()> {
        if let Some(key) = saved.0.keys().find(|key| !self.0.contains_key(*key)) {
            return Err(mismatch(key, "no array of this name".into(), "one"));
        }
        for (key, values) in &self.0 {
            let expected = format!("{} numbers", values.len());
            match saved.0.get(key) {
                None => return Err(mismatch(key, expected, "none")),
                Some(found) if found.len() != values.len() => {
                    return Err(mismatch(key, expected, &found.len().to_string()));
                }
                Some(_) => {}
            }
        }
        self.0.clone_from(&saved.0);
        Ok(())
    }
}

/// Values read from JSON or safetensors files.
impl FromIterator<(String, Vec<f64>)> for State {
    fn from_iter<I: IntoIterator<Item = (String, Vec<f64>)>>(arrays: I) -> Self {
        Self(arrays.into_iter().collect())
    }
}

/// The names are fixed at construction and checked by `restore`: a missing one is our own mistake.
impl Index<&str> for State {
    type Output = Vec<f64>;

    fn index(&self, name: &str) -> &Vec<f64> {
        &self.0[name]
    }
}

impl IndexMut<&str> for State {
    fn index_mut(&mut self, name: &str) -> &mut Vec<f64> {
        self.0.get_mut(name).expect("the balancer made this array")
    }
}

fn mismatch(key: &str, expected: String, found: &str) -> Error {
    Error::State { key: key.to_owned(), expected, found: found.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_bit_for_bit() {
        let state = State::new([("s", vec![0.1 + 0.2, -0.0, 1e-310])]);
        let json = serde_json::to_string(&state).unwrap();
        let read: State = serde_json::from_str(&json).unwrap();
        let mut restored = State::new([("s", vec![0.0; 3])]);
        restored.restore(&read).unwrap();
        let bits = |state: &State| state["s"].iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&restored), bits(&state));
    }

    #[test]
    fn foreign_states_are_refused() {
        let mut state = State::new([("s", vec![0.0; 3])]);
        let mut message = |saved| state.restore(&saved).unwrap_err().to_string();
        let found = message(State::new([("s", vec![0.0; 2])]));
        assert_eq!(found, "s: expected 3 numbers in the saved state, found 2");
        let found = message(State::default());
        assert_eq!(found, "s: expected 3 numbers in the saved state, found none");
        let found = message(State::new([("q", vec![])]));
        assert_eq!(found, "q: expected no array of this name in the saved state, found one");
    }
}
