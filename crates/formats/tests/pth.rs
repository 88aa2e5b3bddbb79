//! Files that PyTorch wrote come back, and files that mean harm are refused by what they ask for.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use polyptych_formats::pth::{Choice, StateDict};
use polyptych_formats::{file, pth};
use polyptych_tensor::{Device, Kind, Tensor, Tensors};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pth").join(name)
}

fn refusal(name: &str) -> String {
    assert!(pth::is_pth(&path(name)), "{name}");
    let message = pth::load(&path(name)).unwrap_err().to_string();
    let (_, reason) = message.split_once(&format!("{name}: ")).unwrap();
    reason.to_owned()
}

/// 0, 1, 2, ... in this shape.
fn numbers(shape: &[i64]) -> Tensor {
    Tensor::arange(shape.iter().product::<i64>(), (Kind::Float, Device::Cpu)).view(shape)
}

fn assert_flat(tensors: &Tensors) {
    assert!(tensors.keys().eq(["bias", "empty", "scalar", "weight"]));
    assert!(tensors["weight"].equal(&numbers(&[2, 3])));
    assert!(tensors["bias"].equal(&-numbers(&[3])));
    assert_eq!((tensors["scalar"].kind(), tensors["scalar"].int64_value(&[])), (Kind::Int64, 7));
    assert_eq!(tensors["empty"].size(), [0, 4]);
}

#[test]
fn both_layouts_hold_the_same() {
    for name in ["flat_zip.pth", "flat_legacy.bin", "nested_zip.pth", "nested_legacy.bin"] {
        assert!(pth::is_pth(&path(name)), "{name}");
        assert_flat(&pth::load(&path(name)).unwrap());
        assert_flat(&pth::parse(name, &std::fs::read(path(name)).unwrap()).unwrap());
    }
    // Written by protocol 4, names behind `module.`, with settings beside the tensors.
    let parallel = pth::load(&path("parallel.pt")).unwrap().into_iter();
    let short = |name: String| name.strip_prefix("module.").unwrap().to_owned();
    assert_flat(&parallel.map(|(name, tensor)| (short(name), tensor)).collect());
}

#[test]
fn attributes_of_a_state_dict_do_not_count() {
    let tensors = pth::load(&path("metadata.pth")).unwrap();
    assert!(tensors.keys().eq(["bias", "weight"]));
    assert!(tensors["weight"].equal(&numbers(&[2, 3])));
}

#[test]
fn views_of_a_shared_storage_are_read_in_their_order() {
    for name in ["views_zip.pth", "views_legacy.bin"] {
        let tensors = pth::load(&path(name)).unwrap();
        let whole = numbers(&[3, 4]);
        assert!(tensors["whole"].equal(&whole), "{name}");
        assert!(tensors["turned"].equal(&whole.tr()) && tensors["turned"].is_contiguous());
        assert!(tensors["rows"].equal(&whole.slice(0, 1, 3, 1)));
        assert!(tensors["column"].equal(&whole.select(1, 2)));
        assert!(tensors["second"].equal(&whole.view(-1).slice(0, 1, 12, 2)));
    }
}

#[test]
fn every_type_is_read() {
    let kinds = [
        ("float64", Kind::Double),
        ("float32", Kind::Float),
        ("float16", Kind::Half),
        ("bfloat16", Kind::BFloat16),
        ("int64", Kind::Int64),
        ("int32", Kind::Int),
        ("int16", Kind::Int16),
        ("int8", Kind::Int8),
        ("uint8", Kind::Uint8),
        ("bool", Kind::Bool),
    ];
    for name in ["kinds_zip.pth", "kinds_legacy.bin"] {
        let tensors = pth::load(&path(name)).unwrap();
        assert_eq!(tensors.len(), kinds.len());
        for (key, kind) in kinds {
            let expected = Tensor::from_slice(&[0f32, 1.0, 2.0, 100.0]).to_kind(kind);
            assert_eq!(tensors[key].kind(), kind, "{name}");
            assert!(tensors[key].equal(&expected), "{name}: {key}");
        }
    }
}

