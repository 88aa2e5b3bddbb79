//! What is known of one source.

use std::fmt;

use polyptych_tensor::Tensors;

use crate::error::Result;

/// A layout of names.
#[derive(Clone, Copy)]
pub struct Source {
    /// Whose it is, in messages.
    pub name: &'static str,
    /// Parts of names that no source behind it in the list has.
    pub(super) marks: &'static [&'static str],
    /// Pattern of the start of names that only a block of its backbones has, if it can stand behind
    /// a prefix.
    pub(crate) block: Option<&'static str>,
    /// The end of a prefix that is part of its names.
    pub(crate) own_prefix: &'static str,
    /// Starts of names that are of no backbone: what only pre-training reads, such as a decoder, or
    /// a tower of texts.
    pub(crate) left_out: &'static [&'static str],
    /// Whether all of its ViTs have their norms in front of attention and MLP, where timm has
    /// others with the same parameters.
    pub(crate) pre_norm_only: bool,
    /// Whether its Swins pad a map to whole windows before they roll it, where timm rolls first.
    pub(crate) pads_before_roll: bool,
    pub(super) rename: fn(Tensors) -> Result<Tensors>,
    /// The name of one tensor or factor in timm's words, where modules have other names than timm's.
    pub(super) rename_one: Option<fn(&str) -> String>,
    pub(super) unusable_classifier: fn(&Tensors) -> Option<&'static str>,
    /// Whether its classifier has the classes of all tasks, in their order.
    pub joint_classifier: bool,
}

impl Source {
    /// A source with the names `name`, `marks` and `rename`, and nothing special.
    pub(super) const fn new(
        name: &'static str,
        marks: &'static [&'static str],
        rename: fn(Tensors) -> Result<Tensors>,
    ) -> Self {
        Self {
            name,
            marks,
            block: None,
            own_prefix: "",
            left_out: &[],
            pre_norm_only: false,
            pads_before_roll: false,
            rename,
            rename_one: None,
            unusable_classifier: |_| None,
            joint_classifier: false,
        }
    }

    /// `tensors` under timm's names.
    ///
    /// # Errors
    /// A tensor that is not what its name says.
    pub fn rename(&self, tensors: Tensors) -> Result<Tensors> {
        (self.rename)(tensors)
    }

    /// The function that gives one tensor or factor timm's name, where modules have other names;
    /// `q`, `k` and `v` of `attn.qkv` stay apart.
    pub fn rename_one(&self) -> Option<fn(&str) -> String> {
        self.rename_one
    }

    /// Why timm's models cannot have the classifier among `tensors`, if they cannot.
    pub fn unusable_classifier(&self, tensors: &Tensors) -> Option<&'static str> {
        (self.unusable_classifier)(tensors)
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Source {}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
