//! Fine-grained categories: a built-in data set in the manner of CUB, Cars, Aircraft and Flowers.
//!
//! Every image shows one figure, drawn by the engine of [`Scenes`](crate::Scenes). Classes of one
//! domain share their build and differ by details; colours that define no class, pose, place in the
//! picture, surroundings, light and film are drawn anew for every image.
//!
//! | domain | classes | what tells them apart |
//! |---|---|---|
//! | `birds` | 12 | colour of the cap, and at least two of: length of the bill, length of the tail, wing bars, length of the legs |
//! | `cars` | 10 | saloon, hatchback, estate, van or pick-up, in one colour or with a white roof |
//! | `aircraft` | 10 | engines (one or two propellers, four jets, two at the rear, two below a T tail), red or blue fin |
//! | `flowers` | 16 | petals red, yellow, violet or white, five round or twelve narrow, a small pale or a large dark centre |
//!
//! Chance is 6 to 10 percent. Domain, seed, split and index fix every byte of an image on every
//! machine, as they do for the scenes. Every run of as many images as there are classes, counted
//! from index 0, shows each class once, in an order of its own. No file is read.

mod aircraft;
mod birds;
mod cars;
mod domain;
mod flowers;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::domain::Domain;
use crate::scenes::{camera::View, film::Film, render, rng::Stream};
use polyptych_data::{Dataset, Error, Label, Result, Sample, TaskKind, TaskSpec};

/// Splits in the order of their streams.
const SPLITS: [&str; 3] = ["train", "val", "test"];

/// Streams of this number draw the order of the classes, so that no image uses them.
const ORDER: u64 = 3;

/// Which pictures of which domain to draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FineGrainedConfig {
    /// `birds`, `cars`, `aircraft` or `flowers`; also the name of the task.
    pub domain: String,
    /// Seed of the whole data set.
    pub seed: u64,
    /// `train`, `val` or `test`: splits of one seed never share an image.
    pub split: String,
    /// Number of images, from 1 to 2^32.
    pub len: usize,
    /// Height of the images in pixels, from 16 to 2048.
    pub height: usize,
    /// Width of the images in pixels, from 16 to 2048.
    pub width: usize,
    /// How much pose, framing and surroundings vary, from 0 to 1: 0 is a studio, with one pose
    /// before plain ground, in which small models learn; 1 is out of doors.
    #[serde(default = "whole")]
    pub variety: f32,
}

fn whole() -> f32 {
    1.0
}

impl FineGrainedConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        one_of("domain", &Domain::NAMES, &self.domain)?;
        one_of("split", &SPLITS, &self.split)?;
        within("len", self.len, 1, 1 << 32)?;
        within("height", self.height, 16, 2048)?;
        within("width", self.width, 16, 2048)?;
        let expected = || "0 to 1".to_owned();
        let fits = (0.0..=1.0).contains(&self.variety);
        fits.then_some(()).ok_or_else(|| wrong("variety", expected(), self.variety.to_string()))
    }
}

/// Position of `found` among `names`.
fn one_of(key: &str, names: &[&str], found: &str) -> Result<usize> {
    let position = names.iter().position(|name| *name == found);
    position.ok_or_else(|| wrong(key, format!("one of {}", names.join(", ")), format!("`{found}`")))
}

fn within(key: &str, found: usize, low: usize, high: usize) -> Result<()> {
    let fits = (low..=high).contains(&found);
    fits.then_some(()).ok_or_else(|| wrong(key, format!("{low} to {high}"), found.to_string()))
}

fn wrong(key: &str, expected: String, found: String) -> Error {
    Error::Config { origin: "fine_grained".to_owned(), key: key.to_owned(), expected, found }
}

/// One domain of the built-in fine-grained categories, for classification.
///
/// Every [`Dataset::get`] draws its image anew, on the calling thread. The one task has the name of
/// the domain, the one label is a [`Label::Category`].
///
/// ```
/// use polyptych_data::Dataset;
/// use polyptych_synthetic::{FineGrained, FineGrainedConfig};
///
/// let config = FineGrainedConfig {
///     domain: "birds".into(),
///     seed: 7,
///     split: "train".into(),
///     len: 24,
///     height: 64,
///     width: 64,
///     variety: 1.0,
/// };
/// let birds = FineGrained::new(config)?;
/// assert_eq!(birds.tasks()[0].classes.len(), 12);
/// assert!(birds.get(3)?.labels.contains_key("birds"));
/// # Ok::<(), polyptych_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FineGrained {
    config: FineGrainedConfig,
    domain: Domain,
    split: u64,
    tasks: Vec<TaskSpec>,
}

impl FineGrained {
    /// The data set of a configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that is out of range.
    pub fn new(config: FineGrainedConfig) -> Result<FineGrained> {
        config.validate()?;
        let domain = Domain::ALL[one_of("domain", &Domain::NAMES, &config.domain)?];
        let split = one_of("split", &SPLITS, &config.split)? as u64;
        Ok(FineGrained { config, domain, split, tasks: vec![task(domain)] })
    }

    /// Names of the domains.
    pub fn domains() -> [&'static str; 4] {
        Domain::NAMES
    }

    fn seed(&self) -> u64 {
        self.config.seed ^ self.domain.salt()
    }

    /// The class of image `index`: position `index % n` of permutation `index / n` of `n` classes.
    fn class(&self, index: usize) -> usize {
        let count = self.domain.classes().len();
        let run = (((index / count) as u64) << 2) | self.split;
        let mut rng = Stream::new(self.seed(), ORDER, run);
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, rng.below(last + 1));
        }
        order[index % count]
    }
}

fn task(domain: Domain) -> TaskSpec {
    let classes = domain.classes().into_iter().map(str::to_owned);
    TaskSpec {
        name: domain.name().to_owned(),
        kind: TaskKind::Classification,
        classes: classes.collect(),
        palette: Vec::new(),
        flip_pairs: Vec::new(),
    }
}

impl Dataset for FineGrained {
    fn name(&self) -> &str {
        self.domain.name()
    }

    fn len(&self) -> usize {
        self.config.len
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let FineGrainedConfig { len, height, width, variety, .. } = self.config;
        if index >= len {
            return Err(wrong("index", format!("below {len}"), index.to_string()));
        }
        let class = self.class(index);
        let mut rng = Stream::new(self.seed(), self.split, index as u64);
        let film = Film::draw(&mut rng);
        let subject = self.domain.subject(&mut rng, class, variety);
        let world = stage::stage(&mut rng, &subject, width as f32 / height as f32, variety);
        let view = View { camera: world.camera, height, width };
        let hits = render::cast(&world, &view);
        let label = Label::Category(class as u32);
        Ok(Sample {
            name: format!("{}-{}-{index:06}", self.domain.name(), self.config.split),
            image: render::photograph(&world, &view, &hits, &film),
            labels: BTreeMap::from([(self.domain.name().to_owned(), label)]),
        })
    }
}
