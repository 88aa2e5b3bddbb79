//! IMTL-G: equal projections on all tasks (Liu et al., ICLR 2021, Towards Impartial Multi-task
//! Learning).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerKind, BalancerPart, Method, PrivateGrad};
use crate::balancers::solve::Eigen;
use crate::balancers::step_info::StepInfo;

/// `d = sum_i a_i g_i`, `sum a_i = 1`, with `d . g_i / n_i` the same for all tasks.
///
/// `a = v / sum v`, `v = pinv(G) n`. Weights may be negative where task gradients conflict
/// strongly. Where `sum v` is below 1e-8 (in units of the task gradients' root of summed squares),
/// as for opposite task gradients, they are `1 / T`. With `imtl_l` as loss weighting it is IMTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImtlG {}

impl Part for ImtlG {
    const NAME: &'static str = "imtl_g";
    const SUMMARY: &'static str = "the direction with equal projections on all task gradients";

    fn example() -> Self {
        ImtlG::default()
    }
}

impl BalancerPart for ImtlG {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Liu et al., ICLR 2021, IMTL"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn private_grad(&self) -> PrivateGrad {
        PrivateGrad::Weighted
    }

    fn is_bounded(&self) -> bool {
        false
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        Ok(Method::gram(*self))
    }
}

impl GramAggregator for ImtlG {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        gram.of(info)?;
        let (matrix, _) = gram.by_trace();
        let v = Eigen::new(&matrix).inverse().dot(&matrix.diag().mapv(f64::sqrt));
        let sum = v.sum();
        let fallback = 1.0 / info.len() as f64;
        Ok(v.iter().map(|v| if sum.abs() < 1e-8 { fallback } else { v / sum }).collect())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, Axis};

    use super::*;
    use crate::balancers::recipe::BalancerRecipe;
    use crate::balancers::testing::{
        agree, close, cosine, direction, gram, info, j2, j3, jp, of_a_larger_loss, random_rows,
        rows_p, rows2, rows3, weights,
    };

    #[test]
    fn weights_are_those_printed() {
        let w = weights(&mut ImtlG {}, &j2());
        agree(&w, &[0.592330, 0.407670]);
        agree(&direction(&rows2(), &w), &[0.076697, 1.0, 1.0]);
        let w = weights(&mut ImtlG {}, &j3());
        agree(&w, &[0.346570, 0.442979, 0.210451]);
        agree(&direction(&rows3(), &w), &[0.164963, 0.279541, 0.553797, 0.111404]);
        let w = weights(&mut ImtlG {}, &jp());
        agree(&direction(&rows_p(), &w), &[1.387426, 0.612574, 0.387426]);
    }

    #[test]
    fn projections_are_equal() {
        let projections = |gram: &Gram| {
            let w = Array1::from_vec(weights(&mut ImtlG {}, gram));
            (gram.matrix().dot(&w) / gram.norms()).to_vec()
        };
        agree(&projections(&j2()), &[0.399094; 2]);
        agree(&projections(&j3()), &[0.287920; 3]);
    }

    /// The paper's closed form, `(a_2 .. a_T) = g_1 U^T (D U^T)^-1`, by elimination.
    fn paper(rows: &Array2<f64>) -> Vec<f64> {
        let unit = |i: usize| &rows.row(i) / rows.row(i).dot(&rows.row(i)).sqrt();
        let rest = rows.nrows() - 1;
        let difference = |i: usize| unit(0) - unit(i + 1);
        let mut system = Array2::from_shape_fn((rest, rest + 1), |(i, j)| match j < rest {
            true => (&rows.row(0) - &rows.row(j + 1)).dot(&difference(i)),
            false => rows.row(0).dot(&difference(i)),
        });
        for pivot in 0..rest {
            for i in (0..rest).filter(|i| *i != pivot) {
                let factor = system[[i, pivot]] / system[[pivot, pivot]];
                let row = system.row(pivot).to_owned() * factor;
                system.index_axis_mut(Axis(0), i).zip_mut_with(&row, |a, b| *a -= b);
            }
        }
        let a: Vec<f64> = (0..rest).map(|i| system[[i, rest]] / system[[i, i]]).collect();
        [vec![1.0 - a.iter().sum::<f64>()], a].concat()
    }

    #[test]
    fn weights_are_those_of_the_papers_form() {
        for seed in 0..1000 {
            let rows = random_rows(seed, 2 + seed as usize % 3, 6);
            close(&weights(&mut ImtlG {}, &gram(&rows)), &paper(&rows), 1e-6);
        }
    }

    #[test]
    fn a_larger_loss_changes_the_length_alone() {
        let [plain, larger] = of_a_larger_loss(|| ImtlG {}.init(3).unwrap());
        assert!(cosine(&larger, &plain) > 1.0 - 1e-12);
    }

    #[test]
    fn imtl_scales_losses_and_then_combines() {
        let json = r#"{"loss": {"name": "imtl_l", "lr": 0.1}, "gradient": {"name": "imtl_g"}}"#;
        let mut imtl = serde_json::from_str::<BalancerRecipe>(json).unwrap().init(3).unwrap();
        let info = info(&[2.0, 0.5, 1.0]);
        agree(
            &imtl.gradient_weights(&j3(), &info).unwrap().shared,
            &[0.346570, 0.442979, 0.210451],
        );
        imtl.after_step(&info, None).unwrap();
        let scales = imtl.loss_weights(&info).unwrap().weights;
        close(&scales[..2], &[(-0.1f64).exp(), 0.1f64.exp()], 1e-7);
        // The projections of d on all task gradients are equal, whatever the scales.
        let found = imtl.gradient_weights(&j3(), &info).unwrap();
        let products = j3().matrix().dot(&ndarray::arr1(&found.shared)) / j3().norms();
        close(&products.to_vec(), &[products[0]; 3], 1e-9);
        // By the weighted task gradients the weights sum to 1.
        let sum: f64 = found.shared.iter().zip(&scales).map(|(w, s)| w / s).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert_eq!(found.private, found.shared);
    }
}
