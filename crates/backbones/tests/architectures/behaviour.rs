//! What a backbone does with any image: padding, types, gradients, errors, loading.

use polyptych_backbones::{
    Backbone, BackboneConfig, Checkpoint, Error, GlobalPool, Options, ROUNDED_UP, SwinConfig,
    VitConfig,
};
use polyptych_formats::TensorFile;
use polyptych_tensor::{Device, Kind, LoadOptions, NoAdapter, Store, Tensor, Tensors};

const MICRO: [&str; 2] = ["swin_micro_patch4_window4_128", "vit_micro_patch8_128"];

fn config(name: &str) -> BackboneConfig {
    BackboneConfig::from_name(name).unwrap().with_num_classes(7)
}

fn build(config: &BackboneConfig) -> (Store, Box<dyn Backbone>) {
    let store = Store::new(Device::Cpu);
    let backbone = config.init(&store.root(), &NoAdapter::Full, Options::default()).unwrap();
    (store, backbone)
}

fn image(shape: [i64; 4]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

fn tensors(store: &Store) -> Tensors {
    store.tensors().into_iter().collect()
}

fn message(result: polyptych_backbones::Result<impl Sized>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn any_image_runs_padded() {
    let expected = [
        vec![[2, 26, 19, 32], [2, 13, 10, 64], [2, 7, 5, 128], [2, 4, 3, 256]],
        vec![[2, 13, 10, 160]; 4],
    ];
    for (name, expected) in MICRO.into_iter().zip(expected) {
        let (_, backbone) = build(&config(name));
        let out = backbone.forward_intermediates(&image([2, 3, 101, 75]), false).unwrap();
        let found: Vec<Vec<i64>> =
            out.levels.iter().map(|level| level.expect_shared().size()).collect();
        assert_eq!(found, expected, "{name}");
        let pooled = backbone.forward_head(&out.features, true).into_shared();
        assert_eq!(pooled.size(), [2, backbone.num_features()]);
        assert_eq!(backbone.forward_head(&out.features, false).size(), [2, 7]);
        for (info, level) in backbone.feature_info().iter().zip(&out.levels) {
            assert_eq!(level.expect_shared().size()[3], info.num_chs);
            assert_eq!(
                level.expect_shared().size()[1],
                (101 + info.reduction - 1) / info.reduction
            );
        }
        assert_eq!(Vec::<f32>::try_from(pooled.isfinite().all().view([1])).unwrap(), [1.0]);
    }
}

#[test]
fn a_swin_keeps_its_windows_on_images_of_other_sizes() {
    let planned = config(MICRO[0]);
    let (store, small) = build(&planned);
    let (large_store, large) = build(&planned.with_img_size([256, 256]));
    large_store.load("test", &tensors(&store), &LoadOptions::default()).unwrap();
    let image = image([1, 3, 256, 256]);
    let found = small.forward_intermediates(&image, false).unwrap();
    let expected = large.forward_intermediates(&image, false).unwrap();
    for stage in 0..3 {
        assert!(
            found.levels[stage].expect_shared().equal(expected.levels[stage].expect_shared()),
            "{stage}"
        );
    }
    // At 128 pixels one window covers the last stage, so only the larger plan shifts there.
    assert!(!found.levels[3].expect_shared().equal(expected.levels[3].expect_shared()));
}

#[test]
fn masks_follow_the_image_from_call_to_call() {
    let (_, swin) = build(&config(MICRO[0]));
    let [first, second] = [image([1, 3, 128, 128]), image([1, 3, 96, 160])];
    let run = |x: &Tensor| swin.forward_features(x, false).unwrap().into_shared();
    let alone = run(&first);
    drop(run(&second));
    assert!(run(&first).equal(&alone));
}

#[test]
fn half_precision_comes_close_with_weights_of_either_type() {
    for name in MICRO {
        let (store, backbone) = build(&config(name));
        let image = image([2, 3, 64, 64]);
        let exact = backbone.forward_intermediates(&image, false).unwrap();
        let near = |what: &str| {
            let out =
                backbone.forward_intermediates(&image.to_kind(Kind::BFloat16), false).unwrap();
            for (level, exact) in out.levels.iter().zip(&exact.levels) {
                assert_eq!(level.expect_shared().kind(), Kind::BFloat16);
                let error = (level.expect_shared() - exact.expect_shared()).norm()
                    / exact.expect_shared().norm();
                let error = error.double_value(&[]);
                assert!(error < 0.02, "{name}, {what}: relative error {error}");
            }
            let logits = backbone.forward_head(&out.features, false).into_shared();
            assert_eq!(logits.kind(), Kind::BFloat16);
        };
        near("float32 weights");
        store.set_trainable(|_| false);
        store.store_frozen_as(Kind::BFloat16);
        near("bfloat16 weights");
    }
}

#[test]
fn every_parameter_gets_a_gradient() {
    for name in MICRO {
        let (store, backbone) = build(&config(name).with_drop_path_rate(0.0));
        let features = backbone.forward_features(&image([2, 3, 128, 128]), true).unwrap();
        let logits = backbone.forward_head(&features, false).into_shared();
        logits.square().sum(Kind::Float).backward();
        store.check_gradients().unwrap();
    }
}

#[test]
fn without_its_top_a_backbone_has_levels_only() {
    for name in MICRO {
        let store = Store::new(Device::Cpu);
        let options = Options { features_only: true, ..Options::default() };
        let backbone = config(name).init(&store.root(), &NoAdapter::Full, options).unwrap();
        let top = |name: &str| ["norm.", "fc_norm.", "head."].iter().any(|t| name.starts_with(t));
        assert!(!store.tensors().iter().any(|(name, _)| top(name)), "{name}");
        let out = backbone.forward_intermediates(&image([1, 3, 128, 128]), false).unwrap();
        let last = out.levels.last().unwrap().expect_shared().reshape([-1]);
        assert!(out.features.expect_shared().reshape([-1]).equal(&last));
    }
}

#[test]
fn stochastic_depth_acts_in_training_only() {
    let (_, swin) = build(&config(MICRO[0]).with_drop_path_rate(0.9));
    let image = image([2, 3, 64, 64]);
    let run = |train| swin.forward_features(&image, train).unwrap().into_shared();
    assert!(run(false).equal(&run(false)));
    assert!(!run(true).equal(&run(false)));
}

#[test]
fn weights_move_to_other_windows_and_grids() {
    let moves = [(MICRO[0], [256, 256], 0), (MICRO[0], [64, 96], 2), (MICRO[1], [64, 96], 1)];
    for (name, img_size, at_least) in moves {
        let (store, _) = build(&config(name));
        let other = config(name).with_img_size(img_size);
        let (fitted, _) = build(&other);
        let resample = |name: &str, t: &Tensor, wanted: &[i64]| other.resample(name, t, wanted);
        let options = LoadOptions { resample: Some(&resample), ..LoadOptions::default() };
        let report = fitted.load("test", &tensors(&store), &options).unwrap();
        assert!(report.resampled.len() >= at_least, "{name}: {report}");
        let position = |n: &String| n.ends_with("bias_table") || n.ends_with("pos_embed");
        assert!(report.resampled.iter().all(position), "{name}: {report}");
    }
}

#[test]
fn only_positions_are_resampled() {
    let weight = image([7, 3, 1, 1]);
    assert!(config(MICRO[0]).resample("head.fc.weight", &weight, &[5, 3]).is_none());
    assert!(config(MICRO[1]).resample("head.weight", &weight, &[5, 3]).is_none());
}

#[test]
fn what_is_no_colour_image_is_refused() {
    for name in MICRO {
        let (_, backbone) = build(&config(name));
        for shape in [vec![2, 1, 32, 32], vec![3, 32, 32], vec![1, 3, 0, 32]] {
            let x = Tensor::zeros(&shape, (Kind::Float, Device::Cpu));
            let expected = format!(
                "image: expected [batch, 3, height, width] of at least one pixel, found {shape:?}"
            );
            assert_eq!(message(backbone.forward_features(&x, false)), expected);
        }
    }
}

/// The message for a configuration that is out of range.
fn refused(config: BackboneConfig) -> String {
    let store = Store::new(Device::Cpu);
    let refused = config.init(&store.root(), &NoAdapter::Full, Options::default());
    assert!(matches!(refused, Err(Error::Config { .. })));
    assert!(store.tensors().is_empty());
    message(refused)
}

fn spoilt_swin(change: impl Fn(&mut SwinConfig)) -> String {
    let mut config = SwinConfig::micro();
    change(&mut config);
    refused(config.into())
}

fn spoilt_vit(change: impl Fn(&mut VitConfig)) -> String {
    let mut config = VitConfig::micro();
    change(&mut config);
    refused(config.into())
}

#[test]
fn configurations_out_of_range_are_refused_by_field() {
    assert_eq!(
        spoilt_swin(|c| c.num_heads = vec![1, 2, 4]),
        "num_heads: expected 4 numbers that divide embed_dim times 1, 2, 4, .., found [1, 2, 4]"
    );
    assert_eq!(
        spoilt_swin(|c| c.img_size = [128, 3]),
        "img_size: expected sides of at least 4, found [128, 3]"
    );
    assert_eq!(
        spoilt_swin(|c| c.window_size = vec![7, 7, 14].into()),
        "window_size: expected a positive number, or one for each of 4 stages, found \
         PerStage([7, 7, 14])"
    );
    assert_eq!(
        spoilt_swin(|c| c.depths = vec![2, 0, 2, 2]),
        "depths: expected 1 to 15 stages of at least one block, found [2, 0, 2, 2]"
    );
    assert_eq!(
        spoilt_swin(|c| c.drop_path_rate = 1.0),
        "drop_path_rate: expected a rate of at least 0 and below 1, found 1.0"
    );
    assert_eq!(spoilt_vit(|c| c.num_heads = 7), "num_heads: expected a divisor of 160, found 7");
    assert_eq!(
        spoilt_vit(|c| c.global_pool = GlobalPool::Token),
        "global_pool: expected `avg` or `map` without a class token, found Token"
    );
    assert_eq!(spoilt_vit(|c| c.depth = 0), "depth: expected a positive number, found 0");
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let store = Store::new(Device::Cpu);
    let config = config(MICRO[0]);
    config.init(&store.root(), &NoAdapter::Full, Options::default()).unwrap();
    let again = config.init(&store.root(), &NoAdapter::Full, Options::default());
    assert!(message(again).ends_with("this name is already in use"));
}

const TABLE: &str = "relative_position_bias_table";

/// A Swin's weights with windows of `extents`, as a file of timm's names.
fn tables(extents: [i64; 4]) -> TensorFile {
    let depths = [2, 2, 6, 2];
    let mut tensors = Tensors::from([("patch_embed.proj.weight".to_owned(), image([96, 3, 4, 4]))]);
    for (stage, (extent, depth)) in extents.into_iter().zip(depths).enumerate() {
        for block in 0..depth {
            let name = format!("layers.{stage}.blocks.{block}.attn.{TABLE}");
            let rows = (2 * extent - 1) * (2 * extent - 1);
            tensors.insert(name, Tensor::zeros([rows, 3 << stage], (Kind::Float, Device::Cpu)));
        }
    }
    TensorFile { tensors, metadata: Default::default() }
}

fn tiny(side: i64) -> BackboneConfig {
    let config = BackboneConfig::from_name("swin_tiny_patch4_window7_224").unwrap();
    config.with_img_size([side; 2])
}

#[test]
fn tables_that_may_have_been_rounded_down_are_named() {
    // 208 pixels are 52, 26, 13 and 7 positions; rounded down, the last were 6.
    let old = Checkpoint::of("old", tables([7, 7, 7, 6])).unwrap();
    old.check(&tiny(208)).unwrap();
    assert_eq!(
        old.notes_for(&tiny(208)),
        ["the table of relative positions of layers.3 is resampled; it has the size that earlier \
          versions, which rounded down, gave it for images of 208 x 208"]
    );
    let (key, value) = ROUNDED_UP;
    let metadata = [(key.to_owned(), value.to_owned())].into();
    let marked = Checkpoint::of("new", TensorFile { metadata, ..tables([7, 7, 7, 6]) }).unwrap();
    let published = Checkpoint::of("published", tables([7; 4])).unwrap();
    for (weights, side) in [(marked, 208), (old, 192), (published, 208)] {
        weights.check(&tiny(side)).unwrap();
        assert!(weights.notes_for(&tiny(side)).is_empty(), "{side}");
    }
}

#[test]
fn models_that_were_rounded_down_are_named_where_windows_differ() {
    // At 240 pixels tables are as large as before, and the last stage shifts its windows now.
    for (side, differs) in [(224, false), (448, false), (208, true), (240, true), (256, false)] {
        let refused = tiny(side).refuse_rounded_down("run");
        assert_eq!(refused.is_err(), differs, "{side}");
    }
    let shifted = message(tiny(240).refuse_rounded_down("run"));
    assert!(shifted.contains("a shift of [3, 3] for the [8, 8] positions"), "{shifted}");
    assert!(
        shifted.contains(
            "rounded down to [7, 7]: windows of 7 x 7, a table of 169 rows and a \
                              shift of [0, 0]"
        ),
        "{shifted}"
    );
    config(MICRO[1]).refuse_rounded_down("run").unwrap();
}

#[test]
fn windows_of_another_kind_are_named() {
    let s3 = Checkpoint::of("s3", tables([7, 7, 14, 7])).unwrap();
    assert_eq!(
        message(s3.check(&tiny(224))),
        "s3: relative_position_bias_table: expected windows of one extent in all stages, 7 here, \
         found [7, 7, 14, 7], those of swin_s3_tiny_224; choose the backbone.name that they belong \
         to"
    );
    let own = BackboneConfig::from_name("swin_s3_tiny_224").unwrap();
    s3.check(&own).unwrap();
    assert!(Checkpoint::of("tiny", tables([7; 4])).unwrap().check(&own).is_err());
    Checkpoint::of("wider", tables([12; 4])).unwrap().check(&tiny(224)).unwrap();
    // No image size gives a later stage larger windows.
    assert!(Checkpoint::of("grown", tables([7, 7, 7, 12])).unwrap().check(&tiny(224)).is_err());
}

#[test]
fn what_tensors_do_not_tell_is_refused() {
    let (store, _) = build(&config(MICRO[1]));
    let deduce = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = tensors(&store);
        change(&mut tensors);
        let file = TensorFile { tensors, metadata: Default::default() };
        let checkpoint = Checkpoint::of("f", file).unwrap();
        checkpoint.deduce(&checkpoint.tensors)
    };
    assert!(deduce(&|_| ()).unwrap().is_some());
    let unbiased = deduce(&|t: &mut Tensors| t.retain(|name, _| !name.ends_with("qkv.bias")));
    assert!(message(unbiased).contains("such as vit_base_patch16_rpn_224"));
    let normed = deduce(&|t: &mut Tensors| {
        t.insert("blocks.0.attn.q_norm.weight".into(), image([32, 1, 1, 1]));
    });
    let expected = "f: names: expected only parameters of a backbone that is supported, found \
                    blocks.0.attn.q_norm.weight, which none of them has";
    assert_eq!(message(normed), expected);
}
