//! Where names stand so that they cover neither each other nor points.

use super::{RADIUS, TEXT_SIZE};

/// Left, top, right, bottom in pixels.
type Area = [i32; 4];

/// Distances from a point at which a place is looked for, in pixels.
const DISTANCES: [i32; 6] = [8, 20, 34, 50, 70, 95];

/// What is taken already.
pub(crate) struct Scene {
    frame: Area,
    taken: Vec<Area>,
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
        Self { frame, taken: bars.map(area).collect() }
    }

    /// The nearest free place for `name`; where there is none, right of the point.
    pub(crate) fn place(&mut self, name: &str, (x, y): (i32, i32)) -> Place {
        let (width, height) = (width(name), TEXT_SIZE);
        let places = DISTANCES.iter().flat_map(|&distance| {
            around(distance, width, height).map(|(dx, dy)| (distance, x + dx, y + dy))
        });
        let area = |left, top| [left, top, left + width, top + height];
        let mut free = places.filter(|&(_, left, top)| self.is_free(area(left, top)));
        let (distance, left, top) = free.next().unwrap_or((0, x + DISTANCES[0], y - height / 2));
        drop(free);
        self.taken.push(area(left, top));
        let near = (x.clamp(left, left + width), y.clamp(top, top + height));
        Place { at: (left, top), leader: (distance > DISTANCES[0]).then_some(near) }
    }

    fn is_free(&self, area: Area) -> bool {
        let [left, top, right, bottom] = self.frame;
        let inside = area[0] > left && area[1] > top && area[2] < right && area[3] < bottom;
        inside && !self.taken.iter().any(|other| overlap(area, *other))
    }
}

/// Corners of names around a point: right, left, above, below, then the diagonals.
fn around(distance: i32, width: i32, height: i32) -> [(i32, i32); 8] {
    let (right, left) = (distance, -distance - width);
    let (above, below) = (-distance - height, distance);
    let (centre, middle) = (-width / 2, -height / 2);
    [
        (right, middle),
        (left, middle),
        (centre, above),
        (centre, below),
        (right, above),
        (right, below),
        (left, above),
        (left, below),
    ]
}

/// Estimated without a font, for the wider ones of the usual sans-serif ones.
fn width(name: &str) -> i32 {
    (name.chars().count() as f64 * 0.48 * f64::from(TEXT_SIZE)).ceil() as i32
}

fn overlap(a: Area, b: Area) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowded_names_do_not_overlap() {
        let points: Vec<(i32, i32)> = (0..8).map(|i| (300 + 9 * i, 200 + 5 * (i % 3))).collect();
        let frame = [60, 20, 800, 480];
        let mut scene = Scene::new(frame, points.iter().map(|&(x, y)| (x, [y - 9, y + 9])));
        let name = "LoRA r=16";
        let areas: Vec<Area> = points
            .iter()
            .map(|&point| scene.place(name, point).at)
            .map(|(left, top)| [left, top, left + width(name), top + TEXT_SIZE])
            .collect();
        for (index, area) in areas.iter().enumerate() {
            assert!(areas[..index].iter().all(|other| !overlap(*area, *other)), "{areas:?}");
            assert!(area[0] > frame[0] && area[3] < frame[3], "{area:?}");
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
