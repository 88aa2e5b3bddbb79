//! A merged model without the channels that no gate lets through.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use polyptych_kernels::linear;
use polyptych_tensor::{
    Activations, Init, Kind, Projection, Result as TensorResult, Scope, Site, Tensor, Tensors,
    cast, no_grad,
};

use super::gate::Gates;
use crate::blocks::tensors::{copy, take};

/// How many rows a layer computes: those of the shared stream, then those of every task.
pub(super) type Rows = Vec<i64>;

/// Where merged weights of tasks lie.
pub(super) const GROUP: &str = "interro_tasks";

/// Where the rows of the shared stream lie.
const SHARED: &str = "interro_shared.weight";

/// A layer that computes the rows alone that somebody reads.
#[derive(Debug)]
pub(super) struct PrunedLinear {
    /// `[out]`.
    bias: Option<Tensor>,
    /// Of the shared stream, `[rows, in]`; none where no task reads it.
    shared: Option<Tensor>,
    /// Of every task, `[rows, in]`; none where all of its channels are shared.
    tasks: Vec<Option<Tensor>>,
    gates: Gates,
    out: i64,
    counted: Rc<Cell<u64>>,
    places: OnceCell<Places>,
}

/// The channels of the rows.
#[derive(Debug)]
struct Places {
    shared: Channels,
    tasks: Vec<Channels>,
    /// Of one zero alone.
    zeros: Tensor,
}

/// The channels that one matrix computes, and how its outputs and what they lie over become all
/// channels. Orders in place of copies into what is there: other runtimes know them.
#[derive(Debug)]
struct Channels {
    places: Tensor,
    /// Of the outputs and all channels below, side by side.
    over: Tensor,
    /// Of the outputs and one zero.
    alone: Tensor,
}

impl Channels {
    /// Of `chosen`, `[out]` of 0 and 1.
    fn of(chosen: &Tensor) -> Self {
        no_grad(|| {
            let (places, computed) = (channels(chosen), chosen.ne(0.0));
            let (count, options) = (places.numel() as i64, (Kind::Int64, chosen.device()));
            let row = computed.cumsum(0, Kind::Int64) - 1i64;
            let below = Tensor::arange(chosen.size()[0], options) + count;
            let over = row.where_self(&computed, &below);
            let alone = row.where_self(&computed, &below.full_like(count));
            Self { places, over, alone }
        })
    }
}

impl PrunedLinear {
    /// Makes the layer with `rows`, whose `gates` are constants.
    pub(super) fn new(
        scope: &Scope,
        site: &Site,
        tasks: &[String],
        (rows, gates): (&Rows, Gates),
        counted: Rc<Cell<u64>>,
    ) -> TensorResult<Self> {
        let bias = site.bias.then(|| scope.bias(&[site.out_features], Init::ZEROS));
        let own = scope.adapter();
        let weight = |name: String, rows: i64| {
            let make = || own.param(name, &[rows, site.in_features], Init::ZEROS);
            (rows > 0).then(make).transpose()
        };
        let name = |task: &String| format!("{GROUP}.{task}.weight");
        let of_tasks = tasks.iter().zip(&rows[1..]).map(|(task, rows)| weight(name(task), *rows));
        Ok(Self {
            bias: bias.transpose()?,
            shared: weight(SHARED.into(), rows[0])?,
            tasks: of_tasks.collect::<TensorResult<_>>()?,
            gates,
            out: site.out_features,
            counted,
            places: OnceCell::new(),
        })
    }

    fn places(&self) -> &Places {
        self.places.get_or_init(|| {
            let open = self.gates.open();
            let tasks = (0..open.size()[0]).map(|task| Channels::of(&open.get(task))).collect();
            let zeros = Tensor::zeros([self.out], (Kind::Int64, open.device()));
            Places { shared: Channels::of(&read(&open)), tasks, zeros }
        })
    }

