//! Circles of a graph of files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::resolve::Edges;

/// Which file needs which.
pub(super) struct Graph<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Graph<'a> {
    pub(super) fn new(edges: &'a Edges) -> Self {
        let mut needs = BTreeMap::<&str, Vec<&str>>::new();
        for (from, to) in edges.keys() {
            needs.entry(from).or_default().push(to);
        }
        Self(needs)
    }

    /// The largest sets of files that all need each other, in some number of steps.
    pub(super) fn circles(&self) -> BTreeSet<BTreeSet<String>> {
        let needed = self.0.keys().map(|from| (*from, self.needed_by(from)));
        let needed: BTreeMap<&str, BTreeSet<&str>> = needed.collect();
        let circle = |(from, of_it): (&&str, &BTreeSet<&str>)| {
            let back = |to: &&&str| needed.get(**to).is_some_and(|of_to| of_to.contains(from));
            of_it.iter().filter(back).map(|to| (*to).to_owned()).collect()
        };
        let circles = needed.iter().map(circle);
        circles.filter(|circle: &BTreeSet<String>| circle.len() > 1).collect()
    }

    /// Everything that `from` needs in one step or more.
    fn needed_by(&self, from: &str) -> BTreeSet<&'a str> {
        let (mut found, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(file) = waiting.pop() {
            for to in self.of(file) {
                if found.insert(*to) {
                    waiting.push(to);
                }
            }
        }
        found
    }

    /// The shortest way from the first file of `circle` back to it.
    pub(super) fn way_round(&self, circle: &BTreeSet<String>) -> Vec<&'a str> {
        let Some(start) = circle.first() else { return Vec::new() };
        let mut before = BTreeMap::<&str, &str>::new();
        let mut waiting = VecDeque::from([start.as_str()]);
        while let Some(file) = waiting.pop_front() {
            for to in self.of(file) {
                if !before.contains_key(to) {
                    before.insert(to, self.own(file));
                    waiting.push_back(to);
                }
            }
        }
        let mut way = vec![self.own(start)];
        while let Some(file) = way.last().and_then(|file| before.get(file)) {
            way.push(file);
            if *file == start {
                break;
            }
        }
        way.reverse();
        way
    }

    fn of(&self, file: &str) -> &[&'a str] {
        self.0.get(file).map_or(&[], Vec::as_slice)
    }

    /// The graph's own copy of a name.
    fn own(&self, file: &str) -> &'a str {
        self.0.get_key_value(file).map_or("", |(name, _)| name)
    }
}
