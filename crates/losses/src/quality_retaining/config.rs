//! Constants of the quality-retaining loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What is kept of the logits that a class had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BankForm {
    /// The last two; the public code's `2sample`.
    #[default]
    TwoSlot,
    /// A moving average, `Z <- m Z + (1 - m) z`; the public code's `1sample`.
    Ema,
}

impl BankForm {
    /// Vectors per class.
    pub(super) fn slots(self) -> i64 {
        match self {
            BankForm::TwoSlot => 2,
            BankForm::Ema => 1,
        }
    }
}

/// Constants of [`QualityRetaining`](crate::QualityRetaining); the defaults are EMTAL's public
/// code's, where it has the constant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QualityRetainingConfig {
    /// What the bank keeps.
    pub bank: BankForm,
    /// `T`, by which logits are divided before the softmax; above 0.
    pub temperature: f64,
    /// Share of the old value in a task's running loss, in `[0, 1)`.
    pub momentum: f64,
    /// Running loss of a task before its first sample; above 0.
    pub start: f64,
    /// `m` of the form `ema`, in `[0, 1)`.
    pub bank_momentum: f64,
    /// Least running loss that is divided by, above 0. The public code has none, so that a task
    /// that fits perfectly outweighs everything.
    pub floor: f64,
    /// Whether slots that were never written are left out. The public code takes them as they
    /// are, zeros, so that a class's first samples are pulled towards the uniform distribution.
    pub mask_unseen: bool,
    /// Factor of the whole loss, at least 0.
    pub weight: f64,
}

impl Default for QualityRetainingConfig {
    fn default() -> Self {
        Self {
            bank: BankForm::TwoSlot,
            temperature: 2.0,
            momentum: 0.95,
            start: 10.0,
            bank_momentum: 0.5,
            floor: 1e-3,
            mask_unseen: false,
            weight: 1.0,
        }
    }
}

impl QualityRetainingConfig {
    /// Checks every constant.
    ///
    /// # Errors
    /// Names the field, its range and what it is.
    pub fn validate(&self) -> Result<()> {
        positive("temperature", self.temperature)?;
        share("momentum", self.momentum)?;
        positive("start", self.start)?;
        share("bank_momentum", self.bank_momentum)?;
        positive("floor", self.floor)?;
        let holds = self.weight.is_finite() && self.weight >= 0.0;
        require("weight", "a finite number of 0 or more", holds, self.weight)
    }
}

fn positive(key: &str, value: f64) -> Result<()> {
    require(key, "a finite number above 0", value.is_finite() && value > 0.0, value)
}

fn share(key: &str, value: f64) -> Result<()> {
    require(key, "at least 0 and below 1", (0.0..1.0).contains(&value), value)
}

fn require(key: &str, expected: &'static str, holds: bool, found: f64) -> Result<()> {
    let error = || Error::Config { key: key.into(), expected, found: found.to_string() };
    holds.then_some(()).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<QualityRetainingConfig, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    fn refusal(json: &str) -> String {
        parse(json).unwrap().validate().unwrap_err().to_string()
    }

    #[test]
    fn a_recipe_names_what_differs() {
        assert_eq!(parse("{}").unwrap(), QualityRetainingConfig::default());
        let config = parse(r#"{"bank": "ema", "mask_unseen": true}"#).unwrap();
        assert_eq!((config.bank, config.mask_unseen), (BankForm::Ema, true));
        config.validate().unwrap();
        assert_eq!(parse(&serde_json::to_string(&config).unwrap()).unwrap(), config);
        let message = parse(r#"{"bank": "1sample"}"#).unwrap_err();
        assert!(message.contains("unknown variant `1sample`"), "{message}");
        let message = parse(r#"{"temprature": 1}"#).unwrap_err();
        assert!(message.contains("unknown field `temprature`"), "{message}");
    }

    #[test]
    fn constants_are_checked() {
        for key in ["temperature", "start", "floor"] {
            let message = refusal(&format!(r#"{{"{key}": 0}}"#));
            assert_eq!(message, format!("{key}: expected a finite number above 0, found 0"));
        }
        for key in ["momentum", "bank_momentum"] {
            let message = refusal(&format!(r#"{{"{key}": 1}}"#));
            assert_eq!(message, format!("{key}: expected at least 0 and below 1, found 1"));
        }
        let message = refusal(r#"{"weight": -1}"#);
        assert_eq!(message, "weight: expected a finite number of 0 or more, found -1");
        let nan = QualityRetainingConfig { temperature: f64::NAN, ..Default::default() };
        let message = nan.validate().unwrap_err().to_string();
        assert_eq!(message, "temperature: expected a finite number above 0, found NaN");
    }
}
