//! Matrices that are packed to predict.

use crate::common::{alone, recipe, train};
use polyptych_engine::OpenRun;
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

/// Frozen maps beside adapted ones, and maps that trained and stay in float32.
#[test]
fn a_packed_model_gives_what_it_gave() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let lora = "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"]}";
    for (method, adapter) in [("lora", lora), ("full", "adapter={method=\"full\"}")] {
        for precision in ["fp32", "bf16"] {
            let path = folder.path().join(format!("{method}-{precision}"));
            let precision = format!("precision={precision:?}");
            drop(train(recipe(&[adapter, &precision]), &path));
            let model = OpenRun::open(&path, false, None).unwrap().model;
            let images = Tensor::rand([3, 3, 32, 32], (Kind::Float, Device::Cpu));
            let pass = || no_grad(|| model.forward(&images, false)).unwrap();
            let before = pass();
            model.pack_linear_maps();
            for (packed, plain) in pass().iter().zip(&before) {
                assert!(packed.equal(plain), "{method}, {precision}");
            }
        }
    }
}
