//! The router of one MLP: soft gates over experts, blended with 1 as it fades.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use polyptych_kernels::linear;
use polyptych_tensor::{
    Activations, Error, Gate, Init, Kind, Result, Scope, Site, Tensor, cast, no_grad,
};

use super::config::EmtalConfig;

/// End of the parameter's name.
pub(super) const WEIGHT: &str = "lora_router.weight";

/// How the images of a batch were routed.
#[derive(Debug)]
pub(super) struct Routing {
    /// `[batch, experts]`: share of each expert, mean over tokens; rows sum to 1.
    pub(super) load: Tensor,
    /// `[batch, 1]`: entropy of the gates in nats, mean over tokens; at most `ln E`.
    pub(super) entropy: Tensor,
}

/// What was noted last, shared by the router and the plan; a cell, since a forward pass notes it.
pub(super) type Seen = Rc<RefCell<Option<Routing>>>;

/// `c = (1 - alpha) E softmax(W x / temperature) + alpha`, one factor per token and expert.
#[derive(Debug)]
pub(super) struct Router {
    /// `[experts, in_features]`.
    weight: Tensor,
    temperature: f64,
    top_k: Option<i64>,
    alpha: Rc<Cell<f64>>,
    seen: Seen,
}

impl Router {
    /// Makes `lora_router.weight` below `scope`.
    pub(super) fn new(
        scope: &Scope,
        fc1: &Site,
        config: &EmtalConfig,
        alpha: Rc<Cell<f64>>,
    ) -> Result<Self> {
        let EmtalConfig { num_experts, router_temperature: temperature, top_k, .. } = *config;
        if fc1.out_features % num_experts != 0 {
            return Err(Error::Config {
                key: format!("{}: num_experts", fc1.path),
                expected: format!("a divisor of {}", fc1.out_features),
                found: num_experts.to_string(),
            });
        }
        let shape = [num_experts, fc1.in_features];
        let weight = scope.pp("lora_router").param("weight", &shape, Init::TruncNormal(0.02))?;
        Ok(Self { weight, temperature, top_k, alpha, seen: Seen::default() })
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Gates of `x`, `[.., in_features]` to `[.., experts]`; they sum to 1.
    fn gates(&self, x: &Tensor) -> Tensor {
        let logits = linear(x, &cast(&self.weight, x.kind()), None);
        let gates = (logits / self.temperature).softmax(-1, None::<Kind>);
        match self.top_k {
            Some(k) => sparse(&gates, k),
            None => gates,
        }
    }

    fn scale(&self, x: &Tensor, hidden: &Tensor, note: bool) -> Tensor {
        let (alpha, experts) = (self.alpha.get(), self.weight.size()[0]);
        if alpha >= 1.0 {
            return hidden.shallow_clone();
        }
        let gates = self.gates(x);
        if note {
            *self.seen.borrow_mut() = Some(no_grad(|| routing(&gates)));
        }
        let factors = gates * ((1.0 - alpha) * experts as f64) + alpha;
        // One factor per block of units: the gate is never as wide as the hidden layer.
        let (last, width) = (hidden.dim() - 1, hidden.size()[hidden.dim() - 1]);
        let blocks = hidden.unflatten(last as i64, [experts, width / experts]);
        (blocks * factors.unsqueeze(-1)).flatten(-2, -1)
    }
}

impl Gate for Router {
    fn forward(&self, x: &Activations, hidden: &Activations, train: bool) -> Activations {
        let of_tasks = |streams| {
            let x = x.per_task().unwrap_or_else(|| x.expect_shared());
            self.scale(x, streams, false)
        };
        let of_all = |hidden| self.scale(x.expect_shared(), hidden, !train);
        match hidden {
            Activations::Shared(hidden) => Activations::Shared(of_all(hidden)),
            Activations::Both { shared, per_task } => {
                Activations::Both { shared: of_all(shared), per_task: of_tasks(per_task) }
            }
            Activations::PerTask(streams) => Activations::PerTask(of_tasks(streams)),
        }
    }
}

/// Keeps the `k` largest gates, scaled to sum to 1.
fn sparse(gates: &Tensor, k: i64) -> Tensor {
    let (_, index) = gates.topk(k, -1, true, false);
    let kept = gates * gates.zeros_like().scatter_value(-1, &index, 1.0);
    &kept / kept.sum_dim_intlist([-1i64].as_slice(), true, None::<Kind>)
}

fn routing(gates: &Tensor) -> Routing {
    let gates = gates.to_kind(Kind::Float);
    let entropy =
        -(&gates * (&gates + 1e-12).log()).sum_dim_intlist([-1i64].as_slice(), true, None::<Kind>);
    let over_tokens = |t: &Tensor| match t.dim() {
        0..=2 => t.shallow_clone(),
        dim => t.flatten(1, dim as i64 - 2).mean_dim([1i64].as_slice(), false, None::<Kind>),
    };
    Routing { load: over_tokens(&gates), entropy: over_tokens(&entropy) }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Device, SiteKind, Store};

