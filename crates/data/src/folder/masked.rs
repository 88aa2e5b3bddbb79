//! Labels of which another map says where they count.

use std::collections::HashSet;

use ndarray::{Array2, Axis};

use crate::Label;
use crate::sample::IGNORE;

/// `label` where `map`, stretched over it, has one of `values`; no label elsewhere.
pub(crate) fn masked(mut label: Label, map: &Array2<f64>, values: &HashSet<i64>) -> Label {
    let [height, width] = label.size();
    let (rows, columns) = map.dim();
    let counts = |y: usize, x: usize| {
        let at = |place: usize, to: usize, from: usize| (2 * place + 1) * from / (2 * to);
        let value = map[[at(y, height, rows), at(x, width, columns)]];
        value.fract() == 0.0 && values.contains(&(value as i64))
    };
    let class = |map: &mut Array2<u8>| {
        map.indexed_iter_mut()
            .filter(|((y, x), _)| !counts(*y, *x))
            .for_each(|(_, value)| *value = IGNORE);
    };
    match &mut label {
        Label::Classes(map) | Label::Binary(map) => class(map),
        Label::Edges(maps) => maps.iter_mut().for_each(class),
        Label::Depth(map) => {
            let outside = map.indexed_iter_mut().filter(|((y, x), _)| !counts(*y, *x));
            outside.for_each(|(_, value)| *value = 0.0);
        }
        Label::Normals(map) => {
            for (y, mut row) in map.axis_iter_mut(Axis(0)).enumerate() {
                for (x, mut normal) in row.axis_iter_mut(Axis(0)).enumerate() {
                    if !counts(y, x) {
                        normal.fill(0.0);
                    }
                }
            }
        }
        Label::Category(_) | Label::Tags(_) | Label::Caption(_) | Label::Modified { .. } => {}
    }
    label
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

    use super::*;

    #[test]
    fn labels_count_where_the_map_says_so() {
        let map = array![[7.0, 3.0]];
        let normals = masked(Label::Normals(Array3::ones((2, 4, 3))), &map, &HashSet::from([3, 9]));
        let Label::Normals(normals) = normals else { panic!() };
        assert!(normals.indexed_iter().all(|((_, x, _), &v)| v == f32::from(u8::from(x >= 2))));
        let classes = masked(Label::Classes(array![[1, 1], [0, 0]]), &map, &HashSet::from([3, 9]));
        assert_eq!(classes, Label::Classes(array![[255, 1], [255, 0]]));
        let depth = masked(Label::Depth(array![[2.0, 2.0]]), &map, &HashSet::from([7]));
        assert_eq!(depth, Label::Depth(array![[2.0, 0.0]]));
    }
}
