//! One process or many: what every rank asks of the others.

use std::sync::Arc;
use std::time::Duration;

use polyptych_kernels::ReduceOp;
use polyptych_tensor::{BatchSum, Kind, Tensor, no_grad};

use crate::buckets::buckets;
use crate::group::Group;
use crate::traffic::Traffic;
use crate::{Backend, Environment, Error, GradientBuckets, Result};

/// The processes that train together. Where a process trains alone every function gives back what
/// it got.
///
/// All ranks must call the same functions in the same order, and all get the same bits.
#[derive(Debug, Clone, Default)]
pub struct Ranks {
    group: Option<Arc<Group>>,
    backend: Backend,
}

impl Ranks {
    /// A process that trains alone, for those who borrow it.
    pub const ALONE: &'static Self = &Self { group: None, backend: Backend::Gloo };

    /// A process that trains alone.
    pub fn alone() -> Self {
        Self::default()
    }

    /// Meets the other processes of `environment`; `timeout` is that of every operation.
    ///
    /// # Errors
    /// Processes that do not come in time.
    pub fn join(environment: Environment, timeout: Duration) -> Result<Self> {
        if environment.world_size == 1 {
            return Ok(Self::alone());
        }
        let group = Some(Arc::new(Group::join(environment, timeout)?));
        Ok(Self { group, backend: Backend::Gloo })
    }

    /// The same processes, whose gradients go over `backend`.
    pub fn with_backend(self, backend: Backend) -> Self {
        Self { backend, ..self }
    }

    /// Number of this process, `0..size`.
    pub fn rank(&self) -> usize {
        self.group.as_ref().map_or(0, |group| group.environment.rank)
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.group.as_ref().map_or(1, |group| group.environment.world_size)
    }

    /// Number of this process among those of its machine.
    pub fn local_rank(&self) -> usize {
        self.group.as_ref().map_or(0, |group| group.environment.local_rank)
    }

    /// Number of processes of this machine.
    pub fn local_size(&self) -> usize {
        self.group.as_ref().map_or(1, |group| group.environment.local_world_size)
    }

