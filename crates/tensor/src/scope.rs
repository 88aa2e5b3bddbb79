//! Names and ownership of parameters.
//!
//! A [`Scope`] works like a folder: `scope.pp("blocks").pp(3)` goes down, `param("weight", ..)`
//! makes a parameter there. The tree of scopes is the tree of names in a checkpoint.
//! A name is given once; the second request is an error.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::batch_sum::BatchSum;
use crate::linear_form::LinearForm;
use crate::marks::{Marks, Owner, ParameterKind, Role};
use crate::{Error, Init, Result};
use polyptych_kernels as kernels;

mod frozen;

/// One named tensor.
#[derive(Debug)]
pub struct Entry {
    /// The tensor; layers hold shallow clones of it.
    pub tensor: Tensor,
    /// What it is for.
    pub role: Role,
    /// Kept for compatible files, although no output depends on it.
    pub unused: bool,
    /// What was said of it where it was made.
    pub marks: Marks,
    pub(crate) created_after: usize,
    /// What layers hold that were made under other names, see [`Store::tie`]; the numbers are
    /// those of `tensor`.
    tied: Vec<Tensor>,
}

/// All tensors of a model, in the order of their names.
///
/// Scopes are handed down while a model is built and all put their tensors here: clones share one
/// map, in a cell.
#[derive(Debug, Clone)]
pub struct Store {
    entries: Rc<RefCell<BTreeMap<String, Entry>>>,
    /// How the linear maps of a backbone are computed, by their names.
    linears: Rc<RefCell<BTreeMap<String, LinearForm>>>,
    device: Device,
    batch_sum: Option<Arc<dyn BatchSum>>,
}

/// A place in the tree of names.
#[derive(Debug, Clone)]
pub struct Scope {
    store: Store,
    path: String,
    marks: Marks,
}

impl Store {
    /// An empty store for `device`.
    pub fn new(device: Device) -> Self {
        Self { entries: Rc::default(), linears: Rc::default(), device, batch_sum: None }
    }

    /// The same store for layers that normalise by statistics of batches of which other processes
    /// have parts too.
    pub fn with_batch_sum(self, batch_sum: Arc<dyn BatchSum>) -> Self {
        Self { batch_sum: Some(batch_sum), ..self }
    }

    /// The top of the tree.
    pub fn root(&self) -> Scope {
        Scope { store: self.clone(), path: String::new(), marks: Marks::default() }
    }

    /// Where the tensors live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Calls `f` for every entry in the order of names.
    pub fn for_each(&self, mut f: impl FnMut(&str, &Entry)) {
        self.entries.borrow().iter().for_each(|(name, entry)| f(name, entry));
    }

    /// All names with shallow clones of their tensors.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let entries = self.entries.borrow();
        entries.iter().map(|(name, entry)| (name.clone(), entry.tensor.shallow_clone())).collect()
    }

    /// Parameters that ask for a gradient, in the order of names.
    pub fn trainable(&self) -> Vec<(String, Tensor)> {
        let entries = self.entries.borrow();
        let trainable = entries.iter().filter(|(_, entry)| entry.tensor.requires_grad());
        trainable.map(|(name, entry)| (name.clone(), entry.tensor.shallow_clone())).collect()
    }

    /// Makes exactly the parameters trainable whose name `choose` accepts. Tied
    /// parameters stay frozen: gradients of their users would not meet.
    pub fn set_trainable(&self, choose: impl Fn(&str) -> bool) {
        for (name, entry) in self.entries.borrow_mut().iter_mut() {
            let train = entry.role == Role::Parameter && entry.tied.is_empty() && choose(name);
            entry.tensor = entry.tensor.set_requires_grad(train);
        }
    }

    /// Stores every parameter that does not train as `kind`, once, to spare a cast in each step.
    pub fn store_frozen_as(&self, kind: Kind) {
        for entry in self.entries.borrow_mut().values_mut() {
            let tensor = &mut entry.tensor;
            if entry.role == Role::Parameter && !tensor.requires_grad() && tensor.kind() != kind {
                let stored = tensor.to_kind(kind);
                tensor.set_data(&stored);
                entry.tied.iter_mut().for_each(|own| own.set_data(&stored));
            }
        }
    }

    /// Notes that no output depends on the parameter `name`.
    ///
    /// # Errors
    /// A name that does not exist.
    pub fn mark_unused(&self, name: &str) -> Result<()> {
        match self.entries.borrow_mut().get_mut(name) {
            Some(entry) => entry.unused = true,
            None => return Err(Error::UnknownName { name: name.into() }),
        }
        Ok(())
    }

    /// Checks that every trainable parameter got a gradient, those marked unused aside.
    ///
    /// # Errors
    /// Names the parameters that got none.
    pub fn check_gradients(&self) -> Result<()> {
        let entries = self.entries.borrow();
        let without = entries.iter().filter(|(_, entry)| {
            entry.tensor.requires_grad() && !entry.unused && !entry.tensor.grad().defined()
        });
        let names: Vec<&str> = without.map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { Ok(()) } else { Err(Error::NoGradient { names: names.join(", ") }) }
    }

    /// Forgets all gradients, so that "no gradient arrived" differs from "zero arrived".
    pub fn zero_grad(&self) {
        let entries = self.entries.borrow();
        let all: Vec<&Tensor> = entries.values().map(|entry| &entry.tensor).collect();
        kernels::forget_gradients(&all);
    }

    fn insert(&self, name: String, entry: Entry) -> Result<()> {
        let mut entries = self.entries.borrow_mut();
        if entries.contains_key(&name) {
            return Err(Error::DuplicateName { name });
        }
        entries.insert(name, entry);
        Ok(())
    }
}

