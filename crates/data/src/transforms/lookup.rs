//! Where each pixel of the result comes from, worked out once for all label maps of a sample.

use ndarray::{Array2, ArrayView2};

use super::geometry::Geometry;
use super::wide::{floor, index, wide};

/// The pixel of the source under the centre of each pixel of the result.
pub(crate) struct Lookup {
    /// Height and width of the result.
    size: [usize; 2],
    /// Places in a source that lies row by row; none of them outside.
    places: Vec<u32>,
}

impl Lookup {
    pub(crate) fn new(map: &Geometry) -> Self {
        let [height, width] = map.output;
        let mut places = vec![0; height * width];
        wide(
            #[inline(always)]
            || {
                for (y, row) in places.chunks_exact_mut(width).enumerate() {
                    locate(row, map, y as f64 + 0.5);
                }
            },
        );
        Self { size: map.output, places }
    }

    /// The value under each pixel of the result; `outside` where there is none.
    pub(crate) fn nearest<T: Copy>(&self, source: ArrayView2<T>, outside: T) -> Array2<T> {
        let source = source.as_standard_layout();
        let values = source.as_slice().expect("standard layout is contiguous");
        let value = |&place: &u32| values.get(place as usize).copied().unwrap_or(outside);
        let found = self.places.iter().map(value).collect();
        Array2::from_shape_vec(self.size, found).expect("one value for every pixel")
    }
}

/// Places of the source along the row `v` of the result.
#[inline(always)]
fn locate(row: &mut [u32], map: &Geometry, v: f64) {
    let columns = map.source[1] as f64;
    let at = map.along(v);
    for (x, place) in row.iter_mut().enumerate() {
        let ([x, y], inside) = at(x as f64 + 0.5);
        let found = index(floor(y) * columns + floor(x));
        *place = if inside { found } else { u32::MAX };
    }
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Draw;
    use super::*;

    #[test]
    fn looking_up_is_locating_every_pixel() {
        let source = Array2::from_shape_fn((37, 53), |(y, x)| (53 * y + x) as u32);
        for (degrees, flip, scale) in [(0.0, false, 1.0), (17.0, true, 0.7), (-160.0, false, 1.9)] {
            let draw = Draw { flip, scale, degrees, side: 0.9, corner: [0.2, 0.7] };
            let map = Geometry::new([37, 53], [24, 31], &draw);
            let found = Lookup::new(&map).nearest(source.view(), 9999);
            let plain = Array2::from_shape_fn((24, 31), |(y, x)| {
                let place = map.locate(x as f64 + 0.5, y as f64 + 0.5);
                place.map_or(9999, |[x, y]| source[[y as usize, x as usize]])
            });
            assert_eq!(found, plain);
            // Columns first, as some formats store them.
            let turned = source.t().as_standard_layout().reversed_axes().to_owned();
            assert_eq!(Lookup::new(&map).nearest(turned.view(), 9999), plain);
        }
    }
}
