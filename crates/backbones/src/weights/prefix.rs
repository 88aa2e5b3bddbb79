//! What wrappers put before the names of a backbone: `module.` (DDP), `_orig_mod.` (torch.compile),
//! `model.` (Lightning), `backbone.` (mmseg, DINO), `teacher.`, in any order and repeated.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use polyptych_formats::pth::Choice;
use polyptych_tensor::Tensors;
use regex::Regex;

use super::sources::Source;
use crate::error::{Error, Result};

/// Parts of a prefix that say nothing of the architecture.
const KNOWN: [&str; 35] = [
    "_orig_mod",
    "module",
    "_fsdp_wrapped_module",
    "_forward_module",
    "model",
    "backbone",
    "encoder",
    "net",
    "network",
    "student",
    "teacher",
    "ema",
    "ema_model",
    "model_ema",
    "online_model",
    "momentum_encoder",
    "base_encoder",
    "encoder_q",
    "encoder_k",
    "trunk",
    "visual",
    "image_encoder",
    "feature_extractor",
    "base_model",
    "timm_model",
    "vit",
    "deit",
    "swin",
    "dinov2",
    "dinov2_with_registers",
    "swinv2",
    "beit",
    "convnext",
    "hiera",
    "pvt_v2",
];
/// Those of weights that are averages of others over training.
const AVERAGED: [&str; 6] =
    ["teacher", "ema", "ema_model", "model_ema", "momentum_encoder", "encoder_k"];
/// Starts of names that a backbone has once, in the words of timm and of Hugging Face.
const ONCE: [&str; 2] = ["patch_embed.", "embeddings.patch_embeddings."];
/// Classifiers of Hugging Face's, which stand beside the trunk.
const CLASSIFIERS: [&str; 3] = ["classifier.", "cls_classifier.", "distillation_classifier."];
/// Trunks of Hugging Face's, whose classifier stands beside them.
const HUGGING_FACE: [&str; 10] = [
    "vit.",
    "deit.",
    "swin.",
    "dinov2.",
    "dinov2_with_registers.",
    "swinv2.",
    "beit.",
    "convnext.",
    "hiera.",
    "pvt_v2.",
];

/// The first part of a name of each source that only a block of its backbone has.
static BLOCK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let blocks: Vec<&str> = Source::all().iter().filter_map(|source| source.block).collect();
    Regex::new(&format!(r"^((?:[^.]+\.)*?)(?:{})", blocks.join("|"))).ok()
});

/// Tensors of a backbone, and what was done to find them.
#[derive(Debug)]
pub(crate) struct Unwrapped {
    pub(crate) tensors: Tensors,
    /// What is reported of that choice.
    pub(crate) notes: Vec<String>,
}

/// The tensors of the one backbone among `tensors` without what stands before their names.
///
/// Where there are several backbones, `choice` says which: its key names a prefix; else that of
/// averaged weights (`teacher.`, `ema_model.`) comes first, or last without `use_ema`.
///
/// # Errors
/// Names behind a prefix that is not known, or a prefix that is not there.
pub(crate) fn unwrap(origin: &str, tensors: Tensors, choice: &Choice) -> Result<Unwrapped> {
    let counts = prefixes(&tensors);
    let asked = choice.key.as_ref().map(|key| format!("{}.", key.trim_end_matches('.')));
    let chosen = match &asked {
        Some(asked) => Some(named(origin, &counts, asked)?),
        None => best(origin, &counts, choice.use_ema)?,
    };
    let Some(chosen) = chosen else {
        return Ok(Unwrapped { tensors, notes: Vec::new() });
    };
    let others: Vec<&str> =
        counts.keys().filter(|other| **other != chosen).map(String::as_str).collect();
    let mut notes = Vec::new();
    if !others.is_empty() {
        let named =
            if chosen.is_empty() { "names without a prefix".into() } else { format!("`{chosen}`") };
        notes.push(format!(
            "several backbones: {named} is read, `{}` is not; name another with the key of the \
             weights",
            others.join("`, `")
        ));
    }
    let found = strip(tensors, chosen.clone(), notes);
    match found.outside {
        None => Ok(found.unwrapped),
        Some(name) => Err(Error::Checkpoint {
            origin: origin.into(),
            key: "names".into(),
            expected: format!("all of a backbone's behind `{chosen}`, as those of its blocks are"),
            found: format!("{name} outside, and none of its kind behind it"),
        }),
    }
}

/// How many names stand behind each prefix.
fn prefixes(tensors: &Tensors) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let Some(block) = BLOCK.as_ref() else { return counts };
    for name in tensors.keys() {
        if let Some(found) = block.captures(name) {
            *counts.entry(found[1].to_owned()).or_default() += 1;
        }
    }
    counts
}

