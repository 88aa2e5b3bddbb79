//! A server of the program, and how tests ask it.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use image::{ImageFormat, RgbImage};
use serde_json::Value;

use crate::common::{program, succeed};

/// A folder with a run of six tasks that was trained for two steps, `run`, the same merged,
/// `merged`, and a photograph, `photograph.jpg`.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("serve");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        train(&folder, "run", &[]);
        succeed(&folder, &["merge", "run", "--out", "merged"]);
        std::fs::write(folder.join("photograph.jpg"), jpeg(60, 40)).unwrap();
        folder
    })
}

/// Trains the quickstart for two steps.
pub(crate) fn train(folder: &Path, out: &str, more: &[&str]) {
    let mut args = vec!["train", "quickstart", "--out", out];
    for set in [
        "device=cpu",
        "compare=[]",
        "train.steps=2",
        "train.eval_every=2",
        "train.save_every=2",
        "train.schedule.warmup_steps=1",
        "data.batch_size=2",
        "data.cache_mib=0",
        "data.train.0.len=4",
        "data.eval.0.len=2",
    ] {
        args.extend(["--set", set]);
    }
    args.extend(more);
    succeed(folder, &args);
}

/// A photograph of a slope of colours.
pub(crate) fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let colour =
        |x: u32, y: u32| image::Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 90]);
    encoded(&RgbImage::from_fn(width, height, colour), ImageFormat::Jpeg)
}

pub(crate) fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A server that ends with the test.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) address: String,
    /// Its first line.
    pub(crate) greeting: String,
}

/// What a server answered.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Served {
    /// Serves `run` of [`folder`].
    pub(crate) fn start(run: &str, more: &[&str]) -> Self {
        Self::start_with(run, more, &[])
    }

    pub(crate) fn start_with(run: &str, more: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = program(folder());
        command.args(["serve", run, "--addr", "127.0.0.1:0"]).args(more).envs(env.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut greeting = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
        let Some(address) = greeting.split_whitespace().next().map(str::to_owned) else {
            let mut errors = String::new();
            child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("no greeting: {errors}");
        };
        Self { child, address, greeting }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        reply(agent().get(format!("{}{path}", self.address)).call())
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Reply {
        self.post_with(path, &[], body)
    }

    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = agent().post(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        reply(request.send(body))
    }

    /// Asks it to predict and keeps the photograph back: other images wait for this one until the
    /// connection is dropped.
    pub(crate) fn keep_waiting(&self) -> TcpStream {
        let host = self.address.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).unwrap();
        let fields = "Content-Length: 1000\r\nExpect: 100-continue";
        write!(stream, "POST /predict HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n\r\n").unwrap();
        // Said once the server wants the photograph, so the request is known by then.
        let mut status = String::new();
        BufReader::new(&stream).read_line(&mut status).unwrap();
        assert_eq!(status, "HTTP/1.1 100 Continue\r\n");
        stream
    }

    /// Sends it a signal, by the name that the shell has for it.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = std::process::Command::new("kill").args([name, &id]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until it has ended, and says how and what it wrote to standard error.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code(), errors)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.timeout_global(Some(Duration::from_secs(120))).build().into()
}

fn reply(outcome: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Reply {
    let mut response = outcome.unwrap();
    let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
    Reply { status: response.status().as_u16(), headers: response.headers().clone(), body }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The answer, which must be a refusal: status, name and line.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let words = self.json();
        let word = |key: &str| words[key].as_str().unwrap().to_owned();
        (self.status, word("code"), word("error"))
    }
}

/// Shape and numbers of a `.npy` file.
pub(crate) fn npy(bytes: &[u8]) -> (String, Vec<f32>) {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8(bytes[10..end].to_vec()).unwrap();
    let whole = header.contains("'<i4'");
    let number = |four: &[u8]| {
        let four = four.try_into().unwrap();
        if whole { i32::from_le_bytes(four) as f32 } else { f32::from_le_bytes(four) }
    };
    let shape = header.split("'shape': ").nth(1).unwrap().split(", }").next().unwrap();
    (shape.to_owned(), bytes[end..].chunks_exact(4).map(number).collect())
}
