//! Chromium without a window, driven over its pipe by the DevTools protocol.
//!
//! Protocol: <https://chromedevtools.github.io/devtools-protocol/>; messages are JSON that ends with
//! a zero byte, on the file descriptors 3 and 4.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The shell gives Chromium our ends of the pipes under the numbers that it expects.
const PIPES: &str = r#"exec timeout 300 "$0" "$@" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null"#;

/// A page in a browser.
pub(crate) struct Page {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    last: u64,
    /// Addresses that the page asked for.
    pub(crate) asked: Vec<String>,
    _profile: tempfile::TempDir,
}

/// The program that the environment names, or one of the usual names.
fn chromium() -> Option<String> {
    let named = std::env::var("POLYPTYCH_CHROMIUM").ok();
    let usual = ["chromium", "chromium-browser", "google-chrome"].map(str::to_owned);
    let runs = |name: &String| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    named.into_iter().chain(usual).find(runs)
}

impl Page {
    /// A page of `width` x `height` pixels at `address`; none where there is no Chromium.
    pub(crate) fn open(address: &str, width: u32, height: u32) -> Option<Self> {
        let program = chromium()?;
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", PIPES, &program, "--headless=new", "--remote-debugging-pipe"]);
        command.args([
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let from = BufReader::new(from);
        let (session, asked) = (None, Vec::new());
        let mut page = Self { child, to, from, session, last: 0, asked, _profile: profile };
        let target = page.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = page.call("Target.attachToTarget", attach);
        page.session = attached["sessionId"].as_str().map(str::to_owned);
        page.call("Network.enable", json!({}));
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        page.call("Emulation.setDeviceMetricsOverride", size);
        page.call("Page.navigate", json!({"url": address}));
        page.until("document.readyState === 'complete' && location.href !== 'about:blank'");
        Some(page)
    }

    /// Calls a method of the protocol.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).unwrap();
            assert_eq!(answer.pop(), Some(0), "{method}: Chromium ended");
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["method"] == "Network.requestWillBeSent" {
                self.asked.extend(answer["params"]["request"]["url"].as_str().map(str::to_owned));
            }
            if answer["id"] == self.last {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", asked);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// The text of the element `id`.
    pub(crate) fn text(&mut self, id: &str) -> String {
        let value = self.value(&format!("document.getElementById('{id}').textContent"));
        value.as_str().unwrap().to_owned()
    }

    /// Waits until an expression is true, for a minute at most.
    pub(crate) fn until(&mut self, expression: &str) {
        let began = Instant::now();
        while self.value(expression) != true {
            assert!(began.elapsed() < Duration::from_secs(60), "{expression}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Chooses a file in the page's input.
    pub(crate) fn choose(&mut self, file: &Path) {
        let document = self.call("DOM.getDocument", json!({}));
        let query = json!({"nodeId": document["root"]["nodeId"], "selector": "#file"});
        let input = self.call("DOM.querySelector", query);
        let files = json!({"nodeId": input["nodeId"], "files": [file]});
        self.call("DOM.setFileInputFiles", files);
    }

    /// Presses a key where the focus is.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event =
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Moves the pointer to a place of the element `id`, each from 0 to 1.
    pub(crate) fn point(&mut self, id: &str, [x, y]: [f64; 2]) {
        let element = format!("document.getElementById('{id}')");
        self.value(&format!("{element}.scrollIntoView({{block: 'nearest'}})"));
        let bounds = self.value(&format!("{element}.getBoundingClientRect().toJSON()"));
        let at = |start: &str, extent: &str, share: f64| {
            bounds[start].as_f64().unwrap() + share * bounds[extent].as_f64().unwrap()
        };
        let (x, y) = (at("left", "width", x), at("top", "height", y));
        self.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
    }

    /// Writes what the page looks like as a PNG file.
    pub(crate) fn screenshot(&mut self, file: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
