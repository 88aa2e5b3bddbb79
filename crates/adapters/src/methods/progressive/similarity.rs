//! Groups of tasks whose gradients agree.
//!
//! `s(t, u) = mean over pairs of batches of cos(g_t, g_u) = <mean unit g_t, mean unit g_u>`. From the last
//! stage to the first, groups join pair by pair, the pair first whose tasks are most alike on average,
//! so that from stage to stage they only split.

use super::groups::Groups;
use crate::error::{Result, config};

/// Similarities of tasks in one stage, symmetric.
pub(super) type Similarity = Vec<Vec<f64>>;

/// Checks that every stage has from 1 to `tasks` groups, and never fewer than the one before.
///
/// # Errors
/// The first stage that is otherwise.
pub(super) fn check_numbers(numbers: &[usize], tasks: usize) -> Result<()> {
    for (stage, &number) in numbers.iter().enumerate() {
        let least = stage.checked_sub(1).map_or(1, |before| numbers[before]);
        if number < least || number > tasks {
            let expected = format!("from {least} to {tasks} groups");
            return Err(config(format!("num_groups.{stage}"), expected, number));
        }
    }
    Ok(())
}

/// As many groups of `tasks` as `numbers` says for every stage, of the most alike.
pub(super) fn groups(
    tasks: &[String],
    numbers: &[usize],
    similarities: &[Similarity],
) -> Vec<Groups> {
    let mut parted: Vec<Vec<usize>> = (0..tasks.len()).map(|task| vec![task]).collect();
    let mut stages = Vec::new();
    for (number, similarity) in numbers.iter().zip(similarities).rev() {
        while parted.len() > *number {
            join_nearest(&mut parted, similarity);
        }
        let named = |group: &Vec<usize>| group.iter().map(|&task| tasks[task].clone()).collect();
        stages.push(parted.iter().map(named).collect());
    }
    stages.reverse();
    stages
}

/// Joins the two groups with the largest mean similarity; the first of several.
fn join_nearest(groups: &mut Vec<Vec<usize>>, similarity: &Similarity) {
    let pairs = (0..groups.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
    let mut nearest = (0, 1, f64::NEG_INFINITY);
    for (a, b) in pairs {
        let mean = mean(&groups[a], &groups[b], similarity);
        if mean > nearest.2 {
            nearest = (a, b, mean);
        }
    }
    let (into, from, _) = nearest;
    let joined = groups.remove(from);
    groups[into].extend(joined);
    groups[into].sort_unstable();
}

fn mean(a: &[usize], b: &[usize], similarity: &Similarity) -> f64 {
    let pairs = a.iter().flat_map(|&i| b.iter().map(move |&j| similarity[i][j]));
    pairs.sum::<f64>() / (a.len() * b.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: [&str; 4]) -> Vec<String> {
        names.map(str::to_owned).to_vec()
    }

    #[test]
    fn alike_tasks_part_last_and_never_join_again() {
        let tasks = names(["a", "b", "c", "d"]);
        // In the last stage a and c are alike, in the one before a and b would be.
        let last = vec![
            vec![1.0, 0.1, 0.9, 0.2],
            vec![0.1, 1.0, 0.3, 0.8],
            vec![0.9, 0.3, 1.0, 0.1],
            vec![0.2, 0.8, 0.1, 1.0],
        ];
        let early = vec![vec![1.0, 0.9, 0.0, 0.0]; 4];
        let found = groups(&tasks, &[1, 2, 3], &[early.clone(), early, last]);
        let text = |stage: &Groups| stage.iter().map(|group| group.concat()).collect::<Vec<_>>();
        assert_eq!(text(&found[2]), ["ac", "b", "d"]);
        assert_eq!(text(&found[1]), ["abc", "d"]);
        assert_eq!(text(&found[0]), ["abcd"]);
        super::super::groups::check_groups(&found, &tasks).unwrap();
    }

    #[test]
    fn numbers_that_fall_or_exceed_the_tasks_are_named() {
        check_numbers(&[1, 1, 2, 4], 4).unwrap();
        for (numbers, message) in [
            (&[0][..], "num_groups.0: expected from 1 to 4 groups, found 0"),
            (&[2, 1], "num_groups.1: expected from 2 to 4 groups, found 1"),
            (&[1, 5], "num_groups.1: expected from 1 to 4 groups, found 5"),
        ] {
            assert_eq!(check_numbers(numbers, 4).unwrap_err().to_string(), message);
        }
    }
}
