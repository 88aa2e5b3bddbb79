//! A server on the loopback address whose answers the tests write, good and bad.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// First byte of the `Range` header.
    pub(crate) from: Option<usize>,
}

/// What the server sends, byte for byte, and for how long it then keeps silent.
pub(crate) struct Reply {
    head: String,
    body: Vec<u8>,
    silence: Duration,
}

impl Reply {
    /// Status, one header and body as given, honest or not.
    pub(crate) fn raw(status: &str, headers: &str, body: &[u8]) -> Reply {
        let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n");
        Reply { head, body: body.to_vec(), silence: Duration::ZERO }
    }

    /// The whole of `content`.
    pub(crate) fn whole(content: &[u8]) -> Reply {
        Reply::raw("200 OK", &format!("Content-Length: {}\r\n", content.len()), content)
    }

    /// `content` as the request asks for it, whole or from a byte on.
    pub(crate) fn ranged(content: &[u8], request: &Request) -> Reply {
        let Some(from) = request.from else { return Reply::whole(content) };
        let (last, total) = (content.len() - 1, content.len());
        let range = format!(
            "Content-Range: bytes {from}-{last}/{total}\r\nContent-Length: {}\r\n",
            total - from
        );
        Reply::raw("206 Partial Content", &range, &content[from..])
    }

    /// Closes the connection after `bytes` of the body.
    pub(crate) fn cut(mut self, bytes: usize) -> Reply {
        self.body.truncate(bytes);
        self
    }

    /// Keeps the connection open and silent after what was sent.
    pub(crate) fn stall(mut self, silence: Duration) -> Reply {
        self.silence = silence;
        self
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(self.head.as_bytes())?;
        stream.write_all(&self.body)?;
        stream.flush()?;
        std::thread::sleep(self.silence);
        Ok(())
    }
}

/// A running server; its thread ends with the test process.
pub(crate) struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers every request by `answer`, which also gets how many came before it.
    pub(crate) fn start(
        answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback address is there");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                // One thread each: a stalled connection must not hold up the next.
                std::thread::spawn(move || converse(stream, answer.as_ref(), &log));
            }
        });
        Server { address, seen }
    }

    /// Address of `path` here.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("no test panics while it holds the lock").clone()
    }
}

fn converse(
    mut stream: TcpStream,
    answer: &dyn Fn(&Request, usize) -> Reply,
    log: &Mutex<Vec<Request>>,
) {
    let Some(request) = read_request(&stream) else { return };
    let before = {
        let mut log = log.lock().expect("no test panics while it holds the lock");
        log.push(request.clone());
        log.len() - 1
    };
    // A client that hangs up early is what some tests want.
    drop(answer(&request, before).send(&mut stream));
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<_> =
        lines.take_while(|line| !line.is_empty()).map(|line| line.to_ascii_lowercase()).collect();
    let range = headers.iter().find_map(|line| line.strip_prefix("range: bytes="));
    Some(Request { path, from: range.and_then(|range| range.trim_end_matches('-').parse().ok()) })
}
