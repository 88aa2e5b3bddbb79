//! How do other programs ask a model over HTTP?
//!
//! [`Server`] opens a run or a merged model and answers for the tasks that a request asks for: the
//! backbone runs once per image, and no other head runs. Requests that wait go through the model
//! together.
//!
//! | method and path | what |
//! |---|---|
//! | `GET /` | a page: drop a photograph, see what the model sees |
//! | `POST /predict` | a photograph in; JSON, a PNG panel or NumPy arrays out |
//! | `GET /v2`, `/v2/health/live`, `/v2/health/ready` | Open Inference Protocol v2: the server |
//! | `GET /v2/models/{name}`, `/v2/models/{name}/ready` | the same: the model |
//! | `POST /v2/models/{name}/infer` | the same: tensors in and out, as JSON or binary |
//! | `GET /metrics` | numbers for Prometheus |
//! | `GET /openapi.json` | all of this for programs |
//!
//! Protocol: <https://github.com/kserve/open-inference-protocol>, with Triton's extension for binary
//! tensors.

mod answer;
mod config;
mod control;
mod error;
mod http;
mod measures;
mod model;
mod photograph;
mod protocol;
mod queue;
mod refusal;
mod render;
mod server;
mod service;
mod threads;
mod watch;
mod worker;

pub use config::ServeConfig;
pub use control::Control;
pub use error::{Error, Result};
pub use server::Server;
/// Where a server listens.
pub use std::net::SocketAddr;
