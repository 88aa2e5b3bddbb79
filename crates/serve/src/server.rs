//! A server from its first connection to its last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use polyptych_tensor::get_num_threads;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::control::Control;
use crate::http::router;
use crate::service::Service;
use crate::threads;
use crate::watch::{Fingerprint, watch as watch_folder};
use crate::{Error, Result, ServeConfig};

/// Threads that talk to clients; what computes runs elsewhere.
const HTTP_THREADS: usize = 2;
/// Connections that are open at a time; others wait to be accepted.
const CONNECTIONS: usize = 1024;
/// How long a client may take for the headers of a request, and stay without one.
const HEADERS: Duration = Duration::from_secs(60);
/// How often the model's thread is looked after.
const PULSE: Duration = Duration::from_millis(500);

/// A model that answers over HTTP.
#[derive(Debug)]
pub struct Server {
    runtime: Runtime,
    listener: TcpListener,
    service: Arc<Service>,
    addr: SocketAddr,
    control: Control,
    stopped: watch::Receiver<bool>,
    reloads: mpsc::Receiver<()>,
    fingerprint: Fingerprint,
}

impl Server {
    /// Opens the model and the port.
    ///
    /// # Errors
    /// A configuration that serves nobody, an address of others without a token, a port that is not
    /// free, a model that cannot be opened or lacks a task.
    pub fn open(config: ServeConfig) -> Result<Self> {
        config.validate()?;
        let model_threads = get_num_threads();
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(HTTP_THREADS)
            .max_blocking_threads(cores + 2)
            .thread_name("http")
            .on_thread_start(threads::compute_alone)
            .enable_all()
            .build()?;
        let addr = config.addr;
        let bind = |source| Error::Bind { addr, source };
        let listener = runtime.block_on(TcpListener::bind(addr)).map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let fingerprint = Fingerprint::of(&config.run);
        let service = Arc::new(runtime.block_on(Service::open(config, model_threads))?);
        let ((stop, stopped), (reload, reloads)) = (watch::channel(false), mpsc::channel(1));
        let control = Control::new(stop, reload);
        Ok(Self { runtime, listener, service, addr, control, stopped, reloads, fingerprint })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The model's name in addresses.
    pub fn model(&self) -> String {
        self.service.model().name.clone()
    }

    /// Names of the tasks that are served.
    pub fn tasks(&self) -> Vec<String> {
        self.service.model().tasks.iter().map(|task| task.spec.name.clone()).collect()
    }

    /// What ends it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Answers until it is stopped, and then what it took.
    ///
    /// # Errors
    /// A model's thread that died.
    pub fn run(self) -> Result<()> {
        let Self { runtime, listener, service, control, stopped, reloads, fingerprint, .. } = self;
        let outcome = runtime.block_on(async {
            let config = service.config.clone();
            tokio::spawn(reload(service.clone(), reloads));
            tokio::spawn(look_after(service.clone(), control.clone()));
            if config.watch {
                tokio::spawn(watch_folder(config.run.clone(), fingerprint, control));
            }
            accept(listener, router(service.clone()), stopped, config.timeout).await;
            service.end().await
        });
        // Nothing that is still at work has anybody who waits for it.
        runtime.shutdown_background();
        outcome
    }
}

async fn reload(service: Arc<Service>, mut asked: mpsc::Receiver<()>) {
    while asked.recv().await.is_some() {
        match service.reload().await {
            Ok(generation) => tracing::info!(generation, "another model answers"),
            Err(error) => {
                tracing::warn!(%error, "the model was not read anew; the old one goes on")
            }
        }
    }
}

/// Ends the server where the model's thread has died.
async fn look_after(service: Arc<Service>, control: Control) {
    while service.is_alive() {
        tokio::time::sleep(PULSE).await;
    }
    control.stop();
}

async fn accept(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    timeout: Duration,
) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async {
            let permit = room.clone().acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            next = next => next,
            _ = stopped.wait_for(|&stop| stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = graceful.watch(connection(stream, router.clone()));
                tokio::spawn(async move {
                    let _permit = permit;
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection broke off");
                    }
                });
            }
            Err(error) => {
                // Too many open files, say: others may close some.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    // What was taken ends by its own time limit.
    if tokio::time::timeout(timeout + PULSE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some clients did not take their answers");
    }
}

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

fn connection(stream: TcpStream, router: Router) -> Connection {
    // Answers are written whole.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
