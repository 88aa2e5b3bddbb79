//! Experts among the hidden units of a trained MLP (EMTAL, arXiv 2501.06884, section 3.2).
//!
//! The rows of `fc1.weight`, one per hidden unit and divided by their norm, are clustered into
//! experts of exactly `hidden / experts` units by balanced k-means; then the units are reordered
//! so that those of one expert stand together. The network computes what it did, up to the order
//! in which floating-point numbers are summed.
//!
//! Readings of the paper: features are the weights of the up-projection alone, without `fc1.bias`
//! and `fc2` (its words, although a script of the published code reads them from elsewhere); each
//! MLP is clustered on its own; points are assigned by plain distance as in the published code,
//! with [`AssignmentCost::SquaredDistance`] as the alternative.

mod assign;
mod gram;
pub(crate) mod kmeans;
mod permute;

use polyptych_tensor::Tensors;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use gram::{Points, scatter};
use kmeans::{Fit, KMeansConfig, fit, random_split};
use permute::{mlp_paths, order_of, permute, units, wrong};

use crate::error::{Result, config as invalid};

/// How well the hidden units of one MLP fall into experts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpertLayer {
    /// The MLP: `blocks.3.mlp`.
    pub path: String,
    /// Hidden units.
    pub hidden: usize,
    /// Sum over the units of the squared distance between the unit's normalised weights and their
    /// mean over its expert. From 0 (experts of equal units) to `hidden`.
    pub objective: f64,
    /// The same of a random split into experts of equal size.
    pub random_objective: f64,
    /// Iterations of the restart that was kept.
    pub iterations: usize,
    /// Which unit comes to stand at each place, expert by expert.
    pub order: Vec<u32>,
}

/// Reorders the hidden units of every MLP of `layers`, so that those of an expert stand together.
///
/// Applies to rows of `fc1.weight`, `fc1.bias` and columns of `fc2.weight`; dtypes are kept, and
/// tensors of no MLP are returned as they are.
///
/// # Errors
/// A layer that does not fit the MLP at its path, or whose order is no permutation.
pub fn moefy(tensors: &Tensors, layers: &[ExpertLayer]) -> Result<Tensors> {
    let mut permuted: Tensors =
        tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    for layer in layers {
        check_order(tensors, layer)?;
        permute(&mut permuted, &layer.path, &layer.order);
    }
    Ok(permuted)
}

fn check_order(tensors: &Tensors, layer: &ExpertLayer) -> Result<()> {
    let name = format!("{}.fc1.weight", layer.path);
    let rows = tensors.get(&name).map(|weight| weight.size()[0]);
    if rows != Some(layer.order.len() as i64) {
        let found = rows.map_or("nothing".to_owned(), |rows| format!("{rows} rows"));
        return Err(wrong(&name, format!("{} rows", layer.order.len()), found));
    }
    let mut sorted = layer.order.clone();
    sorted.sort_unstable();
    match sorted.into_iter().eq(0..layer.order.len() as u32) {
        true => Ok(()),
        false => Err(wrong(&layer.path, "every hidden unit once", "an order that is none")),
    }
}

/// Finds `experts` in every MLP of a backbone; [`moefy`] then brings its units into their order.
///
/// `tensors` carry timm's names: every `<path>.mlp.fc1.weight` is an MLP, as in ViT
/// (`blocks.N.mlp`) and Swin (`layers.S.blocks.N.mlp`). Layers come in the order of the network;
/// `progress` hears of every finished one with the number of all.
///
/// The result depends on `tensors`, `experts` and `config` alone, not on the number of rayon's
/// threads. Time per MLP `O(hidden^2 dim)` once and about `O(hidden experts)` per iteration and
/// restart; memory `4 hidden^2` bytes for each MLP that is worked on, one at a time if there are
/// at least four restarts per thread.
///
/// # Errors
/// `experts` 0 or not a divisor of a hidden width, `config` out of its range, no MLP, weights
/// that are not finite, a missing `fc2`, and parameters of an MLP that are not those of `fc1` and
/// `fc2` (factors of an adapter, for instance), whose order would be lost.
pub fn construct_experts(
    tensors: &Tensors,
    experts: usize,
    config: &KMeansConfig,
    mut progress: impl FnMut(&ExpertLayer, usize),
) -> Result<Vec<ExpertLayer>> {
    config.validate()?;
    let paths = checked_paths(tensors, experts)?;
    let mut layers = Vec::with_capacity(paths.len());
    for group in paths.chunks(group_len(config.restarts)) {
        let points = group
            .iter()
            .map(|path| Ok(Points::new(units(tensors, path)?.view())))
            .collect::<Result<Vec<_>>>()?;
        let fits = best_fits(&points, experts, config);
        for ((path, points), fit) in group.iter().zip(&points).zip(fits) {
            let layer = report(path, points, &fit, experts, config);
            progress(&layer, paths.len());
            layers.push(layer);
        }
    }
    Ok(layers)
}

