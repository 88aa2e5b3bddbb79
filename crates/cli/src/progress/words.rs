//! Remarks and times as people read them.

use polyptych_engine::StepReport;

/// What a step met that people should know at once.
pub(super) fn remarks(report: &StepReport) -> Vec<String> {
    let mut lines = Vec::new();
    if report.skipped {
        let scale = report.loss_scale.map(|scale| format!(" at loss scale {scale}"));
        let scale = scale.unwrap_or_default();
        lines.push(format!("step {}: skipped, a number was not finite{scale}", report.step));
    }
    for error in &report.bad_sample_errors {
        lines.push(format!("step {}: skipped a sample: {error}", report.step));
    }
    lines
}

/// Seconds as `1:40` or `2:03:20`.
pub(super) fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_on_a_clock() {
        for (seconds, text) in [(0.4, "0:00"), (99.6, "1:40"), (7400.0, "2:03:20")] {
            assert_eq!(clock(seconds), text);
        }
    }

    #[test]
    fn a_skipped_step_and_a_bad_sample_are_remarked() {
        let mut step = super::super::testing::report(&[], true);
        (step.loss_scale, step.bad_sample_errors) = (Some(8.0), vec!["x.jpg: no image".into()]);
        let expected = [
            "step 1: skipped, a number was not finite at loss scale 8",
            "step 1: skipped a sample: x.jpg: no image",
        ];
        assert_eq!(remarks(&step), expected);
    }
}
