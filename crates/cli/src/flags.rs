//! The whole grammar of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use polyptych_engine::ExportFormat;
use polyptych_serve::SocketAddr;

/// One image, one backbone, many tasks.
#[derive(Debug, Parser)]
#[command(
    name = "polyptych",
    version,
    long_version = crate::version::long(),
    about,
    after_help = "Examples:\n  polyptych train\n  polyptych train --data DIR\n  polyptych eval runs/quickstart\n  polyptych predict runs/quickstart photograph.jpg"
)]
pub(crate) struct Flags {
    /// Print more: messages of the libraries, with -vv in detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print lines instead of a live view or a progress bar
    #[arg(long, global = true)]
    pub(crate) plain: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train the model of a recipe, or continue a run
    #[command(
        after_help = "Examples:\n  polyptych train\n  polyptych train camvid --set data.train.0.root=DIR --set data.eval.0.root=DIR\n  polyptych train mine.toml --set train.lr=1e-3 --out runs/low\n  polyptych train --data DIR\n  polyptych train --resume runs/low --set train.steps=2000"
    )]
    Train(TrainFlags),
    /// Add tasks of a recipe to a trained run; the outputs of its own tasks do not change
    #[command(after_help = "Examples:\n  polyptych add-task runs/vmt-scenes vmt-scenes-add")]
    AddTask(AddTaskFlags),
    /// Evaluate a run or a merged model, or compare several
    #[command(
        after_help = "Examples:\n  polyptych eval runs/quickstart\n  polyptych eval runs/low runs/high\n  polyptych eval runs/quickstart --best --json\n  polyptych eval merged --manifest camvid.toml --root DIR --split test"
    )]
    Eval(EvalFlags),
    /// Predict every task for photographs, at their own size; unreadable photographs are skipped
    /// and listed at the end
    #[command(
        after_help = "Examples:\n  polyptych predict runs/quickstart photograph.jpg\n  polyptych predict runs/quickstart/merged photographs --out seen --raw"
    )]
    Predict(PredictFlags),
    /// Serve a run or a merged model over HTTP, with a page to try it; Ctrl-C and SIGTERM finish
    /// accepted requests and exit, SIGHUP reloads the model
    #[command(
        after_help = "Examples:\n  polyptych serve runs/quickstart/merged\n  polyptych serve merged --tasks semseg,depth --addr 127.0.0.1:9000 --watch\n  POLYPTYCH_TOKEN=secret polyptych serve merged --addr 0.0.0.0:8000\n  curl --data-binary @photograph.jpg '127.0.0.1:8000/predict?tasks=depth&format=npy' -o depth.npy"
    )]
    Serve(ServeFlags),
    /// Merge the adapters of a run into its backbone
    #[command(
        after_help = "Examples:\n  polyptych merge runs/quickstart\n  polyptych merge runs/quickstart --best --half --out merged"
    )]
    Merge(MergeFlags),
    /// Export a run or a merged model to timm, PEFT, TorchScript or ONNX
    #[command(
        after_help = "Examples:\n  polyptych export runs/quickstart --format onnx --out model.onnx\n  polyptych export runs/lora --format peft --out adapter"
    )]
    Export(ExportFlags),
    /// Convert weights of any source to timm's names
    #[command(
        after_help = "Examples:\n  polyptych convert swin_tiny_patch4_window7_224.ms_in22k --out swin.safetensors\n  polyptych convert vit.pth --adapter lora --out vit.safetensors"
    )]
    Convert(ConvertFlags),
    /// Sort the hidden units of a backbone into experts
    #[command(
        after_help = "Examples:\n  polyptych moefy vit_micro_patch8_128.scenes_cifar10 experts.safetensors --experts 16"
    )]
    Moefy(MoefyFlags),
    /// Time a forward pass of a run before and after merging
    #[command(after_help = "Examples:\n  polyptych time runs/quickstart --images 8")]
    Time(TimeFlags),
    /// Count parameters: total, trainable, stored
    #[command(
        after_help = "Examples:\n  polyptych inspect\n  polyptych inspect mtlora-swin-tiny-pascal --set adapter.r=64 --json"
    )]
    Inspect(InspectFlags),
    /// Write one HTML page of a run, or of several side by side
    #[command(
        after_help = "Examples:\n  polyptych report runs/quickstart --open\n  polyptych report runs/low runs/high --out rates.html"
    )]
    Report(ReportFlags),
    /// Draw the conflict between the tasks of a run, as a heat map of mean cosines
    #[command(after_help = "Examples:\n  polyptych conflict runs/quickstart --out conflict.png")]
    Conflict(ConflictFlags),
    /// Repeat the step that ended a run because its numbers were not finite
    #[command(after_help = "Examples:\n  polyptych replay runs/quickstart")]
    Replay(ReplayFlags),
    /// Describe, check, draw or make a data set
    #[command(subcommand)]
    Data(DataCommand),
    /// Recipes that ship with the program, and what they can name
    #[command(subcommand)]
    Recipe(RecipeCommand),
    /// Print shell completions for commands and flags
    #[command(
        after_help = "Examples:\n  polyptych completions bash > ~/.local/share/bash-completion/completions/polyptych\n  polyptych completions zsh > ~/.zfunc/_polyptych"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Which recipe, and how it differs from the file.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecipeFlags {
    /// A shipped recipe's name, or a TOML file
    #[arg(default_value = "quickstart")]
    pub(crate) recipe: String,
    /// Override a field: --set train.steps=100
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Learn only these tasks of the recipe, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TrainFlags {
    #[command(flatten)]
    pub(crate) recipe: RecipeFlags,
    /// Learn from this folder, or from the data set of this manifest: writes NAME.toml, where there
    /// is no manifest, and NAME.recipe.toml, which are taken as they are where they are there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["recipe", "resume"])]
    pub(crate) data: Option<PathBuf>,
    /// Folder of the run [default: runs/NAME after the recipe, with a number if it is taken]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run in this folder, finished or not; with --set train.steps=N for more steps,
    /// and other rates, schedules and devices by the same flag
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "tasks", "out"])]
    pub(crate) resume: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AddTaskFlags {
    /// Folder of the trained run, whose method is vmt_adapter
    pub(crate) run: PathBuf,
    /// A shipped recipe's name, or a TOML file, with all tasks of the run and the new ones
    pub(crate) recipe: String,
    /// Override a field: --set train.steps=100
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Take the run's best checkpoint instead of its last one
    #[arg(long)]
    pub(crate) best: bool,
    /// Folder of the new run [default: runs/NAME after the recipe, with a number if it is taken]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct EvalFlags {
    /// Folders of runs or of merged models; several are compared
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    pub(crate) best: bool,
    /// Device instead of the recipe's: auto, cpu, cuda:N
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Print JSON instead of tables: one object, or one for each run by its folder
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the JSON of one run is kept, with all confusions [default: RUN/eval.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Override a field of the recipe for this measurement: --set data.batch_size=1
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Manifest of the data instead of the recipe's
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Folder of the data instead of the recipe's
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Split of the data instead of the recipe's
    #[arg(long, value_name = "NAME")]
    pub(crate) split: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PredictFlags {
    /// Folder of a run or of a merged model
    pub(crate) run: PathBuf,
    /// Photographs, or folders of them
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// Where pictures go: DIR/x.png for x.jpg; where two photographs have one name, with their
    /// folders below the one that holds all, DIR/a/x.png and DIR/b/x.png, and with their endings
    /// where only those differ, DIR/x.jpg.png
    #[arg(long, value_name = "DIR", default_value = "predictions")]
    pub(crate) out: PathBuf,
    /// Lay maps over the photograph, with this share of the map, from 0 to 1
    #[arg(long, value_name = "ALPHA", value_parser = share, conflicts_with = "bare")]
    pub(crate) overlay: Option<f32>,
    /// Draw photograph and maps alone, without titles, legends and bars
    #[arg(long)]
    pub(crate) bare: bool,
    /// Also write the maps themselves, one safetensors file per photograph: a tensor for each task,
    /// [channels, height, width] at the photograph's own size
    #[arg(long)]
    pub(crate) raw: bool,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    pub(crate) best: bool,
    /// Device instead of the recipe's: auto, cpu, cuda:N
    #[arg(long)]
    pub(crate) device: Option<String>,
}

fn share(text: &str) -> Result<f32, String> {
    let expected = || format!("expected a number from 0 to 1, found {text}");
    let share: f32 = text.parse().map_err(|_| expected())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(expected()) }
}

#[derive(Debug, Args)]
pub(crate) struct ServeFlags {
    /// Folder of a run or of a merged model; a merged one answers faster
    pub(crate) run: PathBuf,
    /// Answer for these tasks alone, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
    /// Where to listen; port 0 lets the system choose. An address that other machines can ask
    /// needs a token in POLYPTYCH_TOKEN
    #[arg(long, default_value = "127.0.0.1:8000")]
    pub(crate) addr: SocketAddr,
    /// The model's name in addresses [default: the name of its recipe]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    pub(crate) best: bool,
    /// Device instead of the recipe's: auto, cpu, cuda:N
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Most images that go through the model together
    #[arg(long, value_name = "IMAGES", default_value_t = 8)]
    pub(crate) batch_size: usize,
    /// How long an image waits for others, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2)]
    pub(crate) batch_delay: u64,
    /// Most images in hand; requests that find no room get status 503
    #[arg(long, value_name = "IMAGES", default_value_t = 64)]
    pub(crate) queue: usize,
    /// Most bytes of a request
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20)]
    pub(crate) max_bytes: usize,
    /// Most pixels of a photograph
    #[arg(long, value_name = "PIXELS", default_value_t = 50_000_000)]
    pub(crate) max_pixels: usize,
    /// How long a request may take, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout: u64,
    /// Read the model anew whenever its folder changes
    #[arg(long)]
    pub(crate) watch: bool,
    /// Write the log as JSON, one object per line
    #[arg(long)]
    pub(crate) log_json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MergeFlags {
    /// Folder of a run
    pub(crate) run: PathBuf,
    /// Folder of the merged model [default: RUN/merged]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    pub(crate) best: bool,
    /// Store the plain backbone in half precision
    #[arg(long)]
    pub(crate) half: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportFlags {
    /// Folder of a run or of a merged model
    pub(crate) run: PathBuf,
    /// What is written
    #[arg(long)]
    pub(crate) format: Format,
    /// New folder or, for TorchScript and ONNX, new file
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Keep the probe batch and the model's outputs in this safetensors file
    #[arg(long)]
    pub(crate) probe: Option<PathBuf>,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    pub(crate) best: bool,
}

/// Formats of a model.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// A folder that timm's create_model reads: the plain backbone, with its classifier
    Timm,
    /// An adapter folder that PEFT's PeftModel reads, and its base weights: LoRA, DoRA, EMTAL, and
    /// what MTLoRA's tasks share
    Peft,
    /// One file with one input and an output per task, for torch.jit.load
    Torchscript,
    /// One file with one input and an output per task, for onnxruntime and others
    Onnx,
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Timm => ExportFormat::Timm,
            Format::Peft => ExportFormat::Peft,
            Format::Torchscript => ExportFormat::TorchScript,
            Format::Onnx => ExportFormat::Onnx,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConvertFlags {
    /// A file or folder of weights, or timm's name of some
    pub(crate) weights: String,
    /// New safetensors file
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Folder of a LoRA or DoRA adapter of PEFT's that is merged in
    #[arg(long)]
    pub(crate) adapter: Option<PathBuf>,
    /// Of a file with several models, the one below this key (state_dict, student, ..), or whose
    /// names stand behind it
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Pass over weights that were averaged over training (state_dict_ema, model_ema, teacher)
    #[arg(long)]
    pub(crate) no_ema: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MoefyFlags {
    /// A shipped architecture.tag, another of timm's names, or a file or folder of weights
    pub(crate) weights: String,
    /// Where the sorted weights go, a safetensors file
    pub(crate) out: PathBuf,
    /// Experts in every MLP
    #[arg(long, default_value_t = 16)]
    pub(crate) experts: usize,
    /// Times that clustering begins anew; the best result counts
    #[arg(long, default_value_t = 10)]
    pub(crate) restarts: usize,
    /// Seed of the clustering
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TimeFlags {
    /// Folder of a run
    pub(crate) run: PathBuf,
    /// Images in the batch
    #[arg(long, default_value_t = 8)]
    pub(crate) images: usize,
    /// Passes that count, after three that do not
    #[arg(long, default_value_t = 31)]
    pub(crate) passes: usize,
    /// Device instead of the recipe's: auto, cpu, cuda:N
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Print JSON instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectFlags {
    #[command(flatten)]
    pub(crate) recipe: RecipeFlags,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReportFlags {
    /// Folders of runs
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// The page [default: RUN/report.html; report.html here for several runs]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Open the page in a browser
    #[arg(long)]
    pub(crate) open: bool,
    /// Samples among which the worst and the best of each task are looked for; 0 shows none and
    /// needs no data
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) samples: usize,
    /// Device instead of the recipe's: auto, cpu, cuda:N
    #[arg(long)]
    pub(crate) device: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ConflictFlags {
    /// Folder of a run whose recipe has train.conflict_every
    pub(crate) run: PathBuf,
    /// The picture, a PNG file
    #[arg(long, value_name = "FILE", default_value = "conflict.png")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayFlags {
    /// Folder of the run
    pub(crate) run: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Read every image and label and report every problem; fails if there is one
    #[command(after_help = "Examples:\n  polyptych data check datasets/camvid.toml --root DIR")]
    Check(DataCheckFlags),
    /// Tell numbers, sizes and ranges of values, and which of the known copies it is
    #[command(after_help = "Examples:\n  polyptych data facts datasets/nyud.toml --root DIR")]
    Facts(DataFactsFlags),
    /// Draw samples with their labels over them
    #[command(
        after_help = "Examples:\n  polyptych data show mine.toml --root DIR --split val --out samples.png"
    )]
    Show(DataShowFlags),
    /// Write a manifest for a folder of one's own by looking at it, and draw its samples
    #[command(after_help = "Examples:\n  polyptych data new DIR --out mine.toml")]
    New(DataNewFlags),
    /// Write a small synthetic copy of a published data set, in the layout of its archive
    #[command(after_help = "Examples:\n  polyptych data make pascal_context data/pascal_context")]
    Make(DataMakeFlags),
}

#[derive(Debug, Args)]
pub(crate) struct DataFactsFlags {
    /// The manifest, such as datasets/nyud.toml
    pub(crate) manifest: PathBuf,
    /// Folder of the data set [default: data/NAME after the manifest]
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Read images that symbolic links outside of the folder lead to
    #[arg(long)]
    pub(crate) follow_links: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DataShowFlags {
    /// The manifest, such as datasets/nyud.toml
    pub(crate) manifest: PathBuf,
    /// Folder of the data set [default: data/NAME after the manifest]
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Read images that symbolic links outside of the folder lead to
    #[arg(long)]
    pub(crate) follow_links: bool,
    /// The split
    #[arg(long, value_name = "NAME", default_value = "train")]
    pub(crate) split: String,
    /// Number of samples, at even distances
    #[arg(long, default_value_t = 4)]
    pub(crate) samples: usize,
    /// Longer side of each picture in pixels
    #[arg(long, default_value_t = 160)]
    pub(crate) side: usize,
    /// Show each sample augmented, too: a preset such as mtlora_pascal, or fields in TOML
    #[arg(long, value_name = "PRESET")]
    pub(crate) augment: Option<String>,
    /// Seed of the augmentation
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// The picture, a PNG file
    #[arg(long, value_name = "FILE", default_value = "samples.png")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DataNewFlags {
    /// The folder of images and labels
    pub(crate) folder: PathBuf,
    /// The manifest, a new file [default: NAME.toml after the folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The picture of samples with their labels, a PNG file [default: NAME.png beside the manifest]
    #[arg(long, value_name = "FILE")]
    pub(crate) sheet: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DataMakeFlags {
    /// Name of a manifest in datasets/, such as pascal_context
    pub(crate) name: String,
    /// The folder to fill, empty or not there
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DataCheckFlags {
    /// The manifest, such as datasets/camvid.toml
    pub(crate) manifest: PathBuf,
    /// Folder of the data set [default: data/NAME after the manifest]
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Read images that symbolic links outside of the folder lead to
    #[arg(long)]
    pub(crate) follow_links: bool,
    /// Only this split; may be given several times
    #[arg(long = "split", value_name = "NAME")]
    pub(crate) splits: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaFlags {
    /// What the schema is of
    #[arg(value_enum, default_value = "recipe")]
    pub(crate) of: SchemaKind,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SchemaKind {
    /// A recipe
    Recipe,
    /// The manifest of a data set
    Manifest,
    /// No schema: every key and part with its texts, as the documentation reads them
    Reference,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecipeCommand {
    /// Names and descriptions
    List,
    /// Methods that adapt a backbone: the value of adapter.method
    Methods,
    /// Heads: the value of tasks.NAME.head.name
    Heads,
    /// Losses of tasks: the value of tasks.NAME.loss.name
    Losses,
    /// Backbones by timm's names: the value of backbone.name
    Backbones,
    /// Names of balancers, what each needs and costs, and its paper
    Balancers,
    /// What evaluation prints for each kind of task, and how it is defined
    Metrics,
    /// Say what a key of a recipe or a manifest means, its type and its default
    #[command(
        after_help = "Examples:\n  polyptych recipe explain train.lr\n  polyptych recipe explain adapter.r\n  polyptych recipe explain allow_void"
    )]
    Explain {
        /// Path of the key, or the end of it
        key: String,
    },
    /// Print a JSON Schema, by which editors complete and check TOML
    #[command(
        after_help = "Examples:\n  polyptych recipe schema > recipe.schema.json\n  polyptych recipe schema manifest > manifest.schema.json"
    )]
    Schema(SchemaFlags),
    /// Print a recipe
    Show {
        /// Name of a shipped recipe
        name: String,
    },
    /// Write a whole recipe for a data set of one's own, and say what was chosen and why
    #[command(after_help = "Examples:\n  polyptych recipe new mine.toml --root DIR")]
    New {
        /// The manifest, such as `polyptych data new` writes
        manifest: PathBuf,
        /// Folder of the data set [default: data/NAME after the manifest]
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        /// The recipe, a new file [default: NAME.recipe.toml after the manifest]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Copy a recipe to a file, to change it there
    Copy {
        /// Name of a shipped recipe
        name: String,
        /// The file [default: NAME.toml]
        to: Option<PathBuf>,
    },
}
