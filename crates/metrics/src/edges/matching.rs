//! One-to-one matching of two sets of pixels within a radius, as many pairs as possible.
//!
//! Near pairs are joined first; Hopcroft and Karp's algorithm (1973) then extends this matching to
//! a largest one. Only pixels within the radius are neighbours, so the graph is sparse and the
//! work close to linear in its edges.

use super::curve::Counts;

const NONE: u32 = u32::MAX;

/// The annotators' lines of one image, ready to be matched with predictions.
pub(super) struct Matcher {
    /// Places on a grid with a border as wide as the radius, for each annotator.
    annotators: Vec<Vec<usize>>,
    /// Steps on that grid to all places within the radius, nearest first.
    steps: Vec<isize>,
    border: usize,
    stride: usize,
    places: usize,
}

impl Matcher {
    /// For an image of `(height, width)` pixels and a radius in pixels, inclusive.
    pub(super) fn new(
        (height, width): (usize, usize),
        radius: f64,
        annotators: &[Vec<(usize, usize)>],
    ) -> Self {
        let border = radius as usize;
        let stride = width + 2 * border;
        let place = |&(y, x): &(usize, usize)| (y + border) * stride + x + border;
        Self {
            annotators: annotators.iter().map(|line| line.iter().map(place).collect()).collect(),
            steps: steps(radius, stride),
            border,
            stride,
            places: stride * (height + 2 * border),
        }
    }

    /// Matches `predicted` with each annotator.
    pub(super) fn count(&self, predicted: &[(usize, usize)]) -> Counts {
        let mut grid = vec![NONE; self.places];
        for (index, &(y, x)) in predicted.iter().enumerate() {
            grid[(y + self.border) * self.stride + x + self.border] = index as u32;
        }
        let mut counts = Counts { predicted: predicted.len() as u64, ..Counts::default() };
        let mut confirmed = vec![false; predicted.len()];
        for line in &self.annotators {
            counts.annotated += line.len() as u64;
            let partners = Matching::largest(self.graph(line, &grid), predicted.len()).partners;
            for (confirmed, partner) in confirmed.iter_mut().zip(partners) {
                counts.found += u64::from(partner != NONE);
                *confirmed |= partner != NONE;
            }
        }
        counts.right = confirmed.into_iter().filter(|&confirmed| confirmed).count() as u64;
        counts
    }

    fn graph(&self, line: &[usize], grid: &[u32]) -> Graph {
        let mut graph = Graph { starts: vec![0], ends: Vec::new(), ranks: Vec::new() };
        for &place in line {
            for (rank, &step) in self.steps.iter().enumerate() {
                let predicted = grid[place.wrapping_add_signed(step)];
                if predicted != NONE {
                    graph.ends.push(predicted);
                    graph.ranks.push(rank as u32);
                }
            }
            graph.starts.push(graph.ends.len());
        }
        graph
    }
}

fn steps(radius: f64, stride: usize) -> Vec<isize> {
    let side = radius as isize;
    let range = -side..=side;
    let mut all: Vec<_> = range.clone().flat_map(|y| range.clone().map(move |x| (y, x))).collect();
    all.retain(|(y, x)| ((y * y + x * x) as f64) <= radius * radius);
    all.sort_by_key(|(y, x)| y * y + x * x);
    all.into_iter().map(|(y, x)| y * stride as isize + x).collect()
}

/// Which predicted pixels each annotated pixel may be matched with, nearest first.
struct Graph {
    /// Where in `ends` the neighbours of each annotated pixel begin, and the length of `ends`.
    starts: Vec<usize>,
    ends: Vec<u32>,
    /// Place of each pair in the order of distances.
    ranks: Vec<u32>,
}

struct Matching {
    graph: Graph,
    /// For each predicted pixel its annotated pixel, or `NONE`.
    partners: Vec<u32>,
    /// Whether each annotated pixel has a partner.
    joined: Vec<bool>,
    /// Length of the shortest alternating path from a free annotated pixel, or `NONE`.
    layers: Vec<u32>,
    /// Where in `ends` the search from each annotated pixel stands.
    cursors: Vec<usize>,
}

