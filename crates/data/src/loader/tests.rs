//! Order, restart, bounds and failures of the loader.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ndarray::{Array2, Array3};

use super::*;
use crate::{AugmentConfig, Label, Sample, TaskKind, TaskSpec};

/// Samples whose labels depend on the index: depth on even ones only, a category on all.
struct Fake {
    tasks: Vec<TaskSpec>,
    len: usize,
    /// Index that panics, and index that fails.
    bad: [Option<usize>; 2],
    read: AtomicUsize,
    /// Batches that the test has taken, and most samples that were prefetched.
    taken: AtomicUsize,
    prefetched: AtomicUsize,
    pause: Duration,
}

impl Fake {
    fn new(len: usize) -> Self {
        let task = |(name, kind): (&str, TaskKind)| TaskSpec {
            name: name.to_owned(),
            kind,
            classes: vec!["a".to_owned(), "b".to_owned()],
            palette: Vec::new(),
            flip_pairs: Vec::new(),
        };
        let kinds = [
            ("depth", TaskKind::Depth),
            ("class", TaskKind::Classification),
            ("tags", TaskKind::Tags),
        ];
        let tasks = kinds.into_iter().map(task).collect();
        let [read, taken, prefetched] = [0; 3].map(AtomicUsize::new);
        Self { tasks, len, bad: [None; 2], read, taken, prefetched, pause: Duration::ZERO }
    }
}

impl Dataset for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    fn len(&self) -> usize {
        self.len
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let read = self.read.fetch_add(1, Ordering::SeqCst) + 1;
        let taken = 4 * self.taken.load(Ordering::SeqCst);
        self.prefetched.fetch_max(read.saturating_sub(taken), Ordering::SeqCst);
        std::thread::sleep(self.pause);
        assert_ne!(self.bad[0], Some(index), "broken on purpose");
        let category = if self.bad[1] == Some(index) { 9 } else { index as u32 % 2 };
        let mut labels = BTreeMap::from([("class".to_owned(), Label::Category(category))]);
        if index.is_multiple_of(2) {
            let depth = Array2::from_elem((12, 10), 1.0 + index as f32);
            labels.insert("depth".to_owned(), Label::Depth(depth));
        }
        let image =
            Array3::from_shape_fn((12, 10, 3), |(y, x, c)| (index + 9 * y + 5 * x + c) as u8);
        Ok(Sample { name: format!("s{index}"), image, labels })
    }
}

fn config() -> LoaderConfig {
    let augment = Some(AugmentConfig::pascal());
    LoaderConfig { shuffle: true, seed: 3, augment, ..LoaderConfig::evaluation(4, [8, 6]) }
}

fn loader(dataset: Fake, config: LoaderConfig) -> Loader {
    Loader::new(Arc::new(dataset), config).unwrap()
}

fn bits(batches: &[Batch]) -> Vec<u32> {
    let arrays = |batch: &Batch| {
        let targets = batch.targets.values().flatten().map(|v| v.to_bits());
        batch.images.iter().map(|v| v.to_bits()).chain(targets).collect::<Vec<_>>()
    };
    batches.iter().flat_map(arrays).collect()
}

fn all(loader: &Loader, epoch: u64, first: usize) -> Vec<Batch> {
    loader.epoch(epoch, first).unwrap().collect::<Result<_>>().unwrap()
}

#[test]
fn threads_and_restarts_do_not_change_a_byte() {
    let one = loader(Fake::new(21), LoaderConfig { threads: Some(1), prefetch: 0, ..config() });
    let four = loader(Fake::new(21), LoaderConfig { threads: Some(4), prefetch: 3, ..config() });
    let (first, second) = (all(&one, 2, 0), all(&four, 2, 0));
    assert_eq!(first.len(), one.num_batches());
    assert_eq!(bits(&first), bits(&second));
    assert_ne!(bits(&first), bits(&all(&one, 3, 0)));
    assert_eq!(bits(&first[4..]), bits(&all(&four, 2, 4)));
    assert!(all(&four, 2, 99).is_empty());
}

#[test]
fn epochs_in_one_go_are_those_of_each() {
    let loader = loader(Fake::new(21), LoaderConfig { prefetch: 3, ..config() });
    let alone: Vec<Batch> = [(2, 4), (3, 0), (4, 0)]
        .iter()
        .flat_map(|&(epoch, first)| all(&loader, epoch, first))
        .collect();
    let count = alone.len() - 1;
    let whole: Vec<Batch> =
        loader.epochs(2, 4, count as u64).unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(whole.len(), count);
    assert_eq!(bits(&whole), bits(&alone[..count]));
    let part = loader.part_of_batches(1, 2);
    let whole: Vec<Batch> = part.epochs(0, 5, 2).unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(bits(&whole[..1]), bits(&all(&part, 0, 5)));
    assert_eq!(bits(&whole[1..]), bits(&all(&part, 1, 0)[..1]));
    assert_eq!(loader.epochs(0, 0, 0).unwrap().count(), 0);
    let none = LoaderConfig { drop_last: true, ..config() };
    assert_eq!(
        Loader::new(Arc::new(Fake::new(2)), none).unwrap().epochs(0, 0, 9).unwrap().count(),
        0
    );
}

