//! Linear maps of int8 against quantising, an exact product, and dequantising.

use super::*;

fn given(shape: &[i64], kind: Kind) -> Tensor {
    random(shape, kind).detach() + 0.25
}

/// Bytes of `x` without their zero point, and the scale of each row, in float64.
fn bytes_of(x: &Tensor, input: Option<QuantizedInput>) -> [Tensor; 2] {
    let x = x.to_kind(Kind::Float);
    let [scale, zero] = match input {
        Some(QuantizedInput { scale, zero_point }) => [scale, f64::from(zero_point)]
            .map(|number| x.new_full([1], number, (x.kind(), x.device()))),
        None => {
            let (least, most) =
                (x.amin([-1i64].as_slice(), true), x.amax([-1i64].as_slice(), true));
            let scale = (most.clamp_min(0.0) - least.clamp_max(0.0)) / 255.0;
            let zero = (-least.clamp_max(0.0) / &scale).round();
            [scale, zero]
        }
    };
    let bytes = ((x * scale.reciprocal()).round() + &zero).clamp(0.0, 255.0) - zero;
    [bytes, scale].map(|t| t.to_kind(Kind::Double))
}

fn plain(
    x: &Tensor,
    weight: &Int8Weight,
    bias: Option<&Tensor>,
    input: Option<QuantizedInput>,
    gelu: bool,
) -> Tensor {
    let [bytes, scale] = bytes_of(x, input);
    let sums = bytes.matmul(&weight.weight().to_kind(Kind::Double).tr());
    let y = sums * scale * weight.scale().to_kind(Kind::Double);
    let y = bias.map_or(y.shallow_clone(), |bias| y + bias.to_kind(Kind::Double));
    if gelu { y.gelu("none") } else { y }
}

/// Rounding of an output alone: sums are exact.
const TYPES: [(Kind, f64); 2] = [(Kind::Float, 2e-6), (Kind::BFloat16, 4e-3)];

#[test]
fn products_of_bytes_are_those_of_float64() {
    let _drawing = alone();
    let shapes: [(&[i64], i64); 7] = [
        (&[1, 8], 16),
        (&[2, 3, 48], 100),
        (&[197, 768], 65),
        (&[7, 5], 3),
        (&[13, 130], 17),
        (&[6, 3072], 64),
        (&[5, 64], 49),
    ];
    for (kind, tolerance) in TYPES {
        for (shape, out) in shapes {
            let x = given(shape, kind);
            let weight = Int8Weight::quantize(&given(&[out, *shape.last().unwrap()], Kind::Float));
            let bias = given(&[out], kind);
            let input = QuantizedInput::between(-2.0, 2.5);
            for (per_token, gelu) in [(true, false), (true, true), (false, true)] {
                let bias = (!gelu || per_token).then_some(&bias);
                let fast = weight.linear(&x, bias, input, per_token, gelu);
                let known = (!per_token).then_some(input);
                let plain = plain(&x, &weight, bias, known, gelu).to_kind(kind);
                agree(&[fast], &[plain], tolerance);
            }
        }
    }
}

/// A thread takes some rows or columns; no output depends on that.
#[test]
fn products_of_bytes_do_not_depend_on_the_rows_beside() {
    let _drawing = alone();
    let (x, weight) = (given(&[301, 96], Kind::Float), given(&[200, 96], Kind::Float));
    let (weight, input) = (Int8Weight::quantize(&weight), QuantizedInput::between(-1.0, 1.0));
    let all = weight.linear(&x, None, input, true, false);
    for row in [0, 5, 150, 300] {
        let alone = weight.linear(&x.narrow(0, row, 1), None, input, true, false);
        assert!(alone.allclose(&all.narrow(0, row, 1), 1e-6, 1e-6, false), "{row}");
    }
}

