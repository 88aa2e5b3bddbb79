//! Named parameters, layers and an optimiser: `cargo run -p polyptych-tensor --example regression`.

use polyptych_tensor::optim::{AdamW, AdamWConfig, Optimiser, decay_groups};
use polyptych_tensor::{Device, Kind, Linear, Store, Tensor, manual_seed};

fn main() -> polyptych_tensor::Result<()> {
    manual_seed(0);
    let store = Store::new(Device::Cpu);
    let root = store.root();
    let hidden = Linear::new(&root.pp("hidden"), 1, 16, true)?;
    let output = Linear::new(&root.pp("output"), 16, 1, true)?;

    let x = Tensor::linspace(-3.0, 3.0, 64, (Kind::Float, Device::Cpu)).unsqueeze(1);
    let target = x.sin();
    let mut optimiser = AdamW::new(AdamWConfig::default(), decay_groups(store.trainable(), 0.01));
    for step in 0..200 {
        let loss =
            (output.forward(&hidden.forward(&x).tanh()) - &target).square().mean(Kind::Float);
        store.zero_grad();
        loss.backward();
        optimiser.step(1e-2)?;
        if step % 50 == 0 {
            println!("step {step}: loss {:.4}", loss.double_value(&[]));
        }
    }
    for (name, tensor) in store.tensors() {
        println!("{name}: {:?}", tensor.size());
    }
    Ok(())
}
