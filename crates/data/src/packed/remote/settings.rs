//! What a manifest says of shards at addresses.

use schemars::JsonSchema;
use serde::Deserialize;

/// How shards at http(s) addresses are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RemoteSettings {
    /// MiB of whole shards that are kept in the folder `.shards` of the data set; 0: samples of
    /// WebDataset and pages of Parquet are read by ranges, and no shard is kept. Arrow needs it.
    pub(crate) cache_mib: u64,
    /// How often a request that failed is repeated, 0 to 100.
    pub(crate) retries: u32,
    /// Seconds to wait before the first repetition, 0 to 60; each next wait is twice as long, up to
    /// 30 seconds.
    pub(crate) wait_s: f64,
    /// Seconds without a byte after which an attempt ends, above 0 and up to 3600.
    pub(crate) timeout_s: f64,
}

impl Default for RemoteSettings {
    fn default() -> Self {
        Self { cache_mib: 0, retries: 4, wait_s: 1.0, timeout_s: 60.0 }
    }
}

impl RemoteSettings {
    /// The keys out of range: key, what it must be, what it is.
    pub(crate) fn wrong(&self) -> Vec<(&'static str, &'static str, String)> {
        let Self { cache_mib, retries, wait_s, timeout_s } = *self;
        let keys = [
            ("cache_mib", "up to 2^40 MiB", cache_mib.to_string(), cache_mib <= 1 << 40),
            ("retries", "0 to 100", retries.to_string(), retries <= 100),
            ("wait_s", "0 to 60 seconds", wait_s.to_string(), (0.0..=60.0).contains(&wait_s)),
            (
                "timeout_s",
                "above 0 and up to 3600 seconds",
                timeout_s.to_string(),
                timeout_s > 0.0 && timeout_s <= 3600.0,
            ),
        ];
        let wrong = keys.into_iter().filter(|(.., fits)| !fits);
        wrong.map(|(key, expected, found, _)| (key, expected, found)).collect()
    }
}
