//! What an axis leaves out, so that one value far away does not press the others together.

/// Fewest values among which one is called far away.
const FEWEST: usize = 8;

/// Ends outside of which values are far away: three times the distance between the quartiles from
/// them, Tukey's outer fences.
pub(super) fn fence(mut values: Vec<f64>) -> [f64; 2] {
    if values.len() < FEWEST {
        return [f64::NEG_INFINITY, f64::INFINITY];
    }
    values.sort_by(f64::total_cmp);
    let [low, high] = [0.25, 0.75].map(|part| quantile(&values, part));
    [low - 3.0 * (high - low), high + 3.0 * (high - low)]
}

/// Between the two sorted values next to `part`.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = part * (sorted.len() - 1) as f64;
    let (before, after) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    before + at.fract() * (after - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_far_from_the_others_is_outside() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, -40.0];
        let [low, high] = fence(values.to_vec());
        // Quartiles 2 and 6.
        assert_eq!([low, high], [-10.0, 18.0]);
        assert_eq!(fence(values[..7].to_vec()), [f64::NEG_INFINITY, f64::INFINITY]);
    }
}