/// Rows and columns that fill no panel and no cell are cut off again.
#[test]
fn bytes_that_are_kept_are_those_that_were_given() {
    let _drawing = alone();
    for [out, deep] in [[1, 1], [3, 5], [64, 4], [65, 7], [100, 48], [200, 96]] {
        let bytes = (random(&[out, deep], Kind::Float).detach() * 40.0).clamp(-127.0, 127.0);
        let bytes = bytes.to_kind(Kind::Int8);
        let scale = Tensor::ones([out], (Kind::Float, Device::Cpu));
        let weight = Int8Weight::new(bytes.copy(), scale);
        assert!(weight.weight().equal(&bytes), "{out} {deep}");
        assert!(weight.dequantize().equal(&bytes.to_kind(Kind::Float)));
    }
}

#[test]
fn int8_stays_near_the_matrix_it_was() {
    let _drawing = alone();
    let (x, weight) = (given(&[64, 256], Kind::Float), given(&[128, 256], Kind::Float));
    let int8 = Int8Weight::quantize(&weight);
    let expected = x.linear(&weight, None::<&Tensor>);
    let input = QuantizedInput::between(x.min().double_value(&[]), x.max().double_value(&[]));
    for per_token in [true, false] {
        let found = int8.linear(&x, None, input, per_token, false);
        let apart = (&found - &expected).norm().double_value(&[]);
        let of = expected.norm().double_value(&[]);
        assert!(apart > 0.0 && apart < 0.015 * of, "{apart} of {of}");
    }
    let apart = (int8.dequantize() - &weight).abs() / int8.scale().unsqueeze(1);
    assert!(apart.max().double_value(&[]) <= 0.5001);
}

#[test]
fn numbers_that_are_not_finite_are_not_hidden() {
    let _drawing = alone();
    let weight = Int8Weight::quantize(&given(&[20, 24], Kind::Float));
    let input = QuantizedInput::between(-1.0, 1.0);
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for per_token in [true, false] {
            let x = given(&[3, 24], Kind::Float);
            let _ = x.get(1).get(7).fill_(number);
            let y = weight.linear(&x, None, input, per_token, false);
            let finite = y.isfinite();
            let rows = [0, 1, 2].map(|row| finite.get(row).all().int64_value(&[]) == 1);
            // A calibrated range cuts off what is too large, and infinity may be.
            let hides = !per_token && number.is_infinite();
            assert!(rows[0] && rows[2] && (!rows[1] || hides), "{number} {per_token}");
        }
    }
}

#[test]
fn rows_and_matrices_of_zeros_stay_zeros() {
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    let weight = Int8Weight::quantize(&zeros(&[20, 24]));
    assert!(weight.dequantize().equal(&zeros(&[20, 24])));
    let input = QuantizedInput::between(0.0, 0.0);
    assert_eq!(input, QuantizedInput { scale: 1.0, zero_point: 0 });
    let y = weight.linear(&zeros(&[3, 24]), None, input, true, false);
    assert!(y.equal(&zeros(&[3, 20])));
}

#[test]
fn a_traced_int8_map_is_the_calibrated_one() {
    let _drawing = alone();
    let (x, weight) = (given(&[9, 24], Kind::Float), given(&[20, 24], Kind::Float));
    let (weight, bias) = (Int8Weight::quantize(&weight), given(&[20], Kind::Float));
    let input = QuantizedInput::between(-3.0, 3.0);
    let mut traced = |xs: &[Tensor]| vec![weight.linear(&xs[0], Some(&bias), input, true, true)];
    let module = tch::CModule::create_by_tracing("m", "forward", &[x.shallow_clone()], &mut traced);
    let found = module.unwrap().forward_ts(&[&x]).unwrap();
    agree(&[found], &[weight.linear(&x, Some(&bias), input, false, true)], 1e-5);
}

#[test]
fn int8_of_other_shapes_is_refused() {
    let of = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    let weight = Int8Weight::quantize(&of(&[20, 24]));
    let input = QuantizedInput::between(-1.0, 1.0);
    let wrong = || weight.linear(&of(&[3, 25]), None, input, true, false);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wrong)).unwrap_err();
    let message = panicked.downcast_ref::<String>().unwrap();
    assert!(message.starts_with("int8_linear: int8_linear: expected x [.., in]"), "{message}");
}
