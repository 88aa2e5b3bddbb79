//! `POST /v2/models/{name}/infer`: tensors in, tensors out.

use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use ndarray::ArrayView4;

use super::blocking::blocking;
use super::body;
use super::guard::Work;
use super::predict::work;
use super::status::{require_model, require_version};
use crate::answer::Answer;
use crate::model::{Description, Input, Selection};
use crate::photograph::{bounded, prepare};
use crate::protocol::{self, Images, Inference, Output, Tensor};
use crate::refusal::Refusal;
use crate::service::{Question, Shared};

const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

pub(super) async fn infer(
    State(service): State<Shared>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    require_model(&service, &name)?;
    answered(&service, request).await
}

pub(super) async fn infer_version(
    State(service): State<Shared>,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    require_version(&service, &name, &version)?;
    answered(&service, request).await
}

async fn answered(service: &Shared, request: Request) -> Result<Response, Refusal> {
    let model = service.model();
    let json_length = json_length(request.headers())?;
    let (config, coming) = (service.config.clone(), service.expect());
    let bytes = body::read(request.into_body(), config.max_bytes).await?;
    let reader = model.clone();
    let read = move || {
        let mut inference = protocol::read(&bytes, json_length, &reader)?;
        let count = inference.images.count();
        if count > config.queue {
            return Err(Refusal::TooManyImages { found: count, limit: config.queue });
        }
        let tasks = reader.select(inference.outputs.iter().map(|output| output.name.as_str()))?;
        let images =
            std::mem::replace(&mut inference.images, Images::Planes { count, values: Vec::new() });
        let prepared = prepared(images, &reader.input, config.max_pixels)?;
        Ok((inference, tasks, prepared))
    };
    let (inference, tasks, images) = blocking(read).await?;
    // One image came in with the request.
    let _room = service.admit(images.len() - 1)?;
    let ask = |image| service.ask(Question { image, tasks: tasks.clone() });
    let asked: Vec<_> = images.into_iter().map(ask).collect();
    drop(coming);
    let mut answers = Vec::with_capacity(asked.len());
    for answer in asked {
        let answer = answer.await?;
        service.note(&model, &tasks, &answer);
        answers.push(answer);
    }
    let work = Work { images: answers.len(), ..work(&model, &tasks, &answers[0]) };
    let write = move || written(&model, &inference, &tasks, &answers);
    let mut response = blocking(write).await?;
    response.extensions_mut().insert(work);
    Ok(response)
}

/// # Errors
/// A header that is no number.
fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let Some(value) = headers.get(JSON_LENGTH) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let wrong =
        || Refusal::BadRequest(format!("{JSON_LENGTH}: expected a number, found {value:?}"));
    number.map(Some).ok_or_else(wrong)
}

/// Each image as the network reads it.
fn prepared(images: Images, input: &Input, max_pixels: usize) -> Result<Vec<Vec<f32>>, Refusal> {
    match images {
        Images::Planes { count, values } => {
            Ok(values.chunks_exact(values.len() / count).map(<[f32]>::to_vec).collect())
        }
        Images::Pixels { shape: [count, height, width], values } => {
            bounded(width, height, max_pixels)?;
            let view = ArrayView4::from_shape((count, height, width, 3), &values);
            let view = view.map_err(|error| Refusal::BadTensor(error.to_string()))?;
            Ok(view.outer_iter().map(|image| prepare(image, input)).collect())
        }
    }
}

fn written(
    model: &Description,
    inference: &Inference,
    tasks: &Selection,
    answers: &[Answer],
) -> Result<Response, Refusal> {
    let of_one = |answer: &Answer| {
        answer.maps(tasks.iter().map(|&task| &model.tasks[task]), model.input.size)
    };
    let maps = answers.iter().map(of_one).collect::<Result<Vec<_>, _>>()?;
    let all = || {
        let names = model.tasks.iter().map(|task| task.spec.name.clone());
        names.map(|name| Output { name, binary: None }).collect::<Vec<_>>()
    };
    let asked = if inference.outputs.is_empty() { &all() } else { &inference.outputs };
    let tensor = |output: &Output| {
        let is = |&task: &usize| model.tasks[task].spec.name == output.name;
        let place = tasks.iter().position(is)?;
        let maps = maps.iter().map(|maps| &maps[place]).collect();
        let binary = output.binary.unwrap_or(inference.binary);
        Some(Tensor { task: &model.tasks[tasks[place]], maps, binary })
    };
    let tensors: Vec<Tensor> = asked.iter().filter_map(tensor).collect();
    let version = answers.first().map_or(0, |answer| answer.generation);
    let head = (model.name.as_str(), version, inference.id.as_deref());
    let (bytes, json_length) = protocol::write(head, &tensors);
    let kind = if json_length.is_some() { "application/octet-stream" } else { "application/json" };
    let mut response = ([(CONTENT_TYPE, kind)], bytes).into_response();
    if let Some(length) = json_length {
        response.headers_mut().insert(JSON_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}
