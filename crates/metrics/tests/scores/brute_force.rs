//! Metrics against their definitions, counted naively over random images.
//!
//! What is measured in other files beside the code: mIoU and mean average precision against sets,
//! the matching of boundaries against all assignments.

use ndarray::Array3;
use polyptych_metrics::{Depth, Edges, EdgesConfig, Metric, Normals, Saliency, TopK};

/// A generator of 32 bits (Knuth's MMIX constants, upper half), so that failures come again.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    /// In `[low, high)`.
    fn within(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.below(1 << 20) as f32 / (1 << 20) as f32
    }

    fn map(
        &mut self,
        shape: (usize, usize, usize),
        draw: impl Fn(&mut Self) -> f32,
    ) -> Array3<f32> {
        Array3::from_shape_simple_fn(shape, || draw(self))
    }
}

type Pair = (Array3<f32>, Array3<f32>);

fn score(metric: &impl Metric, name: &str) -> f64 {
    metric.compute().unwrap().into_iter().find(|score| score.name == name).unwrap().value
}

fn measured<M: Metric>(mut metric: M, images: &[Pair]) -> M {
    images.iter().for_each(|(p, t)| metric.update(p.view(), t.view()).unwrap());
    metric
}

fn close(metric: &impl Metric, name: &str, expected: f64, tolerance: f64) {
    let found = score(metric, name);
    assert!((found - expected).abs() < tolerance, "{name}: {found}, counted {expected}");
}

#[test]
fn depth() {
    let mut random = Random(1);
    for _ in 0..50 {
        let shape = (1, 1 + random.below(5) as usize, 1 + random.below(6) as usize);
        let images: Vec<Pair> = (0..1 + random.below(3))
            .map(|_| {
                let label = random
                    .map(shape, |r| if r.below(4) == 0 { f32::NAN } else { r.within(0.1, 9.0) });
                (random.map(shape, |r| r.within(0.05, 12.0)), label)
            })
            .collect();
        let pixels: Vec<[f64; 2]> = images
            .iter()
            .flat_map(|(p, t)| p.iter().zip(t).map(|(&p, &t)| [f64::from(p), f64::from(t)]))
            .filter(|[_, t]| !t.is_nan())
            .collect();
        if pixels.is_empty() {
            continue;
        }
        let metric = measured(Depth::new(), &images);
        let mean = |f: &dyn Fn(f64, f64) -> f64| {
            pixels.iter().map(|&[p, t]| f(p, t)).sum::<f64>() / pixels.len() as f64
        };
        close(&metric, "rmse_m", mean(&|p, t| (p - t) * (p - t)).sqrt(), 1e-9);
        close(&metric, "log_rmse", mean(&|p, t| (p.ln() - t.ln()).powi(2)).sqrt(), 1e-9);
        close(&metric, "abs_rel", mean(&|p, t| (p - t).abs() / t), 1e-9);
        let near = mean(&|p, t| f64::from(u8::from(p / t < 1.25 && t / p < 1.25)));
        close(&metric, "delta_1_25", 100.0 * near, 1e-9);
    }
}

#[test]
fn normals() {
    let mut random = Random(2);
    for _ in 0..50 {
        let shape = (3, 1 + random.below(5) as usize, 1 + random.below(6) as usize);
        let mut vectors = || {
            let drawn = random.map(shape, |r| r.within(-1.0, 1.0));
            let length = |y, x| (0..3).map(|c| drawn[[c, y, x]].powi(2)).sum::<f32>().sqrt();
            Array3::from_shape_fn(shape, |(c, y, x)| drawn[[c, y, x]] / length(y, x).max(1e-3))
        };
        let (prediction, target) = (vectors(), vectors());
        let mut angles = Vec::new();
        for y in 0..shape.1 {
            for x in 0..shape.2 {
                let unit = |map: &Array3<f32>| {
                    let v = [0, 1, 2].map(|c| f64::from(map[[c, y, x]]));
                    let length = v.iter().map(|v| v * v).sum::<f64>().sqrt();
                    v.map(|v| v / length)
                };
                let (a, b) = (unit(&prediction), unit(&target));
                let cosine: f64 = (0..3).map(|c| a[c] * b[c]).sum();
                angles.push(cosine.clamp(-1.0, 1.0).acos().to_degrees());
            }
        }
        let metric = measured(Normals::new(), &[(prediction, target)]);
        let count = angles.len() as f64;
        // The arc cosine of a float64 is exact to about 1e-6 degrees.
        close(&metric, "mean_angle_deg", angles.iter().sum::<f64>() / count, 1e-4);
        let squares = angles.iter().map(|angle| angle * angle).sum::<f64>();
        close(&metric, "rmse_angle_deg", (squares / count).sqrt(), 1e-4);
        for (name, limit) in [("within_11_25", 11.25), ("within_22_5", 22.5), ("within_30", 30.0)] {
            let near = angles.iter().filter(|&&angle| angle < limit).count() as f64;
            close(&metric, name, 100.0 * near / count, 1e-9);
        }
        angles.sort_by(f64::total_cmp);
        close(&metric, "median_angle_deg", angles[(angles.len() - 1) / 2], 1e-3);
    }
}

