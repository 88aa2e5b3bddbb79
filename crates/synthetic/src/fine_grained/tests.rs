//! What the data set promises: the same bytes everywhere, balanced classes, named errors.

use std::collections::BTreeSet;

use super::{FineGrained, FineGrainedConfig};
use polyptych_data::{Dataset, Label, Sample, TaskKind};

fn config(domain: &str) -> FineGrainedConfig {
    let (domain, split) = (domain.to_owned(), "train".to_owned());
    FineGrainedConfig { domain, seed: 7, split, len: 1000, height: 48, width: 48, variety: 1.0 }
}

fn drawn(domain: &str) -> FineGrained {
    FineGrained::new(config(domain)).unwrap()
}

fn category(sample: &Sample, domain: &str) -> u32 {
    match sample.labels[domain] {
        Label::Category(class) => class,
        ref other => panic!("{other:?}"),
    }
}

/// 64-bit FNV-1a over the bytes of the image and the class.
fn fingerprint(sample: &Sample, domain: &str) -> u64 {
    let class = category(sample, domain) as u8;
    sample.image.iter().chain([&class]).fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn every_byte_is_fixed_by_domain_seed_split_and_index() {
    let found = FineGrained::domains().map(|domain| {
        [0, 1, 77].map(|index| fingerprint(&drawn(domain).get(index).unwrap(), domain))
    });
    let expected = [
        [0xb2fa_6132_d584_6dca, 0xec04_b1c9_698a_218e, 0x1712_b4f1_682d_67e6],
        [0x07a2_ca7b_4002_d105, 0xacd8_ac87_c8a4_6bab, 0x3888_35e0_da09_f570],
        [0xd195_23c7_faad_b628, 0x49ff_041b_aff8_ad4b, 0x0c18_e4ae_5c49_5fdb],
        [0xc480_c144_1dce_a787, 0xa616_d8d3_b7da_434f, 0x23d0_f860_8a3d_511d],
    ];
    assert_eq!(found, expected, "found {found:#x?}");
}

#[test]
fn images_of_other_splits_seeds_and_indices_differ() {
    let mut prints = BTreeSet::new();
    for domain in FineGrained::domains() {
        for (seed, split) in [(0, "train"), (0, "val"), (0, "test"), (1, "train")] {
            let small = FineGrainedConfig { height: 16, width: 16, ..config(domain) };
            let set = FineGrained::new(FineGrainedConfig { seed, split: split.into(), ..small });
            let set = set.unwrap();
            // Of the picture alone: the class must not be what tells two images apart.
            prints.extend((0..20).map(|i| set.get(i).unwrap().image.into_raw_vec_and_offset().0));
        }
    }
    assert_eq!(prints.len(), 4 * 4 * 20);
}

#[test]
fn every_run_shows_each_class_once_in_an_order_of_its_own() {
    for domain in FineGrained::domains() {
        let set = drawn(domain);
        let count = set.tasks()[0].classes.len();
        let runs: Vec<Vec<usize>> = (0..12)
            .map(|run| (run * count..(run + 1) * count).map(|index| set.class(index)).collect())
            .collect();
        for run in &runs {
            let classes: BTreeSet<usize> = run.iter().copied().collect();
            assert_eq!(classes, (0..count).collect(), "{domain}: {run:?}");
        }
        assert_eq!(runs.iter().collect::<BTreeSet<_>>().len(), runs.len(), "{domain}");
    }
}

#[test]
fn a_studio_varies_less() {
    let spread = |variety| {
        let config = FineGrainedConfig { variety, ..config("cars") };
        let set = FineGrained::new(config).unwrap();
        let of_class = |index: &usize| set.class(*index) == 0;
        let images: Vec<_> =
            (0..200).filter(of_class).map(|i| set.get(i).unwrap().image.mapv(f32::from)).collect();
        let mean =
            images.iter().skip(1).fold(images[0].clone(), |a, b| a + b) / images.len() as f32;
        images.iter().map(|image| (image - &mean).mapv(|v| v * v).sum()).sum::<f32>()
    };
    assert!(spread(0.0) < 0.9 * spread(1.0), "{} {}", spread(0.0), spread(1.0));
}

#[test]
fn images_of_one_class_differ() {
    for domain in FineGrained::domains() {
        let set = drawn(domain);
        let of_class: Vec<usize> = (0..200).filter(|&index| set.class(index) == 3).collect();
        let images: BTreeSet<Vec<u8>> = of_class
            .iter()
            .map(|&index| set.get(index).unwrap().image.into_raw_vec_and_offset().0)
            .collect();
        assert!(of_class.len() >= 12 && images.len() == of_class.len(), "{domain}");
    }
}

#[test]
fn the_one_task_names_the_domain_and_its_classes() {
    let counts = FineGrained::domains().map(|domain| {
        let set = drawn(domain);
        let [task] = set.tasks() else { panic!("{domain}: {} tasks", set.tasks().len()) };
        assert_eq!((task.name.as_str(), task.kind), (domain, TaskKind::Classification));
        let names: BTreeSet<&String> = task.classes.iter().collect();
        assert_eq!(names.len(), task.classes.len(), "{domain}");
        let slug = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(names.iter().all(|name| slug(name)), "{names:?}");
        set.get(999).unwrap().check(set.tasks()).unwrap();
        task.classes.len()
    });
    assert_eq!(counts, [12, 10, 10, 16]);
}

#[test]
fn wide_and_high_pictures_have_their_size() {
    for domain in FineGrained::domains() {
        let set = FineGrained::new(FineGrainedConfig { height: 32, width: 96, ..config(domain) })
            .unwrap();
        assert_eq!(set.get(0).unwrap().image.dim(), (32, 96, 3));
    }
}

#[test]
fn wrong_fields_are_named() {
    let message = |config| FineGrained::new(config).unwrap_err().to_string();
    let good = || config("cars");
    assert_eq!(
        message(config("dogs")),
        "fine_grained: domain: expected one of birds, cars, aircraft, flowers, found `dogs`"
    );
    assert_eq!(
        message(FineGrainedConfig { split: "pretrain".into(), ..good() }),
        "fine_grained: split: expected one of train, val, test, found `pretrain`"
    );
    assert_eq!(
        message(FineGrainedConfig { len: 0, ..good() }),
        "fine_grained: len: expected 1 to 4294967296, found 0"
    );
    assert_eq!(
        message(FineGrainedConfig { height: 8, ..good() }),
        "fine_grained: height: expected 16 to 2048, found 8"
    );
    assert_eq!(
        message(FineGrainedConfig { width: 4096, ..good() }),
        "fine_grained: width: expected 16 to 2048, found 4096"
    );
    assert_eq!(
        message(FineGrainedConfig { variety: 1.5, ..good() }),
        "fine_grained: variety: expected 0 to 1, found 1.5"
    );
    let past = drawn("cars").get(1000).unwrap_err().to_string();
    assert_eq!(past, "fine_grained: index: expected below 1000, found 1000");
    let unknown =
        "domain = 'cars'\nseed = 1\nsplit = 'val'\nlen = 1\nheight = 32\nwidth = 32\nx = 1";
    let error = toml::from_str::<FineGrainedConfig>(unknown).unwrap_err().to_string();
    assert!(error.contains("unknown field `x`"), "{error}");
}
