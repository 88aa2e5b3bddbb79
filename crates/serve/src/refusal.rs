//! Answers to requests that cannot be served: a status, a name for programs, and a line for people.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "expected `Authorization: Bearer TOKEN` with the token of this server, found none or another"
    )]
    Token,
    #[error("{0}")]
    BadQuery(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    BadTensor(String),
    #[error("{0}")]
    CorruptImage(String),
    #[error("expected at most {limit} pixels, found {width} x {height}")]
    TooManyPixels { width: usize, height: usize, limit: usize },
    #[error("expected a body of at most {limit} bytes, found more")]
    TooManyBytes { limit: usize },
    #[error("expected at most {limit} images in a request, found {found}")]
    TooManyImages { found: usize, limit: usize },
    #[error("task `{task}`: expected {}, found none of that name{}", known.join(", "), meant(task, known))]
    UnknownTask { task: String, known: Vec<String> },
    #[error("model `{model}`: expected `{known}`, found none of that name")]
    UnknownModel { model: String, known: String },
    #[error("version `{version}`: expected `{known}`, found none of that number")]
    UnknownVersion { version: String, known: u64 },
    #[error("{path}: expected a path of /openapi.json, found none")]
    UnknownPath { path: String },
    #[error("{path}: method {method} is not allowed")]
    Method { path: String, method: String },
    #[error("the request body ended early: {0}")]
    Broken(String),
    #[error("the server is full: {in_hand} images are in progress; try again")]
    Overloaded { in_hand: usize },
    #[error("the request took longer than {seconds} s")]
    Timeout { seconds: u64 },
    #[error("the model failed: {0}")]
    Model(String),
    #[error("the server is shutting down")]
    Ending,
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::BadQuery(_)
            | Self::BadRequest(_)
            | Self::BadTensor(_)
            | Self::CorruptImage(_)
            | Self::UnknownTask { .. }
            | Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::TooManyPixels { .. } | Self::TooManyBytes { .. } | Self::TooManyImages { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::UnknownModel { .. } | Self::UnknownVersion { .. } | Self::UnknownPath { .. } => {
                StatusCode::NOT_FOUND
            }
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Overloaded { .. } | Self::Ending => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Model(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The name that programs compare.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::BadQuery(_) => "bad_query",
            Self::BadRequest(_) => "bad_request",
            Self::BadTensor(_) => "bad_tensor",
            Self::CorruptImage(_) => "corrupt_image",
            Self::TooManyPixels { .. } => "too_many_pixels",
            Self::TooManyBytes { .. } => "too_many_bytes",
            Self::TooManyImages { .. } => "too_many_images",
            Self::UnknownTask { .. } => "unknown_task",
            Self::UnknownModel { .. } => "unknown_model",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::UnknownPath { .. } => "unknown_path",
            Self::Method { .. } => "method",
            Self::Broken(_) => "broken_body",
            Self::Overloaded { .. } => "overloaded",
            Self::Timeout { .. } => "timeout",
            Self::Model(_) => "model_failed",
            Self::Ending => "ending",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.to_string(), "code": self.code()}));
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self == Self::Token {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

fn meant(task: &str, known: &[String]) -> String {
    let close = known.iter().filter(|name| strsim::osa_distance(name, task) <= 2);
    let closest = close.min_by_key(|name| strsim::osa_distance(name, task));
    closest.map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_close_by_are_proposed() {
        let known = vec!["depth".to_owned(), "semseg".to_owned()];
        let refusal = Refusal::UnknownTask { task: "dept".into(), known };
        assert_eq!(
            refusal.to_string(),
            "task `dept`: expected depth, semseg, found none of that name; did you mean `depth`?"
        );
        assert_eq!(refusal.into_response().status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn full_servers_say_when_to_come_back() {
        let response = Refusal::Overloaded { in_hand: 64 }.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(Refusal::Token.into_response().headers()[WWW_AUTHENTICATE], "Bearer");
    }
}
