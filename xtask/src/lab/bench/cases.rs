//! What can be timed, and who else does the same work.

use anyhow::{Context, Result};

use super::case::{Case, case};
use super::forward::FORWARD;
use super::peers::{Peer, ours, peer, source};

const COMPILED: &[&str] = &["--compile", "1"];

/// Largest relative difference of augmented photographs and labels.
const LOADER: f64 = 3e-2;

const WEBDATASET_RESIZED: &[&str] = &["--source", "webdataset", "--first", "resize"];
const PARQUET_RESIZED: &[&str] = &["--source", "parquet", "--first", "resize"];
const ARROW_RESIZED: &[&str] = &["--source", "arrow", "--first", "resize"];
/// Our own loader on one file for each photograph and label.
const FROM_FILES: Peer = ours("ours, from files", "loader");

/// Everything that can be timed but for forward passes.
pub(super) const CASES: [Case; 11] = [
    case(
        "mtlora",
        "training step of MTLoRA r = 64 on Swin-T with HRNet heads",
        true,
        &[
            peer("PyTorch, a loop over tasks", "mtlora.py", &[]),
            peer("the loop, heads channels last", "mtlora.py", &["--channels_last", "1"]),
            peer("the loop, torch.compile", "mtlora.py", COMPILED),
        ],
    ),
    case(
        "mtlora-shared",
        "training step of MTLoRA r = 64 on Swin-T with a decoder that all tasks share",
        true,
        &[],
    ),
    case(
        "emtal",
        "training step of EMTAL r = 4 on ViT-B/16",
        true,
        &[
            peer("PyTorch on timm", "emtal.py", &[]),
            peer("PyTorch on timm, torch.compile", "emtal.py", COMPILED),
        ],
    ),
    case(
        "lora",
        "training step of LoRA r = 16 on ViT-B/16",
        false,
        &[
            peer("PEFT on timm", "lora.py", &[]),
            peer("PEFT on timm, torch.compile", "lora.py", COMPILED),
        ],
    ),
    case(
        "full",
        "training step of full fine-tuning of ViT-B/16",
        false,
        &[peer("timm", "full.py", &[]), peer("timm, torch.compile", "full.py", COMPILED)],
    ),
    case("vmt", "training step of VMT-Adapter on Swin-T with HRNet heads", true, &[]),
    case(
        "vmt-shared",
        "training step of VMT-Adapter on Swin-T with a decoder that all tasks share",
        true,
        &[],
    ),
    // TorchVision cuts to 8 bits after each change of brightness, contrast and saturation, which
    // makes photographs two steps of 255 darker; we round once.
    Case {
        outputs: Some(LOADER),
        ..case(
            "loader",
            "96 photographs of 480 x 360 with dense labels, decoded, turned, coloured and stacked",
            true,
            &[
                peer("TorchVision on tensors", "loader.py", &["--decode", "tensor"]),
                peer("TorchVision on PIL images", "loader.py", &["--decode", "pil"]),
                peer("on tensors, resized first", "loader.py", &["--first", "resize"]),
            ],
        )
    },
    Case {
        outputs: Some(LOADER),
        ..case(
            "loader-webdataset",
            "the same photographs in tar shards",
            true,
            &[
                source("webdataset", &["--source", "webdataset"], "webdataset"),
                source("webdataset, resized first", WEBDATASET_RESIZED, "webdataset"),
                FROM_FILES,
            ],
        )
    },
    Case {
        outputs: Some(LOADER),
        ..case(
            "loader-parquet",
            "the same photographs in a table of Parquet",
            true,
            &[
                source("datasets", &["--source", "parquet"], "datasets"),
                source("datasets, resized first", PARQUET_RESIZED, "datasets"),
                FROM_FILES,
            ],
        )
    },
    Case {
        outputs: Some(LOADER),
        ..case(
            "loader-arrow",
            "the same photographs in a table of Arrow",
            true,
            &[
                source("datasets", &["--source", "arrow"], "datasets"),
                source("datasets, resized first", ARROW_RESIZED, "datasets"),
                FROM_FILES,
            ],
        )
    },
];

/// Everything that can be timed.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    CASES.iter().chain(&FORWARD)
}

/// The cases that `names` ask for.
///
/// # Errors
/// A name that is not known.
pub(super) fn chosen(names: &[String]) -> Result<Vec<&'static Case>> {
    if names.is_empty() {
        return Ok(all().collect());
    }
    let known = all().map(|case| case.name).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        let found = all().find(|case| case.name == name);
        found.with_context(|| format!("no case `{name}`: expected one of {known}"))
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::super::forward::{ONNXRUNTIME, OPENVINO};
    use super::super::peers::Program;
    use super::super::setting::Setting;
    use super::*;

    #[test]
    fn every_peer_has_a_script() {
        for peer in all().flat_map(|case| case.peers) {
            let Program::Script(script) = peer.program else { continue };
            let path = crate::workspace::root().join("benches/peers").join(script);
            assert!(path.is_file(), "{}", path.display());
        }
    }

    #[test]
    fn a_worker_beside_ours_has_a_case() {
        for peer in all().flat_map(|case| case.peers) {
            let Program::Worker(name) = peer.program else { continue };
            assert!(all().any(|case| case.name == name), "{name}");
        }
    }

    #[test]
    fn peers_are_asked_for_what_they_compute() {
        let names = |precision: &str, device: &str| -> Vec<&str> {
            let (precision, device) = (precision.to_owned(), device.to_owned());
            let setting = Setting { precision, device, tasks: 1, batch: 1, size: 224, threads: 1 };
            let vit = chosen(&["vit".into()]).unwrap()[0];
            vit.peers_at(&setting).map(|peer| peer.name).collect()
        };
        let runtimes = [ONNXRUNTIME.name, OPENVINO.name];
        assert_eq!(names("int8", "cpu"), runtimes);
        assert_eq!(names("fp32", "cpu")[2..], runtimes);
        assert_eq!(names("bf16", "cpu")[2..], runtimes[1..]);
        assert_eq!(names("fp32", "cuda:0"), ["timm", "timm, torch.compile"]);
    }

    #[test]
    fn an_unknown_case_names_the_known_ones() {
        let message = chosen(&["mtlorra".into()]).map(drop).unwrap_err().to_string();
        assert!(message.starts_with("no case `mtlorra`: expected one of mtlora"), "{message}");
    }
}
