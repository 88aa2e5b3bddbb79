//! A small server of files on this machine, which may be asked to fail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As they should be.
    Well,
    /// So many answers end in their middle.
    Cut(usize),
    /// So many answers have status 503.
    Busy(usize),
    /// So many answers stop in their middle for longer than anyone waits.
    Slow(usize),
    /// Whatever is asked for, whole files are sent.
    Whole,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// First and last byte.
    pub(crate) range: Option<(usize, usize)>,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    manner: Manner,
    asked: Vec<Asked>,
}

/// Ends with the test.
pub(crate) struct Server {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn new(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let files = files.into_iter().collect();
        let state = State { files, manner: Manner::Well, asked: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &state));
            }
        });
        Self { address, state }
    }

    pub(crate) fn set(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.state.lock().unwrap().files.insert(name.to_owned(), bytes);
    }

    /// What was asked for since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

/// Answers one request; an error means that the client is gone.
fn answer(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let asked = request(&stream)?;
    let (file, manner) = noted(state, &asked);
    let head = "Connection: close\r\nContent-Length";
    let Some(file) = file else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\n{head}: 0\r\n\r\n").ok();
    };
    if let Manner::Busy(_) = manner {
        return write!(stream, "HTTP/1.1 503 Service Unavailable\r\n{head}: 0\r\n\r\n").ok();
    }
    let body = match asked.range.filter(|_| manner != Manner::Whole) {
        Some((start, last)) => {
            let part = &file[start..(last + 1).min(file.len())];
            let end = start + part.len() - 1;
            let all = file.len();
            let range = format!("Content-Range: bytes {start}-{end}/{all}");
            let length = part.len();
            write!(stream, "HTTP/1.1 206 Partial\r\n{range}\r\n{head}: {length}\r\n\r\n").ok()?;
            part
        }
        None => {
            write!(stream, "HTTP/1.1 200 OK\r\n{head}: {}\r\n\r\n", file.len()).ok()?;
            &file[..]
        }
    };
    match manner {
        Manner::Cut(_) => stream.write_all(&body[..body.len() / 2]).ok(),
        Manner::Slow(_) => {
            stream.write_all(&body[..body.len() / 2]).ok()?;
            std::thread::sleep(Duration::from_secs(8));
            stream.write_all(&body[body.len() / 2..]).ok()
        }
        _ => stream.write_all(body).ok(),
    }
}

fn request(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let mut range = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(bytes) = line.to_lowercase().strip_prefix("range: bytes=") {
            let (start, last) = bytes.split_once('-')?;
            range = Some((start.parse().ok()?, last.parse().ok()?));
        }
    }
    Some(Asked { path, range })
}

/// Notes the request; the file that it asks for, and how it is to be answered. Failures are for
/// requests of more than a byte: what asks how long a file is succeeds.
fn noted(state: &Mutex<State>, asked: &Asked) -> (Option<Vec<u8>>, Manner) {
    let mut state = state.lock().unwrap();
    state.asked.push(asked.clone());
    let file = state.files.get(&asked.path).cloned();
    let short = asked.range.is_some_and(|(start, last)| start == last);
    let (manner, next) = match state.manner {
        Manner::Cut(0) | Manner::Busy(0) | Manner::Slow(0) => (Manner::Well, state.manner),
        same @ (Manner::Well | Manner::Whole) => (same, same),
        same if short || file.is_none() => (Manner::Well, same),
        Manner::Cut(left) => (state.manner, Manner::Cut(left - 1)),
        Manner::Busy(left) => (state.manner, Manner::Busy(left - 1)),
        Manner::Slow(left) => (state.manner, Manner::Slow(left - 1)),
    };
    state.manner = next;
    (file, manner)
}
