//! Paths, and who answers them.

mod blocking;
mod body;
mod guard;
mod infer;
mod openapi;
mod page;
mod predict;
mod status;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::decompression::RequestDecompressionLayer;

use crate::refusal::Refusal;
use crate::service::Shared;

/// All paths of a server.
pub(crate) fn router(service: Shared) -> Router {
    let at_work = Router::new()
        .route("/predict", post(predict::predict))
        .route("/v2/models/{model}/infer", post(infer::infer))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer::infer_version))
        .layer(RequestDecompressionLayer::new())
        .layer(from_fn_with_state(service.clone(), guard::admit));
    Router::new()
        .merge(at_work)
        .route("/", get(page::html))
        .route("/page.css", get(page::css))
        .route("/page.js", get(page::js))
        .route("/metrics", get(status::metrics))
        .route("/openapi.json", get(openapi::openapi))
        .route("/v2", get(status::server))
        .route("/v2/health/live", get(status::live))
        .route("/v2/health/ready", get(status::ready))
        .route("/v2/models/{model}", get(status::model))
        .route("/v2/models/{model}/ready", get(status::model_ready))
        .route("/v2/models/{model}/versions/{version}", get(status::version))
        .route("/v2/models/{model}/versions/{version}/ready", get(status::version_ready))
        .fallback(unknown)
        .method_not_allowed_fallback(method)
        .layer(from_fn_with_state(service.clone(), guard::watch))
        .with_state(service)
}

async fn unknown(request: Request) -> Refusal {
    Refusal::UnknownPath { path: request.uri().path().into() }
}

async fn method(request: Request) -> Refusal {
    let path = request.uri().path().into();
    Refusal::Method { path, method: request.method().to_string() }
}
