//! What stands before every answer: the token, the time limit, numbers, a line of the log; and
//! before those that cost, room.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::body;
use crate::refusal::Refusal;
use crate::service::Shared;

/// Paths that need no token: the page, which holds nothing of the model, and what load balancers
/// ask.
const OPEN: [&str; 5] = ["/", "/page.css", "/page.js", "/v2/health/live", "/v2/health/ready"];

/// What a request asked of the model, for the log.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) images: usize,
    pub(super) tasks: String,
    pub(super) batch: usize,
    pub(super) queue_ms: f64,
    pub(super) model_ms: f64,
}

/// Answers within the time limit, counts and logs.
pub(super) async fn watch(
    State(service): State<Shared>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let config = &service.config;
    let response = if may(config.token.as_deref(), &path, request.headers()) {
        let answered = tokio::time::timeout(config.timeout, next.run(request)).await;
        let late = |_| Refusal::Timeout { seconds: config.timeout.as_secs() }.into_response();
        answered.unwrap_or_else(late)
    } else {
        Refusal::Token.into_response()
    };
    let (status, time) = (response.status().as_u16(), began.elapsed());
    // Addresses of strangers must not become names of numbers.
    let route = matched.as_ref().map_or("other", MatchedPath::as_str);
    service.measures.request(route, status, time);
    let milliseconds = time.as_secs_f64() * 1e3;
    let extensions = response.extensions();
    let refusal = extensions.get::<Refusal>();
    let (code, reason) = (refusal.map(Refusal::code), refusal.map(tracing::field::display));
    match extensions.get::<Work>() {
        Some(Work { images, tasks, batch, queue_ms, model_ms }) => tracing::info!(
            %method, path, status, milliseconds, images, tasks, batch, queue_ms, model_ms, "request"
        ),
        None if refusal.is_some() => {
            tracing::warn!(%method, path, status, milliseconds, code, reason, "refused");
        }
        None => tracing::debug!(%method, path, status, milliseconds, "request"),
    }
    response
}

/// Whether a request carries the token where one is needed. The time that it takes tells nothing of
/// how much of it was right.
fn may(token: Option<&str>, path: &str, headers: &HeaderMap) -> bool {
    let Some(token) = token.filter(|_| !OPEN.contains(&path)) else { return true };
    let said = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let said = said.and_then(|value| value.split_once(' '));
    said.is_some_and(|(scheme, said)| {
        let same: bool = said.trim().as_bytes().ct_eq(token.as_bytes()).into();
        scheme.eq_ignore_ascii_case("bearer") && same
    })
}

/// Lets a request in where there is room for one image more; it is in hand until it is answered.
pub(super) async fn admit(State(service): State<Shared>, request: Request, next: Next) -> Response {
    match service.admit(1) {
        Ok(_room) => next.run(request).await,
        Err(refusal) => {
            body::drain(request.into_body(), service.config.max_bytes).await;
            refusal.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens_what_costs() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            may(Some("secret"), "/predict", &headers)
        };
        assert!(with("Bearer secret") && with("bearer secret"));
        assert!(!with("Bearer secre") && !with("Bearer secrets") && !with("Basic secret"));
        assert!(!with("secret"));
        let none = HeaderMap::new();
        assert!(may(Some("secret"), "/v2/health/ready", &none) && may(None, "/predict", &none));
        assert!(!may(Some("secret"), "/metrics", &none));
    }
}
