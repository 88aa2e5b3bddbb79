//! Which of a pickle's tensors are the model's.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use super::choice::Choice;
use super::fault::{Checked, Fault, shown};
use super::value::{Pickle, Ref, TensorRef, Value};

/// Keys below which timm keeps averaged weights, in its order.
const AVERAGED: [&str; 2] = ["state_dict_ema", "model_ema"];
/// Keys below which training scripts put the state dict, the likeliest first.
const WRAPPERS: [&str; 12] = [
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "teacher",
    "student",
    "module",
    "network",
    "net",
    "backbone",
    "encoder",
    "params",
];
/// Starts of keys that hold the state of training.
const TRAINING: [&str; 6] = ["optim", "sched", "lr_sched", "scaler", "amp", "rng"];
/// End of the names at which `torch.nn.Module.get_extra_state` puts what is no parameter.
const EXTRA_STATE: &str = "_extra_state";
/// Wrappers in each other; a dictionary may hold itself.
const MAX_DEPTH: usize = 4;
/// Keys of state dicts that are reported.
const MAX_KEYS: usize = 32;
/// Longest name of a parameter.
const MAX_NAME: usize = 1024;

/// One state dict, its numbers not read yet.
pub(super) struct Found {
    pub(super) key: String,
    /// Keys of other ones.
    pub(super) others: Vec<String>,
    pub(super) entries: Vec<(String, Rc<TensorRef>)>,
}

/// The state dict that `choice` means.
pub(super) fn choose(pickle: &Pickle, choice: &Choice) -> Checked<Found> {
    let all = pickle.state_dicts();
    let (key, place) = match &choice.key {
        Some(key) => match pickle.below(key) {
            Some(place) => (key.clone(), place),
            None => return Err(unknown(key, &all).into()),
        },
        None => pickle.likeliest(choice.use_ema, &all),
    };
    let entries = pickle.tensors_of(place)?;
    if entries.is_empty() {
        return Err(match all.len() {
            0 | 1 => pickle.without_tensors(place),
            _ => several(&all).into(),
        });
    }
    let others = all.into_iter().map(|(other, _)| other).filter(|other| *other != key).collect();
    let entries = entries.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    Ok(Found { key, others, entries })
}

fn unknown(key: &str, all: &[(String, Ref)]) -> String {
    format!("expected a state dict at {}, found some at [{}]", shown(key), keys_of(all))
}

fn several(all: &[(String, Ref)]) -> String {
    format!(
        "expected one state dict, found some at [{}]: name one as the key of the weights",
        keys_of(all)
    )
}

