//! The operators of a graph, run one by one as ONNX defines them.

mod inputs;
mod quantize;

use std::collections::HashMap;

use tch::{TchError, Tensor};

use super::graph::INPUT;
use super::proto::{GraphProto, NodeProto};

type Checked<T> = Result<T, String>;

/// The outputs of `graph` by name.
pub(super) fn run(graph: &GraphProto, image: &Tensor) -> Checked<Vec<(String, Tensor)>> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for name in graph.node.iter().flat_map(|node| &node.input) {
        *uses.entry(name).or_default() += 1;
    }
    let mut known = HashMap::from([(INPUT, image.shallow_clone())]);
    for tensor in &graph.initializer {
        known.insert(tensor.name.as_deref().unwrap_or_default(), tensor.tensor()?);
    }
    for node in &graph.node {
        let name = node.name.as_deref().unwrap_or_default();
        let inputs: Vec<Option<Tensor>> = node
            .input
            .iter()
            .map(|input| known.get(input.as_str()).map(Tensor::shallow_clone))
            .collect();
        let output = Operator { node, inputs }.run().map_err(|e| format!("{name}: {e}"))?;
        for input in &node.input {
            let left = uses.entry(input).and_modify(|left| *left -= 1).or_default();
            if *left == 0 {
                known.remove(input.as_str());
            }
        }
        known.insert(node.output.first().ok_or_else(|| format!("{name}: no output"))?, output);
    }
    let output = |name: &String| {
        let tensor = known.get(name.as_str()).ok_or_else(|| format!("no output `{name}`"))?;
        Ok((name.clone(), tensor.shallow_clone()))
    };
    graph.output.iter().filter_map(|output| output.name.as_ref()).map(output).collect()
}

struct Operator<'a> {
    node: &'a NodeProto,
    inputs: Vec<Option<Tensor>>,
}

