//! Manifests that ship with the program, so that recipes find them from any folder.

use std::path::Path;

// `manifests` is a link to the `datasets` of the repository, so that a package of this crate has them.
macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../manifests/", $name, ".toml")))),*]
    };
}

const SHIPPED: &[(&str, &str)] = shipped![
    "ade20k",
    "aircraft",
    "bsds500",
    "camvid",
    "cars",
    "cifar10",
    "cityscapes",
    "cub",
    "eurosat",
    "fashion_mnist",
    "flowers",
    "hypersim",
    "mapillary_vistas",
    "nyud",
    "pascal_context",
    "patch_camelyon",
    "resisc45",
    "retinopathy",
    "scannet",
    "sun_rgbd",
    "taskonomy_tiny",
];

/// The text of the manifest that `path` names, `datasets/<name>.toml`, if it ships; none where
/// there is a file of that path, which comes first.
pub fn shipped_manifest(path: &Path) -> Option<&'static str> {
    let name = path.strip_prefix("datasets").ok()?.to_str()?.strip_suffix(".toml")?;
    let (_, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    (!path.exists()).then_some(*text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_of_the_repository_ships() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| {
                Some(entry.unwrap().file_name().to_str()?.strip_suffix(".toml")?.into())
            })
            .collect();
        files.sort();
        assert_eq!(files, SHIPPED.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        assert!(shipped_manifest(Path::new("datasets/camvid.toml")).unwrap().contains("camvid"));
        for other in ["datasets/mine.toml", "camvid.toml", "data/camvid.toml"] {
            assert_eq!(shipped_manifest(Path::new(other)), None, "{other}");
        }
    }
}
