//! What each balancer needs and costs.

use crate::balancers::BalancerConfig;
use crate::balancers::adatask::ADATASK;
use crate::balancers::part::{BalancerInfo, BalancerPart, Method};
use crate::{Error, Result};

/// Every balancer that is registered, in the order of the list, and AdaTask behind them.
pub fn balancers() -> Vec<BalancerInfo> {
    let listed = BalancerConfig::examples();
    listed.iter().map(BalancerConfig::info).chain([ADATASK]).collect()
}

impl BalancerConfig {
    /// What the listing says about it.
    pub fn info(&self) -> BalancerInfo {
        BalancerInfo {
            name: self.name(),
            kind: self.kind(),
            needs: self.needs(),
            cost: self.cost(),
            scale: self.scale(),
            private_grad: self.private_grad(),
            source: self.source(),
        }
    }

    /// Checks the settings and makes the method for `num_tasks` tasks.
    ///
    /// # Errors
    /// No task, or as [`BalancerPart::init`].
    pub fn init(&self, num_tasks: usize) -> Result<Method> {
        if num_tasks == 0 {
            let (expected, found) = ("at least one", "none".into());
            return Err(Error::Config { key: "tasks".into(), expected, found });
        }
        BalancerPart::init(&**self, num_tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<BalancerConfig, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn every_part_is_what_it_says() {
        for config in BalancerConfig::examples() {
            assert_eq!(config.init(3).unwrap().kind(), config.kind(), "{config:?}");
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(parse(&json).unwrap(), config);
            let words = [config.needs(), config.cost(), config.source()];
            assert!(words.iter().all(|words| !words.is_empty()), "{config:?}");
            assert!(["sum", "mean", "own"].contains(&config.scale()), "{config:?}");
        }
    }

    #[test]
    fn every_name_is_listed_once() {
        let mut names: Vec<&str> = balancers().iter().map(|info| info.name).collect();
        assert_eq!(names.pop(), Some("adatask"));
        assert_eq!(names, BalancerConfig::names());
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn unknown_words_are_refused() {
        let message = parse(r#"{"name": "magic"}"#).unwrap_err();
        let expected = format!(
            "unknown variant `magic`, expected one of `{}`",
            BalancerConfig::names().join("`, `")
        );
        assert_eq!(message, expected);
        for config in BalancerConfig::examples() {
            let mut settings = serde_json::to_value(&config).unwrap();
            settings["w"] = 1.into();
            let message = parse(&settings.to_string()).unwrap_err();
            assert!(message.contains("unknown field `w`"), "{config:?}: {message}");
        }
        let message = parse("{}").unwrap_err();
        assert_eq!(message, "missing field `name`");
    }

    #[test]
    fn no_task_is_refused() {
        for config in BalancerConfig::examples() {
            let message = config.init(0).unwrap_err().to_string();
            assert_eq!(message, "tasks: expected at least one, found none");
        }
    }
}
