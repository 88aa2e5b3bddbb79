//! The process group of a run: operations that say who is missing.

use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use polyptych_kernels::{GradientGroup, KeyStore, ProcessGroup, ReduceOp};
use polyptych_tensor::{Device, Tensor, no_grad};

use crate::buckets::bytes;
use crate::heartbeat::Heartbeat;
use crate::roll_call::RollCall;
use crate::traffic::Traffic;
use crate::{Environment, Error, Result};

/// Prefix of all our keys, since the store may be shared with the program that started us.
const PREFIX: &str = "polyptych";

/// How long it is tried to connect to a store that another program keeps. That one kept it before
/// it started this process, so a store that does not answer is gone.
const KEPT: Duration = Duration::from_secs(10);

/// The processes that train together, as one of them sees them.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) environment: Environment,
    /// Keys of this start of the processes.
    pub(crate) store: KeyStore,
    /// Keys that outlive a restart of the processes, where the store does.
    lasting: KeyStore,
    keeps_store: bool,
    pub(crate) timeout: Duration,
    /// Operations one after the other, as all ranks must call them in one order.
    /// None after an error: others wait for this rank until its connections are closed.
    group: Mutex<Option<ProcessGroup>>,
    /// For gradients alone, whose sums go on while the other group is asked: operations are matched
    /// by their order within a group.
    pub(crate) gradients: Mutex<Option<GradientGroup>>,
    /// Communicators of NCCL so far.
    pub(crate) communicators: AtomicUsize,
    traffic: Mutex<Traffic>,
    heartbeat: Heartbeat,
}

impl Group {
    /// Meets the other processes; `timeout` is that of every operation.
    ///
    /// # Errors
    /// Processes that do not come in time.
    pub(crate) fn join(environment: Environment, timeout: Duration) -> Result<Self> {
        let (rank, size) = (environment.rank, environment.world_size);
        let keeps_store = rank == 0 && !environment.agent_store;
        let patience = if environment.agent_store { timeout.min(KEPT) } else { timeout };
        let not_met = |waited: Duration, reason: String| Error::Meeting {
            rank,
            size,
            address: environment.address(),
            seconds: waited.as_secs(),
            reason,
        };
        let open = |serve: bool, prefix: &str| {
            let (host, port) = (environment.master_addr.as_str(), environment.master_port);
            let opened = match serve {
                true => KeyStore::serve(host, port, prefix, timeout),
                false => KeyStore::connect(host, port, prefix, patience, timeout),
            };
            opened.map_err(|error| not_met(patience, error.to_string()))
        };
        let lasting = open(keeps_store, PREFIX)?;
        let prefix = format!("{PREFIX}/start_{}", environment.restarts);
        let store = open(false, &prefix)?;
        let (index, count) = (rank as i32, size as i32);
        let meet = |store: &KeyStore| {
            let met = ProcessGroup::new(store, index, count, &environment.interfaces, timeout);
            met.map_err(|error| not_met(timeout, error.to_string()))
        };
        let group = Mutex::new(Some(meet(&store)?));
        let gradients = meet(&open(false, &format!("{prefix}/gradients"))?)?;
        let gradients = Mutex::new(Some(GradientGroup::Gloo(gradients)));
        let heartbeat = Heartbeat::start(open(false, &prefix)?, rank)?;
        let traffic = Mutex::default();
        Ok(Self {
            environment,
            store,
            lasting,
            keeps_store,
            timeout,
            group,
            gradients,
            communicators: AtomicUsize::new(0),
            traffic,
            heartbeat,
        })
    }

    /// Combines the numbers of `tensor`, of any device, over all ranks, in place.
    ///
    /// # Errors
    /// A rank that is gone, late or failed.
    pub(crate) fn all_reduce(&self, tensor: &Tensor, op: ReduceOp) -> Result<()> {
        let here = here(tensor);
        self.call("all_reduce", bytes(tensor), |group| group.all_reduce(&here, op))?;
        back(&here, tensor)
    }