fn keys_of(all: &[(String, Ref)]) -> String {
    all.iter().map(|(key, _)| shown(key)).collect::<Vec<_>>().join(", ")
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

    /// The class or function that would have made the value at `place`, where it is not known.
    pub(super) fn class_of(&self, mut place: Ref) -> Option<String> {
        // An object may be made by an object, and by nothing that came later.
        loop {
            match &self.values[place] {
                Value::Object { class, .. } if *class < place => place = *class,
                Value::Unknown(module, name) => {
                    let (module, name) = (self.text(*module)?, self.text(*name)?);
                    return Some(shown(&format!("{module}.{name}")));
                }
                Value::Object { .. } => return Some("an object".into()),
                _ => return None,
            }
        }
    }

    fn dict(&self, place: Ref) -> &[(Ref, Ref)] {
        match &self.values[place] {
            Value::Dict(entries) | Value::Object { entries, .. } => entries,
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
        self.is_dict(found).then_some(found)
    }

    fn is_dict(&self, place: Ref) -> bool {
        match &self.values[place] {
            Value::Dict(_) => true,
            Value::Object { entries, .. } => !entries.is_empty(),
            _ => false,
        }
    }

    /// The dictionary at a key whose parts stand between dots; keys may hold dots too.
    fn below(&self, key: &str) -> Option<Ref> {
        self.entry(self.root, key)
            .or_else(|| key.split('.').try_fold(self.root, |place, part| self.entry(place, part)))
    }

    /// Every dictionary that holds tensors and that text leads to, by its key, but for states of
    /// training. Each is looked at once.
    fn state_dicts(&self) -> Vec<(String, Ref)> {
        let (mut found, mut seen) = (Vec::new(), HashSet::from([self.root]));
        let mut level = vec![(String::new(), self.root)];
        for _ in 0..=MAX_DEPTH {
            let mut next = Vec::new();
            for (key, place) in level {
                if self.is_state_dict(place) && found.len() < MAX_KEYS {
                    found.push((key.clone(), place));
                }
                for &(name, value) in self.dict(place) {
                    let Some(name) = self.text(name).filter(|name| is_model(name)) else {
                        continue;
                    };
                    if next.len() < MAX_KEYS && self.is_dict(value) && seen.insert(value) {
                        let dot = if key.is_empty() { "" } else { "." };
                        next.push((format!("{key}{dot}{name}"), value));
                    }
                }
            }
            level = next;
        }
        found
    }

    /// Names of parameters have dots, those of single numbers such as a step have none.
    fn is_state_dict(&self, place: Ref) -> bool {
        let named = |name: &Ref| self.text(*name).is_some_and(|name| name.contains('.'));
        let is = |&(ref name, value): &(Ref, Ref)| {
            matches!(self.values[value], Value::Tensor(_)) && named(name)
        };
        self.dict(place).iter().any(is)
    }

    /// Where timm looks, then where training scripts put it, then the only one that there is.
    fn likeliest(&self, use_ema: bool, all: &[(String, Ref)]) -> (String, Ref) {
        let averaged: &[&str] = if use_ema { &AVERAGED } else { &[] };
        let (mut key, mut place) = (String::new(), self.root);
        for _ in 0..MAX_DEPTH {
            let known = averaged.iter().chain(&WRAPPERS);
            let below = known.filter_map(|part| Some((part, self.entry(place, part)?)));
            // One without tensors, such as the configuration of a model, is not it.
            let Some((part, inner)) = below.into_iter().find(|(_, inner)| self.leads_to(*inner))
            else {
                break;
            };
            key = if key.is_empty() { (*part).into() } else { format!("{key}.{part}") };
            place = inner;
        }
        match all {
            [(only, inside)] if self.tensors_of(place).is_ok_and(|t| t.is_empty()) => {
                (only.clone(), *inside)
            }
            _ => (key, place),
        }
    }

    /// Whether the dictionary holds a tensor, or one that does.
    fn leads_to(&self, place: Ref) -> bool {
        let (mut seen, mut level) = (HashSet::from([place]), vec![place]);
        for _ in 0..=MAX_DEPTH {
            let mut next = Vec::new();
            for place in level {
                for &(name, value) in self.dict(place) {
                    if self.text(name).is_none() {
                        continue;
                    }
                    match &self.values[value] {
                        Value::Tensor(_) => return true,
                        _ if self.is_dict(value) && seen.insert(value) => next.push(value),
                        _ => {}
                    }
                }
            }
            level = next;
        }
        false
    }

    fn tensors_of(&self, place: Ref) -> Checked<BTreeMap<&str, Rc<TensorRef>>> {
        let mut found = BTreeMap::new();
        for &(name, value) in self.dict(place) {
            let Some(name) = self.text(name) else { continue };
            let Value::Tensor(tensor) = &self.values[value] else { continue };
            if name.len() > MAX_NAME {
                return Err(format!("a name of {} bytes", name.len()).into());
            }
            found.insert(name, Rc::clone(tensor));
        }
        match found.is_empty() {
            true => Ok(found),
            false => self.objects_in(place).map_or(Ok(found), |class| Err(Fault::Foreign(class))),
        }
    }

    /// The class of the first entry of a state dict that is an object.
    fn objects_in(&self, place: Ref) -> Option<String> {
        self.dict(place).iter().find_map(|&(name, value)| {
            let name = self.text(name);
            let is_dict = self.is_dict(value) && name.is_some();
            let passed = is_dict || name.is_some_and(|name| name.ends_with(EXTRA_STATE));
            if passed { None } else { self.class_of(value) }
        })
    }

    fn without_tensors(&self, place: Ref) -> Fault {
        let foreign = || {
            let mut entries = self.dict(place).iter();
            self.class_of(place).or_else(|| entries.find_map(|(_, value)| self.class_of(*value)))
        };
        if let Some(class) = foreign() {
            return Fault::Foreign(class);
        }
        if !matches!(self.values[place], Value::Dict(_)) {
            return "expected a dictionary of tensors, found something else".into();
        }
        let names = self.dict(place).iter().filter_map(|(name, _)| self.text(*name));
        let names = names.take(8).map(shown).collect::<Vec<_>>().join(", ");
        format!("expected a dictionary of tensors, found none among the keys [{names}]").into()
    }
}

fn is_model(key: &str) -> bool {
    !TRAINING.iter().any(|start| key.starts_with(start))
}
