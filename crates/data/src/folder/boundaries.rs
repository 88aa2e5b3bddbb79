//! Boundaries between regions, as the multi-task literature cuts them out of label maps.
//!
//! A pixel is on a boundary where the Laplacian of the region numbers (four neighbours, the image
//! mirrored about its border pixels) is not zero; the boundary is then thinned to one pixel (Guo
//! and Hall, "Parallel thinning with two-subiteration algorithms", CACM 32(3), 1989, algorithm A1).

use ndarray::Array2;

/// Neighbours of a pixel, counter-clockwise from the right one: row and column offsets.
const AROUND: [(isize, isize); 8] =
    [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)];

/// 1 on the thinned boundaries of `regions`, 0 elsewhere.
pub fn region_boundaries(regions: &Array2<f64>) -> Array2<u8> {
    let mut map = laplacian(regions);
    thin(&mut map);
    map
}

fn laplacian(regions: &Array2<f64>) -> Array2<u8> {
    let (height, width) = regions.dim();
    let beside = |place: usize, size: usize| {
        let last = size - 1;
        let before = if place == 0 { 1.min(last) } else { place - 1 };
        let after = if place == last { last.saturating_sub(1) } else { place + 1 };
        (before, after)
    };
    Array2::from_shape_fn((height, width), |(y, x)| {
        let ((up, down), (left, right)) = (beside(y, height), beside(x, width));
        let sum = regions[[up, x]] + regions[[down, x]] + regions[[y, left]] + regions[[y, right]];
        u8::from(sum != 4.0 * regions[[y, x]])
    })
}

/// Removes pixels from one side and the other until nothing changes.
fn thin(map: &mut Array2<u8>) {
    loop {
        let removed = [false, true].map(|second| {
            let gone: Vec<(usize, usize)> = map
                .indexed_iter()
                .filter(|&(_, &on)| on == 1)
                .map(|(place, _)| place)
                .filter(|&place| is_spare(neighbours(map, place), second))
                .collect();
            gone.iter().for_each(|&place| map[place] = 0);
            gone.len()
        });
        if removed == [0, 0] {
            return;
        }
    }
}

fn neighbours(map: &Array2<u8>, (y, x): (usize, usize)) -> [bool; 8] {
    AROUND.map(|(down, right)| {
        let place = y.checked_add_signed(down).zip(x.checked_add_signed(right));
        place.and_then(|place| map.get(place)).is_some_and(|&on| on == 1)
    })
}

/// Whether a pixel may go: one piece stays one piece, ends stay, and one side goes at a time.
fn is_spare(on: [bool; 8], second: bool) -> bool {
    let crossings = (0..8).step_by(2).filter(|&k| !on[k] && (on[k + 1] || on[(k + 2) % 8]));
    let pairs = |shift: usize| {
        (0..8).step_by(2).filter(|&k| on[(k + shift) % 8] || on[(k + shift + 1) % 8]).count()
    };
    let thick = pairs(0).min(pairs(1));
    let side = if second { 4 } else { 0 };
    let held = (on[side + 1] || on[side + 2] || !on[(side + 7) % 8]) && on[side];
    crossings.count() == 1 && (2..=3).contains(&thick) && !held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(rows: &[&str]) -> Array2<u8> {
        let place = |(y, x): (usize, usize)| rows[y].as_bytes()[x] - b'0';
        Array2::from_shape_fn((rows.len(), rows[0].len()), place)
    }

    #[test]
    fn regions_give_the_peers_outlines() {
        let regions = picture(&REGIONS).mapv(f64::from);
        assert_eq!(laplacian(&regions), picture(&LAPLACIAN));
        assert_eq!(region_boundaries(&regions), picture(&THINNED));
    }

    #[test]
    fn a_single_region_has_no_outline() {
        assert!(region_boundaries(&Array2::from_elem((3, 1), 7.0)).iter().all(|&on| on == 0));
    }

    // Made by OpenCV 5.0 (`Laplacian` of the regions, kernel size 1) and scikit-image 0.26 (`thin`).
    const REGIONS: [&str; 12] = [
        "000000000000333333",
        "000000000000333333",
        "000111111000333333",
        "000111111000333333",
        "000111111000000000",
        "000111122222222000",
        "000111122222222000",
        "040111122222222000",
        "000111122222222000",
        "000000022222222000",
        "555500022222222000",
        "555500000000000000",
    ];
    const LAPLACIAN: [&str; 12] = [
        "000000000001100000",
        "000111111001100000",
        "001111111101100000",
        "001100001101111111",
        "001100010111111111",
        "001100111111111100",
        "011100110000001100",
        "111100110000001100",
        "011111010000001100",
        "111111110000001100",
        "111110111111111100",
        "000110011111111000",
    ];
    const THINNED: [&str; 12] = [
        "000000000000000000",
        "000000000001000000",
        "000111110001000000",
        "001000001000100000",
        "001000010111111110",
        "001000011000001000",
        "001000100000001000",
        "010000100000001000",
        "001001010000001000",
        "000111100000001000",
        "000100010000001000",
        "000100001111110000",
    ];
}
