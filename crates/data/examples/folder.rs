//! A folder of images with partial labels, as batches: `cargo run -p polyptych-data --example folder`.

use std::path::Path;
use std::sync::Arc;

use image::{GrayImage, Luma, Rgb, RgbImage};
use polyptych_data::{FolderDataset, Loader, LoaderConfig, Root, infer_manifest};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    draw(folder.path())?;
    // What `polyptych data new` writes: a manifest that says what lies where.
    let inferred = infer_manifest("garden", folder.path())?;
    let manifest = folder.path().join("garden.toml");
    std::fs::write(&manifest, &inferred.manifest)?;
    println!("{}", inferred.manifest);

    let root = Root::new(folder.path(), false);
    let dataset = FolderDataset::open(&manifest, &root, "train")?;
    let loader = Loader::new(Arc::new(dataset), LoaderConfig::evaluation(4, [32, 48]))?;
    for batch in loader.epoch(0, 0)? {
        let batch = batch?;
        println!("{:?}: images {:?}", batch.names, batch.images.shape());
        for (task, target) in &batch.targets {
            let labelled = target.iter().filter(|value| !value.is_nan()).count();
            println!("  {task}: {labelled} of {} pixels have a label", target.len());
        }
    }
    Ok(())
}

/// Twelve photographs, and classes for every other one.
fn draw(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    for name in ["photos", "semseg"] {
        std::fs::create_dir(folder.join(name))?;
    }
    for index in 0..12_u32 {
        let photograph = RgbImage::from_fn(48, 32, |x, y| {
            Rgb([(x * 5) as u8, (y * 7) as u8, (index * 20 + (x * y) % 31) as u8])
        });
        photograph.save(folder.join(format!("photos/{index:02}.jpg")))?;
        if index % 2 == 0 {
            let classes =
                GrayImage::from_fn(48, 32, |x, y| Luma([u8::from(x > 20) + u8::from(y > 20)]));
            classes.save(folder.join(format!("semseg/{index:02}.png")))?;
        }
    }
    Ok(())
}
