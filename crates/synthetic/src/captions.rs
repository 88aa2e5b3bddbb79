//! Captioned scenes: a built-in data set of a few coloured things, with what is to be said of them.
//!
//! Every image shows one to three things on open ground, drawn by the engine of
//! [`Scenes`](crate::Scenes), and its caption says what is there, in what colour and where:
//! `a red ball on the left and a blue chair in the middle on sand`. Pose, size, light and film are
//! drawn anew for every image. Seed, split and index fix every byte of an image and its caption on
//! every machine. No file is read.
//!
//! | task | label |
//! |---|---|
//! | `caption` | the caption: retrieval between images and texts |
//! | `modified` | what is to change (`make the ball blue`, `without the chair`, `on sand instead`), and the image where it has: retrieval with modifying texts |
//! | `category` | which of eight kinds of thing the caption names first, the nearest one |
//! | `things` | which kinds of thing are there |

mod change;
mod placed;
mod scene;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::Array3;
use polyptych_registry::part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::change::change;
use self::scene::{Shown, world};
use self::words::{KINDS, VOCABULARY, caption};
use crate::scenes::ScenesConfig;
use crate::scenes::{camera::View, film::Film, render, rng::Stream};
use polyptych_data::{DataSource, Dataset, Error, Label, Result, Sample, TaskKind, TaskSpec};

/// Splits in the order of their streams.
const SPLITS: [&str; 2] = ["train", "val"];
/// Part of the seed, so that no stream is one of the scenes'.
const STREAMS: u64 = 0x6361_7074_696f_6e73;

/// The same for what changes.
const CHANGES: u64 = 0x6368_616e_6765_7321;

/// Which captioned scenes to draw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptionedScenesConfig {
    /// Seed of the whole data set.
    pub seed: u64,
    /// `train` or `val`: splits of one seed never share an image.
    pub split: String,
    /// Number of images, from 1 to 2^32.
    pub len: usize,
    /// Height of the images in pixels, from 16 to 2048.
    pub height: usize,
    /// Width of the images in pixels, from 16 to 2048.
    pub width: usize,
}

part!(
    CaptionedScenesConfig,
    "captioned_scenes",
    "a few coloured things with captions, for retrieval between images and texts",
    CaptionedScenesConfig { seed: 0, split: "train".into(), len: 16, height: 64, width: 64 }
);

impl DataSource for CaptionedScenesConfig {
    fn open(&self, _wanted: &dyn Fn(&str) -> bool) -> Result<Arc<dyn Dataset>> {
        Ok(Arc::new(CaptionedScenes::new(self.clone())?))
    }
}

/// The data set.
#[derive(Debug, Clone)]
pub struct CaptionedScenes {
    config: CaptionedScenesConfig,
    split: u64,
    tasks: Vec<TaskSpec>,
}

impl CaptionedScenes {
    /// The data set of a configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that is out of range.
    pub fn new(config: CaptionedScenesConfig) -> Result<Self> {
        let CaptionedScenesConfig { seed, len, height, width, .. } = config;
        let split = SPLITS.iter().position(|split| *split == config.split);
        let split = split.ok_or_else(|| wrong("split", SPLITS.join(" or "), &config.split))? as u64;
        ScenesConfig { seed, split: "train".into(), len, height, width }.validate()?;
        Ok(Self { config, split, tasks: tasks() })
    }

    /// Every word that a caption may have.
    pub fn vocabulary() -> &'static [&'static str] {
        &VOCABULARY
    }

    /// The things of image `index`, and what they stand on.
    fn shown(&self, index: usize) -> Shown {
        Shown::draw(&mut self.stream(index))
    }

    fn stream(&self, index: usize) -> Stream {
        Stream::new(self.config.seed ^ STREAMS, self.split, index as u64)
    }

    /// Image `index`, with `shown` in place of what it shows.
    fn picture(&self, index: usize, shown: &Shown) -> Array3<u8> {
        let mut rng = self.stream(index);
        Shown::draw(&mut rng);
        let film = Film::draw(&mut rng);
        let (height, width) = (self.config.height, self.config.width);
        let world = world(&mut rng, &shown.things, shown.ground, aspect(height, width));
        let view = View { camera: world.camera, height, width };
        render::photograph(&world, &view, &render::cast(&world, &view), &film)
    }

    fn change(&self, index: usize, shown: &Shown) -> (String, Shown) {
        change(&mut Stream::new(self.config.seed ^ CHANGES, self.split, index as u64), shown)
    }
}

fn aspect(height: usize, width: usize) -> f32 {
    width as f32 / height as f32
}

fn tasks() -> Vec<TaskSpec> {
    let task = |name: &str, kind, classes: &[&str]| TaskSpec {
        name: name.into(),
        kind,
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        palette: Vec::new(),
        flip_pairs: Vec::new(),
    };
    let kinds = KINDS.map(|(name, _)| name);
    vec![
        task("caption", TaskKind::Retrieval, &[]),
        task("modified", TaskKind::ModifiedRetrieval, &[]),
        task("category", TaskKind::Classification, &kinds),
        task("things", TaskKind::Tags, &kinds),
    ]
}

fn wrong(key: &str, expected: String, found: &str) -> Error {
    let (origin, key, found) = ("captioned_scenes".into(), key.into(), found.into());
    Error::Config { origin, key, expected, found }
}

impl Dataset for CaptionedScenes {
    fn name(&self) -> &str {
        "captioned_scenes"
    }

