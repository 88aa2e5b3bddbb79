//! Weights that ship with the crate, as `architecture.tag`.
//!
//! They come from the recipes `pretrain-swin` and `pretrain-vit` of this repository; the page
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
        &[$(($name, include_bytes!(concat!("../../weights/", $name, ".safetensors")))),*]
    };
}

const SHIPPED: &[(&str, &[u8])] = shipped![
    "swin_micro_patch4_window4_128.scenes_cifar10",
    "vit_micro_patch8_128.scenes_cifar10",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackboneConfig, Options};
    use polyptych_formats::file;
    use polyptych_tensor::{Device, LoadOptions, NoAdapter, Store};

    #[test]
    fn every_shipped_file_fits_its_architecture() {
        for name in names() {
            let (architecture, _) = name.split_once('.').unwrap();
            let config = BackboneConfig::from_name(architecture).unwrap().with_num_classes(0);
            let store = Store::new(Device::Cpu);
            let _ = config.init(&store.root(), &NoAdapter::Full, Options::default()).unwrap();
            let tensors = file::parse(name, bytes(name).unwrap()).unwrap().tensors;
            let resample = |n: &str, t: &_, wanted: &[i64]| config.resample(n, t, wanted);
            let options = LoadOptions { resample: Some(&resample), ..LoadOptions::default() };
            let report = store.load(name, &tensors, &options).unwrap();
            assert!(report.missing.is_empty() && report.unused.is_empty(), "{report}");
            assert!(bytes(name).unwrap().len() < 8_000_000);
        }
        assert_eq!(bytes("resnet50.a1_in1k"), None);
    }
}
