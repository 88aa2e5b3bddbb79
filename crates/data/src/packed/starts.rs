//! Rows of several tables, counted through.

/// Sums of what comes before each number, and of all.
pub(super) fn starts(counts: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut starts = vec![0];
    starts.extend(counts.scan(0, |sum: &mut usize, count| {
        *sum = sum.saturating_add(count);
        Some(*sum)
    }));
    starts
}

/// The last of `starts` that is not behind `index`, and how far behind it is.
pub(super) fn place(starts: &[usize], index: usize) -> (usize, usize) {
    let behind = starts.partition_point(|&start| start <= index).max(1);
    (behind - 1, index - starts[behind - 1])
}
