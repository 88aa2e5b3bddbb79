//! Who shares with whom, stage by stage.

use crate::error::{Result, config};

/// Groups of tasks in one stage.
pub(super) type Groups = Vec<Vec<String>>;

/// Checks that every stage has each of `tasks` in one group, and that tasks which parted stay apart.
///
/// # Errors
/// The first stage that is otherwise.
pub(super) fn check_groups(stages: &[Vec<Vec<String>>], tasks: &[String]) -> Result<()> {
    for (stage, groups) in stages.iter().enumerate() {
        check_partition(stage, groups, tasks)?;
        let Some(before) = stage.checked_sub(1) else { continue };
        let parted = groups_of(&stages[before], tasks);
        let now = groups_of(groups, tasks);
        let pairs = (0..tasks.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        let mut again = pairs.filter(|&(a, b)| now[a] == now[b] && parted[a] != parted[b]);
        if let Some((a, b)) = again.next() {
            let expected = format!("groups within those of stage {before}");
            let found = format!("{} and {} together again", tasks[b], tasks[a]);
            return Err(config(format!("groups.{stage}"), expected, found));
        }
    }
    Ok(())
}

fn check_partition(stage: usize, groups: &[Vec<String>], tasks: &[String]) -> Result<()> {
    let refused = |found: String| Err(config(format!("groups.{stage}"), "every task once", found));
    let named: Vec<&String> = groups.iter().flatten().collect();
    if let Some(strange) = named.iter().find(|name| !tasks.contains(name)) {
        return refused(format!("{strange}, which is none of {}", tasks.join(", ")));
    }
    for task in tasks {
        match named.iter().filter(|name| **name == task).count() {
            0 => return refused(format!("no group with {task}")),
            1 => {}
            _ => return refused(format!("{task} twice")),
        }
    }
    match groups.iter().any(Vec::is_empty) {
        true => refused("an empty group".into()),
        false => Ok(()),
    }
}

/// The group of every task, by its position.
pub(super) fn groups_of(groups: &[Vec<String>], tasks: &[String]) -> Vec<usize> {
    let group = |task: &String| groups.iter().position(|group| group.contains(task));
    tasks.iter().filter_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(stages: Value) -> Result<()> {
        let stages: Vec<Vec<Vec<String>>> = serde_json::from_value(stages).unwrap();
        check_groups(&stages, &["a", "b", "c"].map(str::to_owned))
    }

    #[test]
    fn groups_only_split() {
        check(json!([[["a", "b", "c"]], [["c"], ["a", "b"]], [["b"], ["a"], ["c"]]])).unwrap();
        let message = |stages: Value| check(stages).unwrap_err().to_string();
        assert_eq!(
            message(json!([[["a", "b"], ["c"]], [["a", "b", "c"]]])),
            "groups.1: expected groups within those of stage 0, found a and c together again"
        );
        for (stages, found) in [
            (json!([[["a", "b"]]]), "no group with c"),
            (json!([[["a", "b", "c"], ["a"]]]), "a twice"),
            (json!([[["a", "b", "c"], []]]), "an empty group"),
            (json!([[["a", "b", "c", "d"]]]), "d, which is none of a, b, c"),
        ] {
            assert_eq!(
                message(stages),
                format!("groups.0: expected every task once, found {found}")
            );
        }
    }
}
