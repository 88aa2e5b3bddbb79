//! Which of how many processes is this one?

/// The place of a process among those that train together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Number of this process, `0..world_size`.
    pub rank: usize,
    /// Number of processes.
    pub world_size: usize,
    /// Number of this process among those of its machine.
    pub local_rank: usize,
    /// Number of processes of this machine.
    pub local_world_size: usize,
    /// Machine of the store at which processes meet.
    pub master_addr: String,
    /// Its port.
    pub master_port: u16,
    /// How often all processes were started anew, as `torchrun` counts.
    pub restarts: u64,
    /// Whether the store is kept by the program that started the processes, not by rank 0.
    pub agent_store: bool,
    /// Network interfaces for tensors, parted by commas; empty for that of the machine's name.
    pub interfaces: String,
}

impl Environment {
    /// Machine and port of the store.
    pub fn address(&self) -> String {
        format!("{}:{}", self.master_addr, self.master_port)
    }
}
