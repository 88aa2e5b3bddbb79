//! The map from the pixels of the result back to the pixels of the source.

use rand::Rng;
use rand_pcg::Pcg64;

use super::AugmentConfig;

/// Where each pixel of the result comes from, and what that does to directions and distances.
///
/// Order of the forward map: mirror, zoom and counter-clockwise turn about the centre of the
/// canvas, window, resize to the output (aspect ratio not kept).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Geometry {
    /// Height and width of the source.
    pub(crate) source: [usize; 2],
    /// Height and width of the result.
    pub(crate) output: [usize; 2],
    /// Whether left and right swap.
    pub(crate) flip: bool,
    /// Sine and cosine of the counter-clockwise turn.
    pub(crate) turn: [f64; 2],
    /// How many times larger objects look.
    pub(crate) zoom: f64,
    /// Rows of the linear part and the offset: `[x, y] = rows * [u, v, 1]`.
    rows: [[f64; 3]; 2],
}

/// The numbers drawn for one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Draw {
    pub(crate) flip: bool,
    pub(crate) scale: f64,
    pub(crate) degrees: f64,
    /// Side of the window as a share of the image's sides.
    pub(crate) side: f64,
    /// Position of the window in the room that it leaves, x and y, 0 to 1.
    pub(crate) corner: [f64; 2],
}

impl Draw {
    /// Draws every number whatever the ranges, so that one range does not shift another's draws.
    pub(crate) fn new(config: &AugmentConfig, rng: &mut Pcg64) -> Self {
        let mut unit = || rng.random::<f64>();
        let flip = unit() < f64::from(config.flip);
        let scale = scale(config, unit());
        let degrees = f64::from(config.rotate_degrees) * (2.0 * unit() - 1.0);
        let side = between(config.crop, unit());
        Self { flip, scale, degrees, side, corner: [unit(), unit()] }
    }
}

impl Geometry {
    pub(crate) fn new(source: [usize; 2], output: [usize; 2], draw: &Draw) -> Self {
        let [height, width] = source.map(|v| v as f64);
        let (sin, cos) = libm::sincos(draw.degrees.to_radians());
        let mirror = if draw.flip { -1.0 } else { 1.0 };
        let window = |full: f64, out: usize, place: f64| {
            let step = draw.side * full / out as f64;
            (step, place * (1.0 - draw.side) * full - full / 2.0)
        };
        let (step_x, left) = window(width, output[1], draw.corner[0]);
        let (step_y, top) = window(height, output[0], draw.corner[1]);
        // Image rows grow downwards, so the inverse of a counter-clockwise turn has this sign.
        let turned = |a: f64, b: f64, centre: f64, sign: f64| {
            let [a, b] = [a, b].map(|v| sign * v / draw.scale);
            [a * step_x, b * step_y, a * left + b * top + centre]
        };
        let rows = [turned(cos, -sin, width / 2.0, mirror), turned(sin, cos, height / 2.0, 1.0)];
        let zoom = draw.scale / draw.side;
        Self { source, output, flip: draw.flip, turn: [sin, cos], zoom, rows }
    }

    /// Source position `[x, y]` of the position `[u, v]` of the result, both in pixels from the
    /// upper left corner; `None` outside the source.
    pub(crate) fn locate(&self, u: f64, v: f64) -> Option<[f64; 2]> {
        let [x, y] = self.rows.map(|[a, b, c]| a * u + b * v + c);
        let [height, width] = self.source.map(|v| v as f64);
        (x >= 0.0 && x < width && y >= 0.0 && y < height).then_some([x, y])
    }

    /// [`Geometry::locate`] along the row `v` of the result, to the last bit, and whether the
    /// position lies inside the source. Without branches: many are worked out at once.
    #[inline(always)]
    pub(crate) fn along(&self, v: f64) -> impl Fn(f64) -> ([f64; 2], bool) {
        let [[a, bv, c], [d, ev, f]] = self.rows.map(|[a, b, c]| [a, b * v, c]);
        let [height, width] = self.source.map(|v| v as f64);
        #[inline(always)]
        move |u| {
            let [x, y] = [a * u + bv + c, d * u + ev + f];
            ([x, y], (x >= 0.0) & (x < width) & (y >= 0.0) & (y < height))
        }
    }

    /// Row and column of the result on which the centre of a source pixel lands.
    pub(crate) fn land(&self, row: usize, column: usize) -> Option<(usize, usize)> {
        let [[a, b, e], [c, d, f]] = self.rows;
        let [x, y] = [column as f64 + 0.5 - e, row as f64 + 0.5 - f];
        let scale = 1.0 / (a * d - b * c);
        let [u, v] = [(d * x - b * y) * scale, (a * y - c * x) * scale];
        let [height, width] = self.output.map(|v| v as f64);
        let inside = u >= 0.0 && u < width && v >= 0.0 && v < height;
        inside.then_some((v as usize, u as usize))
    }

    /// Height and width of a source that has about one pixel for each of the result; never larger
    /// than the source is.
    pub(crate) fn density(&self) -> [usize; 2] {
        let [x, y] = self.rows.map(|[a, b, _]| a.hypot(b).max(1.0));
        let [height, width] = self.source.map(|v| v as f64);
        [(height / y).ceil() as usize, (width / x).ceil() as usize]
    }

