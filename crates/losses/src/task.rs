//! How wrong is one task?

mod binary;
mod cross_entropy;
mod l1;
mod loss;
mod multi_label;
mod normals;
mod pair;
#[cfg(test)]
mod testing;

pub use binary::{BalancedBce, WeightedBce};
pub use cross_entropy::CrossEntropy;
pub use l1::L1;
pub use loss::{LossValue, TaskLoss};
pub use multi_label::MultiLabelBce;
pub use normals::NormalsL1;

polyptych_registry::parts! {
    /// A loss and its constants: `loss = { name = "weighted_bce", positive_weight = 0.95 }`.
    pub struct LossConfig(dyn TaskLoss), kind = "loss", tag = "name";
    cross_entropy::CrossEntropy,
    binary::BalancedBce,
    binary::WeightedBce,
    normals::NormalsL1,
    l1::L1,
    multi_label::MultiLabelBce,
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Device, Kind, Tensor};

    use super::*;

    fn parse(json: &str) -> Result<LossConfig, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn every_loss_comes_back_from_a_recipe() {
        for config in LossConfig::examples() {
            config.validate().unwrap();
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(parse(&json).unwrap(), config);
            let mut settings = serde_json::to_value(&config).unwrap();
            settings["w"] = 1.into();
            let message = parse(&settings.to_string()).unwrap_err();
            assert!(message.contains("unknown field `w`"), "{message}");
        }
        let message = parse(r#"{"name": "l2"}"#).unwrap_err();
        let names = LossConfig::names().join("`, `");
        assert_eq!(message, format!("unknown variant `l2`, expected one of `{names}`"));
    }

    /// Three outputs suit every loss; where all is unlabelled the loss is exactly 0.
    #[test]
    fn every_loss_is_0_without_labels() {
        for config in LossConfig::examples() {
            let z = Tensor::ones([2, 3, 4, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let nan =
                |channels| Tensor::full([2, channels, 4, 4], f64::NAN, (Kind::Float, Device::Cpu));
            let value =
                config.forward(&z, &nan(3)).or_else(|_| config.forward(&z, &nan(1))).unwrap();
            assert_eq!((value.loss.double_value(&[]), value.labelled.int64_value(&[])), (0.0, 0));
            value.loss.backward();
            assert!(z.grad().equal(&z.zeros_like()), "{config:?}");
        }
    }
}