    use super::*;

    const DIM: i64 = 6;
    const HIDDEN: i64 = 12;

    fn site(out_features: i64) -> Site {
        Site {
            path: "blocks.0.mlp.fc1".into(),
            kind: SiteKind::Fc1,
            in_features: DIM,
            out_features,
            bias: true,
            stage: 0,
            last_in_stage: false,
            last_stage: false,
        }
    }

    fn router(num_experts: i64, top_k: Option<i64>, alpha: f64) -> Router {
        let config =
            EmtalConfig { num_experts, top_k, router_temperature: 0.5, ..EmtalConfig::default() };
        let store = Store::new(Device::Cpu);
        let cell = Rc::new(Cell::new(alpha));
        let router = Router::new(&store.root(), &site(HIDDEN), &config, cell).unwrap();
        no_grad(|| router.weight.shallow_clone().copy_(&(ramp(&[num_experts, DIM]) * 3.0)));
        router
    }

    /// Values between -1 and 1 that follow from the shape alone.
    fn ramp(shape: &[i64]) -> Tensor {
        let count: i64 = shape.iter().product();
        (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 2.399).sin().view(shape)
    }

    /// The factor of every hidden unit.
    fn factors(router: &Router) -> Tensor {
        router.scale(
            &ramp(&[2, 3, DIM]),
            &Tensor::ones([2, 3, HIDDEN], (Kind::Float, Device::Cpu)),
            true,
        )
    }

    #[test]
    fn factors_sum_to_the_number_of_experts_in_blocks() {
        for (experts, top_k, alpha) in [
            (4, None, 0.0),
            (4, None, 0.3),
            (4, None, 1.0),
            (4, Some(1), 0.0),
            (1, None, 0.2),
            (12, Some(3), 0.5),
        ] {
            let blocks =
                factors(&router(experts, top_k, alpha)).view([6, experts, HIDDEN / experts]);
            let spread =
                blocks.amax([-1i64].as_slice(), false) - blocks.amin([-1i64].as_slice(), false);
            assert_eq!(spread.abs().max().double_value(&[]), 0.0);
            let sums = blocks.select(2, 0).sum_dim_intlist([-1i64].as_slice(), false, None::<Kind>);
            let worst = (sums - experts as f64).abs().max().double_value(&[]);
            assert!(worst < 1e-5, "{experts} experts, top {top_k:?}, alpha {alpha}: {worst}");
        }
    }

    #[test]
    fn one_expert_or_none_left_to_route_changes_nothing() {
        for router in [router(1, None, 0.0), router(4, None, 1.0)] {
            assert!((factors(&router) - 1.0).abs().max().double_value(&[]) < 1e-6);
        }
        let spread = factors(&router(4, None, 0.0)).std(true).double_value(&[]);
        assert!(spread > 1e-2, "{spread}");
    }

    #[test]
    fn a_sparse_router_leaves_the_other_experts_without_gate() {
        let zero = factors(&router(4, Some(1), 0.0)).eq(0.0).to_kind(Kind::Float);
        assert!((zero.mean(Kind::Float).double_value(&[]) - 0.75).abs() < 1e-6);
    }

    /// For a loss that is linear in the hidden units.
    #[test]
    fn the_router_s_gradient_fades_with_the_router() {
        let gradient = |alpha| {
            let router = router(4, None, alpha);
            let units = ramp(&[2, 3, HIDDEN]);
            (router.scale(&ramp(&[2, 3, DIM]), &units, false) * &units).sum(Kind::Float).backward();
            router.weight.grad()
        };
        let whole = gradient(0.0);
        assert!(whole.abs().max().double_value(&[]) > 1e-2);
        let half = (gradient(0.5) * 2.0 - &whole).abs().max().double_value(&[]);
        assert!(half < 1e-5, "{half}");
    }

    #[test]
    fn loads_and_entropies_are_noted_per_image() {
        let router = router(4, None, 0.25);
        let _ = factors(&router);
        let Routing { load, entropy } = router.seen().take().unwrap();
        assert_eq!((load.size(), entropy.size()), (vec![2, 4], vec![2, 1]));
        let sums = load.sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
        assert!((sums - 1.0).abs().max().double_value(&[]) < 1e-6);
        let (low, high) = (entropy.min().double_value(&[]), entropy.max().double_value(&[]));
        assert!(low > 0.0 && high < 4f64.ln(), "{low} {high}");
    }

    #[test]
    fn experts_must_divide_the_width() {
        let config = EmtalConfig { num_experts: 7, ..EmtalConfig::default() };
        let scope = Store::new(Device::Cpu).root();
        let error = Router::new(&scope, &site(HIDDEN), &config, Rc::default()).unwrap_err();
        let message = "blocks.0.mlp.fc1: num_experts: expected a divisor of 12, found 7";
        assert_eq!(error.to_string(), message);
    }
}
