//! What evaluation prints, and how each number is defined.

use serde::Serialize;

/// A number of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MetricInfo {
    /// Kind of task, as manifests name it.
    pub kind: &'static str,
    /// Name in tables and logs. The first one of a kind is the headline, which delta-m compares.
    pub name: &'static str,
    /// `%`, `deg`, `m`, or empty for a plain ratio.
    pub unit: &'static str,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// How it is computed.
    pub about: &'static str,
}

const fn up(kind: &'static str, name: &'static str, about: &'static str) -> MetricInfo {
    MetricInfo { kind, name, unit: "%", higher_is_better: true, about }
}

const fn down(
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    about: &'static str,
) -> MetricInfo {
    MetricInfo { kind, name, unit, higher_is_better: false, about }
}

/// Every number, by kind of task.
pub(crate) const METRICS: &[MetricInfo] = &[
    up(
        "semseg",
        "miou",
        "Mean of IoU_c = TP_c / (TP_c + FP_c + FN_c) over the classes that are in a label or a \
         prediction; counts are pooled over all images.",
    ),
    up("semseg", "miou_present", "The same over the classes that are in a label."),
    up("semseg", "pixel_accuracy", "Share of labelled pixels whose class is right."),
    up("human_parts", "miou", "As for semseg; only images with people are labelled."),
    up("human_parts", "miou_present", "As for semseg."),
    up("human_parts", "pixel_accuracy", "As for semseg."),
    up(
        "sal",
        "miou",
        "IoU of the salient foreground, averaged over images, at the best of 15 thresholds from \
         0.20 to 0.90.",
    ),
    up(
        "sal",
        "max_f",
        "2PR / (P + R) of precision and recall averaged over images, at the best of the same \
         thresholds.",
    ),
    up(
        "sal",
        "beta_max_f",
        "1.3 PR / (0.3 P + R) of counts pooled over all images, at the best of 19 thresholds from \
         0.05 to 0.95.",
    ),
    down(
        "normals",
        "mean_angle_deg",
        "deg",
        "Mean angle between predicted and labelled normals over all labelled pixels.",
    ),
    down("normals", "median_angle_deg", "deg", "Median of these angles."),
    down("normals", "rmse_angle_deg", "deg", "Root of the mean squared angle."),
    up("normals", "within_11_25", "Share of pixels whose angle is below 11.25 degrees."),
    up("normals", "within_22_5", "Share of pixels whose angle is below 22.5 degrees."),
    up("normals", "within_30", "Share of pixels whose angle is below 30 degrees."),
    down("depth", "rmse_m", "m", "Root of the mean squared error over all labelled pixels."),
    down("depth", "log_rmse", "", "The same of natural logarithms of depths."),
    down("depth", "abs_rel", "", "Mean of |prediction - label| / label."),
    up(
        "depth",
        "delta_1_25",
        "Share of pixels whose ratio to the label, either way, is below 1.25.",
    ),
    up(
        "edge",
        "ods_f",
        "Boundary F-measure at the one threshold that is best for the whole data set, after \
         thinning and matching to every annotator as in BSDS500.",
    ),
    up("edge", "ois_f", "The same at the best threshold of each image."),
    up("edge", "ap", "Area under the precision-recall curve of the same matches."),
    up("classification", "top1", "Share of images whose class has the highest logit."),
    up("classification", "top5", "Share of images whose class is among the five highest logits."),
    up(
        "classification",
        "top1_within",
        "With `[union]`: the same among the logits of the task's own classes.",
    ),
    up("classification", "top5_within", "With `[union]`: top5 among the task's own classes."),
    up(
        "tags",
        "map",
        "Mean over classes of the average precision of ranking all images by one class, without \
         interpolation.",
    ),
    up(
        "retrieval",
        "i2t_r1",
        "Share of images whose text is the first among all texts; equal texts are one candidate.",
    ),
    up("retrieval", "i2t_r5", "The same among the first five."),
    up("retrieval", "i2t_r10", "The same among the first ten."),
    up("retrieval", "t2i_r1", "Share of texts that find an image with an equal text first."),
    up("retrieval", "t2i_r5", "The same among the first five."),
    up("retrieval", "t2i_r10", "The same among the first ten."),
    up(
        "modified_retrieval",
        "r1",
        "Share of images with a text that find the image which both ask for first, among those of \
         all samples.",
    ),
    up("modified_retrieval", "r5", "The same among the first five."),
    up("modified_retrieval", "r10", "The same among the first ten."),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use ndarray::Array3;
    use polyptych_metrics::{
        Depth, Edges, EdgesConfig, MeanAveragePrecision, Metric, Normals, Retrieval, Saliency,
        SemsegIou, TopK,
    };

    use super::*;

    /// A metric that has seen one image with `channels` channels of ones, predicted as it is.
    fn measured(
        mut metric: impl Metric,
        channels: usize,
        side: usize,
    ) -> Vec<(String, String, bool)> {
        let mut image = Array3::<f32>::zeros((channels, side, side));
        image.index_axis_mut(ndarray::Axis(0), 0).fill(1.0);
        let target = image.clone();
        metric.update(image.view(), target.view()).unwrap();
        let scores = metric.compute().unwrap();
        let of = |s: &polyptych_metrics::Score| (s.name.into(), s.unit.into(), s.higher_is_better);
        scores.iter().map(of).collect()
    }

    #[test]
    fn the_list_is_what_metrics_compute() {
        let edges = Edges::new(EdgesConfig { num_thresholds: 2, ..EdgesConfig::default() });
        let top_k = || {
            let mut metric = TopK::of_union(0..6, 12).unwrap();
            let logits = Array3::<f32>::zeros((12, 1, 1));
            metric.update(logits.view(), Array3::zeros((1, 1, 1)).view()).unwrap();
            let of =
                |s: &polyptych_metrics::Score| (s.name.into(), s.unit.into(), s.higher_is_better);
            metric.compute().unwrap().iter().map(of).collect::<Vec<_>>()
        };
        let found = |mut metric: Retrieval| {
            let row = Array3::<f32>::ones((4, 1, 1));
            metric.update(row.view(), Array3::zeros((3, 1, 1)).view()).unwrap();
            let of =
                |s: &polyptych_metrics::Score| (s.name.into(), s.unit.into(), s.higher_is_better);
            metric.compute().unwrap().iter().map(of).collect::<Vec<_>>()
        };
        let computed = [
            ("semseg", measured(SemsegIou::new(2).unwrap(), 1, 4)),
            ("human_parts", measured(SemsegIou::new(2).unwrap(), 1, 4)),
            ("sal", measured(Saliency::new(), 1, 4)),
            ("normals", measured(Normals::new(), 3, 4)),
            ("depth", measured(Depth::new(), 1, 4)),
            ("edge", measured(edges.unwrap(), 1, 8)),
            ("classification", top_k()),
            ("tags", measured(MeanAveragePrecision::new(2).unwrap(), 2, 1)),
            ("retrieval", found(Retrieval::of_texts())),
            ("modified_retrieval", found(Retrieval::of_images())),
        ];
        for (kind, scores) in computed {
            let listed: Vec<_> = METRICS
                .iter()
                .filter(|metric| metric.kind == kind)
                .map(|m| (m.name.to_owned(), m.unit.to_owned(), m.higher_is_better))
                .collect();
            assert_eq!(listed, scores, "{kind}");
        }
    }
}
