//! Thinning of a binary map to lines one pixel wide.
//!
//! The parallel algorithm with two subiterations of Guo and Hall (1989, algorithm A1) in the form
//! of Lam, Lee and Suen (1992), which is also what MATLAB's `bwmorph(map, 'thin', Inf)` does. It
//! keeps the number of connected pieces.

use ndarray::ArrayView2;

/// A pixel that is on in the map that is being thinned.
const ON: u8 = 4;

/// Row and column of the pixels that remain, in row order.
pub(super) fn thin(map: ArrayView2<bool>) -> Vec<(usize, usize)> {
    let stride = map.ncols() + 2;
    let mut thinning = Thinning::new(map, stride);
    let mut quiet = 0;
    for pass in [0, 1].into_iter().cycle() {
        quiet = if thinning.sweep(pass) { 0 } else { quiet + 1 };
        if quiet == 2 {
            break;
        }
    }
    let kept = thinning.cells.iter().enumerate().filter(|&(_, &cell)| cell & ON != 0);
    kept.map(|(at, _)| (at / stride - 1, at % stride - 1)).collect()
}

/// Whether a pixel may go depends on its eight neighbours alone, so after the first sweep only
/// neighbours of removed pixels are looked at again.
struct Thinning {
    /// The map with a border of one pixel. Bits 0 and 1: queued for that pass; bit 2: on.
    cells: Vec<u8>,
    queues: [Vec<usize>; 2],
    /// Steps to the neighbours, anticlockwise from the east.
    steps: [isize; 8],
    removable: [u8; 256],
}

impl Thinning {
    fn new(map: ArrayView2<bool>, stride: usize) -> Self {
        let mut cells = vec![0; (map.nrows() + 2) * stride];
        let on = map.indexed_iter().filter(|&(_, &on)| on);
        let queue: Vec<usize> = on.map(|((y, x), _)| (y + 1) * stride + x + 1).collect();
        queue.iter().for_each(|&at| cells[at] = ON | 3);
        let row = stride as isize;
        let steps = [1, 1 - row, -row, -1 - row, -1, row - 1, row, row + 1];
        Self { cells, queues: [queue.clone(), queue], steps, removable: removable() }
    }

    /// Removes what `pass` may remove, all at once, and says whether anything went.
    fn sweep(&mut self, pass: usize) -> bool {
        let mut removed = std::mem::take(&mut self.queues[pass]);
        removed.iter().for_each(|&at| self.cells[at] &= !(1 << pass));
        removed.retain(|&at| self.cells[at] & ON != 0 && self.may_go(at, pass));
        removed.iter().for_each(|&at| self.cells[at] &= !ON);
        removed.iter().for_each(|&at| self.queue_neighbours(at));
        !removed.is_empty()
    }

    fn may_go(&self, at: usize, pass: usize) -> bool {
        let on = |step: isize| self.cells[at.wrapping_add_signed(step)] & ON != 0;
        let code = (0..8).map(|i| usize::from(on(self.steps[i])) << i).sum::<usize>();
        self.removable[code] >> pass & 1 == 1
    }

    fn queue_neighbours(&mut self, at: usize) {
        for step in self.steps {
            let next = at.wrapping_add_signed(step);
            if self.cells[next] & ON == 0 {
                continue;
            }
            for pass in 0..2 {
                if self.cells[next] >> pass & 1 == 0 {
                    self.cells[next] |= 1 << pass;
                    self.queues[pass].push(next);
                }
            }
        }
    }
}

/// For each neighbourhood, bit `i` anticlockwise from the east, the passes that remove its centre.
fn removable() -> [u8; 256] {
    std::array::from_fn(|code| {
        let on = |i: usize| code >> ((i - 1) % 8) & 1 == 1;
        let count = |test: &dyn Fn(usize) -> bool| (1..=4).filter(|&k| test(k)).count();
        let crossings = count(&|k| !on(2 * k - 1) && (on(2 * k) || on(2 * k + 1)));
        let odd_pairs = count(&|k| on(2 * k - 1) || on(2 * k));
        let even_pairs = count(&|k| on(2 * k) || on(2 * k + 1));
        if crossings != 1 || !(2..=3).contains(&odd_pairs.min(even_pairs)) {
            return 0;
        }
        let first = !((on(2) || on(3) || !on(8)) && on(1));
        let second = !((on(6) || on(7) || !on(4)) && on(5));
        u8::from(first) | u8::from(second) << 1
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    fn draw(shape: (usize, usize), pixels: &[(usize, usize)]) -> Array2<bool> {
        let mut map = Array2::from_elem(shape, false);
        pixels.iter().for_each(|&at| map[at] = true);
        map
    }

    /// Number of pieces that hang together over sides and corners.
    fn pieces(map: &Array2<bool>) -> usize {
        let mut left = map.clone();
        let mut count = 0;
        while let Some((start, _)) = left.indexed_iter().find(|&(_, &on)| on) {
            count += 1;
            let mut stack = vec![start];
            while let Some((y, x)) = stack.pop() {
                for ny in y.saturating_sub(1)..(y + 2).min(left.nrows()) {
                    for nx in x.saturating_sub(1)..(x + 2).min(left.ncols()) {
                        if std::mem::take(&mut left[(ny, nx)]) {
                            stack.push((ny, nx));
                        }
                    }
                }
            }
        }
        count
    }

    #[test]
    fn a_bar_becomes_its_middle_line() {
        let bar =
            Array2::from_shape_fn((9, 30), |(y, x)| (3..6).contains(&y) && (2..28).contains(&x));
        let lines = thin(bar.view());
        assert!(lines.len() >= 22, "{lines:?}");
        assert!(lines.iter().all(|&(y, _)| y == 4), "{lines:?}");
    }

    #[test]
    fn thin_lines_stay_and_staircases_lose_their_corners() {
        let diagonal: Vec<_> = (0..6).map(|i| (i, i)).collect();
        assert_eq!(thin(draw((6, 6), &diagonal).view()), diagonal);
        let stairs: Vec<_> = (0..6).flat_map(|i| [(i, i), (i, i + 1)]).collect();
        assert_eq!(thin(draw((6, 7), &stairs).view()).len(), 7);
    }

    #[test]
    fn a_full_map_at_the_border_is_thinned_too() {
        let lines = thin(Array2::from_elem((20, 20), true).view());
        assert!(!lines.is_empty() && lines.len() < 40, "{}", lines.len());
    }

    proptest! {
        #[test]
        fn keeps_pieces_and_is_done_after_one_call(bits in prop::collection::vec(prop::bool::weighted(0.6), 12 * 15)) {
            let map = Array2::from_shape_fn((12, 15), |(y, x)| bits[15 * y + x]);
            let lines = thin(map.view());
            let thinned = draw((12, 15), &lines);
            prop_assert_eq!(pieces(&map), pieces(&thinned));
            prop_assert!(lines.iter().all(|&at| map[at]));
            prop_assert_eq!(thin(thinned.view()), lines);
        }
    }
}
