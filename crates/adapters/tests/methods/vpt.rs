//! Visual prompt tuning against plain backbones that see the same tokens another way.

use polyptych_adapters::{AdapterConfig, Form};
use polyptych_backbones::{BackboneConfig, Intermediates, SwinConfig, VitConfig};
use polyptych_tensor::{Kind, Pyramid, Tensor, Tensors};
use serde_json::json;

use crate::support::{Built, TOLERANCE, adapter, alone, close, random, redraw};

fn vpt(num_tokens: i64, deep: bool) -> AdapterConfig {
    adapter(json!({"method": "vpt", "num_tokens": num_tokens, "deep": deep}))
}

fn prompted(backbone: &BackboneConfig, config: &AdapterConfig) -> Built {
    Built::adapted(backbone, config, Form::Adapted)
}

fn vit(img_size: [i64; 2], class_token: bool) -> BackboneConfig {
    VitConfig { img_size, class_token, ..crate::support::vit_config() }.into()
}

/// One stage of two blocks, each with a single window over the whole map.
fn one_window(img_size: [i64; 2]) -> BackboneConfig {
    let (depths, num_heads, window_size) = (vec![2], vec![2], 8.into());
    SwinConfig { img_size, depths, num_heads, window_size, ..crate::support::swin_config() }.into()
}

/// Two different images of `height` by `width`, and the same two above one common strip.
fn images(height: i64, strip: i64, width: i64) -> (Tensor, Tensor) {
    let top = random(&[2, 3, height, width]);
    let bottom = random(&[1, 3, strip, width]).expand([2, -1, -1, -1], false);
    let whole = Tensor::cat(&[&top, &bottom], 2);
    (top, whole)
}

/// `[1, tokens, dim]` of the patches of the first image from row `from` of pixels on.
fn embedded(tensors: &Tensors, image: &Tensor, from: i64, patch: i64) -> Tensor {
    let (weight, bias) = (&tensors["patch_embed.proj.weight"], &tensors["patch_embed.proj.bias"]);
    let strip = image.narrow(0, 0, 1).slice(2, from, None, 1);
    strip.conv2d(weight, Some(bias), patch, 0, 1, 1).flatten(2, 3).transpose(1, 2)
}

fn spread(built: &Built) {
    redraw(&built.store, 0.5, |name| !name.contains("norm"));
}

#[test]
fn shallow_prompts_are_tokens_of_a_vit() {
    let _alone = alone();
    for class_token in [false, true] {
        let (top, whole) = images(24, 8, 32);
        let large = Built::plain(&vit([32, 32], class_token), Pyramid::AfterBlocks);
        spread(&large);
        let mut tensors = large.tensors();
        let own = i64::from(class_token) + 12;
        let positions = tensors["pos_embed"].shallow_clone();
        let tokens = embedded(&tensors, &whole, 24, 8) + positions.slice(1, own, None, 1);
        tensors.insert("pos_embed".into(), positions.narrow(1, 0, own));
        tensors.insert("blocks.0.vpt_prompts".into(), tokens.squeeze_dim(0));
        let small = prompted(&vit([24, 32], class_token), &vpt(4, false));
        small.load(&tensors);
        let (found, expected) = (small.eval(&top), large.eval(&whole));
        for (index, (found, expected)) in found.levels.iter().zip(&expected.levels).enumerate() {
            let what = format!("class token {class_token}, level {index}");
            close(
                &what,
                found.expect_shared(),
                &expected.expect_shared().narrow(1, 0, 3),
                TOLERANCE * 10.0,
            );
        }
        let expected = expected.features.expect_shared().narrow(1, 0, own);
        close("features", found.features.expect_shared(), &expected, TOLERANCE * 10.0);
    }
}

#[test]
fn shallow_prompts_are_tokens_of_a_window() {
    let _alone = alone();
    let (top, whole) = images(16, 16, 16);
    let large = Built::plain(&one_window([32, 16]), Pyramid::AfterBlocks);
    spread(&large);
    redraw(&large.store, 0.0, |name| name.ends_with("relative_position_bias_table"));
    let small = prompted(&one_window([16, 16]), &vpt(16, false));
    let mut tensors = large.tensors();
    for (name, own) in small.tensors() {
        if name.ends_with("relative_position_bias_table") {
            tensors.insert(name, own.zeros_like());
        }
    }
    let tokens = embedded(&tensors, &whole, 16, 4);
    let [weight, bias] =
        ["weight", "bias"].map(|part| &tensors[&format!("patch_embed.norm.{part}")]);
    let tokens = tokens.layer_norm([12], Some(weight), Some(bias), 1e-5, false);
    tensors.insert("layers.0.blocks.0.vpt_prompts".into(), tokens.squeeze_dim(0));
    small.load(&tensors);
    let (found, expected) = (small.eval(&top), large.eval(&whole));
    let expected = expected.levels[0].expect_shared().narrow(1, 0, 4);
    close("level", found.levels[0].expect_shared(), &expected, TOLERANCE * 10.0);
}

#[test]
fn deep_prompts_act_from_their_block_on() {
    let _alone = alone();
    for (backbone, name) in [
        (crate::support::swin(), "layers.1.blocks.0.vpt_prompts"),
        (crate::support::vit(), "blocks.1.vpt_prompts"),
    ] {
        let built = prompted(&backbone, &vpt(3, true));
        let image = crate::support::image();
        let before = built.eval(&image);
        redraw(&built.store, 1.0, |found| found == name);
        let after = built.eval(&image);
        let shared = |out: &Intermediates, level: usize| out.levels[level].task(0);
        let same = |level: usize| shared(&after, level).equal(&shared(&before, level));
        assert!(same(0) && !same(1), "{name}");
    }
}

#[test]
fn prompts_leave_every_shape_as_it_is() {
    let _alone = alone();
    for backbone in [crate::support::swin(), crate::support::vit()] {
        for deep in [false, true] {
            let built = prompted(&backbone, &vpt(5, deep));
            // Patches and windows divide neither side.
            let image = random(&[2, 3, 43, 22]);
            let plain = Built::plain(&backbone, Pyramid::AfterBlocks).eval(&image);
            let (found, half) = (built.eval(&image), built.eval(&image.to_kind(Kind::BFloat16)));
            assert_eq!(
                found.features.expect_shared().size(),
                plain.features.expect_shared().size()
            );
            assert_eq!(half.features.expect_shared().kind(), Kind::BFloat16);
            for (found, plain) in found.levels.iter().zip(&plain.levels) {
                assert_eq!(found.expect_shared().size(), plain.expect_shared().size());
            }
        }
    }
}

#[test]
fn prompts_start_as_the_patch_embedding_would() {
    let _alone = alone();
    for (backbone, name, pixels) in [
        (crate::support::swin(), "layers.1.blocks.0.vpt_prompts", 48.0),
        (crate::support::vit(), "blocks.1.vpt_prompts", 192.0),
    ] {
        let largest = prompted(&backbone, &vpt(50, true)).tensors()[name].abs().max();
        let bound = (6.0_f64 / (pixels + 12.0)).sqrt();
        let found = largest.double_value(&[]) / bound;
        assert!((0.9..=1.0).contains(&found), "{name}: {found} of {bound}");
    }
}

#[test]
fn dropout_acts_in_training_only() {
    let _alone = alone();
    for backbone in [crate::support::swin(), crate::support::vit()] {
        let built = prompted(&backbone, &vpt(5, true));
        let image = crate::support::image();
        let run = |train| built.backbone.forward_features(&image, train).unwrap().into_shared();
        assert!(run(false).equal(&run(false)));
        assert!(!run(true).equal(&run(false)));
    }
}
