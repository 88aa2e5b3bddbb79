//! Random orders of tasks, in which PCGrad and GradVac go through them.

use crate::balancers::step_info::StepInfo;
use crate::balancers::step_seed::StepSeed;

/// For every task of the batch the others in random order.
///
/// Tasks without labels are drawn too, so that their absence does not move the others' orders.
pub(crate) fn orders(info: &StepInfo) -> Vec<Vec<usize>> {
    let mut rng = info.seed().rng(2);
    let all: Vec<_> =
        (0..info.num_tasks()).map(|_| StepSeed::order(&mut rng, info.num_tasks())).collect();
    let position = |task: &usize| info.tasks().iter().position(|present| present == task);
    let of = |(row, task): (usize, &usize)| {
        all[*task].iter().filter_map(position).filter(|other| *other != row).collect()
    };
    info.tasks().iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascending(tasks: usize) -> Vec<Vec<usize>> {
        (0..tasks).map(|i| (0..tasks).filter(|j| *j != i).collect()).collect()
    }

    #[test]
    fn orders_leave_out_the_task_and_the_absent() {
        let key = StepSeed { seed: 1, step: 5 };
        let present = StepInfo::new(4, &[0, 2, 3], &[1.0; 3], key).unwrap();
        for (row, order) in orders(&present).into_iter().enumerate() {
            let mut sorted = order;
            sorted.sort_unstable();
            assert_eq!(sorted, ascending(3)[row]);
        }
    }
}
