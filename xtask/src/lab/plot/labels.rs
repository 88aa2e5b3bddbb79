//! Where names stand so that they cover neither each other nor points.

use std::f64::consts::TAU;

use super::{RADIUS, TEXT_SIZE};

/// Left, top, right, bottom in pixels.
type Area = [i32; 4];

/// A line to a name.
type Leader = [(i32, i32); 2];

/// Distances from a point at which a place is looked for, in pixels.
const DISTANCES: [i32; 10] = [8, 16, 26, 38, 52, 70, 95, 125, 160, 200];

/// Directions from a point in which a place is looked for.
const DIRECTIONS: i32 = 16;

/// What is taken already.
pub(crate) struct Scene {
    frame: Area,
    points: Vec<Area>,
    names: Vec<Area>,
    leaders: Vec<Leader>,
}

/// Where a name goes.
#[derive(Debug, PartialEq)]
pub(crate) struct Place {
    /// Its upper left corner.
    pub(crate) at: (i32, i32),
    /// The end of a line from the point, where the name is not beside it.
    pub(crate) leader: Option<(i32, i32)>,
}

impl Scene {
    /// A frame with points at `x`, each with an error bar from `top` to `bottom`.
    pub(crate) fn new(frame: Area, bars: impl Iterator<Item = (i32, [i32; 2])>) -> Self {
        let around = RADIUS + 1;
        let area = |(x, [top, bottom]): (i32, [i32; 2])| {
            [x - around, top - around, x + around, bottom + around]
        };
        Self { frame, points: bars.map(area).collect(), names: Vec::new(), leaders: Vec::new() }
    }

    /// The nearest place for `name` where it covers nothing and its line crosses no other name;
    /// where there is none, the nearest where it covers no name; else right of the point.
    pub(crate) fn place(&mut self, name: &str, point: (i32, i32)) -> Place {
        let size = (width(name), TEXT_SIZE);
        let places = || DISTANCES.iter().flat_map(move |&distance| around(point, distance, size));
        let free = |candidate: &Candidate| self.is_free(candidate) && self.is_clear(candidate);
        let found = places().find(free).or_else(|| places().find(|place| self.is_free(place)));
        let chosen = found.unwrap_or_else(|| Candidate::new(point, DISTANCES[0], 0, size));
        self.names.push(chosen.area);
        self.leaders.extend(chosen.leader);
        Place { at: (chosen.area[0], chosen.area[1]), leader: chosen.leader.map(|[_, end]| end) }
    }

    fn is_free(&self, &Candidate { area, .. }: &Candidate) -> bool {
        let [left, top, right, bottom] = self.frame;
        let inside = area[0] > left && area[1] > top && area[2] < right && area[3] < bottom;
        inside && !self.points.iter().chain(&self.names).any(|other| overlap(area, *other))
    }

    fn is_clear(&self, candidate: &Candidate) -> bool {
        let on_name = |leader: &Leader| self.names.iter().any(|name| crosses(*leader, *name));
        !candidate.leader.iter().any(on_name)
            && !self.leaders.iter().any(|leader| crosses(*leader, candidate.area))
    }
}

/// A place that a name could have.
struct Candidate {
    area: Area,
    leader: Option<Leader>,
}

impl Candidate {
    /// In `direction`, clockwise from the right, in parts of [`DIRECTIONS`].
    fn new((x, y): (i32, i32), distance: i32, direction: i32, (width, height): (i32, i32)) -> Self {
        let (sin, cos) = (TAU * f64::from(direction) / f64::from(DIRECTIONS)).sin_cos();
        let start = |at: i32, part: f64, length: i32| {
            let near = f64::from(at) + part * f64::from(distance);
            (near - (1.0 - part) / 2.0 * f64::from(length)).round() as i32
        };
        let (left, top) = (start(x, cos, width), start(y, sin, height));
        let area = [left, top, left + width, top + height];
        let near = (x.clamp(left, area[2]), y.clamp(top, area[3]));
        Self { area, leader: (distance > DISTANCES[0]).then_some([(x, y), near]) }
    }
}

/// Places around a point: right, left, above and below, then those between.
fn around(point: (i32, i32), distance: i32, size: (i32, i32)) -> impl Iterator<Item = Candidate> {
    let quarter = DIRECTIONS / 4;
    let straight = [0, 2 * quarter, 3 * quarter, quarter].into_iter();
    let between = (0..DIRECTIONS).filter(move |direction| direction % quarter != 0);
    let directions = straight.chain(between);
    directions.map(move |direction| Candidate::new(point, distance, direction, size))
}

/// Estimated without a font, for the wider ones of the usual sans-serif ones.
fn width(name: &str) -> i32 {
    (name.chars().count() as f64 * 0.48 * f64::from(TEXT_SIZE)).ceil() as i32
}

fn overlap(a: Area, b: Area) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// Whether a line runs through an area, by points a few pixels apart.
fn crosses([start, end]: Leader, area: Area) -> bool {
    let steps = (end.0 - start.0).abs().max((end.1 - start.1).abs()) / 3 + 1;
    let between = |from: i32, to: i32, step: i32| from + (to - from) * step / steps;
    (0..=steps).any(|step| {
        let (x, y) = (between(start.0, end.0, step), between(start.1, end.1, step));
        area[0] < x && x < area[2] && area[1] < y && y < area[3]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowded_names_do_not_overlap() {
        let frame = [60, 20, 800, 480];
        for (count, are_lines_clear) in [(12, true), (30, false)] {
            let point = |i: i32| (300 + 3 * i, 200 + 5 * (i % 3));
            let bars = (0..count).map(|i| (point(i).0, [point(i).1 - 9, point(i).1 + 9]));
            let mut scene = Scene::new(frame, bars);
            for i in 0..count {
                scene.place("LoRA r=16", point(i));
            }
            let Scene { names, leaders, .. } = scene;
            for (index, area) in names.iter().enumerate() {
                assert!(names[..index].iter().all(|other| !overlap(*area, *other)), "{names:?}");
                assert!(area[0] > frame[0] && area[3] < frame[3], "{area:?}");
            }
            let on_name = |leader: &Leader| names.iter().any(|name| crosses(*leader, *name));
            assert!(!are_lines_clear || !leaders.iter().any(on_name), "{leaders:?} {names:?}");
        }
    }

    #[test]
    fn a_lone_name_stands_right_of_its_point_and_left_of_it_at_the_edge() {
        let frame = [0, 0, 200, 100];
        let bar = |x| std::iter::once((x, [50, 50]));
        let at = |x| Scene::new(frame, bar(x)).place("name", (x, 50));
        assert_eq!(at(50), Place { at: (58, 43), leader: None });
        assert_eq!(at(190).at.0, 190 - 8 - width("name"));
    }
}
