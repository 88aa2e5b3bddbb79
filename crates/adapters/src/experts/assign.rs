//! Which point goes to which cluster, when every cluster takes equally many?
//!
//! `min sum_x cost(x, label(x))` over all labellings with exactly `n / E` points per cluster: a
//! transportation problem, solved exactly by shortest augmenting paths on its `E` clusters
//! (Ahuja, Magnanti and Orlin 1993, sections 9.7 and 9.8). Every point starts where
//! `cost(x, e) + price(e)` is least, which is optimal for the sizes that come of it; then points
//! flow from clusters with too many to clusters with too few. An edge `a -> b` stands for the
//! cheapest move `min_{x in a} cost(x, b) - cost(x, a)`, and the prices keep it non-negative.
//!
//! Time `O(n E + S (E^2 + k n / E))` with `S` points too many at the start and `k` cheapest moves
//! lost on a path, memory `O(n + E^2)`. Good prices, those of the previous iteration of k-means
//! for instance, make `S` small; any prices give the optimum.

use ndarray::{Array2, ArrayView2};

/// Labels of least total cost with equally many points per cluster.
///
/// # Shapes
/// `costs`: `[n, E]`, finite, `n` a multiple of `E`; `prices`: `[E]`, read as a starting point
/// and overwritten with the prices of the solution.
pub(super) fn assign(costs: ArrayView2<f64>, prices: &mut [f64]) -> Vec<usize> {
    let capacity = costs.nrows() / costs.ncols();
    let mut flow = Flow::new(costs, prices);
    while let Some(path) = shortest_path(&flow, prices, capacity) {
        flow.shift(&path);
    }
    flow.labels
}

/// The cheapest point to move from one cluster to another.
#[derive(Clone, Copy)]
struct Move {
    cost: f64,
    point: usize,
}

const NO_MOVE: Move = Move { cost: f64::INFINITY, point: usize::MAX };

/// A labelling that is optimal for the sizes it has.
struct Flow<'a> {
    costs: ArrayView2<'a, f64>,
    labels: Vec<usize>,
    members: Vec<Vec<usize>>,
    /// Where a point stands among the members of its cluster.
    positions: Vec<usize>,
    /// `[from, to]`.
    cheapest: Array2<Move>,
}

impl<'a> Flow<'a> {
    fn new(costs: ArrayView2<'a, f64>, prices: &[f64]) -> Self {
        let (n, clusters) = costs.dim();
        let mut flow = Flow {
            costs,
            labels: vec![0; n],
            members: vec![Vec::new(); clusters],
            positions: vec![0; n],
            cheapest: Array2::from_elem([clusters, clusters], NO_MOVE),
        };
        for (point, row) in costs.outer_iter().enumerate() {
            let priced = row.iter().zip(prices).map(|(cost, price)| cost + price);
            flow.insert(point, arg_min(priced));
        }
        flow
    }

    fn insert(&mut self, point: usize, cluster: usize) {
        self.labels[point] = cluster;
        self.positions[point] = self.members[cluster].len();
        self.members[cluster].push(point);
        let row = self.costs.row(point);
        for (cheapest, cost) in self.cheapest.row_mut(cluster).iter_mut().zip(row) {
            let cost = cost - row[cluster];
            if cost < cheapest.cost {
                *cheapest = Move { cost, point };
            }
        }
    }

    fn remove(&mut self, point: usize) {
        let cluster = self.labels[point];
        let position = self.positions[point];
        self.members[cluster].swap_remove(position);
        if let Some(&last) = self.members[cluster].get(position) {
            self.positions[last] = position;
        }
        for to in 0..self.members.len() {
            if self.cheapest[[cluster, to]].point == point {
                self.cheapest[[cluster, to]] = self.cheapest_move(cluster, to);
            }
        }
    }

    fn cheapest_move(&self, from: usize, to: usize) -> Move {
        let mut cheapest = NO_MOVE;
        for &point in &self.members[from] {
            let cost = self.costs[[point, to]] - self.costs[[point, from]];
            if cost < cheapest.cost {
                cheapest = Move { cost, point };
            }
        }
        cheapest
    }

    /// Moves one point along every edge of `path`.
    fn shift(&mut self, path: &[usize]) {
        // All points are named first: what arrives at a cluster must not leave it again.
        let edges = path.windows(2).map(|edge| (self.cheapest[[edge[0], edge[1]]].point, edge[1]));
        for (point, to) in edges.collect::<Vec<_>>() {
            self.remove(point);
            self.insert(point, to);
        }
    }
}

/// The cheapest way from any cluster with too many points to one with too few, by Dijkstra's
/// algorithm on the reduced costs; `None` if all have `capacity`. Moves the prices so that every
/// reduced cost stays non-negative and those on the path become zero.
fn shortest_path(flow: &Flow, prices: &mut [f64], capacity: usize) -> Option<Vec<usize>> {
    let sizes = flow.members.iter().map(Vec::len);
    let mut distances: Vec<f64> =
        sizes.map(|size| if size > capacity { 0.0 } else { f64::INFINITY }).collect();
    let mut before = vec![usize::MAX; prices.len()];
    let mut open: Vec<usize> = (0..prices.len()).collect();
    loop {
        let nearest = arg_min(open.iter().map(|&cluster| distances[cluster]));
        let from = open.swap_remove(nearest);
        if distances[from] == f64::INFINITY {
            return None;
        }
        if flow.members[from].len() < capacity {
            for (price, &distance) in prices.iter_mut().zip(&distances) {
                *price -= distance.min(distances[from]);
            }
            return Some(trace(&before, from));
        }
        for &to in &open {
            // Rounding may leave a reduced cost of -1e-16, which Dijkstra does not allow.
            let cost = flow.cheapest[[from, to]].cost + prices[to] - prices[from];
            let distance = distances[from] + cost.max(0.0);
            if distance < distances[to] {
                (distances[to], before[to]) = (distance, from);
            }
        }
    }
}