impl Matching {
    fn largest(graph: Graph, num_predicted: usize) -> Self {
        let annotated = graph.starts.len() - 1;
        let mut matching = Self {
            partners: vec![NONE; num_predicted],
            joined: vec![false; annotated],
            layers: vec![NONE; annotated],
            cursors: vec![0; annotated],
            graph,
        };
        matching.join_near_pairs();
        while matching.find_layers() {
            matching.cursors.copy_from_slice(&matching.graph.starts[..annotated]);
            for root in 0..annotated {
                if !matching.joined[root] {
                    matching.joined[root] = matching.extend_from(root);
                }
            }
        }
        matching
    }

    /// Joins free pixels in the order of their distance.
    fn join_near_pairs(&mut self) {
        let Some(&last) = self.graph.ranks.iter().max() else { return };
        let mut by_rank = vec![Vec::new(); last as usize + 1];
        for annotated in 0..self.joined.len() {
            for edge in self.graph.starts[annotated]..self.graph.starts[annotated + 1] {
                by_rank[self.graph.ranks[edge] as usize].push((annotated, self.graph.ends[edge]));
            }
        }
        for (annotated, predicted) in by_rank.into_iter().flatten() {
            let partner = &mut self.partners[predicted as usize];
            if *partner == NONE && !self.joined[annotated] {
                *partner = annotated as u32;
                self.joined[annotated] = true;
            }
        }
    }

    /// Breadth-first layers from all free annotated pixels, up to the first one with a
    /// free predicted neighbour. Says whether there is one.
    fn find_layers(&mut self) -> bool {
        let mut layer: Vec<u32> = (0..self.joined.len())
            .filter(|&root| !self.joined[root])
            .map(|root| root as u32)
            .collect();
        self.layers.fill(NONE);
        layer.iter().for_each(|&root| self.layers[root as usize] = 0);
        let (mut depth, mut found) = (0, false);
        while !layer.is_empty() && !found {
            depth += 1;
            let mut next = Vec::new();
            for annotated in layer {
                let annotated = annotated as usize;
                for edge in self.graph.starts[annotated]..self.graph.starts[annotated + 1] {
                    match self.partners[self.graph.ends[edge] as usize] {
                        NONE => found = true,
                        partner if self.layers[partner as usize] == NONE => {
                            self.layers[partner as usize] = depth;
                            next.push(partner);
                        }
                        _ => {}
                    }
                }
            }
            layer = next;
        }
        found
    }

    /// Depth-first search along the layers for a path to a free predicted pixel; swaps the pairs
    /// on it. Not recursive, because paths run along whole contours.
    fn extend_from(&mut self, root: usize) -> bool {
        let mut path = vec![root];
        while let Some(&annotated) = path.last() {
            if self.cursors[annotated] == self.graph.starts[annotated + 1] {
                self.layers[annotated] = NONE;
                path.pop();
                continue;
            }
            match self.partners[self.graph.ends[self.cursors[annotated]] as usize] {
                NONE => {
                    self.swap_along(&path);
                    return true;
                }
                partner if self.layers[partner as usize] == self.layers[annotated] + 1 => {
                    path.push(partner as usize);
                }
                _ => self.cursors[annotated] += 1,
            }
        }
        false
    }