/// The prefix that begins with `asked`.
fn named(origin: &str, counts: &BTreeMap<String, usize>, asked: &str) -> Result<String> {
    let found = counts.keys().find(|prefix| prefix.starts_with(asked));
    found.cloned().ok_or_else(|| Error::Checkpoint {
        origin: origin.into(),
        key: "names".into(),
        expected: format!("a backbone behind `{asked}`, the key of the weights"),
        found: format!("some behind `{}`", counts.keys().cloned().collect::<Vec<_>>().join("`, `")),
    })
}

/// The likeliest prefix of those that are known.
fn best(origin: &str, counts: &BTreeMap<String, usize>, use_ema: bool) -> Result<Option<String>> {
    if counts.is_empty() {
        return Ok(None);
    }
    let known = counts.iter().filter(|(prefix, _)| parts(prefix).all(|part| KNOWN.contains(&part)));
    let averaged = |prefix: &str| parts(prefix).any(|part| AVERAGED.contains(&part));
    let rank = |(prefix, count): &(&String, &usize)| (averaged(prefix) == use_ema, **count);
    // Of equals the first in the order of names.
    let best = known.rev().max_by_key(rank).map(|(prefix, _)| prefix.clone());
    best.map(Some).ok_or_else(|| Error::Checkpoint {
        origin: origin.into(),
        key: "names".into(),
        expected: "a backbone's, or those behind a known prefix such as `module.`, `model.` or \
                   `backbone.`"
            .into(),
        found: format!(
            "them behind `{}`: name it as the key of the weights",
            counts.keys().cloned().collect::<Vec<_>>().join("`, `")
        ),
    })
}

fn parts(prefix: &str) -> impl Iterator<Item = &str> {
    prefix.split('.').filter(|part| !part.is_empty())
}

/// A backbone's tensors, and the first one that only a backbone has and that is not with them.
struct Stripped {
    unwrapped: Unwrapped,
    outside: Option<String>,
}

fn strip(tensors: Tensors, chosen: String, mut notes: Vec<String>) -> Stripped {
    let prefix = without_own(&tensors, chosen);
    if prefix.is_empty() {
        return Stripped { unwrapped: Unwrapped { tensors, notes }, outside: None };
    }
    let outside = outside(&tensors, &prefix);
    let hugging_face = HUGGING_FACE.iter().find_map(|trunk| prefix.strip_suffix(trunk));
    let (mut inside, mut beside) = (Tensors::new(), BTreeMap::<String, usize>::new());
    for (name, tensor) in tensors {
        let classifier = hugging_face.and_then(|outer| name.strip_prefix(outer));
        let classifier = classifier
            .filter(|name| CLASSIFIERS.iter().any(|classifier| name.starts_with(classifier)));
        match name.strip_prefix(prefix.as_str()).or(classifier) {
            Some(short) => drop(inside.insert(short.to_owned(), tensor)),
            None => {
                let (first, _) = name.split_once('.').unwrap_or((&name, ""));
                *beside.entry(first.to_owned()).or_default() += 1;
            }
        }
    }
    notes.push(format!("names stand behind `{prefix}`, which is taken away"));
    if !beside.is_empty() {
        let all = beside.iter().map(|(first, count)| format!("{first} ({count})"));
        let all = all.collect::<Vec<_>>().join(", ");
        notes.push(format!("not of that backbone and left out, by the first part of names: {all}"));
    }
    Stripped { unwrapped: Unwrapped { tensors: inside, notes }, outside }
}

/// A name behind a part of `prefix`, or behind none, of what every backbone has once.
fn outside(tensors: &Tensors, prefix: &str) -> Option<String> {
    let starts = [0].into_iter().chain(prefix.match_indices('.').map(|(dot, _)| dot + 1));
    let shorter: Vec<&str> =
        starts.map(|end| &prefix[..end]).filter(|before| *before != prefix).collect();
    let is_there = |start: &str| tensors.keys().any(|name| name.starts_with(start));
    let missing = ONCE.iter().filter(|once| !is_there(&format!("{prefix}{once}")));
    let named =
        missing.flat_map(|once| shorter.iter().map(move |before| format!("{before}{once}")));
    let mut found = named.filter_map(|start| tensors.keys().find(|name| name.starts_with(&start)));
    found.next().cloned()
}

/// The part of a prefix that is not among the source's own names.
fn without_own(tensors: &Tensors, prefix: String) -> String {
    let own = Source::of(tensors).map_or("", |source| source.own_prefix);
    prefix.strip_suffix(own).unwrap_or(&prefix).to_owned()
}

