//! One decoder for all dense tasks of a model, which tasks modulate.
//!
//! ```text
//! z   = W_h [D_0 x_0; up(D_1 x_1); ..]                      shared
//! y_t = W_t relu(gamma_t norm_t(z) + beta_t) + b_t          of task t
//! ```
//!
//! `x_i` are the levels, `up` resizes to the finest bilinearly. Scale and shift of the hidden
//! channels are FiLM's (Perez et al., AAAI 2018, arXiv 1709.07871) with a constant for each task in
//! place of a network that makes them, in the form that FiLM generalises, conditional batch
//! normalisation. `norm_t` keeps running statistics of its own, since features of tasks may differ;
//! so nothing shared has a state, and a task more leaves the others as they are.
//!
//! A task has `2 hidden + (hidden + 1) outputs` parameters, the rest is there once.

use polyptych_registry::Part;
use polyptych_tensor::{Activations, BatchNorm2d, Conv2d, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::builder::{FeatureDims, HeadBuilder};
use crate::error::{Error, Result};
use crate::fuse::fuse;
use crate::head::{Head, HeadInput, SharedDecoder, channels_first, check_positions, check_sizes};

/// Widths of the decoder: all tasks that share it have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SharedDecoderConfig {
    /// What each level is reduced to, finest first; one number per level.
    pub channels: Vec<i64>,
    /// Width of the hidden layer, whose channels each task scales and shifts.
    pub hidden: i64,
}

impl Default for SharedDecoderConfig {
    fn default() -> Self {
        Self { channels: vec![18, 36, 72, 144], hidden: 128 }
    }
}

impl Part for SharedDecoderConfig {
    const NAME: &'static str = "shared_decoder";
    const SUMMARY: &'static str =
        "dense, one decoder for all tasks, which scale and shift its channels";

    fn example() -> Self {
        Self::default()
    }
}

impl HeadBuilder for SharedDecoderConfig {
    fn shares_decoder(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        if self.channels.is_empty() || self.channels.iter().any(|&c| c < 1) {
            let found = format!("{:?}", self.channels);
            return Err(Error::config("channels", "one number of 1 or more per level", found));
        }
        match self.hidden {
            hidden if hidden < 1 => Err(Error::config("hidden", "1 or more", hidden)),
            _ => Ok(()),
        }
    }

    /// `downsample_{i}` and `fuse`, 1 x 1 convolutions without bias, which normalisation
    /// would take out again.
    fn build_decoder(
        &self,
        scope: &Scope,
        FeatureDims { levels: feature_chs, .. }: FeatureDims,
    ) -> Result<Option<Box<dyn SharedDecoder>>> {
        if self.channels.len() != feature_chs.len() {
            let expected = format!("one number for each of {} levels", feature_chs.len());
            return Err(Error::config("channels", &expected, format!("{:?}", self.channels)));
        }
        let conv = |name: String, chans| Conv2d::new(&scope.pp(name), chans, [1, 1], false);
        let pairs = feature_chs.iter().zip(&self.channels).enumerate();
        let downsample = pairs.map(|(i, (&from, &to))| conv(format!("downsample_{i}"), [from, to]));
        let downsample = downsample.collect::<Result<_, _>>()?;
        let fused: i64 = self.channels.iter().sum();
        Ok(Some(Box::new(Decoder {
            feature_chs: feature_chs.to_vec(),
            downsample,
            fuse: conv("fuse".into(), [fused, self.hidden])?,
        })))
    }

    /// `norm`: batch normalisation, whose scale and shift are the task's; ReLU; `output`: 1 x 1
    /// convolution.
    fn build(&self, scope: &Scope, _features: FeatureDims, outputs: i64) -> Result<Box<dyn Head>> {
        Ok(Box::new(ModulatedHead {
            hidden: self.hidden,
            norm: BatchNorm2d::new(&scope.pp("norm"), self.hidden)?,
            output: Conv2d::new(&scope.pp("output"), [self.hidden, outputs], [1, 1], true)?,
        }))
    }
}

/// What tasks share.
#[derive(Debug)]
struct Decoder {
    feature_chs: Vec<i64>,
    downsample: Vec<Conv2d>,
    fuse: Conv2d,
}

impl SharedDecoder for Decoder {
    fn forward(&self, levels: &[Activations]) -> Result<Activations> {
        let sizes: Vec<Vec<i64>> = levels.iter().map(Activations::size).collect();
        let [batch, height, width] = check_sizes(&sizes, &self.feature_chs)?;
        let tasks = levels.iter().find_map(|level| Some(level.per_task()?.size()[0]));
        let pairs = levels.iter().zip(&self.downsample);
        let reduced: Vec<Tensor> = pairs.map(|(x, conv)| reduced(x, conv, tasks)).collect();
        let hidden = fuse(&self.fuse, &reduced, [height, width]);
        Ok(match tasks {
            Some(tasks) => {
                let shape = [tasks, batch, height, width, -1];
                Activations::PerTask(hidden.reshape(shape))
            }
            None => Activations::Shared(hidden),
        })
    }
}

