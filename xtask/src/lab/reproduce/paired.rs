//! Rows beside the first one, seed by seed.

use super::singles::Singles;
use super::spread::Spread;
use super::summary::Summary;

/// Delta-m of a row less that of the table's first row, over the seeds that both have.
///
/// The reference is that of the same seed for all rows, so that its spread is in every delta-m and in
/// no difference of two.
pub(super) struct Paired<'a> {
    /// The table's first row.
    pub(super) own: &'a Summary,
    /// The row that delta-m compares with.
    reference: &'a Summary,
    singles: Singles,
}

impl<'a> Paired<'a> {
    /// Of a table that has both rows, over two seeds or more.
    pub(super) fn of(rows: &'a [Summary]) -> Option<Self> {
        let own = rows.first().filter(|row| row.delta_m.is_some_and(|spread| spread.n > 1))?;
        let reference = rows.iter().find(|row| row.row.reference)?;
        let mut singles = Singles::default();
        (0..reference.seeds).for_each(|at| singles.insert(at as u64, reference.headlines(at)));
        Some(Self { own, reference, singles })
    }

    /// The difference of `row`; none of the two rows themselves.
    pub(super) fn difference(&self, row: &Summary) -> Option<Spread> {
        let same = |other: &Summary| other.row.name == row.row.name;
        if same(self.own) || same(self.reference) {
            return None;
        }
        let seeds = [row, self.own, self.reference].map(|row| row.seeds).into_iter().min()?;
        let delta_m = |row: &Summary, at| self.singles.delta_m(at as u64, row.headlines(at));
        let differences = (0..seeds).map(|at| Some(delta_m(row, at)? - delta_m(self.own, at)?));
        Spread::of(&differences.collect::<Option<Vec<f64>>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, reference: bool, values: [f64; 2]) -> Summary {
        let spread = Spread::of(&values);
        serde_json::from_value(serde_json::json!({
            "name": name, "set": [], "separate": reference, "reference": reference,
            "trainable": 1, "total": 1, "mean": null, "adapted_ms": null, "folded_ms": null,
            "step_ratio": null, "peak_mib": null, "seeds": 2, "band": null,
            "delta_m": (!reference).then_some(spread),
            "scores": [{
                "task": "depth", "headline": true, "name": "rmse", "unit": "m",
                "higher_is_better": false, "mean": 0.0, "sd": null, "n": 2, "values": values,
            }],
        }))
        .unwrap()
    }

    #[test]
    fn the_spread_of_the_reference_falls_out() {
        let rows = [
            row("own", false, [1.0, 2.0]),
            row("b", false, [0.9, 1.8]),
            row("r", true, [1.0, 2.0]),
        ];
        let paired = Paired::of(&rows).unwrap();
        let found = paired.difference(&rows[1]).unwrap();
        assert!((found.mean - 10.0).abs() < 1e-9 && found.sd.unwrap() < 1e-9, "{found:?}");
        assert_eq!(paired.difference(&rows[0]), None);
        assert_eq!(paired.difference(&rows[2]), None);
        assert!(Paired::of(&rows[..2]).is_none(), "no reference");
    }
}