/// What wrappers put before the names of a backbone's blocks among `names`, where all of its parts
/// are known; empty otherwise.
pub fn prefix_of<'a>(mut names: impl Iterator<Item = &'a str>) -> &'a str {
    let before = |name: &'a str| {
        let prefix = BLOCK.as_ref()?.captures(name)?.get(1)?;
        Some(&name[..prefix.end()])
    };
    let found = names.find_map(before).unwrap_or("");
    if parts(found).all(|part| KNOWN.contains(&part)) { found } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Tensor;

    const VIT: [&str; 4] =
        ["cls_token", "blocks.0.attn.qkv.weight", "blocks.1.norm1.bias", "head.bias"];

    fn behind(prefixes: &[&str], names: &[&str]) -> Tensors {
        let all = prefixes.iter().flat_map(|p| names.iter().map(move |n| format!("{p}{n}")));
        all.map(|name| (name, Tensor::new())).collect()
    }

    fn unwrapped(tensors: Tensors, choice: &Choice) -> (Vec<String>, String, Vec<String>) {
        let found = unwrap("f", tensors, choice).unwrap();
        let prefix = found.notes.iter().find_map(|note| note.strip_prefix("names stand behind `"));
        let prefix = prefix.and_then(|rest| rest.split('`').next()).unwrap_or("").to_owned();
        (found.tensors.into_keys().collect(), prefix, found.notes)
    }

    #[test]
    fn known_prefixes_go_in_any_order_and_number() {
        let all = Choice::default();
        let plain = unwrapped(behind(&[""], &VIT), &all);
        assert!(plain.1.is_empty() && plain.2.is_empty());
        let prefixes = [
            "module.",
            "_orig_mod.module.",
            "module._orig_mod.",
            "model.backbone.",
            "teacher.backbone.",
            "module.module.model.",
            "encoder.",
            "visual.trunk.",
            "ema_model.module.",
        ];
        for prefix in prefixes {
            let (names, found, _) = unwrapped(behind(&[prefix], &VIT), &all);
            assert_eq!((names, found.as_str()), (plain.0.clone(), prefix));
        }
    }

    #[test]
    fn swins_and_other_sources_keep_their_own_names() {
        let all = Choice::default();
        for names in [
            &["layers.1.blocks.0.attn.qkv.weight", "layers.0.blocks.0.mlp.fc1.bias"][..],
            &["encoder.layer.3.attention.output.dense.bias", "embeddings.cls_token"],
            &["encoder.layers.1.blocks.0.attention.self.query.weight", "embeddings.norm.bias"],
            &["encoder.layers.encoder_layer_0.ln_1.bias", "class_token"],
            &["features.1.0.attn.qkv.weight", "features.0.0.bias"],
            &["backbone.layers.0.blocks.0.mlp.fc1.lora_shared_A", "decoders.decoders.depth.bias"],
        ] {
            let plain = behind(&[""], names);
            let mut expected: Vec<String> = plain.keys().cloned().collect();
            assert_eq!(unwrapped(plain, &all).0, expected);
            let wrapped = unwrapped(behind(&["module."], names), &all).0;
            expected.sort();
            assert_eq!(wrapped, expected);
        }
        let wrapped = behind(&["encoder."], &["layers.1.blocks.0.attn.qkv.weight"]);
        assert_eq!(unwrapped(wrapped, &all).1, "encoder.");
        let classifier =
            behind(&[""], &["vit.encoder.layer.0.output.dense.bias", "classifier.bias"]);
        assert_eq!(
            unwrapped(classifier, &all).0,
            ["classifier.bias", "encoder.layer.0.output.dense.bias"]
        );
    }

    #[test]
    fn of_several_backbones_one_is_read_and_the_others_are_reported() {
        let both = || behind(&["student.backbone.", "teacher.backbone."], &VIT);
        let (_, prefix, notes) = unwrapped(both(), &Choice::default());
        assert_eq!(prefix, "teacher.backbone.");
        assert!(notes[0].contains("`student.backbone.` is not"), "{notes:?}");
        let trained = Choice { use_ema: false, key: None };
        assert_eq!(unwrapped(both(), &trained).1, "student.backbone.");
        let named = Choice { use_ema: true, key: Some("student".into()) };
        assert_eq!(unwrapped(both(), &named).1, "student.backbone.");
    }

    #[test]
    fn what_is_beside_is_reported_and_what_is_unknown_is_refused() {
        let mut tensors = behind(&["backbone."], &VIT);
        tensors.extend(behind(&["decode_head."], &["conv.weight", "conv.bias"]));
        let (names, _, notes) = unwrapped(tensors, &Choice::default());
        assert_eq!(names.len(), VIT.len());
        assert!(notes[1].ends_with("decode_head (2)"), "{notes:?}");
        let unknown = || behind(&["my_net."], &VIT);
        let message = unwrap("f", unknown(), &Choice::default()).unwrap_err().to_string();
        assert!(message.contains("behind `my_net.`"), "{message}");
        let mut half = behind(&["module."], &VIT[1..]);
        half.extend(behind(&[""], &["patch_embed.proj.bias"]));
        let message = unwrap("f", half, &Choice::default()).unwrap_err().to_string();
        assert!(message.contains("`module.`") && message.contains("found patch_embed.proj.bias"));
        let named = Choice { use_ema: true, key: Some("my_net".into()) };
        assert_eq!(unwrapped(unknown(), &named).1, "my_net.");
    }
}
