//! How a sample becomes what a model sees: one draw moves the image and all its labels together.
//!
//! Augmentation follows MTLoRA (arXiv 2403.20320, its published training code): mirror image,
//! zoom and turn about the centre on an unchanged canvas, resize. Differences:
//!
//! - What lies outside the turned image is "no label" for every task instead of background;
//!   [`Outside::Background`] is the published form.
//! - All geometry is one affine map, so each map is resampled once: images between four pixels of
//!   a copy of matching density, where the published code goes through two bicubic filters, of
//!   which the second cuts its overshoot by wrapping around (258 becomes 2); ours is clamped.
//! - Normals are averaged and brought to unit length instead of going through a bicubic filter;
//!   vectors without a direction (grey pixels) have no label.
//! - Thin boundaries land where their pixels do, where sampling by the nearest pixel breaks them.

mod bilinear;
mod color;
mod config;
mod edges;
mod geometry;
mod lookup;
mod resize;
mod unit;
mod warp;
mod wide;

use ndarray::Array2;

use self::color::Factors;
use self::geometry::{Draw, Geometry};
use self::lookup::Lookup;
use crate::sample::IGNORE;
use crate::{Error, Key, Label, Result, Sample, TaskKind, TaskSpec};

pub use self::config::{AugmentConfig, ColorJitter, Outside};
pub use self::resize::resize_image;

/// Brings samples to one size, with or without augmentation.
#[derive(Debug, Clone, PartialEq)]
pub struct Transform {
    size: [usize; 2],
    fill: [u8; 3],
    augment: Option<AugmentConfig>,
}

/// What is drawn for one sample, so that another program can repeat it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// Whether left and right swap.
    pub flip: bool,
    /// How many times larger objects look on the unchanged canvas.
    pub scale: f64,
    /// Counter-clockwise turn about the centre.
    pub degrees: f64,
    /// Side of the window that is cut out, as a share of the image's sides.
    pub side: f64,
    /// Position of the window in the room that it leaves, x and y, 0 to 1.
    pub corner: [f64; 2],
    /// Factors of brightness, contrast and saturation, applied in this order.
    pub color: [f32; 3],
}

impl AugmentConfig {
    /// What `key` draws.
    pub fn drawn(&self, key: Key) -> Drawn {
        let mut rng = key.rng();
        let Draw { flip, scale, degrees, side, corner } = Draw::new(self, &mut rng);
        let Factors { brightness, contrast, saturation } =
            Factors::new(&self.color_jitter, &mut rng);
        let color = [brightness, contrast, saturation];
        Drawn { flip, scale, degrees, side, corner, color }
    }
}

impl Transform {
    /// A transform to `size` (`[height, width]`); `fill` is the colour outside a turned image.
    ///
    /// # Errors
    /// [`Error::Config`] if a side is 0 or a range of the augmentation is wrong.
    pub fn new(size: [usize; 2], fill: [u8; 3], augment: Option<AugmentConfig>) -> Result<Self> {
        if size.contains(&0) {
            return Err(Error::Config {
                origin: "loader".to_owned(),
                key: "img_size".to_owned(),
                expected: "[height, width], both at least 1".to_owned(),
                found: format!("{size:?}"),
            });
        }
        augment.iter().try_for_each(AugmentConfig::validate)?;
        Ok(Self { size, fill, augment })
    }

    /// Transforms a sample whose maps have the image's size (see [`Sample::check`]).
    ///
    /// With augmentation, every number is drawn from `key` alone. Depth is divided by the zoom
    /// and normals turn with the image (y up: counter-clockwise in the image is
    /// counter-clockwise in x and y).
    pub fn apply(&self, sample: &Sample, tasks: &[TaskSpec], key: Key) -> Sample {
        match &self.augment {
            Some(config) => self.augmented(sample, tasks, config, key),
            None => self.resized(sample),
        }
    }

