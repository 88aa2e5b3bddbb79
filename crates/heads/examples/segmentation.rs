//! A head on features of one's own: `cargo run -p polyptych-heads --example segmentation`.

use polyptych_heads::segformer::SegformerConfig;
use polyptych_heads::{HeadConfig, HeadInput, upsample};
use polyptych_tensor::{Device, Kind, Store, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::new(Device::Cpu);
    let config = HeadConfig::from(SegformerConfig { embed_dim: 64, dropout: 0.0 });
    let (channels, classes) = ([32, 64], 21);
    let head = config.init(&store.root(), &channels, 0, classes)?;

    // Levels of a pyramid, finest first: [batch, height, width, channels].
    let level =
        |size: i64, dim: i64| Tensor::randn([1, size, size, dim], (Kind::Float, Device::Cpu));
    let features = HeadInput { levels: vec![level(32, 32), level(16, 64)], ..HeadInput::default() };
    let raw = head.forward(&features, false)?;
    let map = upsample(&raw, [128, 128])?.argmax(1, false);
    println!("raw {:?}, classes {:?}", raw.size(), map.size());
    println!("{} parameters", store.trainable().iter().map(|(_, t)| t.numel()).sum::<usize>());
    Ok(())
}
