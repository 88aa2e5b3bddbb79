//! The place of this process, by the variables that `torchrun` and SLURM set.

use crate::environment::Environment;
use crate::variables::{Lookup, interfaces, optional, required, text, variable};
use crate::{Result, slurm};

impl Environment {
    /// The place that the variables of this process give it; none where they name no other process.
    ///
    /// # Errors
    /// Variables that are there in part or out of their range.
    pub fn from_process() -> Result<Option<Self>> {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    /// As [`Environment::from_process`], from variables that `lookup` finds.
    ///
    /// `RANK` and `WORLD_SIZE` come first, then `SLURM_PROCID` and `SLURM_STEP_NUM_TASKS`, which
    /// `srun` sets.
    ///
    /// # Errors
    /// As [`Environment::from_process`].
    pub fn from_variables(lookup: Lookup) -> Result<Option<Self>> {
        let set = |name: &str| lookup(name).is_some_and(|value| !value.is_empty());
        let found = match (set("RANK") || set("WORLD_SIZE"), slurm::starts(lookup)) {
            (true, _) => Self::from_torch(lookup)?,
            (false, true) => slurm::environment(lookup)?,
            (false, false) => return Ok(None),
        };
        found.validate()?;
        Ok(Some(found))
    }

    fn from_torch(lookup: Lookup) -> Result<Self> {
        let (rank, world_size) = (required(lookup, "RANK")?, required(lookup, "WORLD_SIZE")?);
        Ok(Self {
            rank,
            world_size,
            local_rank: optional(lookup, "LOCAL_RANK")?.unwrap_or(rank),
            local_world_size: optional(lookup, "LOCAL_WORLD_SIZE")?.unwrap_or(world_size),
            master_addr: text(lookup, "MASTER_ADDR")?,
            master_port: required(lookup, "MASTER_PORT")?,
            restarts: optional(lookup, "TORCHELASTIC_RESTART_COUNT")?.unwrap_or(0),
            agent_store: lookup("TORCHELASTIC_USE_AGENT_STORE").as_deref() == Some("True"),
            interfaces: interfaces(lookup),
        })
    }

    fn validate(&self) -> Result<()> {
        within("RANK", self.rank, self.world_size)?;
        within("LOCAL_RANK", self.local_rank, self.local_world_size)
    }
}

fn within(name: &str, index: usize, count: usize) -> Result<()> {
    if index < count {
        return Ok(());
    }
    Err(variable(name, &format!("a number below {count}"), index.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Environment>> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name);
        Environment::from_variables(&|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    const TORCHRUN: [(&str, &str); 4] =
        [("RANK", "3"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "n1"), ("MASTER_PORT", "29500")];

    #[test]
    fn torchrun_gives_places() {
        assert_eq!(read(&[]).unwrap(), None);
        let mut variables = TORCHRUN.to_vec();
        let plain = read(&variables).unwrap().unwrap();
        assert_eq!((plain.rank, plain.local_rank, plain.local_world_size), (3, 3, 4));
        assert_eq!((plain.address().as_str(), plain.agent_store), ("n1:29500", false));
        variables.extend([
            ("LOCAL_RANK", "1"),
            ("LOCAL_WORLD_SIZE", "2"),
            ("TORCHELASTIC_RESTART_COUNT", "2"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
        ]);
        let found = read(&variables).unwrap().unwrap();
        assert_eq!((found.local_rank, found.local_world_size, found.restarts), (1, 2, 2));
        assert!(found.agent_store);
    }

    #[test]
    fn places_that_cannot_be_are_refused() {
        let message = read(&TORCHRUN[..3]).unwrap_err().to_string();
        assert!(message.starts_with("MASTER_PORT: expected a value, since"), "{message}");
        let mut variables = TORCHRUN.to_vec();
        variables[0].1 = "4";
        let message = read(&variables).unwrap_err().to_string();
        assert_eq!(message, "RANK: expected a number below 4, found 4");
        variables[0].1 = "-1";
        let message = read(&variables).unwrap_err().to_string();
        assert_eq!(message, "RANK: expected a number of its range, found -1");
    }

    #[test]
    fn srun_gives_places() {
        let mut variables = vec![
            ("SLURM_PROCID", "5"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_JOB_ID", "123456"),
            ("SLURM_JOB_NODELIST", "gpu[07-09,12],cpu1"),
        ];
        // A batch script is one process, whatever its job may start.
        assert_eq!(read(&variables).unwrap(), None);
        variables.push(("SLURM_STEP_NUM_TASKS", "8"));
        variables.push(("SLURM_STEP_TASKS_PER_NODE", "4(x2)"));
        let found = read(&variables).unwrap().unwrap();
        assert_eq!((found.rank, found.world_size, found.local_rank), (5, 8, 1));
        assert_eq!((found.address().as_str(), found.local_world_size), ("gpu07:18456", 4));
        variables.extend([("MASTER_ADDR", "head"), ("MASTER_PORT", "4000")]);
        assert_eq!(read(&variables).unwrap().unwrap().address(), "head:4000");
    }
}
