//! What a pickle makes.

use std::rc::Rc;

use tch::Kind;

use super::fault::shown;
use super::global::Global;

/// Place of a value among all values of a pickle: containers may hold each other, and themselves.
pub(super) type Ref = usize;

/// A value.
#[derive(Debug)]
pub(super) enum Value {
    /// `None`.
    None,
    /// An integer of at most 64 bits.
    Int(i64),
    /// Text.
    Text(String),
    /// A tuple, which does not change any more.
    Tuple(Vec<Ref>),
    /// A list.
    List(Vec<Ref>),
    /// A dictionary, in the order in which it was filled; the last of equal keys counts.
    Dict(Vec<(Ref, Ref)>),
    /// A known class or function.
    Global(Global),
    /// Raw numbers beside the pickle.
    Storage(Rc<StorageRef>),
    /// A view of raw numbers.
    Tensor(Rc<TensorRef>),
    /// Something harmless that nobody here needs, such as a float, a boolean or a set.
    Inert,
    /// The name of a class or function that is not known, and is not looked for: its module and its
    /// own name, both text.
    Unknown(Ref, Ref),
    /// What Python would make by such a class or function: nothing is called here. It keeps what a
    /// dictionary's subclass would hold.
    Object {
        /// What would be called: [`Value::Unknown`], or another object.
        class: Ref,
        /// Keys and values that are put into it.
        entries: Vec<(Ref, Ref)>,
    },
}

/// Raw numbers, not read yet.
#[derive(Debug)]
pub(super) struct StorageRef {
    /// Their name in the file.
    pub(super) key: String,
    /// Their type.
    pub(super) kind: Kind,
    /// How many there are.
    pub(super) len: u64,
}

/// A tensor, its numbers not read yet.
#[derive(Debug)]
pub(super) struct TensorRef {
    pub(super) storage: Rc<StorageRef>,
    /// Numbers before the first one.
    pub(super) offset: i64,
    pub(super) size: Vec<i64>,
    /// Numbers between neighbours, by axis.
    pub(super) stride: Vec<i64>,
}

/// All values of a pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) values: Vec<Value>,
    /// What the pickle is.
    pub(super) root: Ref,
    /// Every storage that it names.
    pub(super) storages: Vec<Rc<StorageRef>>,
}

impl StorageRef {
    /// Bytes of the numbers; an error where 64 bits do not hold their count.
    pub(super) fn bytes(&self) -> Result<u64, String> {
        let width = self.kind.elt_size_in_bytes() as u64;
        let bytes = self.len.checked_mul(width).filter(|&bytes| bytes <= i64::MAX as u64);
        bytes.ok_or_else(|| {
            format!("storage {}: {} numbers of {width} bytes", shown(&self.key), self.len)
        })
    }
}

impl TensorRef {
    /// Checks that every number of the view lies in its storage.
    ///
    /// A view with more numbers than its storage, as `expand` makes, is refused too: a few bytes
    /// would ask for any amount of memory.
    pub(super) fn check(&self) -> Result<(), String> {
        let (size, stride) = (&self.size, &self.stride);
        let fits = size.len() == stride.len()
            && size.iter().chain(stride).all(|&number| number >= 0)
            && self.offset >= 0
            && self.end().is_some_and(|end| end <= i128::from(self.storage.len));
        let of = || {
            let (offset, len) = (self.offset, self.storage.len);
            format!("size {size:?}, stride {stride:?}, offset {offset} of {len} numbers")
        };
        fits.then_some(()).ok_or_else(of)
    }

    /// How many numbers the tensor has, once [`TensorRef::check`] has passed.
    pub(super) fn count(&self) -> u64 {
        self.size.iter().map(|&extent| extent as u64).product()
    }

    /// How many numbers of the storage the view needs, or holds if these are more.
    fn end(&self) -> Option<i128> {
        // Axes without numbers count once, so that no product of the others is too large either.
        let product = |product: i64, &extent: &i64| product.checked_mul(extent.max(1));
        let count = self.size.iter().try_fold(1, product)?;
        if self.size.contains(&0) {
            return Some(0);
        }
        let pairs = self.size.iter().zip(&self.stride);
        let steps = |(&extent, &stride): (&i64, &i64)| i128::from(extent - 1) * i128::from(stride);
        let last = i128::from(self.offset) + pairs.map(steps).sum::<i128>();
        Some(i128::from(count).max(last + 1))
    }
}