impl Scope {
    /// How statistics of batches are summed over processes, where they are.
    pub(crate) fn batch_sum(&self) -> Option<Arc<dyn BatchSum>> {
        self.store.batch_sum.clone()
    }

    /// Goes down into `name`.
    pub fn pp(&self, name: impl Display) -> Scope {
        Scope { path: self.join(name), ..self.clone() }
    }

    /// The same place for a method's own parameters: those made here and below train.
    pub fn adapter(&self) -> Scope {
        self.marked(|marks| marks.adapter = true)
    }

    /// The same place for parameters on which `owner` alone depends.
    pub fn owned_by(&self, owner: Owner) -> Scope {
        self.marked(|marks| marks.owner = Some(owner))
    }

    /// The same place for parameters of `kind`, beside the kinds that hold already.
    pub fn of_kind(&self, kind: ParameterKind) -> Scope {
        self.marked(|marks| marks.kinds.extend([kind]))
    }

    /// The same place, where parameters of `kind` train whatever the plan says of that kind.
    pub fn training(&self, kind: ParameterKind) -> Scope {
        self.marked(|marks| marks.training.extend([kind]))
    }

    fn marked(&self, mark: impl FnOnce(&mut Marks)) -> Scope {
        let mut scope = self.clone();
        mark(&mut scope.marks);
        scope
    }

    /// Full path of the scope, without a trailing dot.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The store that owns the tensors.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Makes the float32 parameter `name` of `shape`.
    ///
    /// # Errors
    /// A name that is taken, or a shape with a negative extent.
    pub fn param(&self, name: impl Display, shape: &[i64], init: Init) -> Result<Tensor> {
        self.make(self.join(name), shape, init, Role::Parameter)
    }

    /// The parameter `name`, which several layers share: made by the first that asks.
    ///
    /// # Errors
    /// A parameter of that name and another shape, or a shape with a negative extent.
    pub fn shared_param(&self, name: impl Display, shape: &[i64], init: Init) -> Result<Tensor> {
        let key = self.join(name);
        let known =
            |entries: &BTreeMap<String, Entry>| Some(entries.get(&key)?.tensor.shallow_clone());
        match known(&self.store.entries.borrow()) {
            Some(tensor) if tensor.size() == shape => return Ok(tensor),
            Some(tensor) => {
                let (expected, found) = (format!("{shape:?}"), tensor.size());
                return Err(Error::Shape { key, expected, found });
            }
            None => {}
        }
        self.make(key, shape, init, Role::Parameter)
    }

    /// Makes the parameter `bias`, which is a [`ParameterKind::Bias`].
    ///
    /// # Errors
    /// As [`Scope::param`].
    pub fn bias(&self, shape: &[i64], init: Init) -> Result<Tensor> {
        self.of_kind(ParameterKind::Bias).param("bias", shape, init)
    }

    /// Makes the float32 buffer `name` of `shape`.
    ///
    /// # Errors
    /// As [`Scope::param`].
    pub fn buffer(&self, name: impl Display, shape: &[i64], init: Init) -> Result<Tensor> {
        self.make(self.join(name), shape, init, Role::Buffer)
    }