/// `conv` of a level, `[batch, height, width, chans]`, or `[tasks * batch, ..]` where any level has
/// streams of `tasks`: what all tasks read is reduced once and repeated then.
fn reduced(level: &Activations, conv: &Conv2d, tasks: Option<i64>) -> Tensor {
    match (level.per_task(), tasks) {
        (Some(streams), _) => conv.pointwise(&streams.flatten(0, 1)),
        (None, None) => conv.pointwise(level.expect_shared()),
        (None, Some(tasks)) => conv.pointwise(level.expect_shared()).repeat([tasks, 1, 1, 1]),
    }
}

/// What each task has.
#[derive(Debug)]
struct ModulatedHead {
    hidden: i64,
    norm: BatchNorm2d,
    output: Conv2d,
}

impl Head for ModulatedHead {
    fn forward(&self, features: &HeadInput, train: bool) -> Result<Tensor> {
        let hidden = features.hidden.as_ref().ok_or(Error::NoHidden)?;
        match hidden.size()[..] {
            [batch, height, width, dim] if dim == self.hidden => {
                if train {
                    check_positions([batch, height, width])?;
                }
            }
            _ => {
                let expected = format!("[batch, height, width, {}]", self.hidden);
                return Err(Error::Shape { key: "hidden".into(), expected, found: hidden.size() });
            }
        }
        let modulated = self.norm.forward_relu(hidden, train)?;
        Ok(channels_first(&self.output.pointwise(&modulated)))
    }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Device, Kind, Store, no_grad};

    use super::*;
    use crate::testing::{dims, levels, parameters, tensors};

    /// Swin-Tiny's levels behind patch merging.
    const CHS: [i64; 4] = [192, 384, 768, 768];

    fn small() -> SharedDecoderConfig {
        SharedDecoderConfig { channels: vec![3, 5], hidden: 32 }
    }

    /// A decoder of two levels and heads of `tasks`.
    fn built(tasks: &[&str]) -> (Store, Box<dyn SharedDecoder>, Vec<Box<dyn Head>>) {
        let (store, config) = (Store::new(Device::Cpu), small());
        let root = store.root();
        let decoder = config.build_decoder(&root.pp("decoder"), dims(&[4, 6])).unwrap().unwrap();
        let head = |task: &&str| config.build(&root.pp(task), dims(&[4, 6]), 2).unwrap();
        (store, decoder, tasks.iter().map(head).collect())
    }

    fn input(hidden: Tensor) -> HeadInput {
        HeadInput { hidden: Some(hidden), ..HeadInput::default() }
    }

    fn stack(levels: &[Vec<Tensor>]) -> Vec<Activations> {
        let level =
            |i: usize| levels.iter().map(|task| task[i].shallow_clone()).collect::<Vec<_>>();
        (0..2).map(|i| Activations::PerTask(Tensor::stack(&level(i), 0))).collect()
    }

    #[test]
    fn a_task_more_costs_a_scale_a_shift_and_an_output_layer() {
        let (store, config) = (Store::new(Device::Cpu), SharedDecoderConfig::default());
        let _ = config.build_decoder(&store.root().pp("decoder"), dims(&CHS)).unwrap();
        let reduced = 192 * 18 + 384 * 36 + 768 * 72 + 768 * 144;
        assert_eq!(parameters(&store, "decoder."), reduced + (18 + 36 + 72 + 144) * 128);
        for (task, outputs) in [("semseg", 21), ("normals", 3)] {
            let _ = config.build(&store.root().pp(task), dims(&CHS), outputs).unwrap();
            let expected = 2 * 128 + 129 * outputs as usize;
            assert_eq!(parameters(&store, &format!("{task}.")), expected);
        }
        let names: Vec<String> = tensors(&store).into_keys().collect();
        let expected = [
            "decoder.downsample_0.weight",
            "decoder.downsample_1.weight",
            "decoder.downsample_2.weight",
            "decoder.downsample_3.weight",
            "decoder.fuse.weight",
            "normals.norm.bias",
            "normals.norm.running_mean",
            "normals.norm.running_var",
            "normals.norm.weight",
            "normals.output.bias",
            "normals.output.weight",
        ];
        assert_eq!(names[..11], expected);
    }

    /// The formula in matrices, of one level: two tasks read one hidden map.
    #[test]
    fn tasks_scale_and_shift_one_hidden_map() {
        let (store, config) =
            (Store::new(Device::Cpu), SharedDecoderConfig { channels: vec![3], hidden: 20 });
        let root = store.root();
        let decoder = config.build_decoder(&root.pp("decoder"), dims(&[4])).unwrap().unwrap();
        let heads = ["a", "b"].map(|task| config.build(&root.pp(task), dims(&[4]), 2).unwrap());
        let t = tensors(&store);
        no_grad(|| {
            let _ = t["b.norm.weight"].shallow_clone().fill_(-2.0);
            let _ = t["b.norm.bias"].shallow_clone().fill_(0.3);
        });
        let x = levels(&[4], 2, Kind::Float).levels.remove(0);
        let matrix = |name: &str| t[name].flatten(1, 3).tr();
        let z =
            x.matmul(&matrix("decoder.downsample_0.weight")).matmul(&matrix("decoder.fuse.weight"));
        let found = decoder.forward(&[Activations::Shared(x)]).unwrap().into_shared();
        assert!(found.allclose(&z, 1e-5, 1e-6, false));
        let rows = z.reshape([-1, 20]);
        let mean = rows.mean_dim([0i64].as_slice(), true, Kind::Float);
        let spread = (rows.var_dim([0i64].as_slice(), false, true) + 1e-5).sqrt();
        let normed = (rows - mean) / spread;
        for (task, head, [scale, shift]) in
            [("a", &heads[0], [1.0, 0.0]), ("b", &heads[1], [-2.0, 0.3])]
        {
            let hidden = (&normed * scale + shift).relu();
            let bias = &t[&format!("{task}.output.bias")];
            let expected = hidden.matmul(&matrix(&format!("{task}.output.weight"))) + bias;
            let y = head.forward(&input(found.shallow_clone()), true).unwrap();
            let y = y.permute([0, 2, 3, 1]).reshape([-1, 2]);
            assert!(y.allclose(&expected, 1e-4, 1e-5, false), "{task}");
        }
    }

    /// Streams of tasks pass stacked as they would alone, with equal gradients.
    #[test]
    fn streams_of_tasks_are_decoded_as_each_alone() {
        let (store, decoder, _) = built(&[]);
        let streams = [0, 1, 2].map(|_| levels(&[4, 6], 2, Kind::Float).levels);
        let gradients = || {
            let named = tensors(&store).into_iter().map(|(name, t)| (name, t.grad().copy()));
            let found: Vec<_> = named.collect();
            store.zero_grad();
            found
        };
        let together = decoder.forward(&stack(&streams)).unwrap();
        assert!(together.shared().is_none());
        together.per_task().unwrap().exp().sum(Kind::Float).backward();
        let expected = gradients();
        for (task, levels) in streams.into_iter().enumerate() {
            let levels: Vec<Activations> = levels.into_iter().map(Activations::Shared).collect();
            let alone = decoder.forward(&levels).unwrap().into_shared();
            assert!(alone.allclose(&together.task(task as i64), 1e-5, 1e-6, false));
            alone.exp().sum(Kind::Float).backward();
        }
        for ((name, one), (_, other)) in expected.iter().zip(gradients()) {
            assert!(one.allclose(&other, 1e-4, 1e-5, false), "{name}");
        }
    }

    #[test]
    fn a_level_that_all_tasks_share_stands_beside_their_own() {
        let (_store, decoder, _) = built(&[]);
        let streams = [0, 1].map(|_| levels(&[4, 6], 2, Kind::Float).levels);
        let mut mixed = stack(&streams);
        mixed[0] = Activations::Shared(streams[0][0].shallow_clone());
        let found = decoder.forward(&mixed).unwrap();
        for (task, own) in streams.iter().enumerate() {
            let levels = [&streams[0][0], &own[1]];
            let levels = levels.map(|level| Activations::Shared(level.shallow_clone()));
            let expected = decoder.forward(&levels).unwrap().into_shared();
            assert!(found.task(task as i64).allclose(&expected, 1e-5, 1e-6, false));
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refusal = |config: SharedDecoderConfig| {
            let store = Store::new(Device::Cpu);
            let built = config.build_decoder(&store.root(), dims(&CHS));
            config.validate().and(built).unwrap_err().to_string()
        };
        let message = refusal(small());
        assert_eq!(message, "channels: expected one number for each of 4 levels, found [3, 5]");
        let message = refusal(SharedDecoderConfig { channels: vec![], hidden: 4 });
        assert_eq!(message, "channels: expected one number of 1 or more per level, found []");
        let message = refusal(SharedDecoderConfig { hidden: 0, ..small() });
        assert_eq!(message, "hidden: expected 1 or more, found 0");
        let (_store, _, heads) = built(&["a"]);
        let message = heads[0].forward(&levels(&[4, 6], 2, Kind::Float), false).unwrap_err();
        let expected = "hidden: expected what the shared decoder makes of the levels, found none";
        assert_eq!(message.to_string(), expected);
        let narrow = Tensor::zeros([2, 4, 4, 31], (Kind::Float, Device::Cpu));
        let message = heads[0].forward(&input(narrow), false).unwrap_err().to_string();
        assert_eq!(
            message,
            "hidden: expected shape [batch, height, width, 32], found [2, 4, 4, 31]"
        );
    }
}