    /// The same map for a source resized to `size`.
    pub(crate) fn with_source(&self, size: [usize; 2]) -> Self {
        let scale = |k: usize| size[k] as f64 / self.source[k] as f64;
        let [x, y] = self.rows;
        let rows = [x.map(|v| v * scale(1)), y.map(|v| v * scale(0))];
        Self { source: size, rows, ..self.clone() }
    }

    /// Offsets inside a pixel of the result at which the source is read, about one source pixel
    /// apart.
    pub(crate) fn grid(&self) -> Vec<[f64; 2]> {
        let [x, y] = self.rows;
        let reads = |k: usize| (x[k].hypot(y[k]).round() as usize).max(1);
        let (across, down) = (reads(0), reads(1));
        let place = |k: usize, n: usize| (k as f64 + 0.5) / n as f64;
        (0..down)
            .flat_map(|j| (0..across).map(move |i| [place(i, across), place(j, down)]))
            .collect()
    }
}

/// One of the zooms for a share of the draw, or one of the range.
fn scale(config: &AugmentConfig, share: f64) -> f64 {
    let place = (share * config.scales.len() as f64) as usize;
    config.scales.get(place).map_or_else(|| between(config.scale, share), |&s| f64::from(s))
}

fn between([low, high]: [f32; 2], share: f64) -> f64 {
    f64::from(low) + (f64::from(high) - f64::from(low)) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    const STILL: Draw = Draw { flip: false, scale: 1.0, degrees: 0.0, side: 1.0, corner: [0.5; 2] };

    fn close(found: Option<[f64; 2]>, expected: [f64; 2]) {
        let found = found.unwrap();
        assert!((0..2).all(|k| (found[k] - expected[k]).abs() < 1e-9), "{found:?} {expected:?}");
    }

    #[test]
    fn still_draw_is_a_plain_resize() {
        let map = Geometry::new([10, 20], [5, 5], &STILL);
        close(map.locate(0.5, 0.5), [2.0, 1.0]);
        assert_eq!(map.grid().len(), 8);
    }

    #[test]
    fn landing_undoes_locating() {
        let draw = Draw { flip: true, scale: 1.2, degrees: 33.0, side: 0.8, corner: [0.3, 0.9] };
        let map = Geometry::new([40, 30], [400, 400], &draw);
        for place in [(60, 90), (200, 120), (350, 300)] {
            let (v, u) = (place.0 as f64 + 0.5, place.1 as f64 + 0.5);
            let [x, y] = map.locate(u, v).unwrap();
            let (row, column) = map.land(y as usize, x as usize).unwrap();
            // The result has more than ten pixels for each of the source.
            assert!(row.abs_diff(place.0) < 20 && column.abs_diff(place.1) < 20);
        }
    }

    #[test]
    fn a_source_of_matching_density_is_seen_alike() {
        let map = Geometry::new([40, 30], [10, 10], &Draw { degrees: 90.0, scale: 2.0, ..STILL });
        // Half of 3 and 4 source pixels for each of the result, and the axes have swapped.
        assert_eq!(map.density(), [27, 15]);
        let small = map.with_source([27, 15]);
        let ([x, y], [a, b]) = (map.locate(2.5, 7.5).unwrap(), small.locate(2.5, 7.5).unwrap());
        assert!((a - x * 15.0 / 30.0).abs() < 1e-9 && (b - y * 27.0 / 40.0).abs() < 1e-9);
    }

    #[test]
    fn quarter_turn_brings_the_right_to_the_top() {
        let map = Geometry::new([9, 9], [9, 9], &Draw { degrees: 90.0, ..STILL });
        close(map.locate(4.5, 0.5), [8.5, 4.5]);
        close(map.locate(0.5, 4.5), [4.5, 0.5]);
    }

    #[test]
    fn flip_comes_before_the_turn() {
        let map = Geometry::new([9, 9], [9, 9], &Draw { flip: true, degrees: 90.0, ..STILL });
        close(map.locate(4.5, 0.5), [0.5, 4.5]);
    }

    #[test]
    fn zoom_keeps_the_centre_and_a_window_its_corner() {
        let map = Geometry::new([8, 8], [8, 8], &Draw { scale: 2.0, ..STILL });
        close(map.locate(4.0, 4.0), [4.0, 4.0]);
        close(map.locate(6.0, 4.0), [5.0, 4.0]);
        let map = Geometry::new([8, 8], [8, 8], &Draw { side: 0.5, corner: [1.0, 0.0], ..STILL });
        close(map.locate(0.0, 0.0), [4.0, 0.0]);
        assert_eq!(map.zoom, 2.0);
    }

    #[test]
    fn outside_has_no_source() {
        let map = Geometry::new([8, 8], [8, 8], &Draw { scale: 0.5, ..STILL });
        assert_eq!(map.locate(0.5, 0.5), None);
    }

    #[test]
    fn a_list_of_zooms_is_drawn_from_evenly() {
        let config = AugmentConfig::nyud();
        let zooms = [0.0, 0.3, 0.34, 0.6, 0.7, 0.999].map(|share| scale(&config, share) as f32);
        assert_eq!(zooms, [1.0, 1.0, 1.2, 1.2, 1.5, 1.5]);
    }
}
