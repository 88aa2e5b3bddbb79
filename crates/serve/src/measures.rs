//! Numbers of a server, in the words of Prometheus.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use polyptych_engine::memory;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper ends of times, seconds.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Upper ends of batches, images.
const IMAGES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// All that is counted.
#[derive(Debug)]
pub(crate) struct Measures {
    registry: Registry,
    requests: Family<Request, Counter>,
    request_seconds: Family<Route, Histogram, fn() -> Histogram>,
    batch_images: Histogram,
    batch_seconds: Histogram,
    queue_seconds: Histogram,
    answers: Family<Task, Counter>,
    reloads: Family<Outcome, Counter>,
    waiting: Gauge,
    in_hand: Gauge,
    generation: Gauge<u64, AtomicU64>,
    memory: Gauge<u64, AtomicU64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Task {
    task: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Measures {
    pub(crate) fn new() -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        let new = Self {
            registry: Registry::with_prefix("polyptych"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            batch_images: Histogram::new(IMAGES),
            batch_seconds: seconds(),
            queue_seconds: seconds(),
            answers: Family::default(),
            reloads: Family::default(),
            waiting: Gauge::default(),
            in_hand: Gauge::default(),
            generation: Gauge::default(),
            memory: Gauge::default(),
        };
        new.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("requests", "Requests by route and status", self.requests.clone());
        registry.register(
            "request_seconds",
            "Time from a request's headers to its answer",
            self.request_seconds.clone(),
        );
        registry.register(
            "batch_images",
            "Images that went through the model together",
            self.batch_images.clone(),
        );
        registry.register(
            "batch_seconds",
            "Time of a batch in the model",
            self.batch_seconds.clone(),
        );
        registry.register(
            "queue_seconds",
            "Time that an image waited for the model",
            self.queue_seconds.clone(),
        );
        registry.register("answers", "Images by task that was asked for", self.answers.clone());
        registry.register("reloads", "Models read anew, by outcome", self.reloads.clone());
        registry.register("waiting_images", "Images that wait for the model", self.waiting.clone());
        registry.register("images_in_hand", "Images of all requests at work", self.in_hand.clone());
        registry.register(
            "model_generation",
            "1 for the first model, one more for each that took its place",
            self.generation.clone(),
        );
        registry.register(
            "resident_memory_bytes",
            "Memory of the process without pages of files",
            self.memory.clone(),
        );
        self
    }

    /// A request of `route` was answered.
    pub(crate) fn request(&self, route: &str, status: u16, time: Duration) {
        self.requests.get_or_create(&Request { route: route.into(), status }).inc();
        let of_route = Route { route: route.into() };
        self.request_seconds.get_or_create(&of_route).observe(time.as_secs_f64());
    }

    /// A batch of `images` went through the model.
    pub(crate) fn batch(&self, images: usize, time: Duration) {
        self.batch_images.observe(images as f64);
        self.batch_seconds.observe(time.as_secs_f64());
    }

    /// An image was answered for `task`.
    pub(crate) fn answer(&self, task: &str) {
        self.answers.get_or_create(&Task { task: task.into() }).inc();
    }

    /// An image waited for the model.
    pub(crate) fn waited(&self, time: Duration) {
        self.queue_seconds.observe(time.as_secs_f64());
    }

    /// A model was read anew, or refused.
    pub(crate) fn reload(&self, taken: bool) {
        let outcome = if taken { "taken" } else { "refused" };
        self.reloads.get_or_create(&Outcome { outcome }).inc();
    }

    /// The model `number` answers now.
    pub(crate) fn generation(&self, number: u64) {
        self.generation.set(number);
    }

    /// All numbers as text; `waiting` and `in_hand` images are counted now.
    pub(crate) fn text(&self, waiting: usize, in_hand: usize) -> String {
        self.waiting.set(waiting as i64);
        self.in_hand.set(in_hand as i64);
        self.memory.set(memory::resident_bytes().unwrap_or(0));
        let mut text = String::new();
        // A string takes all that is written.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_reads_counts_and_times() {
        let measures = Measures::new();
        measures.request("/predict", 200, Duration::from_millis(3));
        measures.request("/predict", 503, Duration::from_millis(1));
        measures.batch(4, Duration::from_millis(20));
        measures.answer("depth");
        measures.reload(false);
        measures.generation(2);
        let text = measures.text(3, 5);
        for line in [
            "polyptych_requests_total{route=\"/predict\",status=\"503\"} 1",
            "polyptych_request_seconds_count{route=\"/predict\"} 2",
            "polyptych_batch_images_bucket{le=\"4.0\"} 1",
            "polyptych_answers_total{task=\"depth\"} 1",
            "polyptych_reloads_total{outcome=\"refused\"} 1",
            "polyptych_waiting_images 3",
            "polyptych_images_in_hand 5",
            "polyptych_model_generation 2",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
