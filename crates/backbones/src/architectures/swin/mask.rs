//! The mask of shifted windows, kept from pass to pass.

use std::cell::RefCell;

use polyptych_tensor::{Device, Kind, Tensor};

use super::windows::Windows;

/// The mask that was used last, and for what.
#[derive(Debug, Default)]
pub(super) struct MaskCache(RefCell<Option<Mask>>);

#[derive(Debug)]
struct Mask {
    of: ([i64; 2], Kind, Device),
    value: Option<Tensor>,
}

impl MaskCache {
    /// Adds to `bias`, `[1, heads, area, area]`, the mask that `windows` need in a map of
    /// `resolution`, if they need one.
    pub(super) fn add_to(&self, bias: Tensor, windows: &Windows, resolution: [i64; 2]) -> Tensor {
        match self.mask(windows, (resolution, bias.kind(), bias.device())) {
            // Gathered from a table it lies with the heads innermost, through which LibTorch goes number
            // by number: a twentieth of a pass in bfloat16.
            Some(mask) => bias.contiguous() + mask,
            None => bias,
        }
    }

    fn mask(&self, windows: &Windows, of: ([i64; 2], Kind, Device)) -> Option<Tensor> {
        let mut cached = self.0.borrow_mut();
        if cached.as_ref().is_none_or(|mask| mask.of != of) {
            let value = windows.mask(of.0, of.1, of.2);
            *cached = Some(Mask { of, value });
        }
        cached.as_ref()?.value.as_ref().map(Tensor::shallow_clone)
    }
}