    /// What gradients go over, by PyTorch's name; none where a process trains alone.
    pub fn backend(&self) -> Option<&'static str> {
        self.group.as_ref().map(|_| self.backend.name())
    }

    /// Whether this is the one process that writes.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether there are others.
    pub fn are_many(&self) -> bool {
        self.group.is_some()
    }

    /// The sum of each of `tensors` over all ranks; views of flat buckets, without a graph.
    ///
    /// # Errors
    /// A rank that is gone, late or failed, or other tensors there.
    pub fn sum(&self, tensors: &[&Tensor]) -> Result<Vec<Tensor>> {
        let Some(group) = &self.group else {
            return Ok(tensors.iter().map(|tensor| tensor.detach()).collect());
        };
        no_grad(|| {
            let mut sums: Vec<Tensor> = tensors.iter().map(|_| Tensor::new()).collect();
            for bucket in buckets(tensors) {
                let flat = bucket.flat(tensors)?;
                group.all_reduce(&flat, ReduceOp::Sum)?;
                bucket.take_apart(&flat, tensors, &mut sums);
            }
            Ok(sums)
        })
    }

    /// Buckets for the gradients of `params`, which stand in the order of a forward pass; none where
    /// a process trains alone.
    ///
    /// # Errors
    /// What LibTorch or NCCL reports; NCCL for parameters that are not on a GPU.
    pub fn gradient_buckets(&self, params: &[&Tensor]) -> Result<Option<GradientBuckets>> {
        let Some(group) = &self.group else { return Ok(None) };
        if let (Backend::Nccl, Some(first)) = (self.backend, params.first()) {
            group.sum_over_nccl(first.device())?;
        }
        Ok(Some(GradientBuckets::new(group.clone(), params)?))
    }

    /// The sums of `numbers` over all ranks.
    ///
    /// # Errors
    /// As [`Ranks::sum`].
    pub fn sums(&self, numbers: &[f64]) -> Result<Vec<f64>> {
        self.combined(numbers, ReduceOp::Sum)
    }

    /// The largest of each of `numbers` over all ranks.
    ///
    /// # Errors
    /// As [`Ranks::sum`].
    pub fn largest(&self, numbers: &[f64]) -> Result<Vec<f64>> {
        self.combined(numbers, ReduceOp::Max)
    }

    /// Whether any rank says yes.
    ///
    /// # Errors
    /// As [`Ranks::sum`].
    pub fn any(&self, own: bool) -> Result<bool> {
        Ok(self.largest(&[f64::from(u8::from(own))])?[0] > 0.0)
    }

    fn combined(&self, numbers: &[f64], op: ReduceOp) -> Result<Vec<f64>> {
        let Some(group) = &self.group else { return Ok(numbers.to_vec()) };
        let tensor = Tensor::from_slice(numbers);
        group.all_reduce(&tensor, op)?;
        Ok(Vec::try_from(&tensor)?)
    }

    /// The bytes of every rank, in their order.
    ///
    /// # Errors
    /// As [`Ranks::sum`].
    pub fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        let rows = self.gather_rows(&Tensor::from_slice(own))?;
        Ok(rows.iter().map(Vec::<u8>::try_from).collect::<std::result::Result<_, _>>()?)
    }

    /// The rows of every rank, `[rows of the rank, ..]`; they differ in the number of rows alone.
    /// No graph comes with them.
    ///
    /// # Errors
    /// As [`Ranks::sum`].
    pub fn gather_rows(&self, own: &Tensor) -> Result<Vec<Tensor>> {
        let Some(group) = &self.group else { return Ok(vec![own.detach()]) };
        no_grad(|| {
            let counts = group.all_gather(&Tensor::from_slice(&[own.size()[0]]))?;
            let counts = Vec::<i64>::try_from(&counts.view([-1]))?;
            let longest = counts.iter().copied().max().unwrap_or(0);
            let mut shape = own.size();
            shape[0] = longest;
            let padded = Tensor::zeros(shape.as_slice(), (own.kind(), own.device()));
            padded.narrow(0, 0, own.size()[0]).f_copy_(&own.detach())?;
            let all = group.all_gather(&padded)?;
            let one = |(rank, &count): (i64, &i64)| all.get(rank).narrow(0, 0, count);
            Ok((0i64..).zip(&counts).map(one).collect())
        })
    }

    /// The text of rank 0.
    ///
    /// # Errors
    /// As [`Ranks::sum`].
    pub fn of_first(&self, own: &str) -> Result<String> {
        let Some(group) = &self.group else { return Ok(own.to_owned()) };
        let len = Tensor::from_slice(&[own.len() as i64]);
        group.broadcast(&len)?;
        let len = len.int64_value(&[0]);
        let bytes = match self.is_first() {
            true => Tensor::from_slice(own.as_bytes()),
            false => Tensor::zeros([len], (Kind::Uint8, polyptych_tensor::Device::Cpu)),
        };
        if len > 0 {
            group.broadcast(&bytes)?;
        }
        Ok(String::from_utf8_lossy(&Vec::<u8>::try_from(&bytes)?).into_owned())
    }

    /// Refuses ranks whose `text` is not that of rank 0, and shows the first line that differs.
    ///
    /// # Errors
    /// As [`Ranks::sum`]; [`Error::Differs`] on every rank.
    pub fn agree(&self, what: &'static str, text: &str) -> Result<()> {
        let texts = self.gather(text.as_bytes())?;
        let Some(rank) = texts.iter().position(|other| *other != texts[0]) else { return Ok(()) };
        let (first, other) =
            (String::from_utf8_lossy(&texts[0]), String::from_utf8_lossy(&texts[rank]));
        let [expected, found] = first_difference(&first, &other);
        Err(Error::Differs { what, rank, expected, found })
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// As [`Ranks::sum`].
    pub fn barrier(&self) -> Result<()> {
        self.group.as_ref().map_or(Ok(()), |group| group.barrier())
    }

    /// Tells the others why this rank ends; they end with these words.
    pub fn fail(&self, reason: &str) {
        if let Some(group) = &self.group {
            group.fail(reason);
        }
    }

    /// Keeps `value` for later starts of the processes, as `torchrun` starts them after a failure.
    ///
    /// # Errors
    /// A store that is gone.
    pub fn keep(&self, key: &str, value: &str) -> Result<()> {
        self.group.as_ref().map_or(Ok(()), |group| group.keep(key, value))
    }

    /// What an earlier start of the processes has kept.
    ///
    /// # Errors
    /// A store that is gone.
    pub fn kept(&self, key: &str) -> Result<Option<String>> {
        self.group.as_ref().map_or(Ok(None), |group| group.kept(key))
    }

    /// The error of an operation within a backward pass, of which LibTorch gives the words alone;
    /// none where the words are not of one.
    pub fn blame(&self, words: &str) -> Option<Error> {
        let marks = ["gloo", "Connection closed by peer", "Connection reset by peer", "Timed out"];
        let group =
            self.group.as_ref().filter(|_| marks.iter().any(|mark| words.contains(mark)))?;
        Some(group.blame(words))
    }

    /// What this rank has said to the others so far.
    pub fn traffic(&self) -> Traffic {
        self.group.as_ref().map_or_else(Traffic::default, |group| group.traffic())
    }
}

impl BatchSum for Ranks {
    fn sum(&self, tensor: &Tensor) -> polyptych_tensor::Result<Tensor> {
        let Some(group) = &self.group else { return Ok(tensor.shallow_clone()) };
        let sum = group.differentiable_sum(tensor);
        sum.map_err(|error| polyptych_tensor::Error::BatchSum { reason: error.to_string() })
    }
}

/// The first lines that differ.
fn first_difference(first: &str, other: &str) -> [String; 2] {
    let (mut first, mut other) = (first.lines(), other.lines());
    loop {
        match (first.next(), other.next()) {
            (a, b) if a == b && a.is_some() => {}
            (a, b) => return [a, b].map(|line| format!("`{}`", line.unwrap_or_default())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_process_keeps_what_it_has() {
        let ranks = Ranks::alone();
        assert_eq!((ranks.rank(), ranks.size(), ranks.are_many()), (0, 1, false));
        assert_eq!(ranks.sums(&[1.5]).unwrap(), [1.5]);
        assert_eq!(ranks.gather(b"ab").unwrap(), [b"ab"]);
        ranks.agree("recipe", "a").unwrap();
    }

    #[test]
    fn the_first_other_line_is_shown() {
        assert_eq!(first_difference("a\nb\nc", "a\nx\nc"), ["`b`", "`x`"]);
        assert_eq!(first_difference("a", "a\nb"), ["``", "`b`"]);
    }
}
