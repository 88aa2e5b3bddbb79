//! PVT v2 as its authors publish it, and as MTLoRA's authors use it.

use polyptych_tensor::Tensors;

use super::source::Source;

/// PVT v2's authors.
pub const PVT_V2: Source = Source {
    block: Some(r"block\d+\.\d+\.(?:attn|norm1|norm2|mlp)\."),
    ..Source::new("PVT v2's authors", &["block1.0.attn.kv."], |t| Ok(pvt_v2(t)))
};

/// Names of the authors' PVT v2 in timm's words: stages are counted from 1 there, and stand behind
/// the words.
fn pvt_v2(tensors: Tensors) -> Tensors {
    let rename = |name: String| renamed(&name).unwrap_or(name);
    tensors.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect()
}

fn renamed(name: &str) -> Option<String> {
    let (first, rest) = name.split_once('.')?;
    let word = first.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let stage = first[word.len()..].parse::<usize>().ok()?.checked_sub(1)?;
    match (word, stage) {
        ("patch_embed", 0) => Some(format!("patch_embed.{rest}")),
        ("patch_embed", _) => Some(format!("stages.{stage}.downsample.{rest}")),
        ("norm", _) => Some(format!("stages.{stage}.norm.{rest}")),
        ("block", _) => {
            let rest = rest.replace("dwconv.dwconv.", "dwconv.");
            Some(format!("stages.{stage}.blocks.{rest}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_name_is_known() {
        for (from, to) in [
            ("patch_embed1.proj.weight", "patch_embed.proj.weight"),
            ("patch_embed2.norm.bias", "stages.1.downsample.norm.bias"),
            ("block3.2.mlp.dwconv.dwconv.weight", "stages.2.blocks.2.mlp.dwconv.weight"),
            ("block1.0.attn.kv.bias", "stages.0.blocks.0.attn.kv.bias"),
            ("norm4.bias", "stages.3.norm.bias"),
        ] {
            assert_eq!(renamed(from).as_deref(), Some(to));
        }
        assert_eq!(renamed("head.weight"), None);
    }
}
