//! Polygons to masks, with the arithmetic of pycocotools (`rleFrPoly` of its `maskApi.c`).
//!
//! Edges are drawn on a grid of five points per pixel; where an edge crosses the middle of a column,
//! its height, rounded up, is where a run of that column begins or ends.

use super::rle::Rle;
use crate::decode::Decoded;

/// Points per pixel.
const SCALE: f64 = 5.0;
/// Coordinates are refused that are so many pixels away from the image's corner.
const FARTHEST: f64 = 65536.0;
/// Places that are gathered before those that cancel each other are dropped.
const GATHERED: usize = 1 << 16;

/// The mask of the polygon `xy`, corners as `x, y, x, y, ..`, on an image of `size`,
/// `[height, width]`.
///
/// # Errors
/// Less than three corners, a corner without y, and coordinates that are far outside.
pub(super) fn rasterise(size: [usize; 2], xy: &[f64]) -> Decoded<Rle> {
    if xy.len() < 6 || xy.len() % 2 == 1 {
        return Err(format!(
            "expected a polygon of 6 or more numbers, x and y, found {}",
            xy.len()
        ));
    }
    if let Some(odd) = xy.iter().find(|v| !v.is_finite() || v.abs() > FARTHEST) {
        return Err(format!("expected coordinates within {FARTHEST} pixels, found {odd}"));
    }
    let points: Vec<[i32; 2]> = xy
        .chunks_exact(2)
        .map(|corner| [corner[0], corner[1]].map(|v| (SCALE * v + 0.5) as i32))
        .collect();
    let mut turns = Turns::default();
    let mut before = None;
    for (corner, &from) in points.iter().enumerate() {
        let to = points[(corner + 1) % points.len()];
        edge(from, to, |point| {
            if let Some(place) = before.and_then(|before| crossing(size, before, point)) {
                turns.add(place);
            }
            before = Some(point);
        });
    }
    Ok(turns.runs(size))
}

/// The points of an edge, both ends included, from `from` on.
fn edge(from: [i32; 2], to: [i32; 2], mut each: impl FnMut([i32; 2])) {
    let [dx, dy] = [0, 1].map(|axis| (to[axis] - from[axis]).abs());
    let (long, short) = if dx >= dy { (0, 1) } else { (1, 0) };
    // Drawn upwards along the longer axis, so that both directions give the same points.
    let flip = from[long] > to[long];
    let (start, end) = if flip { (to, from) } else { (from, to) };
    let steps = dx.max(dy);
    let slope = f64::from(end[short] - start[short]) / f64::from(steps);
    for step in 0..=steps {
        let step = if flip { steps - step } else { step };
        let mut point = [0; 2];
        point[long] = start[long] + step;
        point[short] = (f64::from(start[short]) + slope * f64::from(step) + 0.5) as i32;
        each(point);
    }
}

/// Where a run of a column begins or ends between two points, if they lie on both sides of its
/// middle: the pixel's place, columns one after the other.
fn crossing([height, width]: [usize; 2], before: [i32; 2], point: [i32; 2]) -> Option<u32> {
    if point[0] == before[0] {
        return None;
    }
    let left = if point[0] < before[0] { point[0] } else { point[0] - 1 };
    let x = (f64::from(left) + 0.5) / SCALE - 0.5;
    if x.floor() != x || x < 0.0 || x > width as f64 - 1.0 {
        return None;
    }
    let y = (f64::from(point[1].min(before[1])) + 0.5) / SCALE - 0.5;
    let y = y.clamp(0.0, height as f64).ceil();
    Some((x as usize * height + y as usize) as u32)
}

/// Where runs begin or end: places that edges cross an odd number of times. However many edges
/// cross an image, not many more are held than it has pixels.
#[derive(Debug, Default)]
struct Turns {
    places: Vec<u32>,
    /// How many were left when the last ones were dropped.
    left: usize,
}

impl Turns {
    fn add(&mut self, place: u32) {
        self.places.push(place);
        if self.places.len() >= 2 * self.left + GATHERED {
            self.cancel();
        }
    }

    /// Sorts the places; two at one place cancel each other.
    fn cancel(&mut self) {
        self.places.sort_unstable();
        let odd = self.places.chunk_by(u32::eq).filter(|same| same.len() % 2 == 1);
        self.places = odd.map(|same| same[0]).collect();
        self.left = self.places.len();
    }

    /// Runs between the places.
    fn runs(mut self, [height, width]: [usize; 2]) -> Rle {
        self.cancel();
        let end = (height * width) as u32;
        let ends = self.places.into_iter().filter(|&place| place < end).chain([end]);
        let mut before = 0;
        let counts = ends.map(|place| place - std::mem::replace(&mut before, place)).collect();
        Rle { size: [height, width], counts }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn places_that_cancel_are_dropped_before_they_are_many() {
        let (mut turns, mut odd) = (Turns::default(), BTreeSet::new());
        let mut place = 1_u32;
        for step in 0..5 * GATHERED {
            place = place.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (place >> 16) % 900;
            turns.add(at);
            if !odd.remove(&at) {
                odd.insert(at);
            }
            assert!(turns.places.len() <= GATHERED + 2 * 900, "{step}");
        }
        let runs = turns.runs([30, 30]);
        assert_eq!(runs.counts.iter().sum::<u32>(), 900);
        let mut found = BTreeSet::new();
        runs.counts.iter().fold(0, |place, run| {
            found.insert(place + run);
            place + run
        });
        odd.insert(900);
        assert_eq!(found, odd);
    }

    /// Each pass to the right and back cancels itself, but for the first and the last one.
    #[test]
    fn a_polygon_of_many_passes_is_drawn_in_bounded_memory() {
        let passes = (0..600).flat_map(|_| [0.0, 1.0, 500.0, 1.0, 500.0, 3.0, 0.0, 3.0]);
        let xy: Vec<f64> = passes.collect();
        let once = rasterise([4, 500], &[0.0, 1.0, 500.0, 1.0, 500.0, 3.0, 0.0, 3.0]).unwrap();
        let rest = rasterise([4, 500], &xy).unwrap();
        // An even number of times around is outside.
        assert_eq!(rest.counts, [2000]);
        let odd = rasterise([4, 500], &xy[8..]).unwrap();
        assert_eq!(odd, once);
        assert_eq!(once.counts.iter().skip(1).step_by(2).sum::<u32>(), 2 * 500);
    }
}