impl Operator<'_> {
    fn run(&self) -> Checked<Tensor> {
        let x = self.input(0)?;
        let said = |e: TchError| e.to_string().lines().next().unwrap_or_default().to_owned();
        match self.node.op_type.as_deref().unwrap_or_default() {
            "Add" => x.f_add(self.input(1)?),
            "BatchNormalization" => return self.batch_norm(x),
            "Concat" => Tensor::f_cat(
                &self.inputs.iter().flatten().collect::<Vec<_>>(),
                self.int("axis", 0),
            ),
            "Conv" => return self.convolution(x),
            "DequantizeLinear" => return self.dequantize(x),
            "Div" => x.f_div(self.input(1)?),
            "Exp" => x.f_exp(),
            "Expand" => return self.expand(x),
            "Gather" => return self.gather(x),
            "Gelu" => x.f_gelu(self.text("approximate", "none")),
            "Identity" => Ok(x.shallow_clone()),
            "LayerNormalization" => return self.layer_norm(x),
            "MatMul" => x.f_matmul(self.input(1)?),
            "Max" => x.f_maximum(self.input(1)?),
            "Min" => x.f_minimum(self.input(1)?),
            "Mul" => x.f_mul(self.input(1)?),
            "Neg" => x.f_neg(),
            "Pad" => return self.pad(x),
            "QuantizeLinear" => return self.quantize(x),
            "ReduceMean" => x.f_mean_dim(self.integers(1)?, self.int("keepdims", 1) != 0, x.kind()),
            "ReduceSum" => {
                let (axes, kept) = (self.integers(1)?, self.int("keepdims", 1) != 0);
                x.f_sum_dim_intlist(axes.as_slice(), kept, x.kind())
            }
            "ReduceMax" => x.f_amax(self.integers(1)?, self.int("keepdims", 1) != 0),
            "Relu" => x.f_relu(),
            "Reshape" => return self.reshape(x),
            "Resize" => return self.resize(x),
            "Shape" => return Ok(self.shape(x)),
            "Sigmoid" => x.f_sigmoid(),
            "Slice" => return self.slice(x),
            "Softmax" => x.f_softmax(self.int("axis", -1), x.kind()),
            "Sqrt" => x.f_sqrt(),
            "Sub" => x.f_sub(self.input(1)?),
            "Tanh" => x.f_tanh(),
            "Transpose" => x.f_permute(self.ints("perm")),
            "Unsqueeze" => return self.unsqueeze(x),
            other => return Err(format!("operator `{other}` is not one of ours")),
        }
        .map_err(said)
    }

    fn batch_norm(&self, x: &Tensor) -> Checked<Tensor> {
        let [scale, bias, mean, variance] =
            [self.input(1)?, self.input(2)?, self.input(3)?, self.input(4)?];
        let epsilon = self.float("epsilon", 1e-5);
        let norm = x.f_batch_norm(
            Some(scale),
            Some(bias),
            Some(mean),
            Some(variance),
            false,
            0.0,
            epsilon,
            false,
        );
        norm.map_err(|e| e.to_string())
    }

    fn convolution(&self, x: &Tensor) -> Checked<Tensor> {
        let pads = self.ints("pads");
        let (before, behind) = pads.split_at(pads.len() / 2);
        if before != behind {
            return Err(format!("pads {pads:?} are not the same on both sides"));
        }
        let bias = self.inputs.get(2).and_then(Option::as_ref);
        let (strides, dilations) = (self.ints("strides"), self.ints("dilations"));
        let groups = self.int("group", 1);
        let found = x.f_conv2d(self.input(1)?, bias, strides, before, dilations, groups);
        found.map_err(|e| e.to_string())
    }

    fn layer_norm(&self, x: &Tensor) -> Checked<Tensor> {
        let axis = self.int("axis", -1);
        let from = if axis < 0 { axis + x.dim() as i64 } else { axis };
        let shape = x.size().split_off(usize::try_from(from).unwrap_or_default().min(x.dim()));
        let (scale, bias) = (self.input(1)?, self.inputs.get(2).and_then(Option::as_ref));
        let norm = x.f_layer_norm(shape, Some(scale), bias, self.float("epsilon", 1e-5), false);
        norm.map_err(|e| e.to_string())
    }

    /// 0 keeps the axis of the same place.
    fn reshape(&self, x: &Tensor) -> Checked<Tensor> {
        let (size, wanted) = (x.size(), self.integers(1)?);
        let keep = |(place, extent): (usize, i64)| match extent {
            0 => size.get(place).copied().unwrap_or_default(),
            _ => extent,
        };
        let shape: Vec<i64> = wanted.into_iter().enumerate().map(keep).collect();
        x.f_reshape(shape).map_err(|e| e.to_string())
    }

    /// Of two extents of an axis the one that is not 1.
    fn expand(&self, x: &Tensor) -> Checked<Tensor> {
        let wanted = self.integers(1)?;
        let ones = Tensor::f_ones(wanted, (x.kind(), x.device()));
        ones.and_then(|ones| x.f_mul(&ones)).map_err(|e| e.to_string())
    }

    fn gather(&self, x: &Tensor) -> Checked<Tensor> {
        let (indices, axis) = (self.input(1)?, self.int("axis", 0));
        let found = match indices.dim() {
            0 => x.f_select(axis, indices.int64_value(&[])),
            1 => x.f_index_select(axis, indices),
            other => return Err(format!("indices of {other} axes")),
        };
        found.map_err(|e| e.to_string())
    }

    fn slice(&self, x: &Tensor) -> Checked<Tensor> {
        let [starts, ends, axes] = [self.integers(1)?, self.integers(2)?, self.integers(3)?];
        let mut found = x.shallow_clone();
        for ((start, end), axis) in starts.into_iter().zip(ends).zip(axes) {
            found = found.f_slice(axis, start, end, 1).map_err(|e| e.to_string())?;
        }
        Ok(found)
    }

    fn pad(&self, x: &Tensor) -> Checked<Tensor> {
        let (pads, axes) = (self.integers(1)?, self.integers(3)?);
        let rank = x.dim();
        let mut from_end = vec![0; 2 * rank];
        for (place, axis) in axes.iter().enumerate() {
            let behind = usize::try_from(-axis).ok().filter(|at| (1..=rank).contains(at));
            let at = 2 * (behind.ok_or_else(|| format!("axis {axis}"))? - 1);
            let pair = (pads.get(place), pads.get(place + axes.len()));
            let (Some(before), Some(after)) = pair else { return Err("too few pads".into()) };
            (from_end[at], from_end[at + 1]) = (*before, *after);
        }
        let value = self.input(2)?.f_double_value(&[]).map_err(|e| e.to_string())?;
        x.f_pad(from_end, "constant", value).map_err(|e| e.to_string())
    }

    fn resize(&self, x: &Tensor) -> Checked<Tensor> {
        let places = self.text("coordinate_transformation_mode", "half_pixel");
        let size = self.integers(3)?;
        let is_kept = size.len() == 4 && size[..2] == x.size()[..2];
        if self.text("mode", "nearest") != "linear" || !is_kept {
            return Err("expected it linear along axes 2 and 3".into());
        }
        let aligned = places == "align_corners";
        let resized = x.f_upsample_bilinear2d(&size[2..], aligned, None, None);
        resized.map_err(|e| e.to_string())
    }

    fn shape(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let rank = size.len() as i64;
        let place = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
        let (start, end) = (place(self.int("start", 0)), place(self.int("end", rank)));
        Tensor::from_slice(&size[start.min(end)..end])
    }

    fn unsqueeze(&self, x: &Tensor) -> Checked<Tensor> {
        let mut found = x.shallow_clone();
        for axis in self.integers(1)? {
            found = found.f_unsqueeze(axis).map_err(|e| e.to_string())?;
        }
        Ok(found)
    }
}