/// Checks all MLPs before the first is worked on.
fn checked_paths(tensors: &Tensors, experts: usize) -> Result<Vec<String>> {
    if experts == 0 {
        return Err(invalid("experts", "at least 1", experts));
    }
    let paths = mlp_paths(tensors);
    if paths.is_empty() {
        return Err(wrong("backbone", "tensors `<path>.mlp.fc1.weight`", "none"));
    }
    for path in &paths {
        let hidden = units(tensors, path)?.nrows();
        if hidden == 0 || !hidden.is_multiple_of(experts) {
            let key = format!("{path}.fc1: experts");
            return Err(invalid(key, format!("a divisor of {hidden}"), experts));
        }
    }
    Ok(paths)
}

/// Restarts of several MLPs run side by side where those of one would leave threads idle.
fn group_len(restarts: usize) -> usize {
    (4 * rayon::current_num_threads()).div_ceil(restarts)
}

/// The best restart for each of `points`; the first of equals.
fn best_fits(points: &[Points], experts: usize, config: &KMeansConfig) -> Vec<Fit> {
    let jobs: Vec<_> =
        points.iter().flat_map(|p| (0..config.restarts).map(move |index| (p, index))).collect();
    let mut fits: Vec<Fit> =
        jobs.into_par_iter().map(|(points, index)| fit(points, experts, config, index)).collect();
    let best = |restarts: std::vec::Drain<Fit>| {
        restarts.min_by(|a, b| a.objective.total_cmp(&b.objective)).expect("at least one restart")
    };
    points.iter().map(|_| best(fits.drain(..config.restarts))).collect()
}

