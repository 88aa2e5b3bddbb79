//! The part of the pickle language that makes text, integers, containers and tensors.
//!
//! Values lie in one list and name each other by their places, so nothing here recurses and
//! references in circles end. Memory is at most a small multiple of the pickle's bytes.

mod stack;

use std::collections::HashMap;
use std::io::{Read, Take};
use std::rc::Rc;

use super::calls;
use super::fault::{Checked, Fault};
use super::global::Global;
use super::heap::Heap;
use super::opcodes;
use super::storage;
use super::value::{Pickle, Ref, StorageRef, Value};

/// Longest pickle that is followed. Numbers lie beside it: those of large models take 1 MB.
pub(super) const MAX_BYTES: u64 = 1 << 25;

/// An unpickler at work.
pub(super) struct Machine<'a> {
    input: Take<&'a mut dyn Read>,
    heap: Heap,
    stack: Vec<Ref>,
    /// Heights of the stack at which marks stand.
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
    storages: Vec<Rc<StorageRef>>,
}

/// Follows one pickle to its end and no byte more.
pub(super) fn run(input: &mut dyn Read) -> Checked<Pickle> {
    let mut machine = Machine {
        input: input.take(MAX_BYTES),
        heap: Heap::new(MAX_BYTES as usize),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        storages: Vec::new(),
    };
    machine.follow()
}

