//! Places of processes that `srun` starts.

use crate::Result;
use crate::environment::Environment;
use crate::variables::{Lookup, interfaces, optional, required, text};

/// The first port of jobs; a job takes the one of the last four digits of its number.
const FIRST_PORT: u64 = 15_000;

/// Whether `srun` has started this process beside others. A batch script has no step, and is one
/// process however many its job may start.
pub(crate) fn starts(lookup: Lookup) -> bool {
    lookup("SLURM_PROCID").is_some() && lookup("SLURM_STEP_NUM_TASKS").is_some()
}

/// The place that `srun` gives. `MASTER_ADDR` and `MASTER_PORT` of the user's win; otherwise the
/// first node of the job, and a port by the number of the job.
///
/// # Errors
/// A variable that is absent or no number.
pub(crate) fn environment(lookup: Lookup) -> Result<Environment> {
    let world_size = required(lookup, "SLURM_STEP_NUM_TASKS")?;
    let local_rank = required(lookup, "SLURM_LOCALID")?;
    Ok(Environment {
        rank: required(lookup, "SLURM_PROCID")?,
        world_size,
        local_rank,
        local_world_size: local_world_size(lookup).unwrap_or(local_rank + 1),
        master_addr: match text(lookup, "MASTER_ADDR") {
            Ok(own) => own,
            Err(_) => first_node(&text(lookup, "SLURM_JOB_NODELIST")?),
        },
        master_port: match optional(lookup, "MASTER_PORT")? {
            Some(own) => own,
            None => port(required(lookup, "SLURM_JOB_ID")?),
        },
        restarts: optional(lookup, "SLURM_RESTART_COUNT")?.unwrap_or(0),
        agent_store: false,
        interfaces: interfaces(lookup),
    })
}

/// Tasks of this node, of `4(x2),3`; none where that is not the form.
fn local_world_size(lookup: Lookup) -> Option<usize> {
    let (counts, node) = (lookup("SLURM_STEP_TASKS_PER_NODE")?, lookup("SLURM_NODEID"));
    let node: usize = node.and_then(|node| node.parse().ok()).unwrap_or(0);
    let all = counts.split(',').filter_map(|part| {
        let (count, times) = part.split_once("(x").unwrap_or((part, "1)"));
        let times: usize = times.trim_end_matches(')').parse().ok()?;
        Some(std::iter::repeat_n(count.parse().ok()?, times))
    });
    all.flatten().nth(node)
}

/// The first name of `gpu[07-09,12],cpu1`.
fn first_node(list: &str) -> String {
    match list.split_once('[') {
        Some((head, rest)) if !head.contains(',') => {
            let first = rest.split([',', '-', ']']).next().unwrap_or_default();
            let tail = rest.split_once(']').map_or("", |(_, tail)| tail);
            format!("{head}{first}{}", tail.split(',').next().unwrap_or_default())
        }
        _ => list.split(',').next().unwrap_or_default().to_owned(),
    }
}

fn port(job: u64) -> u16 {
    u16::try_from(FIRST_PORT + job % 10_000).expect("24999 is a port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_node_is_found() {
        let lists = [
            ("n1", "n1"),
            ("n1,n2", "n1"),
            ("gpu[3-5]", "gpu3"),
            ("gpu[03,05]-ib,n1", "gpu03-ib"),
            ("n1,gpu[3-5]", "n1"),
        ];
        for (list, first) in lists {
            assert_eq!(first_node(list), first, "{list}");
        }
    }

    #[test]
    fn tasks_are_counted_by_node() {
        let on = |node: &'static str| {
            local_world_size(&move |name| match name {
                "SLURM_NODEID" => Some(node.into()),
                _ => Some("4(x2),3".into()),
            })
        };
        assert_eq!([on("0"), on("1"), on("2"), on("3")], [Some(4), Some(4), Some(3), None]);
    }
}