fn report(
    path: &str,
    points: &Points,
    fit: &Fit,
    experts: usize,
    config: &KMeansConfig,
) -> ExpertLayer {
    let split = random_split(points.len(), experts, config);
    ExpertLayer {
        path: path.to_owned(),
        hidden: points.len(),
        objective: scatter(&points.unit, &fit.labels, experts),
        random_objective: scatter(&points.unit, &split, experts),
        iterations: fit.iterations,
        order: order_of(&fit.labels),
    }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Device, Kind, Tensor};
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;
    use rayon::ThreadPoolBuilder;

    use super::*;

    const HIDDEN: i64 = 48;
    const DIM: i64 = 12;

    fn backbone(paths: &[&str], kind: Kind) -> Tensors {
        // LibTorch's generator is the process's: other tests would draw from it meanwhile.
        let mut rng = Pcg64::seed_from_u64(3);
        // Keeps the output of the MLP at order one, for which the tolerances are meant.
        let bound = (3.0 / DIM as f64).sqrt();
        let mut draw = |shape: &[i64]| {
            let count = shape.iter().product();
            let values: Vec<f64> =
                (0..count).map(|_: i64| rng.random_range(-bound..bound)).collect();
            Tensor::from_slice(&values).reshape(shape).to_kind(kind)
        };
        let mut tensors = Tensors::from([("norm.weight".to_owned(), draw(&[DIM]))]);
        for path in paths {
            tensors.insert(format!("{path}.fc1.weight"), draw(&[HIDDEN, DIM]));
            tensors.insert(format!("{path}.fc1.bias"), draw(&[HIDDEN]));
            tensors.insert(format!("{path}.fc2.weight"), draw(&[DIM, HIDDEN]));
            tensors.insert(format!("{path}.fc2.bias"), draw(&[DIM]));
        }
        tensors
    }

    fn mlp(tensors: &Tensors, path: &str, x: &Tensor) -> Tensor {
        let get = |name: &str| &tensors[&format!("{path}.{name}")];
        x.linear(get("fc1.weight"), Some(get("fc1.bias")))
            .gelu("none")
            .linear(get("fc2.weight"), Some(get("fc2.bias")))
    }

    fn quiet(tensors: &Tensors, experts: usize) -> Result<(Tensors, Vec<ExpertLayer>)> {
        let layers = construct_experts(tensors, experts, &KMeansConfig::default(), |_, _| {})?;
        Ok((moefy(tensors, &layers)?, layers))
    }

    fn refusal(tensors: &Tensors, experts: usize) -> String {
        quiet(tensors, experts).unwrap_err().to_string()
    }

    #[test]
    fn the_network_computes_what_it_did() {
        let path = "layers.1.blocks.0.mlp";
        for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5)] {
            let tensors = backbone(&[path], kind);
            let x = Tensor::randn([64, DIM], (kind, Device::Cpu));
            for experts in [1, 6, 48] {
                let (permuted, layers) = quiet(&tensors, experts).unwrap();
                let error = (mlp(&permuted, path, &x) - mlp(&tensors, path, &x)).abs().max();
                assert!(error.double_value(&[]) <= tolerance, "{error}");
                assert!(layers[0].objective <= layers[0].random_objective);
                assert_eq!(permuted["norm.weight"], tensors["norm.weight"]);
                let kept = experts == 1;
                let name = format!("{path}.fc1.weight");
                assert_eq!(permuted[&name] == tensors[&name], kept);
            }
        }
    }

    #[test]
    fn units_of_an_expert_stand_together() {
        let mut tensors = backbone(&["blocks.0.mlp"], Kind::Float);
        // Unit i points along axis i mod 4.
        let axes = Tensor::arange(HIDDEN, (Kind::Int64, Device::Cpu)).remainder(4).one_hot(DIM);
        tensors.insert("blocks.0.mlp.fc1.weight".to_owned(), axes.to_kind(Kind::Float));
        let (permuted, layers) = quiet(&tensors, 4).unwrap();
        let weight = permuted["blocks.0.mlp.fc1.weight"].reshape([4, HIDDEN / 4, DIM]);
        let first = weight.narrow(1, 0, 1).expand_as(&weight);
        assert!(weight.equal(&first));
        assert!(layers[0].objective < 1e-9);
        assert!(layers[0].random_objective > 10.0);
    }

    #[test]
    fn stored_precision_is_kept() {
        for kind in [Kind::Half, Kind::BFloat16, Kind::Float, Kind::Double] {
            let tensors = backbone(&["blocks.0.mlp"], kind);
            let (permuted, _) = quiet(&tensors, 4).unwrap();
            assert!(permuted.values().all(|tensor| tensor.kind() == kind));
            let (old, new) = ("blocks.0.mlp.fc2.weight", "blocks.0.mlp.fc1.bias");
            for name in [old, new] {
                let sorted = |t: &Tensors| t[name].to_kind(Kind::Double).sort(-1, false).0;
                assert_eq!(sorted(&permuted), sorted(&tensors), "{name}");
            }
        }
    }

    #[test]
    fn layers_come_in_the_order_of_the_network() {
        let tensors = backbone(&["blocks.10.mlp", "blocks.2.mlp", "blocks.1.mlp"], Kind::Float);
        let mut heard = Vec::new();
        let config = KMeansConfig::default();
        let hear = |layer: &ExpertLayer, all| heard.push((layer.clone(), all));
        let layers = construct_experts(&tensors, 4, &config, hear).unwrap();
        let paths: Vec<&str> = layers.iter().map(|layer| layer.path.as_str()).collect();
        assert_eq!(paths, ["blocks.1.mlp", "blocks.2.mlp", "blocks.10.mlp"]);
        assert_eq!(heard, layers.into_iter().map(|layer| (layer, 3)).collect::<Vec<_>>());
    }

    #[test]
    fn the_result_does_not_depend_on_threads() {
        let tensors = backbone(&["blocks.0.mlp", "blocks.1.mlp"], Kind::Float);
        // Tensors stay on their thread, so each pool is entered with its own copy.
        let run = |threads: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let tensors = backbone(&["blocks.0.mlp", "blocks.1.mlp"], Kind::Float);
                let (permuted, layers) = quiet(&tensors, 6).unwrap();
                let weight = &permuted["blocks.1.mlp.fc1.weight"];
                (Vec::<f32>::try_from(weight.reshape([-1])).unwrap(), layers)
            })
        };
        let (weight, layers) = run(1);
        assert_eq!((weight.clone(), layers.clone()), run(3));
        assert_eq!(layers, quiet(&tensors, 6).unwrap().1);
        let other = KMeansConfig { seed: 1, ..Default::default() };
        let reseeded = construct_experts(&tensors, 6, &other, |_, _| {}).unwrap();
        assert_ne!(layers[0].random_objective, reseeded[0].random_objective);
    }

    #[test]
    fn orders_that_do_not_fit_are_refused() {
        let tensors = backbone(&["blocks.0.mlp"], Kind::Float);
        let layers = quiet(&tensors, 4).unwrap().1;
        let refused = |change: fn(&mut ExpertLayer)| {
            let mut layers = layers.clone();
            change(&mut layers[0]);
            moefy(&tensors, &layers).unwrap_err().to_string()
        };
        let message = "blocks.0.mlp: expected every hidden unit once, found an order that is none";
        assert_eq!(refused(|layer| layer.order[0] = layer.order[1]), message);
        let message = "blocks.0.mlp.fc1.weight: expected 47 rows, found 48 rows";
        assert_eq!(refused(|layer| layer.order.truncate(47)), message);
        let message = "blocks.9.mlp.fc1.weight: expected 48 rows, found nothing";
        assert_eq!(refused(|layer| layer.path = "blocks.9.mlp".into()), message);
    }

    #[test]
    fn unfit_counts_and_backbones_are_refused() {
        let good = || backbone(&["blocks.0.mlp"], Kind::Float);
        let message = "blocks.0.mlp.fc1: experts: expected a divisor of 48, found 7";
        assert_eq!(refusal(&good(), 7), message);
        assert_eq!(refusal(&good(), 0), "experts: expected at least 1, found 0");
        let message = "backbone: expected tensors `<path>.mlp.fc1.weight`, found none";
        assert_eq!(refusal(&backbone(&[], Kind::Float), 4), message);
        let mut tensors = good();
        tensors.remove("blocks.0.mlp.fc2.weight");
        let message = "blocks.0.mlp.fc2.weight: expected a matrix of 48 columns, found nothing";
        assert_eq!(refusal(&tensors, 4), message);
        let mut tensors = good();
        let _ = tensors["blocks.0.mlp.fc1.weight"].get(3).get(1).fill_(f64::NAN);
        let message = "blocks.0.mlp.fc1.weight: expected finite weights, found NaN";
        assert_eq!(refusal(&tensors, 4), message);
        tensors.insert(
            "blocks.0.mlp.fc1.bias".to_owned(),
            Tensor::zeros([3], (Kind::Float, Device::Cpu)),
        );
        assert_eq!(refusal(&tensors, 4), "blocks.0.mlp.fc1.bias: expected [48], found [3]");
    }

    #[test]
    fn parameters_that_would_lose_their_order_are_refused() {
        let mut tensors = backbone(&["blocks.0.mlp"], Kind::Float);
        let factor = Tensor::zeros([HIDDEN, 2], (Kind::Float, Device::Cpu));
        tensors.insert("blocks.0.mlp.fc1.lora_B".to_owned(), factor);
        let message = "blocks.0.mlp: expected weights and biases of fc1 and fc2 alone, \
                       found blocks.0.mlp.fc1.lora_B";
        assert_eq!(refusal(&tensors, 4), message);
    }
}
