//! Packed matrices against the matrices that they were.

use super::*;

/// Rows and columns that fill no tile, no vector and no panel; an odd depth; several panels.
const SIZES: [[i64; 3]; 7] = [
    [1, 16, 16],
    [13, 150, 100],
    [197, 128, 65],
    [5, 96, 3],
    [6, 384, 192],
    [29, 33, 70],
    [700, 64, 320],
];

#[test]
fn a_packed_product_is_that_of_its_matrix_to_the_last_bit() {
    let _drawing = alone();
    for (kind, _) in TYPES {
        for [rows, depth, out] in SIZES {
            let given = |shape: &[i64]| random(shape, kind).detach();
            let (x, weight) = (given(&[rows, depth]), given(&[out, depth]));
            let bias = given(&[out]);
            let Some(packed) = PackedWeight::new(&weight) else { continue };
            assert!(packed.weight().equal(&weight), "{rows} {depth} {out}");
            let plain = [linear(&x, &weight, None), linear(&x, &weight, Some(&bias))];
            assert!(packed.linear(&x, None, false).equal(&plain[0]));
            assert!(packed.linear(&x, Some(&bias), false).equal(&plain[1]));
            let plain = linear_gelu(&x, &weight, Some(&bias));
            assert!(packed.linear(&x, Some(&bias), true).equal(&plain));
            let images = x.view([1, rows, depth]);
            assert_eq!(packed.linear(&images, None, false).size(), [1, rows, out]);
        }
    }
}

/// What vectors multiply is packed, in float32 at least.
#[test]
fn wide_vectors_read_packed_matrices() {
    let packs = |kind| PackedWeight::new(&Tensor::ones([32, 64], (kind, Device::Cpu))).is_some();
    let tiles = |bf16| {
        let shape = ProductShape { bf16, depth: 64, width: 32, rank: 0 };
        Instructions::in_use().unwrap().product(shape) == Product::Tiles
    };
    assert_eq!(packs(Kind::Float), tiles(false));
    assert!(!packs(Kind::BFloat16) || tiles(true));
    assert!(!packs(Kind::Double) && !packs(Kind::Int8));
    assert!(PackedWeight::new(&Tensor::ones([64], (Kind::Float, Device::Cpu))).is_none());
}

/// Inputs that learn, and those of another type.
#[test]
fn what_no_packed_product_serves_is_computed_with_the_matrix() {
    let _drawing = alone();
    let weight = random(&[20, 24], Kind::Float).detach();
    let Some(packed) = PackedWeight::new(&weight) else { return };
    let x = random(&[3, 24], Kind::Float);
    let fast = passes(&[&x], |t| packed.linear(&t[0], None, false));
    agree(&fast, &passes(&[&x], |t| linear(&t[0], &weight, None)), 1e-6);
    let double = random(&[3, 24], Kind::Double).detach();
    let expected = double.matmul(&weight.to_kind(Kind::Double).tr());
    agree(&[packed.linear(&double, None, false)], &[expected], 1e-12);
}

#[test]
fn another_depth_is_refused() {
    let weight = Tensor::ones([20, 24], (Kind::Float, Device::Cpu));
    let Some(packed) = PackedWeight::new(&weight) else { return };
    let wrong = || packed.linear(&weight.narrow(1, 0, 16), None, false);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wrong)).unwrap_err();
    let message = panicked.downcast_ref::<String>().unwrap();
    assert!(message.contains("packed_linear: expected x [.., 24]"), "{message}");
}
