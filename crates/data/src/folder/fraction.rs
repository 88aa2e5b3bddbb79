//! Shares of a folder's images, by their names.

use std::collections::BTreeMap;

use super::manifest::Split;
use super::pattern::Slots;
use super::split_context::SplitContext;
use crate::key::scramble;

/// Of fewer images than this, numbers of a share are exact; chance would be unfair to them.
const FEW: usize = 200;

/// The images that fall into the share of the split of `context`, in their order.
///
/// Of many images each goes by its name alone, so that new ones move no old one. Of few, and of
/// those of each class or set of labels where the split says `stratify` or `stratify_labels`, the share is a number of them in the order
/// of hashes, one at least where there are two.
pub(crate) fn select(context: &SplitContext, images: Vec<Slots>) -> Vec<Slots> {
    let Some(range) = context.split.fraction else { return images };
    let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let class = |slots: &Slots| {
        let class = context.split.stratify.as_ref().and_then(|slot| slots.get(slot));
        let class = class.map_or("", String::as_str);
        match context.split.stratify_labels {
            true => format!("{}/{class}", context.labelled(slots)),
            false => class.to_owned(),
        }
    };
    let titles: Vec<String> = images.iter().map(|slots| context.images.title(slots)).collect();
    let classes: Vec<String> = images.iter().map(class).collect();
    for (title, class) in titles.iter().zip(&classes) {
        names.entry(class).or_default().push(title.clone());
    }
    let stratified = context.split.stratify.is_some() || context.split.stratify_labels;
    let exact = stratified || images.len() < FEW;
    let taken: BTreeMap<&str, Vec<String>> = match exact {
        true => names.into_iter().map(|(class, names)| (class, ranked(names, range))).collect(),
        false => BTreeMap::new(),
    };
    let inside = |title: &String, class: &String| match taken.get(class.as_str()) {
        Some(names) => names.binary_search(title).is_ok(),
        None => context.split.takes(title),
    };
    let inside: Vec<bool> = titles.iter().zip(&classes).map(|(t, c)| inside(t, c)).collect();
    images.into_iter().zip(inside).filter_map(|(slots, inside)| inside.then_some(slots)).collect()
}

impl Split {
    /// Whether an image of this name falls into the split's fraction.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.fraction.is_none_or(|[low, high]| (low..high).contains(&share(name)))
    }
}

/// The names in the range of shares, sorted.
fn ranked(mut names: Vec<String>, [low, high]: [f64; 2]) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names.sort_by(|a, b| share(a).total_cmp(&share(b)));
    let [from, to] = [low, high].map(|bound| place(bound, names.len()));
    let mut inside = names[from..to].to_vec();
    inside.sort_unstable();
    inside
}

/// How many of `count` come before `bound`; neither side of a bound within is empty.
fn place(bound: f64, count: usize) -> usize {
    let place = (bound * count as f64).round() as usize;
    match bound > 0.0 && bound < 1.0 && count >= 2 {
        true => place.clamp(1, count - 1),
        false => place.min(count),
    }
}

/// A number from 0 to 1 that depends on the name alone: FNV-1a of 64 bits, scrambled because it
/// mixes short names badly.
fn share(name: &str) -> f64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (scramble(hash) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_do_not_change() {
        let names: Vec<String> = (0..1000).map(|k| format!("{k:04}")).collect();
        for tenth in 0..10 {
            let low = f64::from(tenth) / 10.0;
            let inside = names.iter().filter(|n| (low..low + 0.1).contains(&share(n))).count();
            assert!((60..140).contains(&inside), "{tenth}: {inside}");
        }
    }

    #[test]
    fn shares_of_few_are_exact_and_never_empty() {
        let names = |count: usize| (0..count).map(|k| format!("{k:02}")).collect::<Vec<_>>();
        for count in 2..60 {
            let train = ranked(names(count), [0.0, 0.9]);
            let val = ranked(names(count), [0.9, 1.0]);
            assert!((val.len() as f64 - count as f64 * 0.1).abs() <= 1.0, "{count}");
            assert!(!train.is_empty() && !val.is_empty(), "{count}");
            let mut both = [train, val].concat();
            both.sort_unstable();
            assert_eq!(both, names(count));
        }
        assert_eq!(ranked(names(1), [0.0, 0.9]).len() + ranked(names(1), [0.9, 1.0]).len(), 1);
        assert_eq!(ranked(names(8), [0.0, 1.0]).len(), 8);
    }
}
