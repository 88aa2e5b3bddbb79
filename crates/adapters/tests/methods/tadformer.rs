//! TADFormer on a whole Swin beside the code of a fork that has the paper's filter.
//!
//! `oracles/tadformer_swin.safetensors` holds what PyTorch 2.12.1 made of random parameters and a
//! random image with `Malygossssss/TADFormer@384a4fe`, without dropout, under our names.
use polyptych_adapters::Form;
use serde_json::json;

use crate::support::{Built, TASKS, TOLERANCE, adapter, alone, below, difference, oracle};

#[test]
fn a_swin_gives_what_the_released_layers_give() {
    let _alone = alone();
    let file = oracle("tadformer_swin");
    let config = adapter(json!({"method": "tadformer", "r": 2}));
    let built = Built::adapted(&crate::support::swin(), &config, Form::Adapted);
    built.load(&below(&file, "parameters."));
    let levels = built.eval(&file.tensors["image"]).levels;
    for (index, level) in levels.iter().enumerate() {
        let expected = |stream: &str| &file.tensors[&format!("level.{index}.{stream}")];
        let tasks = (0..).zip(TASKS).map(|(at, task)| (level.task(at), expected(task)));
        let shared = level.expect_shared().shallow_clone();
        for (found, expected) in tasks.chain([(shared, expected("shared"))]) {
            let largest = expected.abs().max().double_value(&[]);
            let difference = difference(&found, expected) / largest;
            assert!(difference < TOLERANCE, "level {index}: {difference}");
        }
    }
}