#[test]
fn what_would_be_called_is_named_and_not_called() {
    let foreign = |what: &str| {
        format!(
            "`{what}` is neither tensor nor container: nothing was executed; expected a state dict \
             alone, saved by `torch.save(model.state_dict(), ..)` or as safetensors"
        )
    };
    assert_eq!(refusal("bad_system.pth"), foreign("os.system"));
    assert_eq!(refusal("bad_plain.pth"), foreign("posix.system"));
    assert_eq!(refusal("bad_global.pth"), foreign("evil.module.Thing"));
    assert_eq!(refusal("bad_stacked.pth"), foreign("builtins.eval"));
    assert_eq!(refusal("bad_opcode.pth"), foreign("opcode 0x82 EXT1"));
    assert_eq!(refusal("bad_script.pth"), foreign("TorchScript, a program"));
    assert!(!PathBuf::from("executed").exists());
}

#[test]
fn objects_beside_the_state_dict_stay_inert() {
    for name in ["objects_2.pth", "objects_4.pth", "objects_5.pth", "objects_legacy.bin"] {
        let read = pth::load_choice(&path(name), &Choice::default()).unwrap();
        assert_eq!((read.key.as_str(), read.others.len()), ("state_dict", 0), "{name}");
        assert!(read.tensors.keys().eq(["a.bias", "a.weight"]), "{name}");
        assert!(read.tensors["a.weight"].equal(&numbers(&[2, 3])), "{name}");
        assert!(read.tensors["a.bias"].equal(&-numbers(&[3])), "{name}");
    }
    // A state dict that is a subclass of a dictionary, and a parameter with attributes.
    let tensors = pth::load(&path("subclass.pth")).unwrap();
    assert!(tensors.keys().eq(["a.bias", "a.scale", "a.weight"]));
    assert!(tensors["a.scale"].equal(&numbers(&[3])));
}

#[test]
fn objects_in_the_state_dict_are_refused_by_their_class() {
    for name in ["bad_inside.pth", "bad_module.pth"] {
        let message = refusal(name);
        assert!(message.starts_with("`trainer.things.History` is neither tensor"), "{message}");
    }
}

#[test]
fn extra_state_of_a_module_stays_inert() {
    let tensors = pth::load(&path("extra_state.pth")).unwrap();
    assert!(tensors.keys().eq(["a.bias", "a.weight"]));
}

