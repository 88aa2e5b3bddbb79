//! What the data set promises: the same bytes everywhere, and labels that agree with each other.

use std::collections::BTreeSet;

use ndarray::{Array2, Array3};

use super::{
    Scenes, ScenesConfig,
    camera::{Camera, View},
    classes::{BALL, BOX, GROUND, OBJECTS, PERSON, SKY},
    labels::{NOTHING, instances, labels},
    light::{Air, Light},
    math::{Basis, Vec3, vec3},
    render::cast,
    rng::Stream,
    shape::Shape,
    solid::Solid,
    texture::Material,
    thing::Thing,
    world::World,
};
use polyptych_data::{Dataset, Error, Label, Sample};

fn scenes(seed: u64, split: &str, size: usize) -> Scenes {
    let config = ScenesConfig { seed, split: split.into(), len: 400, height: size, width: size };
    Scenes::new(config).unwrap()
}

fn classes_of(sample: &Sample, task: &str) -> Option<Array2<u8>> {
    match sample.labels.get(task) {
        Some(Label::Classes(map) | Label::Binary(map)) => Some(map.clone()),
        Some(Label::Edges(maps)) => Some(maps[0].clone()),
        _ => None,
    }
}

fn normals_and_depth(sample: &Sample) -> (Array3<f32>, Array2<f32>) {
    match (&sample.labels["normals"], &sample.labels["depth"]) {
        (Label::Normals(normals), Label::Depth(depth)) => (normals.clone(), depth.clone()),
        other => panic!("{other:?}"),
    }
}

