//! Tensors to a file and back: `cargo run -p polyptych-formats --example safetensors`.

use std::collections::HashMap;

use polyptych_formats::file;
use polyptych_tensor::{Device, Kind, Tensor, Tensors};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("polyptych-{}.safetensors", std::process::id()));
    let weight = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([2, 3]);
    let tensors: Tensors = [("head.weight".to_owned(), weight)].into_iter().collect();
    let metadata = HashMap::from([("architecture".to_owned(), "toy".to_owned())]);
    file::save(&path, &tensors, metadata)?;

    let read = file::load(&path)?;
    println!("{:?}", read.metadata);
    for (name, tensor) in &read.tensors {
        println!("{name}: {:?} {:?}", tensor.kind(), tensor.size());
    }
    assert!(read.tensors["head.weight"].equal(&tensors["head.weight"]));

    // A file that claims more than it has is an error that names it.
    let whole = std::fs::read(&path)?;
    std::fs::write(&path, &whole[..whole.len() - 4])?;
    if let Err(damage) = file::load(&path) {
        println!("cut off: {damage}");
    }
    std::fs::remove_file(&path)?;
    Ok(())
}
