//! Scenes: a built-in data set of ray-cast rooms and landscapes with exact labels.
//!
//! Seed, split and index fix every byte of an image and of its labels, on every machine: random
//! numbers come from one PCG stream per image, arithmetic is IEEE single precision in a fixed order,
//! and sines come from `libm`. No file is read.
//!
//! | task | label |
//! |---|---|
//! | `semseg` | 16 classes: sky, ground, wall, ceiling, and twelve kinds of object |
//! | `human_parts` | head, torso, upper and lower arms and legs; absent from images without people |
//! | `sal` | the object with the largest sum over its pixels of `(1 - r^2 / 2)^4 / (1 m + depth)`, `r` being the distance from the image's centre in half heights and half widths |
//! | `normals` | of the surface, in camera coordinates: x right, y up, z towards the camera; zero for the sky |
//! | `depth` | metres along the optical axis; 0 for the sky |
//! | `edge` | pixels whose right or lower neighbour belongs to another object, wall, floor, hill or the sky |
//! | `tags` | which kinds of object cover at least half a percent of the image |

pub(crate) mod camera;
pub(crate) mod classes;
mod figure;
pub(crate) mod film;
mod labels;
pub(crate) mod landscape;
mod layout;
mod light;
pub(crate) mod math;
pub(crate) mod object;
pub(crate) mod render;
pub(crate) mod rng;
mod room;
pub(crate) mod shape;
pub(crate) mod solid;
#[cfg(test)]
mod tests;
pub(crate) mod texture;
pub(crate) mod thing;
pub(crate) mod world;

use ndarray::Array2;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{camera::View, film::Film, rng::Stream, world::World};
use polyptych_data::{Dataset, Error, Result, Sample, TaskSpec};

/// Splits in the order of their streams.
const SPLITS: [&str; 3] = ["train", "val", "pretrain"];

/// Which scenes to draw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScenesConfig {
    /// Seed of the whole data set.
    pub seed: u64,
    /// `train`, `val` or `pretrain`: splits of one seed never share an image.
    pub split: String,
    /// Number of images, from 1 to 2^32.
    pub len: usize,
    /// Height of the images in pixels, from 16 to 2048.
    pub height: usize,
    /// Width of the images in pixels, from 16 to 2048.
    pub width: usize,
}

impl ScenesConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.split_number()?;
        self.check("len", self.len, 1, 1 << 32)?;
        self.check("height", self.height, 16, 2048)?;
        self.check("width", self.width, 16, 2048)
    }

    fn split_number(&self) -> Result<u64> {
        let position = SPLITS.iter().position(|split| *split == self.split);
        position.map(|number| number as u64).ok_or_else(|| {
            wrong("split", format!("one of {}", SPLITS.join(", ")), format!("`{}`", self.split))
        })
    }

    fn check(&self, key: &str, found: usize, low: usize, high: usize) -> Result<()> {
        let fits = (low..=high).contains(&found);
        fits.then_some(()).ok_or_else(|| wrong(key, format!("{low} to {high}"), found.to_string()))
    }
}

fn wrong(key: &str, expected: String, found: String) -> Error {
    Error::Config { origin: "scenes".to_owned(), key: key.to_owned(), expected, found }
}

/// The built-in data set: every [`Dataset::get`] draws its image anew, on the calling thread.
///
/// ```
/// use polyptych_data::Dataset;
/// use polyptych_synthetic::{Scenes, ScenesConfig};
///
/// let config = ScenesConfig { seed: 7, split: "val".into(), len: 10, height: 64, width: 64 };
/// let scenes = Scenes::new(config)?;
/// let sample = scenes.get(3)?;
/// assert_eq!(sample.image.dim(), (64, 64, 3));
/// assert!(sample.labels.contains_key("depth"));
/// # Ok::<(), polyptych_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scenes {
    config: ScenesConfig,
    split: u64,
    tasks: Vec<TaskSpec>,
}

impl Scenes {
    /// The data set of a configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that is out of range.
    pub fn new(config: ScenesConfig) -> Result<Scenes> {
        config.validate()?;
        let split = config.split_number()?;
        Ok(Scenes { config, split, tasks: classes::tasks() })
    }

    /// The tasks of every scene, in the order of the table above: `semseg`, `human_parts`, `sal`,
    /// `normals`, `depth`, `edge`, `tags`.
    pub fn task_specs() -> Vec<TaskSpec> {
        classes::tasks()
    }

    /// Which object, face of a room or part of the ground each pixel of image `index` shows.
    pub(crate) fn instances(&self, index: usize) -> Array2<u16> {
        let (world, view, _) = self.draw(index);
        labels::instances(&world, &view, &render::cast(&world, &view))
    }

    /// The world of image `index`, the grid of its pixels and its film.
    fn draw(&self, index: usize) -> (World, View, Film) {
        let mut rng = Stream::new(self.config.seed, self.split, index as u64);
        let film = Film::draw(&mut rng);
        let world =
            if rng.chance(0.5) { room::room(&mut rng) } else { landscape::landscape(&mut rng) };
        let view =
            View { camera: world.camera, height: self.config.height, width: self.config.width };
        (world, view, film)
    }
}

impl Dataset for Scenes {
    fn name(&self) -> &str {
        "scenes"
    }

    fn len(&self) -> usize {
        self.config.len
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn get(&self, index: usize) -> Result<Sample> {
        if index >= self.config.len {
            return Err(wrong("index", format!("below {}", self.config.len), index.to_string()));
        }
        let (world, view, film) = self.draw(index);
        let hits = render::cast(&world, &view);
        Ok(Sample {
            name: format!("scenes-{}-{index:06}", self.config.split),
            image: render::photograph(&world, &view, &hits, &film),
            labels: labels::labels(&world, &view, &hits),
        })
    }
}
