//! Writes built-in scenes as photographs, JPEG of 320 x 240 pixels, to ask a model about:
//! `cargo run -p polyptych-synthetic --example photographs -- FOLDER [count]`.

use std::error::Error;
use std::path::Path;

use image::{Rgb, RgbImage};
use polyptych_data::Dataset;
use polyptych_synthetic::{Scenes, ScenesConfig};

const HEIGHT: usize = 240;
const WIDTH: usize = 320;
/// Far from those that recipes train on and measure with.
const SEED: u64 = 21;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "target/photographs".to_owned());
    let len: usize = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let split = "val".to_owned();
    let scenes =
        Scenes::new(ScenesConfig { seed: SEED, split, len, height: HEIGHT, width: WIDTH })?;
    std::fs::create_dir_all(&folder)?;
    for index in 0..len {
        let image = scenes.get(index)?.image;
        let pixel =
            |x: u32, y: u32| Rgb([0, 1, 2].map(|channel| image[[y as usize, x as usize, channel]]));
        let photograph = RgbImage::from_fn(WIDTH as u32, HEIGHT as u32, pixel);
        photograph.save(Path::new(&folder).join(format!("scene-{index:03}.jpg")))?;
    }
    println!("{folder}: {len} photographs");
    Ok(())
}
