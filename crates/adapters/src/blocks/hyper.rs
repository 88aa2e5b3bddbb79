//! Bottlenecks of each task, whose weights hypernetworks make.
//!
//! With `y_t` task `t`'s stream behind `attn.proj` or `mlp.fc2`, `d` its width, `n` that of the
//! bottleneck and `sigma` its activation, what goes on is
//!
//! ```text
//! y_t + sigma(y_t D_t + b_t) U_t + c_t          D_t: [d, n], U_t: [n, d]
//! ```
//!
//! From the first bottleneck on every task has its own stream, which runs through the whole trunk:
//! all tasks pass at once, as one batch of `tasks * batch`, and nothing is computed for a shared
//! stream any more. `D_t` to `c_t` depend on the task and the place, not on the image. So merging
//! computes them once and leaves the hypernetworks behind; being part of a nonlinear path, they stay
//! beside the backbone's weights.

pub(crate) mod adapter;
mod merged;
pub(crate) mod parts;

use polyptych_tensor::{
    Device, Error, Linear, Plain, Plan, Projection, Result as TensorResult, Scope, Site, Store,
    Tensors, no_grad,
};

use crate::blocks::bottleneck::BottleneckOptions;
use crate::blocks::tasks::check_tasks;
use crate::blocks::tensors::{copy, take};
use crate::error::{Result, config};
use crate::method::Form;
use adapter::{Adapted, Generator};
use merged::MergedTasks;
use parts::HyperSite;

/// Checks the extents of a method's hypernetworks and the spreads of their first values and of
/// those of embeddings.
///
/// # Errors
/// One that is not positive.
pub(crate) fn check(extents: [(&str, i64); 2], [nets, embeddings]: [f64; 2]) -> Result<()> {
    if let Some((key, found)) = extents.into_iter().find(|(_, extent)| *extent < 1) {
        return Err(config(key, "at least 1", found));
    }
    let ranges = [("init_range", nets), ("embedding_init_range", embeddings)];
    match ranges.into_iter().find(|(_, range)| !(range.is_finite() && *range > 0.0)) {
        Some((key, found)) => Err(config(key, "a positive number", found)),
        None => Ok(()),
    }
}

/// How a method makes the weights of its bottlenecks.
pub(crate) trait Generators: std::fmt::Debug {
    /// The width of the bottleneck at `site`.
    ///
    /// # Errors
    /// A configuration that does not fit the site.
    fn width(&self, site: &Site) -> TensorResult<i64>;

    /// Makes or finds all parameters that the weights at `place` come from.
    ///
    /// # Errors
    /// A configuration that does not fit the place.
    fn generator(&self, place: &HyperSite, tasks: &[String]) -> TensorResult<Box<dyn Generator>>;

    /// Whether the weights have scale and shift of a norm.
    fn has_norm(&self) -> bool;
}

/// Bottlenecks of generated weights as a plan.
#[derive(Debug)]
pub(crate) struct HyperAdapters {
    options: BottleneckOptions,
    generators: Box<dyn Generators>,
    tasks: Vec<String>,
    form: Form,
}

impl HyperAdapters {
    pub(crate) fn new(
        options: BottleneckOptions,
        generators: impl Generators + 'static,
        tasks: &[String],
        form: Form,
    ) -> Result<Self> {
        options.validate()?;
        check_tasks(tasks)?;
        let (generators, tasks) = (Box::new(generators), tasks.to_vec());
        Ok(Self { options, generators, tasks, form })
    }

    fn generator(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Generator>> {
        let width = self.generators.width(site)?;
        let scope = &scope.adapter();
        let place = HyperSite { scope, site, width };
        match self.form {
            Form::Adapted => self.generators.generator(&place, &self.tasks),
            Form::Merged => {
                Ok(Box::new(MergedTasks::new(&place, &self.tasks, self.generators.has_norm())?))
            }
        }
    }

    /// Merges all bottlenecks in `all`: their parameters are made anew, with the values of `all`.
    fn merge_into(&self, sites: &[Site], all: &mut Tensors) -> TensorResult<()> {
        let device = all.values().next().map_or(Device::Cpu, |tensor| tensor.device());
        let store = Store::new(device);
        let sites = sites.iter().filter(|site| self.options.stands_behind(site.kind));
        let generator = |site: &Site| self.generator(&store.root().pp(&site.path), site);
        let generators = sites.clone().map(generator).collect::<TensorResult<Vec<_>>>()?;
        for (name, mut tensor) in store.tensors() {
            tensor.copy_(&take(all, &name)?);
        }
        for (site, generator) in sites.zip(generators) {
            merged::put(all, &site.path, &self.tasks, &generator.weights());
        }
        Ok(())
    }
}

impl Plan for HyperAdapters {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !self.options.stands_behind(site.kind) {
            return Ok(Box::new(Plain(base)));
        }
        let generator = self.generator(scope, site)?;
        let (tasks, non_linearity) = (self.tasks.len() as i64, self.options.non_linearity);
        Ok(Box::new(Adapted { base, generator, tasks, non_linearity }))
    }

    fn keeps_streams(&self) -> bool {
        true
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut all = copy(tensors);
        if self.form == Form::Adapted {
            no_grad(|| self.merge_into(sites, &mut all))?;
        }
        Ok(all)
    }
}

/// `extent / reduction_factor`, rounded down.
///
/// # Errors
/// A factor that leaves nothing at `site`.
pub(crate) fn reduced(site: &Site, extent: i64, reduction_factor: i64) -> TensorResult<i64> {
    match extent / reduction_factor {
        0 => Err(wrong(site, "reduction_factor", format!("at most {extent}"), reduction_factor)),
        width => Ok(width),
    }
}

/// A field that does not fit `site`.
pub(crate) fn wrong(site: &Site, key: &str, expected: String, found: impl ToString) -> Error {
    Error::Config { key: format!("{}: {key}", site.path), expected, found: found.to_string() }
}
