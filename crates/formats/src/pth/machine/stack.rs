//! Bytes in, and values on the stack.

use std::io::Read;

use super::Machine;
use crate::pth::fault::Checked;
use crate::pth::value::{Ref, Value};

/// Longest name of a module or of what is in it.
const MAX_LINE: usize = 256;

impl Machine<'_> {
    pub(super) fn exactly<const N: usize>(&mut self) -> Checked<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// A length or place of one or four bytes.
    pub(super) fn length<const N: usize>(&mut self) -> Checked<u32> {
        let mut wide = [0; 4];
        wide[..N].copy_from_slice(&self.exactly::<N>()?);
        Ok(u32::from_le_bytes(wide))
    }

    /// A length of eight bytes, which must be one of four: no pickle is longer.
    pub(super) fn long_length(&mut self) -> Checked<u32> {
        let length = u64::from_le_bytes(self.exactly()?);
        u32::try_from(length).map_err(|_| format!("{length} bytes of text").into())
    }

    /// The next `length` bytes; memory grows with what is there, not with what is claimed.
    pub(super) fn take(&mut self, length: u32) -> Checked<Vec<u8>> {
        let mut bytes = Vec::new();
        self.input.by_ref().take(length.into()).read_to_end(&mut bytes)?;
        let all = bytes.len() == length as usize;
        let cut = || format!("{length} bytes of text, found {}", bytes.len());
        all.then_some(()).ok_or_else(cut)?;
        Ok(bytes)
    }

    /// Text up to the end of the line.
    pub(super) fn line(&mut self) -> Checked<String> {
        let mut bytes = Vec::new();
        loop {
            match self.exactly::<1>()? {
                [b'\n'] => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
                [byte] if bytes.len() < MAX_LINE => bytes.push(byte),
                _ => return Err(format!("a name of more than {MAX_LINE} bytes").into()),
            }
        }
    }

    pub(super) fn push(&mut self, value: Value) -> Checked<()> {
        let place = self.heap.add(value);
        self.stack.push(place);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Checked<Ref> {
        let top = self.top()?;
        self.stack.truncate(self.stack.len() - 1);
        Ok(top)
    }

    pub(super) fn pop_two(&mut self) -> Checked<[Ref; 2]> {
        let second = self.pop()?;
        Ok([self.pop()?, second])
    }

    /// The last value, which must stand above the last mark.
    pub(super) fn top(&self) -> Checked<Ref> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let above = self.stack.get(floor..).and_then(<[Ref]>::last);
        above.copied().ok_or_else(|| "an opcode without its operands".into())
    }

    /// All values above the last mark.
    pub(super) fn marked(&mut self) -> Checked<Vec<Ref>> {
        let mark = self.marks.pop().ok_or_else(|| "an opcode without its mark".to_owned())?;
        Ok(self.stack.split_off(mark))
    }
}