    /// Gives all ranks the numbers of rank 0, in place.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub(crate) fn broadcast(&self, tensor: &Tensor) -> Result<()> {
        let here = here(tensor);
        self.call("broadcast", bytes(tensor), |group| group.broadcast(&here, 0))?;
        back(&here, tensor)
    }

    /// The tensors of all ranks, `[ranks, ..]`, which have the shape of `own`.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub(crate) fn all_gather(&self, own: &Tensor) -> Result<Tensor> {
        let here = here(own);
        let mut shape = here.size();
        shape.insert(0, self.environment.world_size as i64);
        let all = Tensor::zeros(shape.as_slice(), (here.kind(), Device::Cpu));
        let flat = all.view([-1]);
        let own_flat = here.view([-1]);
        self.call("all_gather", bytes(&all), |group| group.all_gather(&flat, &own_flat))?;
        Ok(all.to_device(own.device()))
    }

    /// The sum of `tensor` over all ranks, whose backward pass sums the gradients of all ranks.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub(crate) fn differentiable_sum(&self, tensor: &Tensor) -> Result<Tensor> {
        let here = tensor.to_device(Device::Cpu);
        let mut sum = Tensor::new();
        self.call("all_reduce", bytes(tensor), |group| {
            sum = group.differentiable_sum(&here)?;
            Ok(())
        })?;
        Ok(sum.to_device(tensor.device()))
    }

    /// Who is to blame for an error that LibTorch reports of an operation within a backward pass.
    pub(crate) fn blame(&self, reason: &str) -> Error {
        self.part();
        let reason = reason.lines().next().unwrap_or_default().to_owned();
        self.roll_call().find("all_reduce", self.timeout, reason)
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub(crate) fn barrier(&self) -> Result<()> {
        self.call("barrier", 0, ProcessGroup::barrier)
    }

    /// Tells the others why this rank ends.
    pub(crate) fn fail(&self, reason: &str) {
        self.part();
        self.roll_call().fail(reason);
    }

    /// Keeps `value` for later starts of the processes.
    ///
    /// # Errors
    /// A store that is gone.
    pub(crate) fn keep(&self, key: &str, value: &str) -> Result<()> {
        Ok(self.lasting.set(key, value.as_bytes())?)
    }

    /// What an earlier start of the processes has kept.
    ///
    /// # Errors
    /// A store that is gone.
    pub(crate) fn kept(&self, key: &str) -> Result<Option<String>> {
        if !self.lasting.has(key)? {
            return Ok(None);
        }
        let value = self.lasting.get(key, self.timeout)?;
        Ok(Some(String::from_utf8_lossy(&value).into_owned()))
    }

    /// What was said so far.
    pub(crate) fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(
        &self,
        op: &'static str,
        bytes: usize,
        work: impl FnOnce(&ProcessGroup) -> polyptych_kernels::Result<()>,
    ) -> Result<()> {
        self.refuse_without_starter()?;
        let start = Instant::now();
        let done = match &*self.group.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(group) => work(group),
            None => return Err(Error::Parted { op }),
        };
        self.count(bytes, start.elapsed());
        done.map_err(|error| {
            self.part();
            self.roll_call().find(op, self.timeout, reason(&error))
        })
    }

    /// Ends a process that nobody could end any more. A store of rank 0 goes with rank 0 alone, of
    /// which connections tell.
    pub(crate) fn refuse_without_starter(&self) -> Result<()> {
        if !self.environment.agent_store || !self.heartbeat.store_is_gone() {
            return Ok(());
        }
        self.part();
        let Environment { rank, .. } = self.environment;
        Err(Error::NoStarter { rank, address: self.environment.address() })
    }

    pub(crate) fn count(&self, bytes: usize, time: Duration) {
        let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        traffic.add(bytes as u64, time);
    }

    /// Closes the connections of this rank.
    pub(crate) fn part(&self) {
        // Within a backward pass its own frame does it.
        if let Ok(mut gradients) = self.gradients.try_lock() {
            drop(gradients.take());
        }
        drop(self.group.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(crate) fn roll_call(&self) -> RollCall<'_> {
        let Environment { rank, world_size: size, .. } = self.environment;
        RollCall { store: &self.store, rank, size, keeps_store: self.keeps_store }
    }
}

/// What LibTorch said, without the names of its source files.
pub(crate) fn reason(error: &polyptych_kernels::Error) -> String {
    let text = error.to_string();
    let said = text.lines().next().unwrap_or_default();
    let said = said.split_once("] ").filter(|(place, _)| place.contains('[')).map_or(said, |s| s.1);
    said.split(". ").next().unwrap_or(said).trim_end_matches('.').to_owned()
}

/// Gloo takes contiguous tensors of the CPU.
fn here(tensor: &Tensor) -> Tensor {
    tensor.detach().to_device(Device::Cpu).contiguous()
}

/// Puts what became of a copy back, where it is one.
fn back(here: &Tensor, tensor: &Tensor) -> Result<()> {
    if here.data_ptr() != tensor.data_ptr() {
        no_grad(|| tensor.detach().f_copy_(here))?;
    }
    Ok(())
}
