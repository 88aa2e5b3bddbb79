//! Checkpoints as each source's own package writes them, and its outputs.
//!
//! `peers/make.py` wrote the files; 1e-4 leaves room for the order of sums and for Hugging Face's
//! norms, whose eps is 1e-12 in a ViT and not timm's 1e-6.
use std::path::{Path, PathBuf};

use polyptych_backbones::{
    Backbone, BackboneConfig, Checkpoint, Options, Source, VitConfig, computed, sources,
};
use polyptych_formats::file;
use polyptych_tensor::{Device, LoadOptions, LoadReport, NoAdapter, Store, Tensor, Tensors};

const TOLERANCE: f64 = 1e-4;

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

fn vit() -> BackboneConfig {
    crate::common::vit().into()
}

fn swin() -> BackboneConfig {
    crate::common::swin().into()
}

fn loaded(config: &BackboneConfig, checkpoint: &Checkpoint) -> (Box<dyn Backbone>, LoadReport) {
    checkpoint.check(config).unwrap();
    let store = Store::new(Device::Cpu);
    let backbone = config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
    let allow_unused = &[&computed()[..], &["embeddings.mask_token"]].concat();
    let options = LoadOptions { allow_unused, ..LoadOptions::default() };
    let report = store.load(&checkpoint.origin, &checkpoint.tensors, &options).unwrap();
    (backbone, report)
}

fn close(name: &str, found: &Tensor, seen: &Tensors) {
    assert_eq!(found.size(), seen[name].size(), "{name}");
    let difference = (found - &seen[name]).abs().max().double_value(&[]);
    println!("{name}: largest difference {difference:.1e}");
    assert!(difference <= TOLERANCE, "{name}: {difference}");
}

fn same_logits(file_name: &str, source: Source, config: &BackboneConfig) -> LoadReport {
    let seen = file::load(&peers().join("seen.safetensors")).unwrap().tensors;
    let checkpoint = Checkpoint::open(&peers().join(file_name)).unwrap();
    assert_eq!(checkpoint.source, source, "{file_name}");
    let (backbone, report) = loaded(config, &checkpoint);
    let image = &seen[if config.name() == "vit" { "small" } else { "large" }];
    let features = backbone.forward_features(image, false).unwrap();
    let logits = backbone.forward_head(&features, false).into_shared();
    close(file_name.split('.').next().unwrap(), &logits, &seen);
    report
}

#[test]
fn vits_of_every_source_give_its_logits() {
    for (name, source) in [
        ("timm_vit.safetensors", sources::TIMM),
        ("torchvision_vit.pth", sources::TORCHVISION_VIT),
        ("huggingface_vit", sources::HUGGING_FACE_VIT),
        ("augreg_vit.npz", sources::AUGREG),
    ] {
        let report = same_logits(name, source, &vit());
        assert!(report.unused.is_empty(), "{name}: {report}");
    }
}

#[test]
fn swins_of_every_source_give_its_logits() {
    let report = same_logits("microsoft_swin.pth", sources::MICROSOFT_SWIN, &swin());
    let computed =
        ["layers.0.blocks.0.attn.relative_position_index", "layers.0.blocks.1.attn_mask"];
    assert_eq!(report.unused.len(), 5, "{report}");
    assert!(computed.iter().all(|name| report.unused.iter().any(|unused| unused == name)));
    same_logits("torchvision_swin.pth", sources::TORCHVISION_SWIN, &swin());
    same_logits("huggingface_swin", sources::HUGGING_FACE_SWIN, &swin());
}

/// The colour weights in timm's model for other images, as its own loader fits them.
#[test]
fn sources_that_pad_before_they_roll_are_named_where_that_matters() {
    let notes = |file_name: &str, side| {
        let checkpoint = Checkpoint::open(&peers().join(file_name)).unwrap();
        let mut notes = checkpoint.notes_for(&swin().with_img_size([side; 2]));
        notes.retain(|note| note.contains("then rolls it"));
        notes
    };
    for (file_name, source) in [
        ("torchvision_swin.pth", "TorchVision's Swin"),
        ("huggingface_swin", "Hugging Face's Swin"),
    ] {
        assert!(notes(file_name, 32).is_empty(), "{file_name}");
        // Windows of 4 in maps of 9 and 5.
        assert_eq!(
            notes(file_name, 36),
            [format!(
                "{source} pads a map to whole windows and then rolls it, where timm and Polyptych \
                 roll and then pad: for images of 36 x 36, shifted windows of layers.0, layers.1 \
                 do not fill their map, so outputs differ from those of the source"
            )]
        );
    }
    assert!(notes("microsoft_swin.pth", 36).is_empty());
}

