//! Bodies of requests, whole and bounded.

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header::CONTENT_TYPE;

use crate::refusal::Refusal;

/// The field of a form that holds the photograph, where several have files.
const FIELD: &str = "image";
/// How long a client that is refused may go on sending.
const DRAIN: Duration = Duration::from_secs(5);

/// The whole body.
///
/// # Errors
/// More than `limit` bytes, or a client that broke off.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > limit as u64 {
        drain(body, limit).await;
        return Err(Refusal::TooManyBytes { limit });
    }
    to_bytes(body, limit).await.map_err(|error| match is_limit(&error) {
        true => Refusal::TooManyBytes { limit },
        false => Refusal::Broken(error.to_string()),
    })
}

/// Whether an error says that there was more than the limit.
fn is_limit(error: &(dyn Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.into_iter().any(|cause| cause.to_string().contains("length limit exceeded"))
}

/// Reads what a client is still sending, so that it hears the answer: up to `limit` bytes, which
/// are not kept.
pub(super) async fn drain(mut body: Body, limit: usize) {
    let all = async {
        let mut count = 0;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            count += frame.data_ref().map_or(0, Bytes::len);
            if count > limit {
                break;
            }
        }
    };
    // A client that sends slowly is cut off.
    let _ = tokio::time::timeout(DRAIN, all).await;
}

/// The bytes of the photograph in a request: its body, or a file of the form in it.
///
/// # Errors
/// As [`read`], or a form without a file.
pub(super) async fn photograph(request: Request, limit: usize) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_form = kind.is_some_and(|kind| kind.starts_with("multipart/form-data"));
    let bytes = read(body, limit).await?;
    if is_form { in_form(Request::from_parts(parts, Body::from(bytes))).await } else { Ok(bytes) }
}

async fn in_form(mut request: Request) -> Result<Bytes, Refusal> {
    let broken = |text: String| Refusal::BadRequest(format!("form: {text}"));
    axum::extract::DefaultBodyLimit::disable().apply(&mut request);
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| broken(error.body_text()))?;
    let mut first = None;
    while let Some(field) = form.next_field().await.map_err(|error| broken(error.body_text()))? {
        let named = field.name() == Some(FIELD);
        if named || (field.file_name().is_some() && first.is_none()) {
            let bytes = field.bytes().await.map_err(|error| broken(error.body_text()))?;
            if named {
                return Ok(bytes);
            }
            first = Some(bytes);
        }
    }
    first.ok_or_else(|| broken(format!("expected a file in a field `{FIELD}`, found none")))
}
