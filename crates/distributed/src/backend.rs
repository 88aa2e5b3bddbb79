//! What gradients go over.

use std::fmt;
use std::str::FromStr;

/// What sums gradients, by PyTorch's names. All else goes over Gloo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// Gloo, on any machine; tensors of GPUs go through the memory of the CPU.
    #[default]
    Gloo,
    /// NCCL, among GPUs.
    Nccl,
}

impl Backend {
    /// PyTorch's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gloo => "gloo",
            Self::Nccl => "nccl",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Self::Gloo, Self::Nccl].into_iter().find(|backend| backend.name() == name);
        known.ok_or_else(|| format!("expected gloo or nccl, found {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_pytorchs() {
        assert_eq!("nccl".parse(), Ok(Backend::Nccl));
        assert_eq!("mpi".parse::<Backend>(), Err("expected gloo or nccl, found mpi".to_owned()));
    }
}
