//! What the server and its model are, and whether they are at work.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::protocol::{EXTENSIONS, metadata};
use crate::refusal::Refusal;
use crate::service::Shared;

pub(super) async fn server() -> Json<Value> {
    let version = env!("CARGO_PKG_VERSION");
    Json(json!({"name": "polyptych", "version": version, "extensions": EXTENSIONS}))
}

pub(super) async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

pub(super) async fn ready(State(service): State<Shared>) -> Response {
    readiness(service.is_alive(), json!({"ready": service.is_alive()}))
}

pub(super) async fn model(
    State(service): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    require_model(&service, &name)?;
    Ok(Json(metadata(&service.model(), service.generation())))
}

pub(super) async fn version(
    State(service): State<Shared>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    require_version(&service, &name, &version)?;
    Ok(Json(metadata(&service.model(), service.generation())))
}

pub(super) async fn model_ready(
    State(service): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    require_model(&service, &name)?;
    let alive = service.is_alive();
    Ok(readiness(alive, json!({"name": name, "ready": alive})))
}

pub(super) async fn version_ready(
    State(service): State<Shared>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    require_version(&service, &name, &version)?;
    let alive = service.is_alive();
    Ok(readiness(alive, json!({"name": name, "ready": alive})))
}

fn readiness(alive: bool, body: Value) -> Response {
    let status = if alive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// # Errors
/// Another name than the model's.
pub(super) fn require_model(service: &Shared, name: &str) -> Result<(), Refusal> {
    let known = service.model().name.clone();
    if name == known { Ok(()) } else { Err(Refusal::UnknownModel { model: name.into(), known }) }
}

/// # Errors
/// Another name than the model's, or another number than that of the model that answers now.
pub(super) fn require_version(service: &Shared, name: &str, version: &str) -> Result<(), Refusal> {
    require_model(service, name)?;
    let known = service.generation();
    if version.parse() == Ok(known) {
        return Ok(());
    }
    Err(Refusal::UnknownVersion { version: version.into(), known })
}

pub(super) async fn metrics(State(service): State<Shared>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = service.measures.text(service.waiting(), service.in_hand());
    ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}
