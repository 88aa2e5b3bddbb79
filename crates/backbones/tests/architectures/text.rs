//! Text towers and their tokenizer against Hugging Face's CLIP and open_clip, on weights that these
//! drew.
//!
//! `text/make.py` wrote the files with transformers 5.24.0 and open_clip_torch 3.3.0. 1e-5 of the
//! largest number leaves room for the order of sums.
use std::path::{Path, PathBuf};

use polyptych_backbones::{ActLayer, TextConfig, TextTower, Tokenizer, text_weights};
use polyptych_formats::file;
use polyptych_tensor::{Device, Kind, LoadOptions, NoAdapter, Store, Tensor, Tensors};

const TOLERANCE: f64 = 1e-5;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/text")
}

fn seen() -> Tensors {
    file::load(&folder().join("seen.safetensors")).unwrap().tensors
}

fn texts() -> Vec<String> {
    serde_json::from_str(&std::fs::read_to_string(folder().join("texts.json")).unwrap()).unwrap()
}

fn config(vocab_size: i64, act_layer: ActLayer) -> TextConfig {
    TextConfig {
        vocab_size,
        context_length: 12,
        embed_dim: 16,
        depth: 3,
        num_heads: 2,
        mlp_ratio: 2.0,
        projection_dim: 6,
        norm_eps: 1e-5,
        act_layer,
    }
}

/// A tower with the weights at `path`, all of which it uses.
fn tower(path: &Path, act_layer: ActLayer, vocab_size: i64) -> TextTower {
    let store = Store::new(Device::Cpu);
    let config = config(vocab_size, act_layer);
    let built = config.build(&store.root(), &NoAdapter::Frozen).unwrap();
    store.load("peer", &text_weights(path).unwrap(), &LoadOptions::default()).unwrap();
    built.tower
}

#[test]
fn towers_are_their_peers() {
    let (folder, seen, texts) = (folder(), seen(), texts());
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let tokenizer = Tokenizer::open(&folder.join("huggingface")).unwrap();
    let tokens = tokenizer.encode(&texts, 12).unwrap();
    assert!(tokens.ids.equal(&seen["ids"]), "{}", tokens.ids);
    assert!(tokens.ends.equal(&seen["ends"]));
    for (peer, file, act_layer) in [
        ("huggingface", "huggingface", ActLayer::QuickGelu),
        ("open_clip", "open_clip.safetensors", ActLayer::Gelu),
    ] {
        let tower = tower(&folder.join(file), act_layer, tokenizer.vocab_size());
        let ours = tower.forward(&tokens, Kind::Float, false).unwrap();
        // What stands behind a text's end is nobody's: open_clip fills it with another token.
        let places = Tensor::arange(tokens.ids.size()[1], (Kind::Int64, Device::Cpu));
        let within = places.le_tensor(&tokens.ends.unsqueeze(1)).unsqueeze(-1);
        for (what, found, mask) in [
            ("hidden", ours.hidden.expect_shared(), within),
            ("pooled", ours.pooled.expect_shared(), Tensor::from(true)),
        ] {
            let expected = &seen[&format!("{peer}.{what}")];
            let apart = ((found - expected) * mask.to_kind(Kind::Float)).abs().max();
            let relative = apart.double_value(&[]) / expected.abs().max().double_value(&[]);
            assert!(relative < TOLERANCE, "{peer}: {what}: {relative}");
        }
    }
}

#[test]
fn what_a_tower_cannot_read_is_refused() {
    let store = Store::new(Device::Cpu);
    let config = config(9, ActLayer::Gelu);
    let tower = config.build(&store.root(), &NoAdapter::Full).unwrap().tower;
    let tokenizer = Tokenizer::of_words(&["a", "red", "ball", "on", "it", "too", "x"]).unwrap();
    let refused = |texts: &[&str], context| {
        let tokens = tokenizer.encode(texts, context).unwrap();
        tower.forward(&tokens, Kind::Float, false).unwrap_err().to_string()
    };
    assert_eq!(refused(&["a x"], 12), "tokens: expected tokens below 9, found 9");
    let long = "a a a a a a a a a a a a";
    assert_eq!(refused(&[long], 14), "tokens: expected at most 12 tokens, found 14");
    let message = text_weights(&folder().join("seen.safetensors")).unwrap_err().to_string();
    assert!(message.contains("expected those of a text tower"), "{message}");
}

/// Parameters of CLIP's text towers as published: 63.4 and 123.7 million, with the projection.
#[test]
fn named_towers_have_their_published_sizes() {
    for (name, expected) in [("clip_text_base", 63_428_096), ("clip_text_large", 123_650_304)] {
        let store = Store::new(Device::Cpu);
        TextConfig::from_name(name).unwrap().build(&store.root(), &NoAdapter::Frozen).unwrap();
        let sizes = store.tensors().into_iter().map(|(_, t)| t.numel());
        assert_eq!(sizes.sum::<usize>(), expected);
    }
}
