//! The fixed rule by which the other team acts: attack the nearest, else walk towards it.

use crate::units::{BASIC_ACTIONS, MOVES, NOTHING, STAY, Unit, is_taken, moved};

/// The action of unit `index` of `team` by the rule, with weapons of `range`; of several that are as
/// near, the first.
pub(crate) fn rule(teams: &[Vec<Unit>; 2], team: usize, index: usize, range: u32) -> usize {
    let own = teams[team][index];
    let others = teams[1 - team].iter().enumerate().filter(|(_, other)| other.lives());
    let nearest = others.min_by_key(|(_, other)| own.distance(other));
    match nearest {
        _ if !own.lives() => NOTHING,
        None => STAY,
        Some((enemy, other)) if own.distance(other) <= range => BASIC_ACTIONS + enemy,
        Some((_, other)) => towards(teams, &own, other),
    }
}

/// The free step that leads nearest, or none.
fn towards(teams: &[Vec<Unit>; 2], own: &Unit, other: &Unit) -> usize {
    let free = |(_, step): &(usize, &[i32; 2])| !is_taken(teams, moved(own.at, **step));
    let after =
        |(_, step): &(usize, &[i32; 2])| Unit { at: moved(own.at, **step), ..*own }.distance(other);
    let best = MOVES.iter().enumerate().filter(free).min_by_key(after);
    let nearer = best.filter(|step| after(step) < own.distance(other));
    nearer.map_or(STAY, |(action, _)| 2 + action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(at: [i32; 2]) -> Unit {
        Unit { at, health: 4 }
    }

    #[test]
    fn units_walk_to_the_nearest_and_attack_it() {
        let mut teams = [vec![unit([0, 3]), unit([4, 0])], vec![unit([7, 3])]];
        // The second is nearer: up or left first, and left only where up is taken.
        assert_eq!(rule(&teams, 1, 0, 2), 2);
        teams[0][0].at = [7, 2];
        assert_eq!(rule(&teams, 1, 0, 2), BASIC_ACTIONS);
        teams[0][0].health = 0;
        assert_eq!(rule(&teams, 1, 0, 2), 2);
        teams[1][0].health = 0;
        assert_eq!((rule(&teams, 1, 0, 2), rule(&teams, 0, 1, 2)), (NOTHING, STAY));
    }
}
