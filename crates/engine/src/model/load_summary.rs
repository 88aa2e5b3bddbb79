//! What loading weights gave, in words.

use std::collections::BTreeMap;

use polyptych_adapters::is_method_parameter;
use polyptych_tensor::LoadReport;

/// What became of a model's tensors, in words: how many were loaded, resampled, and are new.
pub fn summary(report: &LoadReport) -> String {
    let mut parts = vec![format!("{} tensors loaded", report.loaded.len())];
    if !report.resampled.is_empty() {
        parts.push(format!("{} resampled", report.resampled.len()));
    }
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    for name in &report.missing {
        let group = match name.split('.').collect::<Vec<_>>()[..] {
            ["heads", task, ..] => format!("head {task}"),
            ["decoder", ..] => "decoder".into(),
            _ if is_method_parameter(name) => "adapter".into(),
            ["text", ..] => "text tower".into(),
            _ => "backbone".into(),
        };
        *groups.entry(group).or_default() += 1;
    }
    if !groups.is_empty() {
        let groups = groups.iter().map(|(group, count)| format!("{group} {count}"));
        let groups = groups.collect::<Vec<_>>().join(", ");
        parts.push(format!("{} new, with initial values ({groups})", report.missing.len()));
    }
    if !report.unused.is_empty() {
        parts.push(format!("{} of the file not needed", report.unused.len()));
    }
    parts.join(", ")
}
