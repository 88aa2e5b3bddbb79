//! Live storages are counted over the whole process, so that this test has one of its own.

use polyptych_tensor::memory::live_storages;
use polyptych_tensor::{Device, Kind, Tensor};

#[test]
fn storages_are_counted_until_they_are_freed() {
    let before = live_storages();
    let x = Tensor::zeros([3, 4], (Kind::Float, Device::Cpu));
    let (view, copy) = (x.view([12]), x.copy());
    assert_eq!(live_storages(), before + 2);
    drop((x, copy));
    assert_eq!(live_storages(), before + 1);
    drop(view);
    assert_eq!(live_storages(), before);
}
