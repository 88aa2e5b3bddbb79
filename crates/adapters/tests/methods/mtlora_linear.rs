//! One adapted linear layer of MTLoRA against its equations.
//!
//! `oracles/mtlora_linear.safetensors` holds what PyTorch 2.11.0 made of the equations in float32
//! on the CPU with seed 12: shared rank 6, task ranks 2, 4 and 3, scales 4, 2 and 0.5.
use polyptych_adapters::{AdapterConfig, Form};
use polyptych_formats::TensorFile;
use polyptych_tensor::{
    Activations, Device, LoadOptions, Projection, Site, SiteKind, Store, Tensor,
};
use serde_json::json;

use crate::support::{TOLERANCE, alone, below, close, layer, oracle, site, tasks};

const ORDERS: [[&str; 3]; 2] =
    [["semseg", "normals", "saliency"], ["saliency", "semseg", "normals"]];

fn config(shared_mode: &str) -> AdapterConfig {
    crate::support::adapter(json!({
        "method": "mtlora",
        "r": 6,
        "r_per_task": {"semseg": 2, "normals": 4, "saliency": 3},
        "scale": 4.0,
        "scale_per_task": {"normals": 2.0, "saliency": 0.5},
        "shared_mode": shared_mode,
    }))
}

fn loaded(shared_mode: &str, order: &[&str], file: &TensorFile) -> (Store, Box<dyn Projection>) {
    let site = site("layers.0.blocks.1.mlp.fc1", SiteKind::Fc1, [24, 40]);
    let (store, projection) = layer(&config(shared_mode), &tasks(order), &site);
    store.load("oracle", &below(file, "weights."), &LoadOptions::default()).unwrap();
    (store, projection)
}

/// A leaf that collects a gradient.
fn input(name: &str, file: &TensorFile) -> Tensor {
    file.tensors[&format!("input.{name}")].copy().set_requires_grad(true)
}

fn compare(name: &str, found: &Tensor, file: &TensorFile) {
    close(name, found, &file.tensors[&format!("output.{name}")], TOLERANCE);
}

#[test]
fn tasks_that_read_the_shared_stream() {
    let _alone = alone();
    let file = oracle("mtlora_linear");
    for order in ORDERS {
        let (_, projection) = loaded("matrix", &order, &file);
        let out = projection.forward(&Activations::Shared(input("x", &file)), false);
        compare("shared", out.expect_shared(), &file);
        for (index, task) in order.iter().enumerate() {
            compare(&format!("{task}.from_shared"), &out.task(index as i64), &file);
        }
    }
}

#[test]
fn tasks_that_read_their_own_streams() {
    let _alone = alone();
    let file = oracle("mtlora_linear");
    for (shared_mode, suffix) in [("matrix", "from_task"), ("matrixv2", "from_task_plus_shared")] {
        for order in ORDERS {
            let (_, projection) = loaded(shared_mode, &order, &file);
            let streams = order.map(|task| input(&format!("x_task.{task}"), &file));
            let per_task = Tensor::stack(&streams, 0);
            let x = Activations::Both { shared: input("x", &file), per_task };
            let out = projection.forward(&x, false);
            compare("shared", out.expect_shared(), &file);
            for (index, task) in order.iter().enumerate() {
                compare(&format!("{task}.{suffix}"), &out.task(index as i64), &file);
            }
        }
    }
}

#[test]
fn gradients_of_inputs_and_task_factors() {
    let _alone = alone();
    let file = oracle("mtlora_linear");
    let order = ORDERS[1];
    let (store, projection) = loaded("matrix", &order, &file);
    let x = input("x", &file);
    let streams = order.map(|task| input(&format!("x_task.{task}"), &file));
    let per_task = Tensor::stack(&streams, 0);
    let out = projection.forward(&Activations::Both { shared: x.shallow_clone(), per_task }, false);
    let sum = |t: &Tensor| t.square().sum(t.kind());
    (sum(out.expect_shared()) + sum(out.per_task().unwrap())).backward();

    // Gradients are up to 1e2, so their last bits weigh more than those of outputs.
    let compare = |name: &str, tensor: &Tensor| {
        let expected = &file.tensors[&format!("output.grad.{name}")];
        let largest = expected.abs().max().double_value(&[]);
        close(name, &(tensor.grad() / largest), &(expected / largest), TOLERANCE);
    };
    compare("x", &x);
    for (task, stream) in order.iter().zip(&streams) {
        compare(&format!("x_task.{task}"), stream);
    }
    let factors = store.tensors().into_iter().filter(|(name, _)| name.starts_with("lora_tasks_A"));
    assert_eq!(factors.map(|(name, tensor)| compare(&name, &tensor)).count(), 3);
}

/// Lists give a layer the numbers of its stage.
#[test]
fn lists_are_read_by_stage() {
    let _alone = alone();
    let file = oracle("mtlora_linear");
    let order = ORDERS[0];
    let lists = crate::support::adapter(json!({
        "method": "mtlora",
        "r": [1, 6, 2],
        "r_per_task": {"semseg": [9, 2, 9], "normals": [9, 4, 9], "saliency": 3},
        "scale": [1.0, 4.0, 1.0],
        "scale_per_task": {"normals": [9.0, 2.0, 9.0], "saliency": 0.5},
    }));
    let site = Site { stage: 1, ..site("layers.1.blocks.1.mlp.fc1", SiteKind::Fc1, [24, 40]) };
    let (store, projection) = layer(&lists, &tasks(&order), &site);
    store.load("oracle", &below(&file, "weights."), &LoadOptions::default()).unwrap();
    let out = projection.forward(&Activations::Shared(input("x", &file)), false);
    compare("shared", out.expect_shared(), &file);
    for (index, task) in order.iter().enumerate() {
        compare(&format!("{task}.from_shared"), &out.task(index as i64), &file);
    }
    let short = crate::support::adapter(json!({"method": "mtlora", "r": [4, 4]}));
    let plan = short.plan(&tasks(&order), Form::Adapted).unwrap();
    let store = Store::new(Device::Cpu);
    let site = Site { stage: 2, ..site };
    let message = plan.projection(&store.root(), &site).unwrap_err().to_string();
    let expected = "r: expected one number per stage of the backbone, 3 or more, found 2 numbers";
    assert_eq!(message, expected);
}
