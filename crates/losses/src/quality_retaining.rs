//! The quality-retaining loss of EMTAL (NeurIPS 2024, arXiv 2501.06884).
//!
//! Tasks are at their best at different times. This loss holds each class to the logits it had,
//! the more strongly the better its task does, so that a task that is done keeps its quality while
//! the others still learn. It knows logits and labels alone: any backbone and any adapter will do.

mod bank;
mod class_ranges;
mod config;
mod running_loss;
mod state;

use polyptych_tensor::{Device, Kind, Tensor, device};

pub use class_ranges::ClassRanges;
pub use config::{BankForm, QualityRetainingConfig};

use crate::{Error, Result};
use bank::Bank;
use running_loss::RunningLoss;

/// What one batch gives.
#[derive(Debug)]
pub struct QrLoss {
    /// The loss, to be added to the cross-entropy: float32, a scalar, differentiable.
    pub loss: Tensor,
    /// Cross-entropy of each sample without label smoothing; `[batch]`, float32, no gradient.
    pub sample_losses: Tensor,
    /// int64 scalar: number of samples whose task's running loss lay below the floor.
    pub floored: Tensor,
}

/// `L = w / B sum_s (2 T^2 / K) sum_k KL(p_sk || q_s) / max(e_t(s), floor)`.
///
/// `q_s` is the softmax of the sample's logits over `T`, `p_sk` that of slot `k` of the `K` that
/// the bank holds of the sample's class, and `e_t` the running loss of the task which that class
/// belongs to. See [`QualityRetainingConfig`] for the constants.
///
/// Memory is `K` times the square of the number of classes; it and the time per step do not depend
/// on the number of tasks. See the paper's section 3.3; where paper and public code differ, this
/// follows the code.
#[derive(Debug)]
pub struct QualityRetaining {
    config: QualityRetainingConfig,
    ranges: ClassRanges,
    /// `[classes]`, int64.
    task_of: Tensor,
    bank: Bank,
    running: RunningLoss,
}

impl QualityRetaining {
    /// An empty bank for the classes of `ranges`, on `device`.
    ///
    /// # Errors
    /// A constant out of its range, or a bank that does not fit the memory.
    pub fn new(
        config: QualityRetainingConfig,
        ranges: ClassRanges,
        device: Device,
    ) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            task_of: ranges.lookup(device),
            bank: Bank::new(&config, ranges.num_classes() as i64, device)?,
            running: RunningLoss::new(ranges.num_tasks() as i64, config.start, device),
            config,
            ranges,
        })
    }

    /// The loss of one training batch, which the state remembers.
    ///
    /// `logits` are `[batch, classes]` of any floating-point type, on the device of the loss;
    /// `classes` are `[batch]` int64, there or on the CPU. In this order: the running loss of each
    /// task in the batch moves; the loss is taken against the bank as it was; the bank takes the
    /// logits in. A class that comes more than once enters the bank once, with its last logits.
    ///
    /// Each call is one step: call it once per batch, and not for evaluation. A batch with a logit
    /// that is not finite gives a loss that is not finite and is not remembered, so that a trainer
    /// may pass over it and go on.
    ///
    /// # Errors
    /// Another shape, type or device; nothing has changed then. So is a number that is no class,
    /// in labels on the CPU: labels on a GPU are taken as they are, since looking at them would
    /// wait for it at every step, and [`ClassRanges::check`] checks them before.
    pub fn forward(&mut self, logits: &Tensor, classes: &Tensor) -> Result<QrLoss> {
        let (logits, classes) = self.checked(logits, classes)?;
        let tasks = self.task_of.index_select(0, &classes);
        let values = logits.detach();
        let sample_losses = cross_entropy(&values, &classes);
        let finite = values.isfinite().all();
        self.running.update(&sample_losses, &tasks, self.config.momentum, &finite);
        let running = self.running.of(&tasks);
        let floored = running.lt(self.config.floor).sum(Kind::Int64);
        let strength = running.clamp_min(self.config.floor).reciprocal().to_kind(Kind::Float);
        let sum = (self.divergence(&logits, &classes) * strength).sum(Kind::Float);
        self.bank.write(&values, &classes, &finite);
        let scale = self.config.weight / classes.numel().max(1) as f64;
        Ok(QrLoss { loss: sum * scale, sample_losses, floored })
    }

    /// Running loss of each task, in the order of [`ClassRanges`]; `[tasks]` float64.
    pub fn running_losses(&self) -> Tensor {
        self.running.0.copy()
    }

    /// The classes of each task.
    pub fn ranges(&self) -> &ClassRanges {
        &self.ranges
    }

    /// `(2 T^2 / K) sum_k KL(p_k || q)` of each sample; `[batch]`.
    ///
    /// In float64: logarithms of some units leave a thousandth, and float32 would leave three digits
    /// of that.
    fn divergence(&self, logits: &Tensor, classes: &Tensor) -> Tensor {
        let t = self.config.temperature;
        let teacher = self.bank.logits.index_select(0, classes) / t;
        let log_p = teacher.log_softmax(-1, Kind::Double);
        let log_q = (logits / t).log_softmax(-1, Kind::Double).unsqueeze(1);
        let each = log_p.exp() * (log_p - log_q);
        let by_slot = each.sum_dim_intlist([-1i64].as_slice(), false, Kind::Double);
        let by_slot = match self.config.mask_unseen {
            true => by_slot * self.bank.seen.index_select(0, classes),
            false => by_slot,
        };
        // The public code counts the one vector of the form `ema` twice.
        let factor = 2.0 * t * t / self.config.bank.slots() as f64;
        let divergence = by_slot.sum_dim_intlist([1i64].as_slice(), false, Kind::Double) * factor;
        divergence.to_kind(Kind::Float)
    }

    /// Logits in float32, and the classes on their device.
    fn checked(&self, logits: &Tensor, classes: &Tensor) -> Result<(Tensor, Tensor)> {
        let count = self.ranges.num_classes() as i64;
        let shaped = logits.dim() == 2 && logits.size()[1] == count;
        require("logits", shaped, format!("[batch, {count}]"), || format!("{:?}", logits.size()))?;
        let kind = |tensor: &Tensor| format!("{:?}", tensor.kind());
        require("logits", logits.is_floating_point(), "floating point".into(), || kind(logits))?;
        let batch = [logits.size()[0]];
        let fits = classes.size() == batch;
        require("classes", fits, format!("{batch:?}"), || format!("{:?}", classes.size()))?;
        require("classes", classes.kind() == Kind::Int64, "Int64".into(), || kind(classes))?;
        let here = self.task_of.device();
        let place = |tensor: &Tensor| format!("it on {}", device::name(tensor.device()));
        require("logits", logits.device() == here, place(&self.task_of), || place(logits))?;
        if classes.device() == Device::Cpu {
            self.ranges.check(classes)?;
        }
        Ok((logits.to_kind(Kind::Float), classes.to_device(here)))
    }
}

fn cross_entropy(logits: &Tensor, classes: &Tensor) -> Tensor {
    let log_q = logits.log_softmax(-1, Kind::Float);
    -log_q.gather(1, &classes.unsqueeze(1), false).squeeze_dim(1)
}

fn require(
    key: &'static str,
    holds: bool,
    expected: String,
    found: impl Fn() -> String,
) -> Result<()> {
    holds.then_some(()).ok_or_else(|| Error::Mismatch { key, expected, found: found() })
}
