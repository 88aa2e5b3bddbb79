//! Aligned-MTL: orthogonal gradients of equal length (Senushkin et al., CVPR 2023,
//! arXiv 2305.19000).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::balancers::check::expect_not_negative;
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::reduction::Reduction;
use crate::balancers::solve::Eigen;
use crate::balancers::step_info::StepInfo;
use crate::{Error, Result};

/// `w = B p`, `B = s V Lambda^(-1/2) V^T` with `G = V Lambda V^T`: task gradients `B J` are
/// orthogonal.
///
/// Eigenvalues up to `T eps` of the largest are left out. `p` are preferences, all 1 or, for the
/// mean, `1 / T`. Where all task gradients are 0 the weights are `p`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlignedMtl {
    /// The common length `s` of the aligned task gradients.
    pub scale: AlignedScale,
    /// Sum, as in LibMTL and the authors' code, or mean, as in TorchJD.
    pub reduction: Reduction,
    /// How much each task counts, in the order of tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferences: Option<Vec<f64>>,
}

/// Which singular value the aligned task gradients are scaled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlignedScale {
    /// The smallest, as in the paper.
    Min,
    /// The median; the lower of two.
    Median,
    /// The root of the mean square.
    Rmse,
}

impl Default for AlignedMtl {
    fn default() -> Self {
        Self { scale: AlignedScale::Min, reduction: Reduction::Sum, preferences: None }
    }
}

impl Part for AlignedMtl {
    const NAME: &'static str = "aligned_mtl";
    const SUMMARY: &'static str = "the sum of aligned task gradients: orthogonal and equally long";

    fn example() -> Self {
        AlignedMtl::default()
    }
}

impl BalancerPart for AlignedMtl {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Senushkin et al., CVPR 2023, arXiv 2305.19000"
    }

    fn scale(&self) -> &'static str {
        "sum"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::gram(self.clone().build(num_tasks)?))
    }
}

impl AlignedMtl {
    fn build(self, num_tasks: usize) -> Result<Aligned> {
        let preferences = self.preferences.unwrap_or_else(|| vec![1.0; num_tasks]);
        for (task, preference) in preferences.iter().enumerate() {
            expect_not_negative(&format!("preferences[{task}]"), *preference)?;
        }
        if preferences.len() == num_tasks {
            return Ok(Aligned { scale: self.scale, reduction: self.reduction, preferences });
        }
        let found = format!("{} for {num_tasks} tasks", preferences.len());
        Err(Error::Config { key: "preferences".into(), expected: "a number for each task", found })
    }
}

/// Checked preferences.
#[derive(Debug)]
pub(crate) struct Aligned {
    scale: AlignedScale,
    reduction: Reduction,
    preferences: Vec<f64>,
}

impl Aligned {
    /// `s^2`, from the eigenvalues that are kept, largest first.
    fn square(&self, kept: &[f64]) -> f64 {
        match self.scale {
            AlignedScale::Min => kept[kept.len() - 1],
            AlignedScale::Median => kept[kept.len() / 2],
            AlignedScale::Rmse => kept.iter().sum::<f64>() / kept.len() as f64,
        }
    }
}

impl GramAggregator for Aligned {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        info.of(self.preferences.len())?;
        gram.of(info)?;
        let factor = self.reduction.factor(info.len());
        let preferences =
            info.tasks().iter().map(|task| factor * self.preferences[*task]).collect();
        let eigen = Eigen::new(&gram.by_trace().0);
        let kept = eigen.values.to_vec()[..eigen.rank()].to_vec();
        let Some(least) = kept.last() else { return Ok(preferences) };
        let square = self.square(&kept);
        let balance =
            eigen.map(|value| if value >= *least { (square / value).sqrt() } else { 0.0 });
        Ok(balance.dot(&ndarray::Array1::from_vec(preferences)).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::balancers::testing::{
        agree, close, cosine, direction, gram, info_of, j2, j3, jp, of_a_larger_loss, random_rows,
        rows_p, rows2, rows3, weights,
    };

    fn aligned(scale: AlignedScale, gram: &Gram) -> Vec<f64> {
        let config = AlignedMtl { scale, ..AlignedMtl::default() };
        weights(&mut config.build(gram.matrix().nrows()).unwrap(), gram)
    }

    #[test]
    fn weights_are_those_printed() {
        let w = aligned(AlignedScale::Min, &j2());
        agree(&w, &[1.118144, 0.816522]);
        agree(&direction(&rows2(), &w), &[0.426557, 1.934666, 1.934666]);
        agree(&aligned(AlignedScale::Rmse, &j2()), &[3.021731, 2.206613]);
        let w = aligned(AlignedScale::Min, &j3());
        agree(&w, &[1.013024, 1.101865, 0.579083]);
        agree(&direction(&rows3(), &w), &[0.583538, 0.681844, 1.488725, 0.318421]);
        agree(&aligned(AlignedScale::Median, &j3()), &[1.176766, 1.279967, 0.672684]);
        agree(&aligned(AlignedScale::Rmse, &j3()), &[1.766798, 1.921744, 1.009969]);
        let w = aligned(AlignedScale::Min, &jp());
        agree(&direction(&rows_p(), &w), &[1.224745, 0.644949, 0.289898]);
    }

    #[test]
    fn the_mean_is_the_sum_divided() {
        let config = AlignedMtl { reduction: Reduction::Mean, ..AlignedMtl::default() };
        let mean = weights(&mut config.build(3).unwrap(), &j3());
        let third: Vec<f64> = mean.iter().map(|w| w * 3.0).collect();
        agree(&third, &aligned(AlignedScale::Min, &j3()));
    }

    /// `B`, column by column: the weights of one preferred task.
    fn balance(gram: &Gram) -> Array2<f64> {
        let tasks = gram.matrix().nrows();
        let mut columns = Array2::zeros((tasks, tasks));
        for task in 0..tasks {
            let mut preferences = vec![0.0; tasks];
            preferences[task] = 1.0;
            let config = AlignedMtl { preferences: Some(preferences), ..AlignedMtl::default() };
            let w = config.build(tasks).unwrap().weights(gram, &info_of(gram)).unwrap();
            w.into_iter().enumerate().for_each(|(row, w)| columns[[row, task]] = w);
        }
        columns
    }

    #[test]
    fn aligned_rows_are_orthogonal_and_equally_long() {
        for seed in 0..1000 {
            let tasks = 1 + seed as usize % 5;
            let gram = gram(&random_rows(seed, tasks, 7));
            let b = balance(&gram);
            let least = Eigen::new(gram.matrix()).values[tasks - 1];
            let found = b.dot(gram.matrix()).dot(&b) / least;
            let expected = Array2::<f64>::eye(tasks);
            close(&found.into_raw_vec_and_offset().0, &expected.into_raw_vec_and_offset().0, 1e-9);
        }
    }

    #[test]
    fn preferences_are_one_for_each_task() {
        let message = |preferences: &[f64]| {
            let config =
                AlignedMtl { preferences: Some(preferences.to_vec()), ..Default::default() };
            config.build(2).unwrap_err().to_string()
        };
        let found = message(&[1.0]);
        assert_eq!(found, "preferences: expected a number for each task, found 1 for 2 tasks");
        assert!(message(&[1.0, f64::NAN]).starts_with("preferences[1]: "));
    }

    #[test]
    fn a_larger_loss_turns_the_direction_a_little() {
        let [plain, larger] = of_a_larger_loss(|| AlignedMtl::default().init(3).unwrap());
        let found = cosine(&larger, &plain);
        assert!((found - 0.9969).abs() < 5e-5, "{found}");
    }
}