#[test]
fn the_next_epoch_is_read_while_one_is_used() {
    let fake = Arc::new(Fake::new(8));
    let loader = Loader::new(fake.clone(), LoaderConfig { prefetch: 2, ..config() }).unwrap();
    let mut batches = loader.epochs(0, 0, 100).unwrap();
    (0..2).for_each(|_| drop(batches.next().unwrap().unwrap()));
    // All of the first epoch is taken, and nobody asks for the second.
    let start = Instant::now();
    while fake.read.load(Ordering::SeqCst) < 16 && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(fake.read.load(Ordering::SeqCst) >= 16);
}

#[test]
fn every_sample_stands_once_with_its_own_labels() {
    let loader = loader(Fake::new(11), LoaderConfig { augment: None, ..config() });
    let mut seen: Vec<usize> = Vec::new();
    for batch in all(&loader, 0, 0) {
        let size = batch.indices.len();
        assert_eq!(batch.images.dim(), (size, 3, 8, 6));
        assert_eq!(batch.targets["depth"].dim(), (size, 1, 8, 6));
        assert_eq!(batch.targets["class"].dim(), (size, 1, 1, 1));
        assert_eq!(batch.targets["tags"].dim(), (size, 2, 1, 1));
        assert!(batch.targets["tags"].iter().all(|v| v.is_nan()));
        for (k, &index) in batch.indices.iter().enumerate() {
            assert_eq!(batch.names[k], format!("s{index}"));
            assert_eq!(batch.samples[k].name, batch.names[k]);
            assert_eq!(batch.targets["class"][[k, 0, 0, 0]], (index % 2) as f32);
            let depth = batch.targets["depth"][[k, 0, 3, 3]];
            assert!(if index.is_multiple_of(2) {
                depth == 1.0 + index as f32
            } else {
                depth.is_nan()
            });
        }
        seen.extend(&batch.indices);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..11).collect::<Vec<_>>());
}

#[test]
fn images_are_normalised_channel_by_channel() {
    let plain = LoaderConfig {
        mean: [0.5; 3],
        std: [0.5, 0.25, 1.0],
        ..LoaderConfig::evaluation(1, [12, 10])
    };
    let batch = all(&loader(Fake::new(1), plain), 0, 0).remove(0);
    let value = |c: usize| (9 + 5 + c) as f32 / 255.0 - 0.5;
    assert!((batch.images[[0, 0, 1, 1]] - value(0) / 0.5).abs() < 1e-6);
    assert!((batch.images[[0, 1, 1, 1]] - value(1) / 0.25).abs() < 1e-6);
    assert!((batch.images[[0, 2, 1, 1]] - value(2)).abs() < 1e-6);
}

#[test]
fn dropping_an_epoch_stops_its_thread_and_reads_no_more() {
    let fake = Arc::new(Fake { pause: Duration::from_millis(2), ..Fake::new(4000) });
    let loader = Loader::new(fake.clone(), LoaderConfig { prefetch: 1, ..config() }).unwrap();
    let mut epoch = loader.epoch(0, 0).unwrap();
    epoch.next().unwrap().unwrap();
    let start = Instant::now();
    drop(epoch);
    assert!(start.elapsed() < Duration::from_secs(2));
    let read = fake.read.load(Ordering::SeqCst);
    // One batch taken, one waiting, one held by the thread.
    assert!(read <= 3 * 4 + 4, "{read}");
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(fake.read.load(Ordering::SeqCst), read);
}

#[test]
fn prefetching_is_bounded() {
    let fake = Arc::new(Fake::new(400));
    let loader = Loader::new(fake.clone(), LoaderConfig { prefetch: 2, ..config() }).unwrap();
    let _epoch = loader.epoch(0, 0).unwrap();
    // A busy machine takes its time to prefetch.
    let start = Instant::now();
    while fake.read.load(Ordering::SeqCst) < 12 && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(150));
    let read = fake.read.load(Ordering::SeqCst);
    assert!((12..=16).contains(&read), "{read}");
}

/// Throughout an epoch, with a reader that now waits and now hurries.
#[test]
fn memory_stays_within_its_bound() {
    for prefetch in [0, 1, 3] {
        let fake = Arc::new(Fake::new(120));
        let loader = Loader::new(fake.clone(), LoaderConfig { prefetch, ..config() }).unwrap();
        let mut epoch = loader.epoch(0, 0).unwrap();
        for turn in 0..30 {
            // While the next batch is asked for, the last one taken is gone.
            if turn % 5 == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            epoch.next().unwrap().unwrap();
            fake.taken.fetch_add(1, Ordering::SeqCst);
        }
        assert!(epoch.next().is_none());
        let prefetched = fake.prefetched.load(Ordering::SeqCst);
        let bound = 4 * (prefetch + 2);
        assert!(
            (4 * (prefetch + 1)..=bound).contains(&prefetched),
            "{prefetch}: {prefetched} of {bound}"
        );
    }
}

