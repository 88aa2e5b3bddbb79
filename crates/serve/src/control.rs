//! What other threads may ask of a server.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

/// Ends a server, or lets it read its model anew, from other threads.
#[derive(Debug, Clone)]
pub struct Control {
    stop: Arc<watch::Sender<bool>>,
    reload: mpsc::Sender<()>,
}

impl Control {
    pub(crate) fn new(stop: watch::Sender<bool>, reload: mpsc::Sender<()>) -> Self {
        Self { stop: Arc::new(stop), reload }
    }

    /// Lets the server take no more connections, answer what it took, and end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Lets the server read its model's folder anew; a model that answers other questions is
    /// refused, with a line in the log, and the old one goes on.
    pub fn reload(&self) {
        // Where one is waiting already, it will find what this one would.
        let _ = self.reload.try_send(());
    }
}
