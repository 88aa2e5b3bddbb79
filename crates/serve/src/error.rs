//! Why a server does not start, or ends.

use std::net::SocketAddr;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a server; those of single requests are answers of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A number or word of the configuration.
    #[error("{what}: expected {expected}, found {found}")]
    Config {
        /// Which one.
        what: &'static str,
        /// What serves.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// An address that other machines can ask, without a token.
    #[error(
        "{addr}: expected a token, because other machines can ask this address, found none; set \
         POLYPTYCH_TOKEN, or listen on 127.0.0.1"
    )]
    Token {
        /// The address.
        addr: SocketAddr,
    },
    /// A task that the model does not have.
    #[error("task `{task}`: expected one of {}, found none of that name", known.join(", "))]
    Task {
        /// Its name.
        task: String,
        /// Names of the model's tasks.
        known: Vec<String>,
    },
    /// An address that cannot be listened on.
    #[error(
        "{addr}: expected a free port, found `{source}`; name another with --addr, where port 0 \
         lets the system choose"
    )]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// A new model that would answer otherwise than the one that is served.
    #[error("{key}: expected {expected} as in the model that is served, found {found}")]
    Swap {
        /// What differs.
        key: String,
        /// Its value in the model that is served.
        expected: String,
        /// Its value in the new one.
        found: String,
    },
    /// The system gives no threads, or nothing to read events from.
    #[error("server: {0}")]
    Io(#[from] std::io::Error),
    /// The thread of the model ended.
    #[error("the thread of the model ended: {reason}")]
    Worker {
        /// Its last words.
        reason: String,
    },
    /// A model that cannot be opened.
    #[error(transparent)]
    Engine(#[from] polyptych_engine::Error),
}
