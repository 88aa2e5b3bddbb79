//! Functions of every kind through a file and back, at several sizes of the batch.

use std::path::Path;

use tch::{Device, Kind};

use super::proto::{NodeProto, TensorProto};
use super::*;
use crate::ScriptConfig;

fn random(size: &[i64]) -> Tensor {
    let _drawing = crate::testing::alone();
    Tensor::randn(size, (Kind::Float, Device::Cpu))
}

fn save(path: &Path, names: &[&str], forward: impl Fn(&Tensor) -> Vec<Tensor>) -> Result<Onnx> {
    let outputs: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let config = ScriptConfig { image: [3, 4, 6], outputs: &outputs, extra: "{}" };
    Onnx::save(&Traced::new::<Error>(path, &config, |image| Ok(forward(image)))?)?;
    Onnx::open(path)
}

/// Writes `forward`, reads it back and compares at three sizes of the batch.
fn same(forward: impl Fn(&Tensor) -> Tensor) -> Onnx {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let onnx = save(&path, &["sal"], |image| vec![forward(image)]).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    for batch in [1, 3, 8] {
        let image = random(&[batch, 3, 4, 6]);
        let (found, expected) = (onnx.forward(&image).unwrap(), forward(&image));
        assert_eq!((found[0].0.as_str(), found[0].1.size()), ("sal", expected.size()));
        assert!(found[0].1.allclose(&expected, 1e-5, 1e-6, false));
    }
    onnx
}

#[test]
fn roots_exponentials_and_bounds_come_back() {
    let _ = same(|image| {
        let positive = (image * image + 1.0).sqrt().clamp_min(1.2);
        positive.exp().clamp_max(8.0)
    });
}

#[test]
fn sums_squares_and_transposed_matrices_come_back() {
    let matrix = random(&[6, 6]);
    let _ = same(|image| {
        let product = image.square().matmul(&matrix.tr());
        -product.sum_dim_intlist([1i64].as_slice(), true, None::<Kind>) + product
    });
}

#[test]
fn layers_of_a_model_come_back_at_any_batch() {
    let (kernel, bias) = (random(&[5, 3, 2, 2]), random(&[5]));
    let [weight, gain] = [random(&[7, 5]), random(&[5])];
    let statistics = [random(&[5]), random(&[5]).abs() + 0.5];
    let _ = same(|image| {
        let map = image.conv2d(&kernel, Some(&bias), [2, 2], [0, 0], [1, 1], 1);
        let [mean, variance] = &statistics;
        let normed = map.batch_norm(
            Some(&gain),
            Some(&bias),
            Some(mean),
            Some(variance),
            false,
            0.1,
            1e-5,
            false,
        );
        let tokens = normed.relu().feature_dropout(0.1, false).flatten(2, 3).transpose(1, 2);
        let tokens = tokens.layer_norm([5], Some(&gain), Some(&bias), 1e-6, false);
        let mut tokens = tokens.linear(&weight, None::<&Tensor>).gelu("none");
        tokens += tokens.layer_norm([7], None::<&Tensor>, None::<&Tensor>, 1e-5, false);
        let scores = tokens.matmul(&tokens.transpose(-2, -1)) * 0.25;
        scores.softmax(-1, Kind::Float).matmul(&tokens).mean_dim(
            [1i64].as_slice(),
            false,
            Kind::Float,
        )
    });
    for aligned in [false, true] {
        let _ = same(|image| image.upsample_bilinear2d([7, 5], aligned, None, None));
    }
}

