//! `POST /predict`: a photograph in, what the model sees in it out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use ndarray::Array3;
use polyptych_data::resize_image;
use serde::Deserialize;
use serde_json::json;

use super::blocking::blocking;
use super::body;
use super::guard::Work;
use crate::answer::Answer;
use crate::model::{Description, Selection, Served};
use crate::photograph::{decode, fitted, prepare};
use crate::refusal::Refusal;
use crate::render::{self, Extras};
use crate::service::{Question, Shared};

/// Maps of larger photographs are scaled down to this many pixels on the longer side.
const MAX_SIDE: usize = 2048;
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    /// Names, separated by commas.
    tasks: Option<String>,
    #[serde(default)]
    format: Format,
    max_side: Option<usize>,
    /// JSON alone.
    #[serde(default)]
    pictures: bool,
    /// JSON alone.
    #[serde(default)]
    values: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Png,
    Npy,
}

/// A request that is understood.
struct Asked {
    params: Params,
    max_side: usize,
    tasks: Selection,
}

pub(super) async fn predict(
    State(service): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    let model = service.model();
    let asked = asked(&request, &model)?;
    let coming = service.expect();
    let config = &service.config;
    let bytes = body::photograph(request, config.max_bytes).await?;
    let (limit, max_side, reader) = (config.max_pixels, asked.max_side, model.clone());
    let began = Instant::now();
    let decoded = move || {
        let photograph = decode(&bytes, limit)?;
        let (height, width, _) = photograph.dim();
        let image = prepare(photograph.view(), &reader.input);
        Ok((photograph, image, fitted(height, width, max_side)))
    };
    let (photograph, image, size) = blocking(decoded).await?;
    let decoding = began.elapsed();
    let question = Question { image, tasks: asked.tasks.clone() };
    let answer = service.ask(question);
    drop(coming);
    let answer = answer.await?;
    service.note(&model, &asked.tasks, &answer);
    let work = work(&model, &asked.tasks, &answer);
    let drawn = move || {
        let began = Instant::now();
        let tasks = asked.tasks.iter().map(|&task| &model.tasks[task]);
        let maps = answer.maps(tasks, size)?;
        Seen { model, asked, photograph, answer, maps, decoding }.rendered(size, began)
    };
    let mut response = blocking(drawn).await?;
    response.extensions_mut().insert(work);
    Ok(response)
}

/// # Errors
/// A query with unknown keys or values, an unknown task, a picture without maps.
fn asked(request: &Request, model: &Description) -> Result<Asked, Refusal> {
    let query = Query::<Params>::try_from_uri(request.uri());
    let Query(params) = query.map_err(|error| Refusal::BadQuery(error.body_text()))?;
    let names = params.tasks.iter().flat_map(|tasks| tasks.split(','));
    let tasks = model.select(names.map(str::trim).filter(|name| !name.is_empty()))?;
    let max_side = params.max_side.unwrap_or(MAX_SIDE);
    if max_side == 0 {
        return Err(Refusal::BadQuery("max_side: expected 1 or more, found 0".into()));
    }
    let has_map = tasks.iter().any(|&task| model.tasks[task].spec.is_dense());
    if params.format == Format::Png && !has_map {
        return Err(Refusal::BadQuery("format=png: expected a task with a map, found none".into()));
    }
    Ok(Asked { params, max_side, tasks })
}

pub(super) fn work(model: &Description, tasks: &Selection, answer: &Answer) -> Work {
    let names: Vec<&str> = tasks.iter().map(|&task| model.tasks[task].spec.name.as_str()).collect();
    let times = answer.times;
    let (queue_ms, model_ms) = (milliseconds(times.queue), milliseconds(times.model));
    Work { images: 1, tasks: names.join(","), batch: times.batch, queue_ms, model_ms }
}

fn milliseconds(time: Duration) -> f64 {
    // Microseconds are enough for people.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// All that an answer is drawn from.
struct Seen {
    model: Arc<Description>,
    asked: Asked,
    photograph: Array3<u8>,
    answer: Answer,
    maps: Vec<Array3<f32>>,
    decoding: Duration,
}

impl Seen {
    fn maps(&self) -> impl Iterator<Item = (&Served, &Array3<f32>)> {
        self.asked.tasks.iter().map(|&task| &self.model.tasks[task]).zip(&self.maps)
    }

    fn rendered(&self, size: [usize; 2], began: Instant) -> Result<Response, Refusal> {
        let mut response = match self.asked.params.format {
            Format::Json => Json(self.json(size, began)?).into_response(),
            Format::Png => ([(CONTENT_TYPE, "image/png")], self.png(size)?).into_response(),
            Format::Npy => self.npy()?,
        };
        let times = [
            ("decode", self.decoding),
            ("queue", self.answer.times.queue),
            ("model", self.answer.times.model),
            ("render", began.elapsed()),
        ];
        let times =
            times.map(|(name, time)| format!("{name};dur={}", milliseconds(time))).join(", ");
        if let Ok(value) = HeaderValue::try_from(times) {
            response.headers_mut().insert(SERVER_TIMING, value);
        }
        Ok(response)
    }

    fn json(
        &self,
        [height, width]: [usize; 2],
        began: Instant,
    ) -> Result<serde_json::Value, Refusal> {
        let Params { pictures, values, .. } = self.asked.params;
        let tasks =
            self.maps().map(|(task, map)| render::task(task, map, Extras { pictures, values }));
        let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
        let (high, wide, _) = self.photograph.dim();
        let times = self.answer.times;
        Ok(json!({
            "model": self.model.name,
            "generation": self.answer.generation,
            "photograph": {"height": high, "width": wide},
            "maps": {"height": height, "width": width},
            "tasks": tasks,
            "milliseconds": {
                "decode": milliseconds(self.decoding), "queue": milliseconds(times.queue),
                "model": milliseconds(times.model), "render": milliseconds(began.elapsed()),
            },
            "batch": times.batch,
        }))
    }

    fn png(&self, size: [usize; 2]) -> Result<Vec<u8>, Refusal> {
        let (height, width, _) = self.photograph.dim();
        let maps = self.maps().map(|(task, map)| (&task.spec, map.view()));
        match [height, width] == size {
            true => render::png(&self.photograph, maps),
            false => render::png(&resize_image(self.photograph.view(), size), maps),
        }
    }

    /// One array, or an archive of several.
    fn npy(&self) -> Result<Response, Refusal> {
        let mut maps = self.maps();
        let (kind, name, bytes) = match (maps.next(), maps.next()) {
            (Some((task, map)), None) => {
                ("application/octet-stream", "map.npy", render::npy(task, map))
            }
            _ => ("application/zip", "maps.npz", render::npz(self.maps())?),
        };
        let saved_as = format!("attachment; filename=\"{name}\"");
        let headers = [(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, saved_as)];
        Ok((headers, bytes).into_response())
    }
}
