//! How wrong is one task?

mod binary;
mod contrastive;
mod cross_entropy;
mod l1;
mod loss;
mod multi_label;
mod normals;
mod pair;
#[cfg(test)]
mod testing;

pub use binary::{BalancedBce, WeightedBce};
pub use contrastive::Contrastive;
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
    contrastive::Contrastive,
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

    /// Parts with few, many and no labels.
    #[test]
    fn the_shares_of_parts_add_up_to_the_loss_of_the_whole() {
        polyptych_tensor::manual_seed(2);
        let weighted = CrossEntropy { background_weight: 0.2, label_smoothing: 0.1 };
        let apart = LossConfig::examples().into_iter().filter(|config| !config.compares_images());
        for config in apart.chain([LossConfig::from(weighted)]) {
            let z = Tensor::randn([6, 3, 4, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let target = |channels: i64| {
                let y = Tensor::rand([6, channels, 4, 4], (Kind::Float, Device::Cpu)).round();
                let unlabelled = y.rand_like().lt(0.3);
                let _ = unlabelled.narrow(0, 3, 2).fill_(1);
                y.masked_fill(&unlabelled, f64::NAN)
            };
            let y = if config.forward(&z, &target(3)).is_ok() { target(3) } else { target(1) };
            let whole = config.forward(&z, &y).unwrap();
            whole.loss.backward();
            let expected = z.grad().copy();
            z.shallow_clone().zero_grad();
            let part = |t: &Tensor, start, len| t.narrow(0, start, len);
            let ranges = [(0, 1), (1, 2), (3, 2), (5, 1)];
            let sums = ranges.map(|(start, len)| config.label_sums(&part(&y, start, len)));
            let all: Vec<f64> =
                (0..sums[0].len()).map(|index| sums.iter().map(|own| own[index]).sum()).collect();
            assert_eq!(all, config.label_sums(&y), "{config:?}");
            let mut sum = 0.0;
            for ((start, len), own) in ranges.into_iter().zip(&sums) {
                let (z, y) = (part(&z, start, len), part(&y, start, len));
                let share = config.share(&z, &y, own, &all).unwrap();
                share.loss.backward();
                sum += share.loss.double_value(&[]);
                assert_eq!(share.labelled.int64_value(&[]), whole.labelled.int64_value(&[]));
            }
            assert!((sum - whole.loss.double_value(&[])).abs() < 1e-6, "{config:?}");
            assert!(z.grad().allclose(&expected, 1e-5, 1e-7, false), "{config:?}");
        }
    }

    /// Three outputs suit every loss; where all is unlabelled the loss is exactly 0.
    #[test]
    fn every_loss_is_0_without_labels() {
        for config in LossConfig::examples() {
            let shape = if config.compares_images() { vec![2, 4] } else { vec![2, 3, 4, 4] };
            let z = Tensor::ones(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true);
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
