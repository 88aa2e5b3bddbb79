//! Weights that ship with the crate, as `architecture.tag`.
//!
//! They were made by the recipes `pretrain-swin` and `pretrain-vit` of this repository; the page
//! `docs/results/pretraining.md` says what they scored.

/// The safetensors file `name`, such as `swin_micro_patch4_window4_128.scenes_cifar10`, in half
/// precision and under timm's names; `None` where no such weights ship.
pub fn bytes(name: &str) -> Option<&'static [u8]> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, bytes)| *bytes)
}

/// Names of all shipped weights.
pub fn names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).collect()
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../weights/", $name, ".safetensors")))),*]
    };
}

const SHIPPED: &[(&str, &[u8])] = shipped!["swin_micro_patch4_window4_128.scenes_cifar10"];