    fn make(&self, key: String, shape: &[i64], init: Init, role: Role) -> Result<Tensor> {
        if shape.iter().any(|&extent| extent < 0) {
            let expected = "non-negative extents".into();
            return Err(Error::Shape { key, expected, found: shape.to_vec() });
        }
        let drawn = tch::no_grad(|| init.draw(shape, self.store.device));
        let tensor = drawn.set_requires_grad(role == Role::Parameter);
        let entry = Entry {
            tensor: tensor.shallow_clone(),
            role,
            unused: false,
            marks: self.marks.clone(),
            created_after: self.store.entries.borrow().len(),
            tied: Vec::new(),
        };
        self.store.insert(key, entry)?;
        Ok(tensor)
    }

    fn join(&self, name: impl Display) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_once() {
        let store = Store::new(Device::Cpu);
        let scope = store.root().pp("blocks").pp(3);
        let _ = scope.param("weight", &[2, 3], Init::ZEROS).unwrap();
        let message = scope.param("weight", &[2, 3], Init::ZEROS).unwrap_err().to_string();
        assert_eq!(message, "parameter `blocks.3.weight`: this name is already in use");
    }

    #[test]
    fn shared_parameters_are_made_by_the_first_that_asks() {
        let scope = Store::new(Device::Cpu).root().pp("blocks");
        let first = scope.shared_param("rule", &[2], Init::ONES).unwrap();
        let second = scope.shared_param("rule", &[2], Init::ZEROS).unwrap();
        assert_eq!(first.data_ptr(), second.data_ptr());
        let message = scope.shared_param("rule", &[3], Init::ONES).unwrap_err().to_string();
        assert_eq!(message, "blocks.rule: expected shape [3], found [2]");
    }

    #[test]
    fn the_trainable_set_is_what_was_chosen() {
        let store = Store::new(Device::Cpu);
        let a = store.root().param("a", &[2], Init::ONES).unwrap();
        let _ = store.root().param("b", &[2], Init::ONES).unwrap();
        let _ = store.root().buffer("mean", &[2], Init::ZEROS).unwrap();
        store.set_trainable(|name| name != "b");
        let names: Vec<String> = store.trainable().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a"]);
        let message = store.check_gradients().unwrap_err().to_string();
        assert_eq!(message, "no gradient reached a");
        a.sum(Kind::Float).backward();
        store.check_gradients().unwrap();
    }

    #[test]
    fn frozen_tensors_change_type_under_their_users() {
        let store = Store::new(Device::Cpu);
        let held = store.root().param("w", &[2], Init::ONES).unwrap();
        let trained = store.root().param("lora", &[2], Init::ONES).unwrap();
        store.set_trainable(|name| name == "lora");
        store.store_frozen_as(Kind::BFloat16);
        assert_eq!(held.kind(), Kind::BFloat16);
        assert_eq!(trained.kind(), Kind::Float);
    }

    #[test]
    fn tied_parameters_exist_once() {
        let store = Store::new(Device::Cpu);
        let make = |name: &str, init| store.root().pp(name).param("w", &[2], init).unwrap();
        let (a, b) = (make("a", Init::ONES), make("b", Init::ZEROS));
        store.tie("a.w", "w").unwrap();
        store.tie("b.w", "w").unwrap();
        let tensors = store.tensors();
        assert_eq!(tensors.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["w"]);
        assert!(b.equal(&Tensor::from_slice(&[1f32, 1.0])));
        store.set_trainable(|_| true);
        assert!(store.trainable().is_empty() && !a.requires_grad() && !b.requires_grad());
        store.store_frozen_as(Kind::BFloat16);
        for held in [&a, &b] {
            assert_eq!((held.kind(), held.data_ptr()), (Kind::BFloat16, a.data_ptr()));
        }
        tch::no_grad(|| drop(tensors[0].1.shallow_clone().fill_(3.0)));
        assert_eq!(b.double_value(&[0]), 3.0);
    }

    #[test]
    fn only_equal_shapes_are_tied() {
        let store = Store::new(Device::Cpu);
        let make = |name: &str, len| drop(store.root().param(name, &[len], Init::ONES).unwrap());
        make("a", 2);
        make("b", 3);
        let message = |name: &str| store.tie(name, "a").unwrap_err().to_string();
        assert_eq!(message("b"), "b: expected shape [2] of a, found [3]");
        assert_eq!(message("c"), "parameter `c`: no parameter has this name");
    }

    #[test]
    fn unused_parameters_may_stay_without_gradient() {
        let store = Store::new(Device::Cpu);
        let _ = store.root().param("dead", &[2], Init::ONES).unwrap();
        store.mark_unused("dead").unwrap();
        store.check_gradients().unwrap();
        let message = store.mark_unused("gone").unwrap_err().to_string();
        assert_eq!(message, "parameter `gone`: no parameter has this name");
    }
}