fn trace(before: &[usize], end: usize) -> Vec<usize> {
    let step = |&cluster: &usize| before.get(before[cluster]).map(|_| before[cluster]);
    let mut path: Vec<usize> = std::iter::successors(Some(end), step).collect();
    path.reverse();
    path
}

/// Index of the first least value.
fn arg_min(values: impl Iterator<Item = f64>) -> usize {
    let mut least = (0, f64::INFINITY);
    for (index, value) in values.enumerate() {
        if value < least.1 {
            least = (index, value);
        }
    }
    least.0
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use rand_pcg::Pcg64;

    use super::*;

    fn total(costs: &Array2<f64>, labels: &[usize]) -> f64 {
        labels.iter().enumerate().map(|(point, &label)| costs[[point, label]]).sum()
    }

    /// Least cost of placing `point` and all after it into clusters with `room`.
    fn brute_force(costs: &Array2<f64>, point: usize, room: &mut [usize]) -> f64 {
        if point == costs.nrows() {
            return 0.0;
        }
        let mut least = f64::INFINITY;
        for cluster in 0..room.len() {
            if room[cluster] > 0 {
                room[cluster] -= 1;
                let rest = brute_force(costs, point + 1, room);
                least = least.min(costs[[point, cluster]] + rest);
                room[cluster] += 1;
            }
        }
        least
    }

    fn assert_balanced(labels: &[usize], clusters: usize) {
        let mut sizes = vec![0; clusters];
        labels.iter().for_each(|&label| sizes[label] += 1);
        assert_eq!(sizes, vec![labels.len() / clusters; clusters]);
    }

    /// The labelling is optimal if and only if no cycle of moves lowers its cost.
    fn assert_no_improving_cycle(costs: &Array2<f64>, labels: &[usize]) {
        let clusters = costs.ncols();
        let mut moves = Array2::from_elem([clusters, clusters], f64::INFINITY);
        for (row, &from) in costs.outer_iter().zip(labels) {
            for to in 0..clusters {
                moves[[from, to]] = f64::min(moves[[from, to]], row[to] - row[from]);
            }
        }
        for via in 0..clusters {
            for from in 0..clusters {
                for to in 0..clusters {
                    let around = moves[[from, via]] + moves[[via, to]];
                    moves[[from, to]] = f64::min(moves[[from, to]], around);
                }
            }
        }
        assert!(moves.diag().iter().all(|&cycle| cycle > -1e-12), "{:?}", moves.diag());
    }

    #[test]
    fn small_cases_reach_the_optimum_from_any_prices() {
        let mut rng = Pcg64::new(1, 1);
        let sizes = [(6, 3), (6, 2), (4, 4), (6, 1), (6, 6), (8, 4), (7, 7)];
        for (n, clusters) in sizes {
            let cases = if clusters == 7 { 20 } else { 1000 };
            for case in 0..cases {
                // Every third matrix is full of ties.
                let draw = |rng: &mut Pcg64| match case % 3 {
                    0 => f64::from(rng.random_range(0..3)),
                    _ => rng.random_range(0.0..1.0),
                };
                let costs = Array2::from_shape_simple_fn([n, clusters], || draw(&mut rng));
                let mut prices: Vec<f64> =
                    (0..clusters).map(|_| rng.random_range(-1.0..1.0)).collect();
                let labels = assign(costs.view(), &mut prices);
                assert_balanced(&labels, clusters);
                let optimum = brute_force(&costs, 0, &mut vec![n / clusters; clusters]);
                assert!((total(&costs, &labels) - optimum).abs() < 1e-12, "{costs}");
            }
        }
    }

    #[test]
    fn large_cases_leave_no_improving_cycle() {
        let mut rng = Pcg64::new(2, 1);
        for (n, clusters) in [(960, 16), (512, 64), (300, 2), (128, 128)] {
            let mut prices = vec![0.0; clusters];
            // The second round starts from the prices of another problem.
            for skew in [0.0, 3.0] {
                let costs = Array2::from_shape_fn([n, clusters], |(_, cluster)| {
                    rng.random_range(0.0..1.0) + skew * cluster as f64 / clusters as f64
                });
                let labels = assign(costs.view(), &mut prices);
                assert_balanced(&labels, clusters);
                assert_no_improving_cycle(&costs, &labels);
            }
        }
    }

    #[test]
    fn prices_prove_the_optimum() {
        let mut rng = Pcg64::new(3, 1);
        let costs = Array2::from_shape_simple_fn([240, 12], || rng.random_range(0.0..1.0));
        let mut prices = vec![0.0; 12];
        let labels = assign(costs.view(), &mut prices);
        for (row, &label) in costs.outer_iter().zip(&labels) {
            let own = row[label] + prices[label];
            assert!(row.iter().zip(&prices).all(|(cost, price)| cost + price > own - 1e-12));
        }
    }
}