    fn len(&self) -> usize {
        self.config.len
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn get(&self, index: usize) -> Result<Sample> {
        if index >= self.config.len {
            let expected = format!("below {}", self.config.len);
            return Err(wrong("index", expected, &index.to_string()));
        }
        let shown = self.shown(index);
        let (text, changed) = self.change(index, &shown);
        let things = &shown.things;
        let there = |kind: usize| things.iter().any(|thing| thing.kind == kind);
        Ok(Sample {
            name: format!("captioned-{}-{index:06}", self.config.split),
            image: self.picture(index, &shown),
            labels: BTreeMap::from([
                ("caption".into(), Label::Caption(caption(things, shown.ground))),
                ("modified".into(), Label::Modified { text, image: self.picture(index, &changed) }),
                ("category".into(), Label::Category(things[0].kind as u32)),
                ("things".into(), Label::Tags((0..KINDS.len()).map(there).collect())),
            ]),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::placed::Placed;
    use super::*;

    fn set(split: &str, seed: u64) -> CaptionedScenes {
        let config =
            CaptionedScenesConfig { seed, split: split.into(), len: 200, height: 16, width: 24 };
        CaptionedScenes::new(config).unwrap()
    }

    fn caption_of(sample: &Sample) -> &str {
        let Label::Caption(text) = &sample.labels["caption"] else { panic!("no caption") };
        text
    }

    #[test]
    fn seed_split_and_index_fix_every_byte() {
        let sample = set("train", 3).get(7).unwrap();
        assert_eq!(sample, set("train", 3).get(7).unwrap());
        sample.check(set("train", 3).tasks()).unwrap();
        for other in [set("train", 3).get(8), set("val", 3).get(7), set("train", 4).get(7)] {
            assert_ne!(sample.image, other.unwrap().image);
        }
        assert!(!caption_of(&sample).is_empty());
    }

    /// 64-bit FNV-1a over every byte of both images and all labels.
    fn fingerprint(sample: &Sample) -> u64 {
        let mut bytes: Vec<u8> = sample.image.iter().copied().collect();
        for (name, label) in &sample.labels {
            bytes.extend(name.as_bytes());
            bytes.extend(label.text().unwrap_or_default().as_bytes());
            match label {
                Label::Modified { image, .. } => bytes.extend(image),
                Label::Tags(flags) => bytes.extend(flags.iter().map(|&flag| u8::from(flag))),
                Label::Category(class) => bytes.extend(class.to_le_bytes()),
                _ => {}
            }
        }
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    #[test]
    fn every_byte_is_that_of_every_machine() {
        let found = [("train", 0), ("train", 1), ("val", 0), ("val", 77)]
            .map(|(split, index)| fingerprint(&set(split, 7).get(index).unwrap()));
        let expected = [
            0x34d7_e383_cd20_c942,
            0xf81b_774e_4f84_3c65,
            0xe70e_4f9a_1e29_cab7,
            0x04a1_c4ef_d71c_dbc9,
        ];
        assert_eq!(found, expected, "found {found:#x?}");
    }

    #[test]
    fn captions_are_of_the_vocabulary_and_say_what_the_labels_say() {
        let set = set("val", 0);
        let mut used = BTreeSet::new();
        for index in 0..set.len() {
            let shown = set.shown(index);
            let (things, text) = (&shown.things, caption(&shown.things, shown.ground));
            let (change, changed) = set.change(index, &shown);
            assert_ne!(shown, changed, "{change}");
            for word in text.split(' ').chain(change.split(' ')) {
                let word = CaptionedScenes::vocabulary().iter().find(|known| **known == word);
                used.insert(*word.unwrap());
            }
            let nouns: Vec<&str> =
                text.split(' ').filter(|word| KINDS.iter().any(|(kind, _)| kind == word)).collect();
            let kinds: Vec<&str> = things.iter().map(|thing| KINDS[thing.kind].0).collect();
            assert_eq!(nouns, kinds, "{text}");
        }
        assert_eq!(used.len(), CaptionedScenes::vocabulary().len());
    }

    /// How much each third of a picture changes where a thing gets another colour.
    fn changes([height, width]: [usize; 2], place: usize) -> [i64; 3] {
        let picture = |colour| {
            let mut rng = Stream::new(1, 0, 5);
            let things = [Placed { kind: 1, colour, place, near: true, seed: 4 }];
            let world = world(&mut rng, &things, 1, aspect(height, width));
            let view = View { camera: world.camera, height, width };
            let film = Film::draw(&mut Stream::new(1, 0, 6));
            render::photograph(&world, &view, &render::cast(&world, &view), &film)
        };
        let (red, blue) = (picture(0), picture(4));
        let mut sums = [0; 3];
        for ((y, x, c), &value) in red.indexed_iter() {
            sums[3 * x / width] += (i64::from(value) - i64::from(blue[(y, x, c)])).abs();
        }
        sums
    }

    /// A third of a picture changes most where its thing gets another colour.
    #[test]
    fn things_stand_where_the_caption_says() {
        for size in [[24, 24], [24, 36], [36, 24]] {
            for place in 0..3 {
                let change = changes(size, place);
                let most = (0..3).max_by_key(|&third| change[third]).unwrap();
                assert_eq!(most, place, "{size:?}: {change:?}");
            }
        }
    }

    #[test]
    fn bad_fields_are_named() {
        let config = |split: &str, height| CaptionedScenesConfig {
            seed: 0,
            split: split.into(),
            len: 1,
            height,
            width: 32,
        };
        let refused = |config| CaptionedScenes::new(config).unwrap_err().to_string();
        let message = refused(config("test", 32));
        assert!(message.contains("split: expected train or val, found test"), "{message}");
        assert!(refused(config("val", 8)).contains("height: expected 16 to 2048, found 8"));
    }
}
