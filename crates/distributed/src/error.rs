//! What can go wrong between processes.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the environment, of another rank or of LibTorch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable of the environment is absent or out of its range.
    #[error("{name}: expected {expected}, found {found}")]
    Variable {
        /// The variable.
        name: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The processes did not meet.
    #[error(
        "rank {rank} of {size}: no meeting at {address} within {seconds} s: {reason}; start all \
         {size} ranks, with the same MASTER_ADDR and MASTER_PORT, which every node must connect to"
    )]
    Meeting {
        /// The own rank.
        rank: usize,
        /// Number of ranks.
        size: usize,
        /// Where they meet.
        address: String,
        /// How long it was waited for.
        seconds: u64,
        /// What LibTorch said.
        reason: String,
    },
    /// A rank has ended, and said why.
    #[error("rank {rank} failed: {reason}")]
    Failed {
        /// The rank.
        rank: usize,
        /// Its own words.
        reason: String,
    },
    /// Ranks do not answer.
    #[error("{ranks} gone, or silent for more than {seconds} s, in {op}: {reason}")]
    Gone {
        /// Which ranks.
        ranks: String,
        /// The time limit of an operation.
        seconds: u64,
        /// The operation.
        op: &'static str,
        /// What LibTorch said.
        reason: String,
    },
    /// Ranks run different things.
    #[error("{what}: rank {rank} has {found}, rank 0 has {expected}; start all ranks alike")]
    Differs {
        /// What differs.
        what: &'static str,
        /// The first rank that differs.
        rank: usize,
        /// What rank 0 has.
        expected: String,
        /// What this rank has.
        found: String,
    },
    /// The program that started this process, and kept the store, has ended.
    #[error("the program that started rank {rank} and kept the store at {address} is gone")]
    NoStarter {
        /// The own rank.
        rank: usize,
        /// Where the store was.
        address: String,
    },
    /// NCCL takes tensors of GPUs alone.
    #[error("--dist-backend nccl: expected a model on a GPU, found one on {found}; use gloo")]
    NotOnGpu {
        /// Where it is.
        found: String,
    },
    /// The group has ended with an earlier error.
    #[error("{op}: the process group is closed after an earlier error")]
    Parted {
        /// The operation.
        op: &'static str,
    },
    /// A thread could not be started.
    #[error("heartbeat: expected a thread of its own, found none: {0}")]
    Thread(#[from] std::io::Error),
    /// LibTorch refused a call.
    #[error(transparent)]
    Kernels(#[from] polyptych_kernels::Error),
    /// LibTorch refused an operation on tensors.
    #[error("tensors of all ranks: {0}")]
    Torch(#[from] polyptych_tensor::TchError),
}