#[test]
fn saliency() {
    let mut random = Random(3);
    for _ in 0..50 {
        let images: Vec<Pair> = (0..1 + random.below(3))
            .map(|_| {
                let prediction = random.map((1, 3, 4), |r| r.within(0.0, 1.0));
                (prediction, random.map((1, 3, 4), |r| r.below(2) as f32))
            })
            .collect();
        let overlap = |threshold: f32| {
            let one = |(prediction, target): &Pair| {
                let pairs =
                    || prediction.iter().zip(target).map(|(&p, &t)| (p > threshold, t == 1.0));
                let both = pairs().filter(|&(p, t)| p && t).count();
                let either = pairs().filter(|&(p, t)| p || t).count();
                if either == 0 { 1.0 } else { both as f64 / either as f64 }
            };
            images.iter().map(one).sum::<f64>() / images.len() as f64
        };
        let best = (0..15).map(|k| overlap(0.2 + 0.05 * k as f32)).fold(0.0, f64::max);
        close(&measured(Saliency::new(), &images), "miou", 100.0 * best, 1e-6);
    }
}

/// Dots so far apart that thinning keeps them, and a radius below one pixel: a dot is right if it
/// stands on a dot of some annotator.
#[test]
fn boundaries_of_dots() {
    let mut random = Random(4);
    for _ in 0..20 {
        let config = EdgesConfig { num_thresholds: 4, max_dist: 0.01 };
        let dots = |random: &mut Random, values: &[f32]| {
            let mut map = Array3::zeros((1, 24, 24));
            for (y, x) in (0..16).map(|k| (3 + k / 4 * 6, 3 + k % 4 * 6)) {
                map[[0, y, x]] = values[random.below(values.len() as u64) as usize];
            }
            map
        };
        let images: Vec<Pair> = (0..1 + random.below(3))
            .map(|_| {
                let prediction = dots(&mut random, &[0.0, 0.25, 0.45, 0.65, 0.85]);
                (prediction, dots(&mut random, &[0.0, 1.0]))
            })
            .collect();
        let counts = |threshold: f32| {
            let pixels = || images.iter().flat_map(|(p, t)| p.iter().zip(t));
            let predicted = pixels().filter(|(p, _)| **p >= threshold).count() as f64;
            let right = pixels().filter(|(p, t)| **p >= threshold && **t == 1.0).count() as f64;
            let annotated = pixels().filter(|(_, t)| **t == 1.0).count() as f64;
            [right / predicted.max(1.0), right / annotated.max(1.0)]
        };
        let f = |[p, r]: [f64; 2]| if p + r == 0.0 { 0.0 } else { 2.0 * p * r / (p + r) };
        let curve: Vec<[f64; 2]> = [0.2, 0.4, 0.6, 0.8].into_iter().map(counts).collect();
        let between = curve.windows(2).flat_map(|pair| {
            (0..=100).map(|step| {
                let share = f64::from(step) / 100.0;
                f([0, 1].map(|axis| pair[0][axis] * (1.0 - share) + pair[1][axis] * share))
            })
        });
        let best = between.fold(0.0, f64::max);
        close(&measured(Edges::new(config).unwrap(), &images), "ods_f", 100.0 * best, 1e-6);
    }
}

#[test]
fn ranks() {
    let mut random = Random(5);
    for _ in 0..50 {
        let classes = 6 + random.below(4) as usize;
        let images: Vec<Pair> = (0..1 + random.below(9))
            .map(|_| {
                // Few values, so that many are equal.
                let prediction = random.map((classes, 1, 1), |r| r.below(5) as f32);
                (prediction, random.map((1, 1, 1), |r| r.below(classes as u64) as f32))
            })
            .collect();
        let metric = measured(TopK::new(classes).unwrap(), &images);
        for (name, k) in [("top1", 1), ("top5", 5)] {
            let hit = |(prediction, target): &&Pair| {
                let class = target[[0, 0, 0]] as usize;
                let own = prediction[[class, 0, 0]];
                let higher = (0..classes).filter(|&other| {
                    let value = prediction[[other, 0, 0]];
                    value > own || (value == own && other < class)
                });
                higher.count() < k
            };
            let hits = images.iter().filter(hit).count() as f64;
            close(&metric, name, 100.0 * hits / images.len() as f64, 1e-9);
        }
    }
}