    /// Rows of `weight` at `channels` of `[.., out]`, over what `below` has there.
    fn rows(
        &self,
        x: &Tensor,
        weight: &Tensor,
        Channels { places, over, alone }: &Channels,
        below: Option<&Tensor>,
    ) -> Tensor {
        count(&self.counted, x, weight.size()[0]);
        let kind = x.kind();
        let bias = self.bias.as_ref().map(|bias| cast(&bias.index_select(0, places), kind));
        let found = linear(x, &cast(weight, kind), bias.as_ref());
        if weight.size()[0] == self.out {
            return found;
        }
        match below {
            Some(below) => Tensor::cat(&[&found, below], -1).index_select(-1, over),
            None => Tensor::cat(&[found, zero(x)], -1).index_select(-1, alone),
        }
    }
}

/// One channel of zeros beside `x`, `[.., in]`.
fn zero(x: &Tensor) -> Tensor {
    x.narrow(-1, 0, 1).zeros_like()
}

impl Projection for PrunedLinear {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        let Places { shared: read, tasks: open, zeros } = self.places();
        let shared = x.expect_shared();
        let psi = match &self.shared {
            Some(weight) => self.rows(shared, weight, read, None),
            None => zero(shared).index_select(-1, zeros),
        };
        if x.per_task().is_none() && self.tasks.iter().all(Option::is_none) {
            return Activations::Shared(psi);
        }
        let stream = |(task, weight): (usize, &Option<Tensor>)| match weight {
            Some(weight) => self.rows(&x.task(task as i64), weight, &open[task], Some(&psi)),
            None => psi.shallow_clone(),
        };
        let streams: Vec<Tensor> = self.tasks.iter().enumerate().map(stream).collect();
        let per_task = Tensor::stack(&streams, 0);
        let shared = self.gates.shared_of(&per_task).unwrap_or(psi);
        Activations::Both { shared, per_task }
    }
}

/// Notes the multiply-adds of `rows` rows of a matrix that reads `x`, `[.., in]`.
pub(super) fn count(counted: &Cell<u64>, x: &Tensor, rows: i64) {
    counted.set(counted.get() + x.numel() as u64 * rows as u64);
}

/// The channels that some task reads of the shared stream, `[out]` of 0 and 1; `open`: `[tasks, out]`.
fn read(open: &Tensor) -> Tensor {
    open.amin([0i64].as_slice(), false).ne(1.0).to_kind(open.kind())
}

fn channels(chosen: &Tensor) -> Tensor {
    no_grad(|| chosen.nonzero().flatten(0, -1))
}

/// The rows of every layer, and `tensors`, a merged model, with no others.
///
/// # Errors
/// A tensor that is absent.
pub(super) fn prune(
    tasks: &[String],
    tensors: &Tensors,
) -> TensorResult<(BTreeMap<String, Rows>, Tensors)> {
    let (mut pruned, mut layers) = (copy(tensors), BTreeMap::new());
    let first = format!(".interro_gate.{}", tasks[0]);
    let paths = tensors.keys().filter_map(|name| name.strip_suffix(&first));
    for path in paths {
        layers.insert(path.to_owned(), prune_layer(&mut pruned, path, tasks)?);
    }
    Ok((layers, pruned))
}

fn prune_layer(tensors: &mut Tensors, path: &str, tasks: &[String]) -> TensorResult<Rows> {
    let gate = |task: &String| {
        let name = format!("{path}.interro_gate.{task}");
        let found = tensors.get(&name).map(Tensor::shallow_clone);
        found.ok_or(polyptych_tensor::Error::UnknownName { name })
    };
    let open = Tensor::stack(&tasks.iter().map(gate).collect::<TensorResult<Vec<_>>>()?, 0);
    let own = tasks.iter().enumerate().map(|(index, task)| {
        let name = format!("{path}.{GROUP}.{task}.weight");
        (name.clone(), name, open.get(index as i64))
    });
    let shared = (format!("{path}.weight"), format!("{path}.{SHARED}"), read(&open));
    let keep = |(from, to, chosen): (String, String, Tensor)| {
        let rows = take(tensors, &from)?.index_select(0, &channels(&chosen));
        let count = rows.size()[0];
        tensors.extend((count > 0).then_some((to, rows)));
        Ok(count)
    };
    [shared].into_iter().chain(own).map(keep).collect()
}