    fn augmented(
        &self,
        sample: &Sample,
        tasks: &[TaskSpec],
        config: &AugmentConfig,
        key: Key,
    ) -> Sample {
        let mut rng = key.rng();
        let draw = Draw::new(config, &mut rng);
        let colours = Factors::new(&config.color_jitter, &mut rng);
        let (height, width, _) = sample.image.dim();
        let map = Geometry::new([height, width], self.size, &draw);
        let lookup = Lookup::new(&map);
        let (outside, fill) = match config.outside {
            Outside::NoLabel => (IGNORE, self.fill),
            Outside::Background => (0, [0; 3]),
        };
        let moved = |(name, label): (&String, &Label)| {
            let task = tasks.iter().find(|task| task.name == *name);
            let label = match label {
                Label::Modified { text, image } => Label::Modified {
                    text: if map.flip { mirrored(text) } else { text.clone() },
                    image: bilinear::image(image.view(), &map, fill, |image| colours.apply(image)),
                },
                other => warped(other, task, (&map, &lookup), outside),
            };
            (name.clone(), label)
        };
        Sample {
            name: sample.name.clone(),
            image: bilinear::image(sample.image.view(), &map, fill, |image| colours.apply(image)),
            labels: sample.labels.iter().map(moved).collect(),
        }
    }

    fn resized(&self, sample: &Sample) -> Sample {
        let labels = sample.labels.iter();
        Sample {
            name: sample.name.clone(),
            image: resize_image(sample.image.view(), self.size),
            labels: labels.map(|(name, label)| (name.clone(), resized(label, self.size))).collect(),
        }
    }
}

/// A label moved by `map`; 8-bit maps say `outside` where the image is not.
fn warped(
    label: &Label,
    task: Option<&TaskSpec>,
    (map, lookup): (&Geometry, &Lookup),
    outside: u8,
) -> Label {
    match label {
        Label::Classes(classes) => {
            let mut moved = lookup.nearest(classes.view(), outside);
            if let (true, Some(task)) = (map.flip, task) {
                swap_sides(&mut moved, &task.flip_pairs);
            }
            let people = task.is_some_and(|task| task.kind == TaskKind::HumanParts);
            if people && outside == 0 && moved.iter().all(|&part| part == 0) {
                moved.fill(IGNORE);
            }
            Label::Classes(moved)
        }
        Label::Binary(binary) => Label::Binary(lookup.nearest(binary.view(), outside)),
        Label::Edges(maps) => {
            let moved = maps.iter().map(|edges| warp::edges(edges.view(), map, lookup, outside));
            Label::Edges(moved.collect())
        }
        Label::Normals(normals) => Label::Normals(warp::normals(normals.view(), map)),
        Label::Depth(depth) => {
            let zoom = map.zoom as f32;
            Label::Depth(lookup.nearest(depth.view(), 0.0).mapv_into(|v| v / zoom))
        }
        Label::Caption(text) if map.flip => Label::Caption(mirrored(text)),
        Label::Category(_) | Label::Tags(_) | Label::Caption(_) => label.clone(),
        Label::Modified { .. } => label.clone(),
    }
}

/// What a caption says of the mirror image.
fn mirrored(text: &str) -> String {
    let swapped = text.split(' ').map(|word| match word {
        "left" => "right",
        "right" => "left",
        other => other,
    });
    swapped.collect::<Vec<_>>().join(" ")
}

/// A label at another size, as evaluation sees it.
pub(crate) fn resized(label: &Label, size: [usize; 2]) -> Label {
    match label {
        Label::Classes(classes) => Label::Classes(resize::nearest(classes.view(), size)),
        Label::Binary(binary) => Label::Binary(resize::nearest(binary.view(), size)),
        Label::Edges(maps) => {
            Label::Edges(maps.iter().map(|edges| resize::edges(edges.view(), size)).collect())
        }
        Label::Normals(normals) => Label::Normals(resize::normals(normals.view(), size)),
        Label::Depth(depth) => Label::Depth(resize::nearest(depth.view(), size)),
        Label::Category(_) | Label::Tags(_) | Label::Caption(_) => label.clone(),
        Label::Modified { text, image } => {
            Label::Modified { text: text.clone(), image: resize_image(image.view(), size) }
        }
    }
}

fn swap_sides(classes: &mut Array2<u8>, pairs: &[[u8; 2]]) {
    let mut table: [u8; 256] = std::array::from_fn(|class| class as u8);
    for &[left, right] in pairs {
        table.swap(usize::from(left), usize::from(right));
    }
    classes.mapv_inplace(|class| table[usize::from(class)]);
}

#[cfg(test)]
mod tests;