/// Positions that are fitted to the image's grid are numbers of the file, not operators.
#[test]
fn what_follows_from_the_model_alone_is_computed_once() {
    let (positions, unit) = (random(&[1, 1 + 4, 3]), random(&[1, 3, 2, 2]));
    let onnx = same(|image| {
        let (first, map) = (positions.narrow(1, 0, 1), positions.narrow(1, 1, 4));
        let map = map.to_kind(Kind::Float).reshape([1, 2, 2, 3]).permute([0, 3, 1, 2]);
        let map = map.internal_upsample_bicubic2d_aa([4, 6], false, None, None);
        let tiled = map + unit.repeat([1, 1, 2, 3]);
        image + tiled + first.permute([0, 2, 1]).unsqueeze(3)
    });
    let operators: Vec<_> = onnx.graph.node.iter().map(|n| n.op_type.as_deref().unwrap()).collect();
    assert!(!operators.contains(&"Resize") && !operators.contains(&"Reshape"), "{operators:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let message = save(&path, &["sal"], |image| {
        vec![image.internal_upsample_bicubic2d_aa([8, 12], false, None, None)]
    });
    let message = message.unwrap_err().to_string();
    assert!(message.contains("`image` depends on the image"), "{message}");
}

/// Numbers of the same bytes, whatever the sizes of the batch; weights are bytes in the file.
#[test]
fn numbers_rounded_to_bytes_come_back_as_bytes() {
    let (weight, scale) = (random(&[6, 5]), random(&[5]).abs() / 64.0 + 0.01);
    let zeros = scale.zeros_like().to_kind(Kind::Int);
    let onnx = same(|image| {
        let rounded = image.fake_quantize_per_tensor_affine(0.0625, 100, 0, 255);
        let weight = weight.fake_quantize_per_channel_affine(&scale, &zeros, 1, -127, 127);
        rounded.matmul(&weight)
    });
    let held = |name: &str| onnx.graph.initializer.iter().find(|t| t.name.as_deref() == Some(name));
    let bytes = held("c0.int8").unwrap().tensor().unwrap();
    assert_eq!((bytes.kind(), bytes.size()), (Kind::Int8, vec![6, 5]));
    assert_eq!(held("u100").unwrap().tensor().unwrap().kind(), Kind::Uint8);
    let operators = onnx.graph.node.iter().map(|node| node.op_type.as_deref().unwrap());
    let expected = ["QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "MatMul", "Identity"];
    assert_eq!(operators.collect::<Vec<_>>(), expected);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let refused = |forward: &dyn Fn(&Tensor) -> Tensor| {
        save(&path, &["sal"], |image| vec![forward(image)]).unwrap_err().to_string()
    };
    let message = refused(&|image| image.fake_quantize_per_tensor_affine(0.1, 0, -128, 127));
    assert!(message.contains("expected bytes from 0 to 255"), "{message}");
    let ones = Tensor::ones([3], (Kind::Float, Device::Cpu));
    let zeros = ones.zeros_like().to_kind(Kind::Int);
    let message =
        refused(&|image| image.fake_quantize_per_channel_affine(&ones, &zeros, 1, -127, 127));
    assert!(message.contains("expected numbers of the model"), "{message}");
}

#[test]
fn axes_of_a_model_come_back_at_any_batch() {
    let (table, token) = (random(&[9, 2]), random(&[1, 1, 6]));
    let index = Tensor::from_slice(&[8i64, 0, 4]);
    let _ = same(|image| {
        let batch = image.size()[0];
        let rolled = image.constant_pad_nd([1, 2, 0, 1]).roll([-2, 1], [2, 3]).narrow(2, 0, 4);
        let halves = rolled.reshape([batch * 2, 2, 27]).view([2, batch, 54]);
        let joined = halves.flatten(0, 1).reshape([2, -1, 54]).select(0, 1);
        let rows = image.flatten(1, 2).permute([2, 0, 1]).unflatten(2, [3i64, 4]).slice(0, 2, 5, 1);
        let rows = Tensor::stack(&[&rows, &(&rows - 1.5)], 1).mean_dim(
            [0i64, 1, 3].as_slice(),
            false,
            Kind::Float,
        );
        let tokens = Tensor::cat(&[token.expand([batch, -1, -1], false), image.select(1, 0)], 1);
        let picked = table.index_select(0, &index).view([1, 6]).expand([batch, 6], false);
        Tensor::cat(&[joined, rows.reshape([batch, -1]) / 2.0, tokens.flatten(1, -1), picked], 1)
    });
}

#[test]
fn names_and_edition_are_those_of_the_format() {
    let weight = random(&[4, 6]);
    let onnx = same(|image| image.linear(&weight, None::<&Tensor>) + 1.0);
    assert_eq!((onnx.opset(), onnx.outputs()), (20, vec!["sal"]));
    let operators = onnx.graph.node.iter().map(|node| node.op_type.as_deref().unwrap());
    assert_eq!(operators.collect::<Vec<_>>(), ["MatMul", "Add", "Identity"]);
    let held = onnx.graph.initializer.iter().map(|tensor| tensor.name.as_deref().unwrap());
    assert_eq!(held.collect::<Vec<_>>(), ["c0.T", "f1"]);
    let extents = |info: &proto::ValueInfoProto| {
        let tensor = info.r#type.clone().unwrap().tensor_type.unwrap();
        let dims = tensor.shape.unwrap().dim.into_iter();
        dims.map(|dim| dim.dim_param.unwrap_or_else(|| dim.dim_value.unwrap().to_string()))
            .collect::<Vec<_>>()
    };
    assert_eq!(extents(&onnx.graph.input[0]), ["batch", "3", "4", "6"]);
    assert_eq!(extents(&onnx.graph.output[0]), ["batch", "3", "4", "4"]);
}

#[test]
fn what_has_no_counterpart_is_named_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let refused = |names: &[&str], forward: fn(&Tensor) -> Tensor| {
        let message = save(&path, names, |image| vec![forward(image)]).unwrap_err().to_string();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        message
    };
    let message = refused(&["sal"], |image| image.erfinv());
    assert!(message.ends_with("ONNX: torch.erfinv: no operator is known for it"), "{message}");
    let message = refused(&["sal"], |image| image.to_kind(Kind::Half));
    assert!(message.contains("ONNX: torch.to: dtype: expected"), "{message}");
    let message = refused(&["image"], |image| image * 2.0);
    assert!(message.ends_with("ONNX: output `image`: the input has this name"), "{message}");
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let refused = |change: &dyn Fn(&mut GraphProto)| {
        let mut graph = save(&path, &["sal"], |image| vec![image * 2.0]).unwrap().graph;
        change(&mut graph);
        std::fs::write(&path, model(graph, "").encode_to_vec()).unwrap();
        let forward = |onnx: Onnx| onnx.forward(&random(&[1, 3, 4, 6]));
        let message = Onnx::open(&path).and_then(forward).unwrap_err().to_string();
        message.split_once("ONNX: ").unwrap().1.to_owned()
    };
    let found = refused(&|graph| graph.node[0].input[0] = "gone".into());
    assert_eq!(found, "/Mul_0: `gone` does not stand before it");
    let found = refused(&|graph| graph.output[0].name = Some("edge".into()));
    assert_eq!(found, "output `edge`: no operator gives it");
    let found = refused(&|graph| graph.input.clear());
    assert_eq!(found, "no input `image`");
    let found = refused(&|graph| graph.node.push(graph.node[0].clone()));
    assert_eq!(found, "/Mul_0: `/Mul_0` is there twice");
    let found = refused(&|graph| graph.node[0].op_type = Some("Loop".into()));
    assert_eq!(found, "/Mul_0: operator `Loop` is not one of ours");
    let found = refused(&|graph| graph.initializer[0].dims = vec![i64::MAX, 4]);
    assert_eq!(found, format!("f2: 4 bytes for a shape of [{}, 4]", i64::MAX));
    let found = refused(&|graph| {
        graph.initializer[0] = TensorProto { name: Some("f2".into()), ..Default::default() }
    });
    assert_eq!(found, "f2: numbers of type 0");
    let found =
        refused(&|graph| graph.node[0] = NodeProto { input: vec![], ..graph.node[0].clone() });
    assert_eq!(found, "/Mul_0: no input 0");
    std::fs::write(&path, b"no message").unwrap();
    assert!(Onnx::open(&path).is_err());
}
