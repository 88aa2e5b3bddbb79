//! What `polyptych predict` is asked.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser};
use polyptych_engine::{Drawing, OpenRun, Predictor};

use super::depth_range::DepthRange;
use crate::open::OpenFlags;

/// Predict every task for photographs and videos at their original size; files that cannot be read
/// are skipped and listed at the end
#[derive(Debug, Parser)]
#[command(
    name = "predict",
    after_help = "Examples:\n  polyptych predict runs/quickstart photograph.jpg\n  polyptych predict runs/quickstart/merged photographs --out seen --raw\n  polyptych predict runs/quickstart 'photographs/*.jpg' https://example.org/a.jpg film.mp4\n  polyptych predict runs/quickstart --truth --samples 20"
)]
pub(crate) struct Predict {
    /// Folder of a run or of a merged model
    pub(super) run: PathBuf,
    /// Photographs, videos (with the program ffmpeg), folders (searched recursively), patterns such
    /// as 'a/*.jpg', or http(s) addresses
    #[arg(required_unless_present = "truth", conflicts_with = "truth")]
    pub(super) images: Vec<String>,
    /// Folder for the pictures: DIR/x.png for x.jpg. Photographs with the same name keep their
    /// folders (DIR/a/x.png), and their endings if only those differ (DIR/x.jpg.png); DIR/x.mp4 for a video
    #[arg(long, value_name = "DIR", default_value = "predictions")]
    pub(super) out: PathBuf,
    /// Predict only these tasks, separated by commas; heads of the others do not run
    #[arg(long, value_delimiter = ',', value_name = "TASK")]
    pub(super) tasks: Vec<String>,
    /// Draw the maps over the photograph with this opacity, from 0 to 1
    #[arg(long, value_name = "ALPHA", value_parser = share)]
    pub(super) overlay: Option<f32>,
    /// Draw only the photograph and the maps, without titles, legends and colour bars, as in videos
    #[arg(long)]
    pub(super) bare: bool,
    /// Pictures in a row [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), conflicts_with_all = ["bare", "truth"])]
    pub(super) columns: Option<u16>,
    /// Depth range of the colours in metres, the same for all pictures, such as 0.5,10; `all` uses
    /// the range of all inputs, which are predicted twice [default: the range of each picture; in a
    /// video that of its first frame]
    #[arg(long, value_name = "NEAR,FAR")]
    pub(super) depth_range: Option<DepthRange>,
    /// Also write the maps themselves, one safetensors file per photograph: a tensor for each task,
    /// [channels, height, width] at the photograph's own size
    #[arg(long)]
    pub(super) raw: bool,
    /// Predict samples of the evaluation data of the run, and draw the labels and the errors beside
    /// the predictions
    #[arg(long)]
    pub(super) truth: bool,
    #[command(flatten)]
    pub(super) samples: SampleFlags,
    #[command(flatten)]
    pub(super) open: OpenFlags,
}

/// Which samples are predicted.
#[derive(Debug, Args)]
pub(super) struct SampleFlags {
    /// Number of samples, at even distances
    #[arg(long, default_value_t = 8, requires = "truth")]
    pub(super) samples: usize,
    /// Manifest of the data instead of the recipe's
    #[arg(long, value_name = "FILE", requires = "truth")]
    pub(super) manifest: Option<PathBuf>,
    /// Folder of the data instead of the recipe's
    #[arg(long, value_name = "DIR", requires = "truth")]
    pub(super) root: Option<PathBuf>,
    /// Split of the data instead of the recipe's
    #[arg(long, value_name = "NAME", requires = "truth")]
    pub(super) split: Option<String>,
}

impl Predict {
    /// The model, of the tasks that are asked for.
    pub(super) fn predictor(&self, run: OpenRun) -> Result<Predictor> {
        let predictor = Predictor::new(run);
        match self.tasks.is_empty() {
            true => Ok(predictor),
            false => Ok(predictor.asked_for(&self.tasks)?),
        }
    }

    /// How maps are drawn, before the range of depths of all inputs is known.
    pub(super) fn drawing(&self) -> Drawing {
        let depth_range = match self.depth_range {
            Some(DepthRange::Metres(range)) => Some(range),
            Some(DepthRange::All) | None => None,
        };
        Drawing { overlay: self.overlay, depth_range, columns: self.columns.map(usize::from) }
    }

    pub(super) fn wants_range_of_all(&self) -> bool {
        self.depth_range == Some(DepthRange::All)
    }
}

fn share(text: &str) -> std::result::Result<f32, String> {
    let expected = || format!("expected a number from 0 to 1, found {text}");
    let share: f32 = text.parse().map_err(|_| expected())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(expected()) }
}
