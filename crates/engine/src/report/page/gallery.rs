//! The worst and the best samples, with their errors.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ImageFormat, RgbImage};
use maud::{Markup, html};
use polyptych_data::TaskSpec;

use super::matrices;
use super::parts::Shown;
use crate::report::extremes::{Extreme, Extremes};

/// Longer side of a picture on the page.
const SIDE: u32 = 288;
const QUALITY: u8 = 85;

/// Every task of every run.
pub(super) fn samples(runs: &[Shown]) -> Markup {
    let some = || runs.iter().filter(|shown| !shown.extremes.is_empty());
    if some().next().is_none() {
        return html! {};
    }
    html! {
        @for shown in some() {
            @if runs.len() > 1 { h3 { (shown.run.name) } }
            @for (place, extremes) in shown.extremes.iter().enumerate() {
                details open[place == 0] {
                    summary { (extremes.task) ": worst and best of " (extremes.labelled) " samples" }
                    (task(shown, extremes))
                }
            }
        }
    }
}

fn task(shown: &Shown, extremes: &Extremes) -> Markup {
    let spec = shown.run.specs.iter().find(|spec| spec.name == extremes.task);
    let maps = extremes.shown.iter().any(|extreme| !extreme.maps.is_empty());
    html! {
        @if maps { p.soft { "Error: " (extremes.error_words) "." } }
        @if let Some(spec) = spec { (legend(spec)) }
        div.samples { @for extreme in &extremes.shown { (sample(&extremes.task, extreme)) } }
    }
}

fn legend(spec: &TaskSpec) -> Markup {
    html! {
        @if spec.is_dense() && !spec.palette.is_empty() && spec.classes.len() <= 64 {
            ul.legend { @for (index, class) in spec.classes.iter().enumerate() {
                li { (matrices::swatch(spec, index)) (class) }
            } }
        }
    }
}

fn sample(task: &str, extreme: &Extreme) -> Markup {
    let end = if extreme.worst { "worst" } else { "best" };
    html! {
        figure.sample {
            figcaption {
                (end) ": " (extreme.name) " " span.soft { (extreme.score) }
            }
            @if let Some(caption) = &extreme.caption { p { (caption) } }
            div.pictures {
                (picture(&format!("photograph {}", extreme.name), "photograph", jpeg(&extreme.photograph)))
                @for (kind, map) in &extreme.maps {
                    (picture(&format!("{kind} of {task} in {}", extreme.name), kind, png(map)))
                }
            }
        }
    }
}

fn picture(alt: &str, title: &str, source: Option<String>) -> Markup {
    html! {
        @if let Some(source) = source {
            div { img alt=(alt) src=(source) loading="lazy"; (title) }
        }
    }
}

/// A picture that is no larger than the page shows it.
fn fitted(picture: &RgbImage, filter: FilterType) -> RgbImage {
    let (width, height) = picture.dimensions();
    let longer = width.max(height).max(1);
    if longer <= SIDE {
        return picture.clone();
    }
    let extent = |of: u32| (of * SIDE / longer).max(1);
    imageops::resize(picture, extent(width), extent(height), filter)
}

fn jpeg(picture: &RgbImage) -> Option<String> {
    let mut bytes = Vec::new();
    let small = fitted(picture, FilterType::Triangle);
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&small).ok()?;
    Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}

fn png(picture: &RgbImage) -> Option<String> {
    let mut bytes = Cursor::new(Vec::new());
    fitted(picture, FilterType::Nearest).write_to(&mut bytes, ImageFormat::Png).ok()?;
    Some(format!("data:image/png;base64,{}", STANDARD.encode(bytes.into_inner())))
}
