//! Which loss a task has, as a recipe says it.

use serde::{Deserialize, Serialize};

use crate::{
    BalancedBce, CrossEntropy, L1, MultiLabelBce, NormalsL1, Result, TaskLoss, WeightedBce,
};

/// A loss and its constants: `loss = { name = "weighted_bce", positive_weight = 0.95 }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum LossConfig {
    /// Semantic segmentation, human parts, classification.
    CrossEntropy(CrossEntropy),
    /// Saliency.
    BalancedBce(BalancedBce),
    /// Edges.
    WeightedBce(WeightedBce),
    /// Surface normals.
    NormalsL1(NormalsL1),
    /// Depth.
    L1(L1),
    /// Tags.
    MultiLabelBce(MultiLabelBce),
}

impl LossConfig {
    /// Checks the constants.
    ///
    /// # Errors
    /// Names the field, its range and what it is.
    pub fn validate(&self) -> Result<()> {
        match self {
            LossConfig::CrossEntropy(loss) => loss.validate(),
            LossConfig::WeightedBce(loss) => loss.validate(),
            _ => Ok(()),
        }
    }

    /// Makes the loss.
    ///
    /// # Errors
    /// As [`LossConfig::validate`].
    pub fn init(&self) -> Result<Box<dyn TaskLoss>> {
        self.validate()?;
        Ok(match *self {
            LossConfig::CrossEntropy(loss) => Box::new(loss),
            LossConfig::BalancedBce(loss) => Box::new(loss),
            LossConfig::WeightedBce(loss) => Box::new(loss),
            LossConfig::NormalsL1(loss) => Box::new(loss),
            LossConfig::L1(loss) => Box::new(loss),
            LossConfig::MultiLabelBce(loss) => Box::new(loss),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parse(json: &str) -> Result<LossConfig, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn names_are_those_of_recipes() {
        let edge = parse(r#"{"name": "weighted_bce"}"#).unwrap();
        assert_eq!(edge, LossConfig::WeightedBce(WeightedBce { positive_weight: 0.95 }));
        for name in ["cross_entropy", "balanced_bce", "normals_l1", "l1", "multi_label_bce"] {
            let config = parse(&format!(r#"{{"name": "{name}"}}"#)).unwrap();
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(parse(&json).unwrap(), config);
            let _ = config.init().unwrap();
        }
    }

    #[test]
    fn unknown_words_are_refused() {
        let message = parse(r#"{"name": "l2"}"#).unwrap_err();
        assert!(message.contains("unknown variant `l2`"), "{message}");
        for name in ["l1", "cross_entropy"] {
            let message = parse(&format!(r#"{{"name": "{name}", "w": 1}}"#)).unwrap_err();
            assert!(message.contains("unknown field `w`"), "{message}");
        }
    }

    #[test]
    fn constants_are_checked() {
        let config = LossConfig::WeightedBce(WeightedBce { positive_weight: 1.0 });
        let message = config.init().unwrap_err().to_string();
        assert_eq!(message, "positive_weight: expected a number between 0 and 1, found 1");
        let config = LossConfig::CrossEntropy(CrossEntropy {
            label_smoothing: f64::NAN,
            ..CrossEntropy::default()
        });
        let message = config.init().unwrap_err().to_string();
        assert_eq!(message, "label_smoothing: expected at least 0 and below 1, found NaN");
        let none = CrossEntropy { background_weight: 0.0, ..CrossEntropy::default() };
        let message = LossConfig::CrossEntropy(none).init().unwrap_err().to_string();
        assert_eq!(message, "background_weight: expected a finite number above 0, found 0");
    }
}