impl Machine<'_> {
    fn follow(&mut self) -> Checked<Pickle> {
        loop {
            let [opcode] = self.exactly::<1>()?;
            if opcode == b'.' {
                let root = self.pop()?;
                let (values, storages) = (&mut self.heap.values, &mut self.storages);
                let (values, storages) = (std::mem::take(values), std::mem::take(storages));
                return Ok(Pickle { values, root, storages });
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Checked<()> {
        match opcode {
            0x80 => self.protocol(),
            0x95 => self.exactly::<8>().map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'N' => self.push(Value::None),
            b'J' => self.integer::<4>(|bytes| i32::from_le_bytes(bytes).into()),
            b'K' => self.integer::<1>(|[byte]| byte.into()),
            b'M' => self.integer::<2>(|bytes| u16::from_le_bytes(bytes).into()),
            0x8a => self.length::<1>().and_then(|length| self.long(length)),
            0x8b => self.length::<4>().and_then(|length| self.long(length)),
            b'G' => self.exactly::<8>().and_then(|_| self.push(Value::Inert)),
            b'X' | b'T' => self.length::<4>().and_then(|length| self.text(length)),
            0x8d => self.long_length().and_then(|length| self.text(length)),
            0x8e | 0x96 => self.long_length().and_then(|length| self.bytes(length)),
            0x8c | b'U' => self.length::<1>().and_then(|length| self.text(length)),
            b'B' => self.length::<4>().and_then(|length| self.bytes(length)),
            b'C' => self.length::<1>().and_then(|length| self.bytes(length)),
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            0x88 | 0x89 | 0x8f => self.push(Value::Inert),
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85..=0x87 => self.short_tuple(usize::from(opcode - 0x84)),
            b't' => self.marked().and_then(|items| self.push(Value::Tuple(items))),
            b'a' => self.pop().and_then(|item| self.extend(vec![item])),
            0x91 => self.marked().and_then(|_| self.push(Value::Inert)),
            b'e' | 0x90 => self.marked().and_then(|items| self.extend(items)),
            b's' => self.pop_two().and_then(|pair| self.update(&pair)),
            b'u' => self.marked().and_then(|items| self.update(&items)),
            b'0' => self.pop().map(drop),
            b'1' => self.marked().map(drop),
            b'2' => self.top().map(|top| self.stack.push(top)),
            b'q' => self.length::<1>().and_then(|place| self.remember(place)),
            b'r' => self.length::<4>().and_then(|place| self.remember(place)),
            0x94 => self.remember(self.memo.len() as u32),
            b'h' => self.length::<1>().and_then(|place| self.recall(place)),
            b'j' => self.length::<4>().and_then(|place| self.recall(place)),
            b'c' => self.global(),
            0x93 => self.stacked_global(),
            b'Q' => self.persistent(),
            b'R' | 0x81 => self.call(),
            // Arguments by name follow those by place; nothing here has any.
            0x92 => self.pop().and_then(|_| self.call()),
            b'b' => self.build(),
            other => Err(opcodes::refusal(other)),
        }
    }

    fn protocol(&mut self) -> Checked<()> {
        match self.exactly::<1>()? {
            [2..=5] => Ok(()),
            [other] => Err(format!("protocol {other}, expected 2 to 5").into()),
        }
    }

    fn integer<const N: usize>(&mut self, read: impl Fn([u8; N]) -> i64) -> Checked<()> {
        let number = read(self.exactly()?);
        self.push(Value::Int(number))
    }

    /// An integer of any length; those of more than 64 bits count nothing here.
    fn long(&mut self, length: u32) -> Checked<()> {
        let bytes = self.take(length)?;
        let sign = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        match wide.get_mut(..bytes.len()) {
            Some(low) => low.copy_from_slice(&bytes),
            None => return self.push(Value::Inert),
        }
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    /// Strings of Python 2 are bytes; what is not UTF-8 in them shows as such.
    fn text(&mut self, length: u32) -> Checked<()> {
        let bytes = self.take(length)?;
        self.push(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn bytes(&mut self, length: u32) -> Checked<()> {
        self.take(length)?;
        self.push(Value::Inert)
    }

    fn short_tuple(&mut self, length: usize) -> Checked<()> {
        let mut items: Vec<Ref> = (0..length).map(|_| self.pop()).collect::<Checked<_>>()?;
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn extend(&mut self, items: Vec<Ref>) -> Checked<()> {
        let top = self.top()?;
        match &mut self.heap.values[top] {
            Value::List(list) => list.extend(items),
            Value::Inert | Value::Object { .. } => {}
            _ => return Err("items for what is no list".into()),
        }
        Ok(())
    }

    fn update(&mut self, items: &[Ref]) -> Checked<()> {
        let top = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value".into());
        }
        match &mut self.heap.values[top] {
            Value::Dict(dict) | Value::Object { entries: dict, .. } => {
                dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])))
            }
            Value::Inert => {}
            _ => return Err("keys for what is no dictionary".into()),
        }
        Ok(())
    }

    fn remember(&mut self, place: u32) -> Checked<()> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Checked<()> {
        let value = self.memo.get(&place).copied();
        let value =
            value.ok_or_else(|| Fault::Damaged(format!("nothing remembered as {place}")))?;
        self.stack.push(value);
        Ok(())
    }

    fn global(&mut self) -> Checked<()> {
        let [module, name] =
            [self.line()?, self.line()?].map(|line| self.heap.add(Value::Text(line)));
        self.named(module, name)
    }

    fn stacked_global(&mut self) -> Checked<()> {
        let [module, name] = self.pop_two()?;
        self.named(module, name)
    }

    fn named(&mut self, module: Ref, name: Ref) -> Checked<()> {
        let known = Global::named(self.heap.as_text(module)?, self.heap.as_text(name)?);
        self.push(known.map_or(Value::Unknown(module, name), Value::Global))
    }

    /// Calls a function, or makes an object of a class; [`Global`] knows all that there are.
    /// Of any other, nothing is called: an object stands for what it would make.
    fn call(&mut self) -> Checked<()> {
        let [callee, arguments] = self.pop_two()?;
        let output = match self.heap.value(callee) {
            &Value::Global(global) => calls::call(&mut self.heap, global, arguments)?,
            Value::Unknown(..) | Value::Object { .. } | Value::Inert => {
                self.heap.add(Value::Object { class: callee, entries: Vec::new() })
            }
            _ => return Err("a call of what is no function".into()),
        };
        self.stack.push(output);
        Ok(())
    }

    /// Attributes of an object: of those that are made here, none counts.
    fn build(&mut self) -> Checked<()> {
        self.pop()?;
        let top = self.top()?;
        match self.heap.value(top) {
            Value::Dict(_) | Value::Inert | Value::Tensor(_) | Value::Object { .. } => Ok(()),
            _ => Err("a state for what is no object".into()),
        }
    }

    fn persistent(&mut self) -> Checked<()> {
        let id = self.pop()?;
        match storage::of_id(&self.heap, id)? {
            Ok(storage) => {
                let storage = Rc::new(storage);
                self.storages.push(Rc::clone(&storage));
                self.push(Value::Storage(storage))
            }
            Err(class) => self.push(Value::Object { class, entries: Vec::new() }),
        }
    }
}
