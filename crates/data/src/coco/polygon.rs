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
    let mut crossings = Vec::new();
    let mut before = None;
    for (corner, &from) in points.iter().enumerate() {
        let to = points[(corner + 1) % points.len()];
        edge(from, to, |point| {
            crossings.extend(before.and_then(|before| crossing(size, before, point)));
            before = Some(point);
        });
    }
    Ok(runs(size, crossings))
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

/// Runs between sorted places; two at one place cancel each other.
fn runs([height, width]: [usize; 2], mut places: Vec<u32>) -> Rle {
    places.push((height * width) as u32);
    places.sort_unstable();
    let mut counts: Vec<u32> = Vec::new();
    let (mut before, mut joins) = (0, false);
    for place in places {
        let run = place - before;
        before = place;
        match counts.last_mut() {
            Some(last) if joins => {
                *last += run;
                joins = false;
            }
            Some(_) if run == 0 => joins = true,
            _ => counts.push(run),
        }
    }
    Rle { size: [height, width], counts }
}
