//! The levels of two backbones: `cargo run -p polyptych-backbones --example
//! features`.

use polyptych_backbones::{BackboneConfig, Options};
use polyptych_tensor::{Device, Kind, NoAdapter, Store, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for name in ["swin_micro_patch4_window4_128", "vit_micro_patch8_128"] {
        let config = BackboneConfig::from_name(name)?;
        let store = Store::new(Device::Cpu);
        let backbone = config.init(&store.root(), &NoAdapter::Frozen, Options::default())?;
        let image = Tensor::zeros([1, 3, 128, 128], (Kind::Float, Device::Cpu));
        let levels = backbone.forward_intermediates(&image, false)?.levels;
        println!("{name}");
        for (level, info) in levels.iter().zip(backbone.feature_info()) {
            println!("  1/{}: {:?}", info.reduction, level.shared().map(Tensor::size));
        }
    }
    Ok(())
}
