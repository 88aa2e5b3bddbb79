//! Which of a pickle's tensors are the model's.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::value::{Pickle, Ref, TensorRef, Value};
use super::{Checked, Fault, shown};

/// Keys below which training scripts put the state dict, the likeliest first.
const WRAPPERS: [&str; 10] = [
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "teacher",
    "module",
    "network",
    "net",
    "backbone",
    "params",
];
/// Wrappers in each other; a dictionary may hold itself.
const MAX_DEPTH: usize = 4;
/// What `DataParallel` puts before every name.
const PARALLEL: &str = "module.";
/// Longest name of a parameter.
const MAX_NAME: usize = 1024;

/// Names and tensors of the state dict.
pub(super) fn entries(pickle: &Pickle) -> Checked<Vec<(String, Rc<TensorRef>)>> {
    let mut place = pickle.root;
    for _ in 0..MAX_DEPTH {
        let below = WRAPPERS.iter().find_map(|key| pickle.entry(place, key));
        match below {
            Some(inner) => place = inner,
            None => break,
        }
    }
    let found = pickle.tensors_of(place)?;
    if found.is_empty() {
        return Err(pickle.without_tensors(place).into());
    }
    let parallel = found.keys().all(|name| name.starts_with(PARALLEL));
    let named = |(name, tensor): (&str, Rc<TensorRef>)| {
        let short = if parallel { &name[PARALLEL.len()..] } else { name };
        (short.to_owned(), tensor)
    };
    Ok(found.into_iter().map(named).collect())
}

impl Pickle {
    /// The tensors of a pickle that is a tuple of tensors and of nothing else.
    pub(super) fn all_tensors(&self) -> Checked<Vec<Rc<TensorRef>>> {
        let wrong = || Fault::from("expected a tuple of tensors, found something else");
        let Value::Tuple(items) = &self.values[self.root] else { return Err(wrong()) };
        let tensor = |&item: &Ref| match &self.values[item] {
            Value::Tensor(tensor) => Ok(Rc::clone(tensor)),
            _ => Err(wrong()),
        };
        items.iter().map(tensor).collect()
    }

    fn dict(&self, place: Ref) -> &[(Ref, Ref)] {
        match &self.values[place] {
            Value::Dict(entries) => entries,
            _ => &[],
        }
    }

    fn text(&self, place: Ref) -> Option<&str> {
        match &self.values[place] {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The dictionary at `key` of another.
    fn entry(&self, place: Ref, key: &str) -> Option<Ref> {
        let mut entries = self.dict(place).iter().rev();
        let (_, found) = *entries.find(|(name, _)| self.text(*name) == Some(key))?;
        matches!(self.values[found], Value::Dict(_)).then_some(found)
    }

    fn tensors_of(&self, place: Ref) -> Checked<BTreeMap<&str, Rc<TensorRef>>> {
        let mut found = BTreeMap::new();
        for &(name, value) in self.dict(place) {
            let (Some(name), Value::Tensor(tensor)) = (self.text(name), &self.values[value]) else {
                continue;
            };
            if name.len() > MAX_NAME {
                return Err(format!("a name of {} bytes", name.len()).into());
            }
            found.insert(name, Rc::clone(tensor));
        }
        Ok(found)
    }

    fn without_tensors(&self, place: Ref) -> String {
        if !matches!(self.values[place], Value::Dict(_)) {
            return "expected a dictionary of tensors, found something else".into();
        }
        let names = self.dict(place).iter().filter_map(|(name, _)| self.text(*name));
        let names = names.take(8).map(shown).collect::<Vec<_>>().join(", ");
        format!("expected a dictionary of tensors, found none among the keys [{names}]")
    }
}
