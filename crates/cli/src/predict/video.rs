//! Videos, frame by frame, through the program ffmpeg.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use ndarray::Array3;
use polyptych_engine::{Drawing, Predictor};

use super::inputs::Input;
use super::table::Table;
use crate::output::note;

/// A frame may have so many pixels.
const MAX_PIXELS: usize = 100_000_000;
/// Sides must be even, since colours have half the resolution.
const EVEN: &str = "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white";

/// Predicts every frame.
pub(super) struct Video<'a> {
    pub(super) predictor: &'a Predictor,
    /// Without a range of depths that of the first frame is kept, or colours would flicker.
    pub(super) drawing: Drawing,
}

impl Video<'_> {
    /// Writes panels of the frames of `input` as a video of the same rate to `place`.
    ///
    /// # Errors
    /// No ffmpeg, or a file that it cannot read or write; nothing is left at `place` then.
    pub(super) fn write(&self, input: &Input, place: &Path, table: &mut Table) -> Result<()> {
        let aside = place.with_extension("unfinished.mp4");
        let written = self.frames(input, &aside, table);
        match written {
            Ok(()) => std::fs::rename(&aside, place).with_context(|| place.display().to_string()),
            Err(e) => {
                // It may not have been begun.
                drop(std::fs::remove_file(&aside));
                Err(e)
            }
        }
    }

    fn frames(&self, input: &Input, place: &Path, table: &mut Table) -> Result<()> {
        let rate = rate(&input.file)?;
        let mut reader = Decoder::start(&input.file, &rate)?;
        let (mut writer, mut drawing, mut count) = (None, self.drawing, 0);
        while let Some(frame) = reader.next()? {
            let prediction = self.predictor.predict_image(frame)?;
            drawing.depth_range = drawing.depth_range.or(self.predictor.depth_range(&prediction));
            let panel = self.predictor.panel(&prediction, drawing);
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(Encoder::start(place, &rate)?),
            };
            writer.write([panel.width(), panel.height()], panel.as_raw())?;
            table.add(&input.shown, Some(count), self.predictor, &prediction);
            count += 1;
            if count % 100 == 0 {
                note!("{}: {count} frames", input.shown);
            }
        }
        reader.finish()?;
        writer.context("expected a video, found no frame in it")?.finish()
    }
}

/// Frames per second, as a fraction.
fn rate(file: &Path) -> Result<String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=avg_frame_rate"])
        .args(["-of", "csv=p=0"])
        .arg(file)
        .output()
        .context("ffprobe: expected the programs of ffmpeg for videos; install ffmpeg")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", last_line(&said));
    let rate = String::from_utf8_lossy(&output.stdout);
    let rate = rate.trim().trim_end_matches(',').to_owned();
    ensure!(!rate.is_empty(), "expected a video, found no picture in it");
    // Files without a rate have 0/0.
    Ok(if rate.starts_with("0/") { "25".into() } else { rate })
}

fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or("ffmpeg failed without a word")
}

/// A program that is read or written, and whose complaints are kept.
struct Program {
    child: Child,
    complaints: Option<std::thread::JoinHandle<String>>,
}

impl Program {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .context("ffmpeg: expected the program for videos; install ffmpeg")?;
        let mut stderr = child.stderr.take().context("ffmpeg: no standard error")?;
        let complaints = std::thread::spawn(move || {
            let mut text = Vec::new();
            drop(stderr.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self { child, complaints: Some(complaints) })
    }

    fn finish(&mut self) -> Result<()> {
        let status = self.child.wait()?;
        let said = self.complaints.take().and_then(|thread| thread.join().ok());
        ensure!(status.success(), "{}", last_line(&said.unwrap_or_default()));
        Ok(())
    }
}

impl Drop for Program {
    /// A video that failed half way leaves no program behind; both calls do nothing to one that
    /// has ended.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Frames as portable pixmaps.
struct Decoder {
    program: Program,
    frames: BufReader<ChildStdout>,
}

impl Decoder {
    fn start(file: &Path, rate: &str) -> Result<Self> {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-i"]).arg(file);
        command.args(["-map", "0:v:0", "-fps_mode", "cfr", "-r", rate]);
        command.args(["-f", "image2pipe", "-c:v", "ppm", "-"]);
        let mut program = Program::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let frames = program.child.stdout.take().context("ffmpeg: no standard output")?;
        Ok(Self { program, frames: BufReader::new(frames) })
    }

    /// The next frame, `[height, width, 3]`; nothing behind the last one.
    fn next(&mut self) -> Result<Option<Array3<u8>>> {
        let Some([width, height]) = header(&mut self.frames)? else { return Ok(None) };
        let mut pixels = Array3::zeros((height, width, 3));
        let bytes = pixels.as_slice_mut().context("a new array lies in one piece")?;
        self.frames.read_exact(bytes).context("a frame that is cut off")?;
        Ok(Some(pixels))
    }

    fn finish(self) -> Result<()> {
        let Self { mut program, frames } = self;
        drop(frames);
        program.finish()
    }
}

/// Width and height of `P6\n<width> <height>\n255\n`; nothing at the end of the stream.
fn header(stream: &mut impl BufRead) -> Result<Option<[usize; 2]>> {
    let mut lines = [const { String::new() }; 3];
    for line in &mut lines {
        stream.by_ref().take(64).read_line(line)?;
    }
    if lines[0].is_empty() {
        return Ok(None);
    }
    let number = |text: &str| text.parse::<usize>().ok().filter(|n| (1..=MAX_PIXELS).contains(n));
    let size = lines[1].trim().split_once(' ').and_then(|(w, h)| Some([number(w)?, number(h)?]));
    match size {
        Some([width, height])
            if lines[0] == "P6\n" && lines[2] == "255\n" && width * height <= MAX_PIXELS =>
        {
            Ok(Some([width, height]))
        }
        _ => bail!("expected frames of up to {MAX_PIXELS} pixels, found {lines:?}"),
    }
}

/// H.264 where ffmpeg has it.
struct Encoder {
    program: Program,
    stdin: ChildStdin,
}

impl Encoder {
    fn start(place: &Path, rate: &str) -> Result<Self> {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-f", "image2pipe", "-c:v", "ppm"]);
        command.args(["-framerate", rate, "-i", "-", "-vf", EVEN]);
        command.args(["-pix_fmt", "yuv420p", "-movflags", "+faststart"]).arg(place);
        let mut program = Program::start(command.stdin(Stdio::piped()).stdout(Stdio::null()))?;
        let stdin = program.child.stdin.take().context("ffmpeg: no standard input")?;
        Ok(Self { program, stdin })
    }

    fn write(&mut self, [width, height]: [u32; 2], rgb: &[u8]) -> Result<()> {
        write!(self.stdin, "P6\n{width} {height}\n255\n")
            .and_then(|()| self.stdin.write_all(rgb))
            .context("ffmpeg takes no more frames")
    }

    fn finish(self) -> Result<()> {
        let Self { mut program, stdin } = self;
        drop(stdin);
        program.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_frames_are_read_and_others_refused() {
        let read = |text: &str| header(&mut text.as_bytes());
        assert_eq!(read("P6\n4 3\n255\nabc").unwrap(), Some([4, 3]));
        assert_eq!(read("").unwrap(), None);
        for wrong in
            ["P5\n4 3\n255\n", "P6\n4 0\n255\n", "P6\n4 3\n65535\n", "P6\n99999999 99999999\n255\n"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