#[test]
fn a_panic_and_a_wrong_label_become_errors_that_name_the_sample() {
    let ordered = LoaderConfig::evaluation(4, [8, 6]);
    let broken = loader(Fake { bad: [Some(5), Some(6)], ..Fake::new(12) }, ordered.clone());
    let batches: Vec<_> = broken.epoch(0, 0).unwrap().collect();
    assert_eq!(batches.len(), 2);
    let message = batches[1].as_ref().unwrap_err().to_string();
    assert!(message.starts_with("fake: sample 5: panicked: "), "{message}");
    assert!(message.contains("broken on purpose"), "{message}");
    let wrong = loader(Fake { bad: [None, Some(0)], ..Fake::new(12) }, ordered);
    let message = wrong.epoch(0, 0).unwrap().next().unwrap().unwrap_err().to_string();
    assert_eq!(message, "s0: class: expected a class below 2, found class 9");
}

#[test]
fn bad_samples_are_left_out_where_the_run_says_so() {
    let plain = LoaderConfig::evaluation(4, [8, 6]);
    let config = LoaderConfig { on_bad_sample: OnBadSample::Skip, ..plain };
    let broken = loader(Fake { bad: [None, Some(5)], ..Fake::new(12) }, config.clone());
    let batches = all(&broken, 0, 0);
    let indices: Vec<&[usize]> = batches.iter().map(|batch| &*batch.indices).collect();
    assert_eq!(indices, [&[0, 1, 2, 3][..], &[4, 6, 7], &[8, 9, 10, 11]]);
    assert_eq!(batches[1].skipped, ["s5: class: expected a class below 2, found class 9"]);
    assert_eq!(batches[1].images.dim().0, 3);
    assert!(batches[0].skipped.is_empty() && batches[1].names == ["s4", "s6", "s7"]);
    // A panic is a mistake of ours, not of the sample's.
    let broken = loader(Fake { bad: [Some(5), None], ..Fake::new(12) }, config.clone());
    assert!(broken.epoch(0, 0).unwrap().any(|batch| batch.is_err()));
    let one = LoaderConfig { batch_size: 1, ..config };
    let broken = loader(Fake { bad: [None, Some(0)], ..Fake::new(2) }, one);
    let message = broken.epoch(0, 0).unwrap().next().unwrap().unwrap_err().to_string();
    assert_eq!(
        message,
        "fake: expected at least 1 good sample in a batch of 1, found 0, the first: \
         s0: class: expected a class below 2, found class 9"
    );
}

#[test]
fn an_empty_data_set_is_refused() {
    let error = Loader::new(Arc::new(Fake::new(0)), config()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "fake: split `all` is empty: expected at least 1 sample, found 0"
    );
}

#[test]
fn another_seed_is_another_order_of_the_same_samples() {
    let plain = loader(Fake::new(20), LoaderConfig { shuffle: true, ..config() });
    let other = plain.reseeded(99);
    let order = |loader: &Loader| {
        all(loader, 0, 0).iter().flat_map(|batch| batch.indices.clone()).collect::<Vec<usize>>()
    };
    assert_ne!(order(&plain), order(&other));
    assert_eq!(other.config(), &LoaderConfig { seed: 99, ..plain.config().clone() });
    let sorted = |mut order: Vec<usize>| {
        order.sort_unstable();
        order
    };
    assert_eq!(sorted(order(&plain)), sorted(order(&other)));
}

#[test]
fn parts_of_all_batches_make_the_whole() {
    let whole = loader(Fake::new(11), config());
    let batches = all(&whole, 1, 0);
    let parts: Vec<_> = (0..3).map(|index| all(&whole.part_of_batches(index, 3), 1, 0)).collect();
    for (at, batch) in batches.iter().enumerate() {
        let indices: Vec<usize> = parts.iter().flat_map(|part| part[at].indices.clone()).collect();
        assert_eq!(indices, batch.indices);
        let images: Vec<f32> = parts.iter().flat_map(|p| p[at].images.iter().copied()).collect();
        assert_eq!(images, batch.images.iter().copied().collect::<Vec<_>>());
    }
    // Four samples and three samples over three parts.
    let lens = |part: &[Batch]| part.iter().map(|batch| batch.indices.len()).collect::<Vec<_>>();
    assert_eq!(
        parts.iter().map(|part| lens(part)).collect::<Vec<_>>(),
        [[1; 3], [1; 3], [2, 2, 1]]
    );
    assert_eq!(bits(&all(&whole.part_of_batches(1, 3), 1, 2)), bits(&parts[1][2..]));
    let some = all(&whole.some_batches(1, 2), 1, 0);
    assert_eq!(bits(&some), bits(&batches[1..2]));
    assert_eq!(whole.reseeded(5).part_of_batches(0, 2).num_batches(), 3);
}