#[test]
fn averaged_weights_come_first_as_in_timm() {
    let read = |name: &str, use_ema: bool, key: Option<&str>| {
        let choice = Choice { use_ema, key: key.map(str::to_owned) };
        pth::load_choice(&path(name), &choice).map_err(|e| e.to_string())
    };
    let first = |read: StateDict| read.tensors["a.weight"].double_value(&[0, 0]);
    let keys = |read: &StateDict| (read.key.clone(), read.others.join(" "));
    let averaged = read("averaged.pth", true, None).unwrap();
    assert_eq!(keys(&averaged), ("state_dict_ema".into(), "state_dict".into()));
    assert_eq!(first(averaged), 1.0);
    let trained = read("averaged.pth", false, None).unwrap();
    assert_eq!(keys(&trained), ("state_dict".into(), "state_dict_ema".into()));
    assert_eq!(first(trained), 0.0);
    assert_eq!(first(read("averaged.pth", true, Some("state_dict")).unwrap()), 0.0);
    let teacher = read("teacher.pth", true, None).unwrap();
    assert_eq!(keys(&teacher), ("teacher".into(), "student".into()));
    assert_eq!(first(read("teacher.pth", true, Some("student")).unwrap()), 0.0);
    assert_eq!(read("only.pth", true, None).unwrap().key, "run.weights");
    assert_eq!(first(read("only.pth", true, Some("run.weights")).unwrap()), 0.0);
    let message = read("several.pth", true, None).unwrap_err();
    let expected = "found some at [first, second]: name one as the key of the weights";
    assert!(message.ends_with(expected), "{message}");
    assert_eq!(first(read("several.pth", true, Some("second")).unwrap()), 1.0);
    let message = read("teacher.pth", true, Some("pupil")).unwrap_err();
    let expected = "expected a state dict at pupil, found some at [student, teacher]";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn what_does_not_fit_is_named() {
    let damaged = |name: &str, reason: &str| {
        assert_eq!(refusal(name), format!("not a readable PyTorch file: {reason}"), "{name}");
    };
    damaged("bad_escape.pth", "storage `../../../secret`: expected a number as its name");
    damaged("bad_member.pth", "archive/data/7: no such member");
    damaged("bad_length.pth", "storage 0: 4611686018427387904 numbers of 4 bytes");
    damaged("bad_short.pth", "storage 0: expected 20 bytes, found 16");
    damaged("bad_text.pth", "4294967295 bytes of text, found 1");
    damaged("bad_view.pth", "size [4], stride [1], offset 1 of 4 numbers");
    damaged("bad_stride.pth", "size [4], stride [-1], offset 3 of 4 numbers");
    damaged("bad_expand.pth", "size [1099511627776], stride [0], offset 0 of 4 numbers");
    let huge = "size [0, 1099511627776, 1099511627776], stride [1, 1, 1], offset 0 of 4 numbers";
    damaged("bad_product.pth", huge);
    damaged("bad_none.pth", "expected a dictionary of tensors, found none among the keys [epoch]");
    damaged(
        "bad_circle.pth",
        "expected a dictionary of tensors, found none among the keys [model]",
    );
    damaged("bad_packed.pth", "archive/data.pkl: expected it stored, found it Deflated");
    damaged("bad_order.pth", "byte order: expected little");
    damaged("bad_shared.pth", "tensors of 320 bytes are views of 16");
    damaged("bad_checksum.pth", "flat_zip/data/0: Invalid checksum");
    damaged("bad_foreign.pth", "a pickle without PyTorch's first numbers");
    let claimed = "expected 6 numbers, found 1152921504606846976";
    assert!(refusal("bad_legacy.pth").ends_with(claimed), "{}", refusal("bad_legacy.pth"));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for name in ["flat_zip.pth", "flat_legacy.bin"] {
        let whole = std::fs::read(path(name)).unwrap();
        for length in 0..whole.len() {
            let message = pth::parse("cut.pth", &whole[..length]).unwrap_err().to_string();
            assert!(message.starts_with("cut.pth: "), "{length}: {message}");
        }
    }
}

/// Whatever a byte turns into: no panic, and no more memory than the file explains.
#[test]
fn a_changed_byte_never_panics() {
    for name in ["views_zip.pth", "views_legacy.bin", "parallel.pt"] {
        let whole = std::fs::read(path(name)).unwrap();
        for at in 0..whole.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= change;
                let _ = pth::parse("changed.pth", &changed);
            }
        }
    }
}

#[test]
fn other_formats_are_known_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pth");
    // The header's length, 640 bytes, begins as a pickle of protocol 2 does.
    let name = "w".repeat(580);
    let tensors = Tensors::from([(name, numbers(&[2]))]);
    file::save(&path, &tensors, Default::default()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap()[..2], [0x80, 2]);
    assert!(!pth::is_pth(&path) && file::load(&path).is_ok());
    std::fs::write(&path, b"PK\x03\x04 and no archive").unwrap();
    assert!(!pth::is_pth(&path));
    let message = pth::parse("a.pth", b"text").unwrap_err().to_string();
    assert!(message.ends_with("neither a pickle nor an archive with one"), "{message}");
    let absent = folder.path().join("absent.pth");
    assert!(!pth::is_pth(&absent));
    assert!(pth::load(&absent).unwrap_err().to_string().contains("absent.pth: No such file"));
}
