//! Which maps stay as they are, so that no task loses too much.

use polyptych_data::Loader;
use polyptych_metrics::Score;

use super::calibrate::Calibrated;
use super::options::QuantizeOptions;
use crate::model::int8::Int8Maps;
use crate::{DataSets, Error, Evaluation, OpenRun, QuantizedTask, Result, evaluate};

/// The maps that are of int8, and what becomes of the tasks.
pub(super) struct Chosen {
    pub(super) maps: Int8Maps,
    pub(super) tasks: Vec<QuantizedTask>,
    pub(super) evaluations: usize,
}

/// Leaves as few maps as they are as suffice, those with the largest errors: the number is found by
/// halving what is between too few and enough. The model of `run` computes with the choice then.
///
/// # Errors
/// As [`evaluate`]; tasks that lose too much whatever map is of int8.
pub(super) fn choose(
    run: &OpenRun,
    calibrated: &Calibrated,
    options: &QuantizeOptions,
    note: &mut dyn FnMut(String),
) -> Result<Chosen> {
    let loader = DataSets::open_eval(&run.recipe)?;
    let before = evaluate(&run.model, &loader, None, |_| ())?;
    let max_drop = options.max_drop;
    let mut search = Search { run, calibrated, loader, before, max_drop, measured: Vec::new() };
    let all = calibrated.errors.len();
    let found = fewest(all, |kept| search.measure(kept, note))?;
    let Some(kept) = found else {
        return Err(too_bad(run, &search.measured[0].1, max_drop));
    };
    let maps = search.maps(kept);
    run.model.set_int8_maps(&maps);
    let evaluations = 1 + search.measured.len();
    let chosen = search.measured.into_iter().find(|(of, _)| *of == kept);
    let tasks = chosen.map(|(_, tasks)| tasks).unwrap_or_default();
    Ok(Chosen { maps, tasks, evaluations })
}

/// The smallest number from 0 on and below `all` for which `holds`, found by halving what is between
/// too few and enough; none where only `all` itself would do.
fn fewest(all: usize, mut holds: impl FnMut(usize) -> Result<bool>) -> Result<Option<usize>> {
    if holds(0)? {
        return Ok(Some(0));
    }
    let (mut too_few, mut enough) = (0, all);
    while enough - too_few > 1 {
        let middle = usize::midpoint(too_few, enough);
        match holds(middle)? {
            true => enough = middle,
            false => too_few = middle,
        }
    }
    Ok((enough < all).then_some(enough))
}

struct Search<'a> {
    run: &'a OpenRun,
    calibrated: &'a Calibrated,
    loader: Loader,
    before: Evaluation,
    max_drop: f64,
    /// How many maps stayed as they were, and what became of the tasks.
    measured: Vec<(usize, Vec<QuantizedTask>)>,
}

impl Search<'_> {
    /// Whether no task loses too much with all maps of int8 but the first `kept`.
    fn measure(&mut self, kept: usize, note: &mut dyn FnMut(String)) -> Result<bool> {
        self.run.model.set_int8_maps(&self.maps(kept));
        let after = evaluate(&self.run.model, &self.loader, None, |_| ())?;
        let tasks = tasks(&self.before, &after);
        let holds = tasks.iter().all(|task| task.percent >= -100.0 * self.max_drop);
        let words = if holds { "good enough" } else { "too much is lost" };
        let all = self.calibrated.errors.len();
        note(format!("{} of {all} maps in int8: {words}", all - kept));
        tasks.iter().for_each(|task| note(format!("  {task}")));
        self.measured.push((kept, tasks));
        Ok(holds)
    }

    fn maps(&self, kept: usize) -> Int8Maps {
        let names = self.calibrated.errors.iter().skip(kept).map(|(name, _)| name);
        let map = |name: &String| Some((name.clone(), self.calibrated.maps.get(name)?.clone()));
        names.filter_map(map).collect()
    }
}

fn tasks(before: &Evaluation, after: &Evaluation) -> Vec<QuantizedTask> {
    let after = after.headlines();
    let same = |task: &str| after.iter().find(|(name, _)| *name == task).map(|(_, score)| *score);
    let pairs = before.headlines().into_iter();
    pairs.filter_map(|(task, score)| Some(compared(task, score, same(task)?))).collect()
}

fn compared(task: &str, before: Score, after: Score) -> QuantizedTask {
    let better = match before.higher_is_better {
        true => after.value - before.value,
        false => before.value - after.value,
    };
    // Nothing is relative to a score of 0: it must not get worse.
    let percent = match before.value {
        0.0 if better < 0.0 => -100.0,
        0.0 => 0.0,
        value => 100.0 * better / value.abs(),
    };
    QuantizedTask {
        task: task.into(),
        metric: before.name.into(),
        higher_is_better: before.higher_is_better,
        before: before.value,
        after: after.value,
        percent,
    }
}

fn too_bad(run: &OpenRun, tasks: &[QuantizedTask], max_drop: f64) -> Error {
    let worst = tasks.iter().min_by(|a, b| a.percent.total_cmp(&b.percent));
    let worst = worst.map_or_else(String::new, ToString::to_string);
    let reason = format!(
        "expected linear maps that int8 leaves within {} % of every task's score, found none; with \
         all in int8, {worst}: set --max-drop higher, or calibrate on other photographs",
        100.0 * max_drop
    );
    Error::Run { path: run.folder.path().into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(value: f64, higher_is_better: bool) -> Score {
        Score { name: "s", value, higher_is_better, unit: "" }
    }

    #[test]
    fn as_few_maps_stay_as_suffice() {
        let asked = |all: usize, wanted: usize| {
            let mut asked = Vec::new();
            let found = fewest(all, |kept| {
                asked.push(kept);
                Ok(kept >= wanted)
            });
            (found.unwrap(), asked)
        };
        assert_eq!(asked(48, 0), (Some(0), vec![0]));
        assert_eq!(asked(48, 5).0, Some(5));
        assert_eq!(asked(48, 5).1.len(), 7);
        assert_eq!(asked(48, 47).0, Some(47));
        assert_eq!(asked(48, 48).0, None);
        assert_eq!(asked(1, 1), (None, vec![0]));
    }

    #[test]
    fn changes_are_positive_where_the_model_got_better() {
        let percent = |before, after, higher| {
            compared("t", score(before, higher), score(after, higher)).percent
        };
        assert_eq!(percent(50.0, 49.0, true), -2.0);
        assert_eq!(percent(50.0, 49.0, false), 2.0);
        assert_eq!(percent(-4.0, -5.0, true), -25.0);
        assert_eq!((percent(0.0, -0.1, true), percent(0.0, 0.1, true)), (-100.0, 0.0));
    }
}