#[test]
fn other_channels_give_timms_logits() {
    let seen = file::load(&peers().join("seen.safetensors")).unwrap().tensors;
    let checkpoint = Checkpoint::open(&peers().join("timm_vit.safetensors")).unwrap();
    let channels = seen["channels"].copy();
    for in_chans in [1, 2, 5, 6] {
        let config = vit().with_in_chans(in_chans);
        let store = Store::new(Device::Cpu);
        let backbone = config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
        let fit =
            |name: &str, tensor: &Tensor, wanted: &[i64]| config.resample(name, tensor, wanted);
        let options = LoadOptions { resample: Some(&fit), ..LoadOptions::default() };
        let report = store.load(&checkpoint.origin, &checkpoint.tensors, &options).unwrap();
        assert_eq!(report.resampled, ["patch_embed.proj.weight"]);
        let image = channels.narrow(1, 0, in_chans);
        let features = backbone.forward_features(&image, false).unwrap();
        let logits = backbone.forward_head(&features, false).into_shared();
        close(&format!("timm_vit_in_chans_{in_chans}"), &logits, &seen);
        let message = backbone.forward_features(&channels.narrow(1, 0, 3), false).unwrap_err();
        let expected = format!("image: expected [batch, {in_chans}, height, width] of at least");
        assert!(message.to_string().starts_with(&expected), "{message}");
    }
}

#[test]
fn dinov2_gives_its_tokens() {
    let config = VitConfig { num_classes: 0, init_values: Some(1e-5), ..crate::common::vit() };
    let checkpoint = Checkpoint::open(&peers().join("huggingface_dinov2")).unwrap();
    let (backbone, report) = loaded(&config.into(), &checkpoint);
    assert_eq!(report.unused, ["embeddings.mask_token"]);
    let seen = file::load(&peers().join("seen.safetensors")).unwrap().tensors;
    let tokens = backbone.forward_features(&seen["small"], false).unwrap().into_shared();
    close("huggingface_dinov2", &tokens, &seen);
}

/// A copy of the folder `name` that a test may spoil.
fn copied(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(peers().join(name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

fn refused(path: &Path) -> String {
    let message = Checkpoint::open(path).unwrap_err().to_string();
    message.replace(&path.display().to_string(), "HERE")
}

#[test]
fn a_shard_that_is_missing_is_named() {
    let folder = copied("huggingface_swin");
    let shard = "model-00002-of-00002.safetensors";
    assert_eq!(
        refused(&folder.path().join(shard)),
        "HERE: weights: expected the folder with all shards and their index, found one shard"
    );
    std::fs::remove_file(folder.path().join(shard)).unwrap();
    let message = refused(folder.path());
    assert!(
        message.starts_with(&format!(
            "HERE: {shard}: expected a shard that the index names, found no such file; "
        )) && message.ends_with(" tensors are in it: fetch it too"),
        "{message}"
    );
    let index = folder.path().join("model.safetensors.index.json");
    std::fs::write(&index, r#"{"weight_map": {"a": "../../secret"}}"#).unwrap();
    let message = refused(folder.path());
    assert!(message.ends_with("expected names of files, found \"../../secret\""), "{message}");
    std::fs::write(&index, "{}").unwrap();
    assert!(refused(folder.path()).contains("missing field `weight_map`"));
    std::fs::remove_file(&index).unwrap();
    assert_eq!(
        refused(folder.path()),
        "HERE: weights: expected model.safetensors, pytorch_model.bin or an index of shards, \
         found none of them"
    );
    let adapter = refused(&peers().join("peft_timm_lora"));
    assert!(adapter.ends_with("an adapter, which `polyptych convert --adapter` merges"));
}

#[test]
fn another_architecture_is_named() {
    let open = |name: &str| Checkpoint::open(&peers().join(name)).unwrap();
    let message = open("huggingface_swin").check(&vit()).unwrap_err().to_string();
    assert!(
        message.ends_with(
            "weights: expected a ViT of 24 channels and [2] blocks, found a Swin of 12 channels \
             and [2, 2] blocks; choose the backbone.name that they belong to"
        ),
        "{message}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let save = |name: &str| {
        let tensors = Tensors::from([(name.to_owned(), Tensor::from_slice(&[1f32]))]);
        file::save(&path, &tensors, Default::default()).unwrap();
    };
    let sources: Vec<&str> = Source::all().iter().map(|source| source.name).collect();
    for name in ["layer1.0.conv1.weight", "layers.0.continuous_position_bias_mlp.0.weight"] {
        save(name);
        assert_eq!(
            refused(&path),
            format!(
                "HERE: names: expected those of a backbone ({}), \
                 found 1 tensors such as {name}",
                sources.join(", ")
            )
        );
    }
}

/// Shapes do not tell how many heads share them, nor which activation stands between two.
#[test]
fn a_configuration_that_disagrees_is_refused() {
    let folder = copied("huggingface_vit");
    let config = folder.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    for (from, to, expected) in [
        (
            "\"num_attention_heads\": 3",
            "\"num_attention_heads\": 6",
            "config.json: num_attention_heads: expected 3, found 6",
        ),
        ("\"gelu\"", "\"relu\"", "config.json: hidden_act: expected gelu, found relu"),
    ] {
        assert!(text.contains(from));
        std::fs::write(&config, text.replace(from, to)).unwrap();
        let message = Checkpoint::open(folder.path()).unwrap().check(&vit()).unwrap_err();
        assert!(message.to_string().ends_with(expected), "{message}");
    }
}