    fn swap_along(&mut self, path: &[usize]) {
        for &annotated in path {
            let predicted = self.graph.ends[self.cursors[annotated]];
            self.partners[predicted as usize] = annotated as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Pixel = (usize, usize);

    fn near(a: Pixel, b: Pixel, radius: f64) -> bool {
        let square = a.0.abs_diff(b.0).pow(2) + a.1.abs_diff(b.1).pow(2);
        square as f64 <= radius * radius
    }

    /// Tries every assignment.
    fn brute_force(annotated: &[Pixel], predicted: &[Pixel], radius: f64, used: u32) -> u64 {
        let Some((&first, rest)) = annotated.split_first() else { return 0 };
        let partners = (0..predicted.len())
            .filter(|&i| used >> i & 1 == 0 && near(first, predicted[i], radius))
            .map(|i| 1 + brute_force(rest, predicted, radius, used | 1 << i));
        partners.max().unwrap_or(0).max(brute_force(rest, predicted, radius, used))
    }

    /// Augments from one annotated pixel after the other (Kuhn), on all pairs.
    fn one_by_one(annotated: &[Pixel], predicted: &[Pixel], radius: f64) -> u64 {
        fn place(
            at: usize,
            graph: &[Vec<usize>],
            seen: &mut [bool],
            partners: &mut [Option<usize>],
        ) -> bool {
            graph[at].iter().any(|&i| {
                if std::mem::replace(&mut seen[i], true) {
                    return false;
                }
                let free = partners[i].is_none_or(|other| place(other, graph, seen, partners));
                if free {
                    partners[i] = Some(at);
                }
                free
            })
        }
        let neighbours =
            |&a: &Pixel| (0..predicted.len()).filter(|&i| near(a, predicted[i], radius)).collect();
        let graph: Vec<Vec<usize>> = annotated.iter().map(neighbours).collect();
        let mut partners = vec![None; predicted.len()];
        (0..annotated.len())
            .filter(|&at| place(at, &graph, &mut vec![false; predicted.len()], &mut partners))
            .count() as u64
    }

    fn pixels(bits: &[bool], width: usize) -> Vec<Pixel> {
        (0..bits.len()).filter(|&i| bits[i]).map(|i| (i / width, i % width)).collect()
    }

    #[test]
    fn near_pairs_come_first() {
        let step = |y: isize, x: isize| y * 100 + x;
        assert_eq!(steps(1.4, 100), [0, step(-1, 0), step(0, -1), step(0, 1), step(1, 0)]);
        assert_eq!(steps(4.34, 100).len(), 61);
        assert_eq!(steps(0.5, 100), [0]);
    }

    #[test]
    fn a_greedy_choice_is_undone_where_it_costs_a_pair() {
        // The nearest pair (0,2)-(0,2) leaves (0,0) without a partner.
        let matcher = Matcher::new((1, 5), 2.0, &[vec![(0, 0), (0, 2)]]);
        let counts = matcher.count(&[(0, 2), (0, 4)]);
        assert_eq!(counts, Counts { right: 2, predicted: 2, found: 2, annotated: 2 });
    }

    #[test]
    fn a_long_chain_shifts_as_a_whole() {
        let row = |from: usize| (from..from + 5000).map(|x| (0, x)).collect::<Vec<_>>();
        let matcher = Matcher::new((1, 5001), 1.0, &[row(0)]);
        assert_eq!(matcher.count(&row(1)).found, 5000);
    }

    proptest! {
        #[test]
        fn agrees_with_brute_force(
            annotated in prop::collection::vec(prop::bool::weighted(0.2), 30),
            predicted in prop::collection::vec(prop::bool::weighted(0.2), 30),
            radius in 0.5f64..3.0,
        ) {
            let (annotated, predicted) = (pixels(&annotated, 6), pixels(&predicted, 6));
            prop_assume!(annotated.len() <= 8 && predicted.len() <= 8);
            let matcher = Matcher::new((5, 6), radius, std::slice::from_ref(&annotated));
            let counts = matcher.count(&predicted);
            prop_assert_eq!(counts.found, brute_force(&annotated, &predicted, radius, 0));
            prop_assert_eq!(counts.right, counts.found);
        }

        #[test]
        fn agrees_with_augmenting_one_by_one(
            annotated in prop::collection::vec(prop::bool::weighted(0.4), 400),
            predicted in prop::collection::vec(prop::bool::weighted(0.3), 400),
            radius in 0.5f64..4.0,
        ) {
            let (annotated, predicted) = (pixels(&annotated, 20), pixels(&predicted, 20));
            let matcher = Matcher::new((20, 20), radius, std::slice::from_ref(&annotated));
            prop_assert_eq!(matcher.count(&predicted).found, one_by_one(&annotated, &predicted, radius));
        }
    }
}