/// 64-bit FNV-1a over every byte of image and labels.
fn fingerprint(sample: &Sample) -> u64 {
    let mut bytes: Vec<u8> = sample.image.iter().copied().collect();
    for (name, label) in &sample.labels {
        bytes.extend(name.as_bytes());
        match label {
            Label::Classes(map) | Label::Binary(map) => bytes.extend(map),
            Label::Edges(maps) => bytes.extend(&maps[0]),
            Label::Normals(map) => bytes.extend(map.iter().flat_map(|v| v.to_le_bytes())),
            Label::Depth(map) => bytes.extend(map.iter().flat_map(|v| v.to_le_bytes())),
            Label::Tags(flags) => bytes.extend(flags.iter().map(|&flag| u8::from(flag))),
            Label::Category(_) | Label::Caption(_) | Label::Modified { .. } => {
                panic!("scenes have none")
            }
        }
    }
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn every_byte_is_fixed_by_seed_split_and_index() {
    let found = [("train", 0), ("train", 1), ("val", 0), ("pretrain", 77)]
        .map(|(split, index)| fingerprint(&scenes(7, split, 96).get(index).unwrap()));
    let expected = [
        0xd31e_e24a_b05e_a96b,
        0x0091_b88a_039e_e633,
        0xe1d5_9816_b339_7f3e,
        0x8945_97e4_846b_5222,
    ];
    assert_eq!(found, expected, "found {found:#x?}");
}

#[test]
fn images_of_other_splits_seeds_and_indices_differ() {
    let mut prints = BTreeSet::new();
    for seed in [0, 1] {
        for split in ["train", "val", "pretrain"] {
            let scenes = scenes(seed, split, 24);
            prints.extend((0..20).map(|index| fingerprint(&scenes.get(index).unwrap())));
        }
    }
    assert_eq!(prints.len(), 2 * 3 * 20);
}

#[test]
fn labels_agree_with_each_other() {
    let scenes = scenes(3, "train", 64);
    for index in 0..60 {
        let sample = scenes.get(index).unwrap();
        let semseg = classes_of(&sample, "semseg").unwrap();
        let (normals, depth) = normals_and_depth(&sample);
        let parts = classes_of(&sample, "human_parts");
        let person = semseg.iter().any(|&class| class == PERSON);
        assert_eq!(parts.is_some(), person, "image {index}");
        for ((y, x), &class) in semseg.indexed_iter() {
            let at = format!("image {index}, row {y}, column {x}, class {class}");
            let normal = vec3(normals[[y, x, 0]], normals[[y, x, 1]], normals[[y, x, 2]]);
            if class == SKY {
                assert_eq!((normal, depth[[y, x]]), (Vec3::ZERO, 0.0), "{at}");
            } else {
                assert!((normal.length() - 1.0).abs() < 1e-5, "{at}: {normal:?}");
                assert!(depth[[y, x]] > 0.05 && depth[[y, x]] < 90.0, "{at}: {}", depth[[y, x]]);
            }
            if let Some(parts) = &parts {
                assert_eq!(parts[[y, x]] > 0, class == PERSON, "{at}: part {}", parts[[y, x]]);
                assert!(parts[[y, x]] <= 6, "{at}");
            }
        }
    }
}

#[test]
fn surfaces_face_the_camera() {
    let scenes = scenes(3, "val", 64);
    for index in 0..30 {
        let (world, view, _) = scenes.draw(index);
        let hits = cast(&world, &view);
        let (normals, _) = normals_and_depth(&scenes.get(index).unwrap());
        for (at, hit) in hits.iter().enumerate().filter(|(_, hit)| hit.depth.is_finite()) {
            let (y, x) = (at / 64, at % 64);
            let seen = view.direction(x as f32 + 0.5, y as f32 + 0.5);
            let seen = view.camera.basis.to_local(seen);
            let toward = -(normals[[y, x, 0]] * seen.x + normals[[y, x, 1]] * seen.y
                - normals[[y, x, 2]] * seen.z);
            assert!(toward > -2e-3, "image {index}, row {y}, column {x}: {toward} {hit:?}");
        }
    }
}

#[test]
fn edges_lie_where_instances_change_and_one_object_is_salient() {
    let scenes = scenes(5, "train", 48);
    for index in 0..30 {
        let (world, view, _) = scenes.draw(index);
        let map = instances(&world, &view, &cast(&world, &view));
        let sample = scenes.get(index).unwrap();
        let edge = classes_of(&sample, "edge").unwrap();
        let differs = |y: usize, x: usize, here: u16| map.get((y, x)).is_some_and(|&i| i != here);
        for ((y, x), &here) in map.indexed_iter() {
            let expected = differs(y + 1, x, here) || differs(y, x + 1, here);
            assert_eq!(edge[[y, x]] == 1, expected, "image {index}, row {y}, column {x}");
        }
        let sal = classes_of(&sample, "sal").unwrap();
        let chosen: BTreeSet<u16> =
            map.iter().zip(&sal).filter(|(_, s)| **s == 1).map(|(i, _)| *i).collect();
        assert!(chosen.len() <= 1, "image {index}: {chosen:?}");
        for instance in chosen {
            assert!(world.instances[usize::from(instance)].class >= OBJECTS);
            let whole = map.iter().zip(&sal).all(|(&i, &s)| (i == instance) == (s == 1));
            assert!(whole, "image {index}");
        }
    }
}

#[test]
fn tags_name_the_classes_that_cover_half_a_percent() {
    let scenes = scenes(9, "pretrain", 64);
    for index in 0..40 {
        let sample = scenes.get(index).unwrap();
        let semseg = classes_of(&sample, "semseg").unwrap();
        let Label::Tags(tags) = &sample.labels["tags"] else { panic!("tags are flags") };
        for (tag, &set) in tags.iter().enumerate() {
            let class = OBJECTS + tag as u8;
            let count = semseg.iter().filter(|&&c| c == class).count();
            assert_eq!(set, count * 200 >= 64 * 64, "image {index}, class {class}: {count} pixels");
        }
    }
}

#[test]
fn two_hundred_images_show_every_class_and_every_part() {
    let scenes = scenes(0, "train", 64);
    let specs = Scenes::task_specs();
    let (mut shown, mut parts, mut salient, mut people) = ([0; 16], [0; 7], 0, 0);
    for index in 0..200 {
        let sample = scenes.get(index).unwrap();
        let classes: BTreeSet<u8> =
            classes_of(&sample, "semseg").unwrap().iter().copied().collect();
        classes.iter().for_each(|&class| shown[usize::from(class)] += 1);
        if let Some(map) = classes_of(&sample, "human_parts") {
            people += 1;
            let present: BTreeSet<u8> = map.iter().copied().collect();
            present.iter().for_each(|&part| parts[usize::from(part)] += 1);
        }
        salient += usize::from(classes_of(&sample, "sal").unwrap().iter().any(|&v| v == 1));
    }
    for (name, count) in specs[0].classes.iter().zip(shown) {
        assert!(count >= 30, "{name} shows in {count} of 200 images");
    }
    for (name, count) in specs[1].classes.iter().zip(parts) {
        assert!(count >= 80, "{name} shows in {count} of 200 images");
    }
    assert!(salient >= 195, "{salient} of 200 images have a salient object");
    assert!((100..190).contains(&people), "{people} of 200 images show people");
}

#[test]
fn task_specs_and_labels_name_the_same_tasks() {
    let scenes = scenes(0, "train", 32);
    let names: BTreeSet<&str> = scenes.tasks().iter().map(|task| task.name.as_str()).collect();
    for index in 0..10 {
        let sample = scenes.get(index).unwrap();
        assert!(sample.labels.keys().all(|name| names.contains(name.as_str())));
        assert!(sample.labels.len() >= 6);
    }
    for task in scenes.tasks() {
        let colours: BTreeSet<_> = task.palette.iter().collect();
        assert_eq!(colours.len(), task.classes.len(), "{}", task.name);
    }
}

/// A ball of 1 m at 5 m on a floor, and a camera 1 m high that looks along z.
fn small_world() -> (World, View) {
    let mut rng = Stream::new(0, 0, 0);
    let material = Material::any(&mut rng, 1.0);
    let camera = Camera { eye: Vec3::Y, basis: Basis::WORLD, tangent: 0.5 };
    let light = Light::Sun { towards: Vec3::Y, colour: vec3(1.0, 1.0, 1.0) };
    let grey = Vec3::splat(0.5);
    let air = Air {
        above: grey,
        below: grey,
        zenith: grey,
        cloud: grey,
        haze: grey,
        density: 0.0,
        cover: 0.0,
        seed: 0,
    };
    let mut world = World::new(camera, light, air);
    let ground = Solid {
        shape: Shape::Ground(70.0),
        centre: Vec3::ZERO,
        basis: Basis::WORLD,
        material,
        instance: 0,
        part: 0,
    };
    world.surface(ground, &[GROUND]);
    let mut ball = Thing::new(BALL);
    ball.add(Shape::Ellipsoid(vec3(1.0, 1.0, 1.0)), Vec3::Y, material);
    world.place(&ball, vec3(0.0, 0.0, 5.0), Basis::yaw(0.4));
    (world, View { camera, height: 64, width: 64 })
}

#[test]
fn a_ball_on_the_ground_has_the_depth_and_normals_of_its_formula() {
    let (world, view) = small_world();
    let sample = Sample {
        name: String::new(),
        image: Array3::zeros((64, 64, 3)),
        labels: labels(&world, &view, &cast(&world, &view)),
    };
    let (normals, depth) = normals_and_depth(&sample);
    let semseg = classes_of(&sample, "semseg").unwrap();
    for ((y, x), &class) in semseg.indexed_iter() {
        let (u, v) = ((x as f32 + 0.5 - 32.0) / 64.0, (32.0 - y as f32 - 0.5) / 64.0);
        // |t (u, v, 1) - (0, 0, 5)| = 1, with the eye at the ball's height.
        let (a, inside) = (u * u + v * v + 1.0, 25.0 - 24.0 * (u * u + v * v + 1.0));
        let (expected, depth_is, normal) = if inside > 0.0 {
            let t = (5.0 - inside.sqrt()) / a;
            (BALL, t, vec3(u * t, v * t, 5.0 - t))
        } else if v < 0.0 && -1.0 / v < 70.0 {
            (GROUND, -1.0 / v, Vec3::Y)
        } else {
            (SKY, 0.0, Vec3::ZERO)
        };
        assert_eq!(class, expected, "row {y}, column {x}");
        assert!((depth[[y, x]] - depth_is).abs() < 2e-4 * depth_is.max(1.0), "row {y}, column {x}");
        for (channel, value) in [normal.x, normal.y, normal.z].into_iter().enumerate() {
            assert!((normals[[y, x, channel]] - value).abs() < 2e-3, "row {y}, column {x}");
        }
    }
    assert!(semseg.iter().any(|&class| class == SKY));
    assert_eq!(instances(&world, &view, &cast(&world, &view))[[0, 0]], NOTHING);
}

#[test]
fn the_ball_shadows_the_ground_below_it_alone() {
    let (world, _) = small_world();
    assert!(world.shadowed(vec3(0.3, 0.001, 5.2), Vec3::Y, f32::INFINITY));
    assert!(!world.shadowed(vec3(1.3, 0.001, 5.2), Vec3::Y, f32::INFINITY));
    assert!(!world.shadowed(vec3(0.0, 2.001, 5.0), Vec3::Y, f32::INFINITY));
    assert!(!world.shadowed(vec3(0.3, 0.001, 5.2), Vec3::Y, 0.01));
}

#[test]
fn nothing_stands_below_the_ground() {
    let scenes = scenes(11, "train", 16);
    for index in 0..60 {
        let (world, _, _) = scenes.draw(index);
        let things = world.instances.iter().filter(|instance| instance.class >= BOX);
        for instance in things {
            let solids = &world.solids[instance.first..instance.last];
            let bottom = solids.iter().map(Solid::bottom).fold(f32::INFINITY, f32::min);
            assert!(bottom > -0.01, "image {index}, class {}: {bottom}", instance.class);
        }
    }
}

#[test]
fn wrong_fields_are_named() {
    let good = ScenesConfig { seed: 0, split: "val".into(), len: 5, height: 32, width: 48 };
    assert_eq!(Scenes::new(good.clone()).unwrap().get(4).unwrap().image.dim(), (32, 48, 3));
    let wrong = [
        (ScenesConfig { split: "test".into(), ..good.clone() }, "split"),
        (ScenesConfig { len: 0, ..good.clone() }, "len"),
        (ScenesConfig { height: 8, ..good.clone() }, "height"),
        (ScenesConfig { width: 4096, ..good.clone() }, "width"),
    ];
    for (config, field) in wrong {
        match Scenes::new(config) {
            Err(Error::Config { key, .. }) => assert_eq!(key, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    let past = Scenes::new(good).unwrap().get(5);
    assert!(past.unwrap_err().to_string().contains("expected below 5, found 5"));
    let unknown = "seed = 1\nsplit = 'val'\nlen = 1\nheight = 32\nwidth = 32\ncolour = true";
    assert!(toml::from_str::<ScenesConfig>(unknown).unwrap_err().to_string().contains("colour"));
}
