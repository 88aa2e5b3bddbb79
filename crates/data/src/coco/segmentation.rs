//! The key `segmentation` of an annotation: polygons, runs, or runs in characters.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::corners::Corners;
use super::polygon;
use super::rle::Rle;
use crate::decode::Decoded;

/// A mask as the JSON has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Segmentation {
    /// Corners of each polygon; none where an annotation is a box alone.
    Polygons(Vec<Corners>),
    /// Runs.
    Counts([usize; 2], Box<[u32]>),
    /// Runs in characters.
    Text([usize; 2], Box<str>),
}

impl Segmentation {
    /// Whether there is no mask, as of a box alone.
    fn is_empty(&self) -> bool {
        matches!(self, Self::Polygons(polygons) if polygons.is_empty())
    }

    /// Polygons that are skipped, as they have less than three corners.
    pub(crate) fn skipped(&self) -> usize {
        let Self::Polygons(polygons) = self else { return 0 };
        polygons.iter().filter(|corners| corners.are_too_few()).count()
    }

    /// Whether something is left that can be drawn.
    pub(crate) fn has_mask(&self) -> bool {
        match self {
            Self::Polygons(polygons) => polygons.len() > self.skipped(),
            _ => true,
        }
    }

    /// The masks on an image of `size`, `[height, width]`, whose union is the annotation's; none
    /// where all polygons are skipped.
    ///
    /// # Errors
    /// No mask at all, one of another size, and what cannot be decoded.
    pub(crate) fn masks(&self, size: [usize; 2]) -> Decoded<Vec<Rle>> {
        let same = |own: [usize; 2]| {
            let [[h, w], [height, width]] = [own, size];
            let other = || format!("expected RLE of {height} x {width} pixels, found {h} x {w}");
            (own == size).then_some(own).ok_or_else(other)
        };
        match self {
            _ if self.is_empty() => Err("expected polygons or RLE, found neither".to_owned()),
            Self::Polygons(polygons) => {
                let drawn = polygons.iter().filter(|corners| !corners.are_too_few());
                drawn.map(|corners| polygon::rasterise(size, &corners.numbers())).collect()
            }
            Self::Counts(own, counts) => Ok(vec![Rle::new(same(*own)?, counts.to_vec())?]),
            Self::Text(own, text) => Ok(vec![Rle::from_text(same(*own)?, text)?]),
        }
    }
}

impl<'de> Deserialize<'de> for Segmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shapes)
    }
}

struct Shapes;

impl<'de> Visitor<'de> for Shapes {
    type Value = Segmentation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("polygons, or RLE with `counts` and `size`")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Segmentation::Polygons(Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut polygons: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(polygon) = polygons.next_element::<Vec<f64>>()? {
            all.push(Corners::from(polygon));
        }
        Ok(Segmentation::Polygons(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut size, mut counts) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "size" => size = Some(map.next_value::<[usize; 2]>()?),
                "counts" => counts = Some(map.next_value::<Counts>()?),
                _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        let size = size.ok_or_else(|| A::Error::missing_field("size"))?;
        Ok(match counts.ok_or_else(|| A::Error::missing_field("counts"))? {
            Counts::Runs(counts) => Segmentation::Counts(size, counts.into_boxed_slice()),
            Counts::Numbers(counts) => {
                let whole = |&count: &f64| count.fract() == 0.0 && (0.0..=4e9).contains(&count);
                if !counts.iter().all(whole) {
                    return Err(A::Error::custom("expected whole numbers in counts"));
                }
                Segmentation::Counts(size, counts.into_iter().map(|count| count as u32).collect())
            }
            Counts::Text(text) => Segmentation::Text(size, text.into_boxed_str()),
        })
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "expected a list of runs or their text")]
enum Counts {
    Runs(Vec<u32>),
    /// Whole ones that were written as `7.0`.
    Numbers(Vec<f64>),
    Text(String),
}
