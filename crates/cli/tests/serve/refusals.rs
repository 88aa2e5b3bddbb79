//! Bad input: each has a status, a name for programs and a line for people.

use image::{GrayImage, ImageFormat};
use serde_json::{Value, json};

use crate::common::program;
use crate::server::{Served, folder, jpeg};

fn refused(server: &Served, path: &str, body: &[u8]) -> (u16, String, String) {
    server.post(path, body).refusal()
}

#[track_caller]
fn is(found: (u16, String, String), status: u16, code: &str, words: &str) {
    assert_eq!((found.0, found.1.as_str()), (status, code), "{}", found.2);
    assert!(found.2.contains(words), "{}", found.2);
}

#[test]
fn bad_photographs_are_named() {
    let server = Served::start("merged", &["--max-bytes", "1000000"]);
    let whole = jpeg(60, 40);
    is(refused(&server, "/predict", &whole[..whole.len() / 2]), 400, "corrupt_image", "cut off");
    is(refused(&server, "/predict", b"no image"), 400, "corrupt_image", "unknown first bytes");
    is(refused(&server, "/predict", b""), 400, "corrupt_image", "empty");
    let mut huge = std::io::Cursor::new(Vec::new());
    GrayImage::new(10_000, 10_001).write_to(&mut huge, ImageFormat::Png).unwrap();
    let words = "at most 50000000 pixels, found 10000 x 10001";
    is(refused(&server, "/predict", huge.get_ref()), 413, "too_many_pixels", words);
    let words = "at most 1000000 bytes";
    is(refused(&server, "/predict", &vec![0; 1_000_001]), 413, "too_many_bytes", words);
    let headers = [("Content-Type", "multipart/form-data; boundary=x")];
    let form = server.post_with("/predict", &headers, b"--x--\r\n").refusal();
    is(form, 400, "bad_request", "expected a file in a field `image`");
    let headers = [("Content-Encoding", "gzip")];
    let packed = server.post_with("/predict", &headers, b"not packed").refusal();
    is(packed, 400, "broken_body", "ended early");
    // It goes on.
    assert_eq!(server.post("/predict?tasks=depth", &whole).status, 200);
}

#[test]
fn bad_questions_are_named() {
    let server = Served::start("merged", &[]);
    let photograph = jpeg(60, 40);
    let words = "task `dept`: expected depth, edge, human_parts, normals, sal, semseg, found none of \
                 that name; did you mean `depth`?";
    is(refused(&server, "/predict?tasks=semseg,dept", &photograph), 400, "unknown_task", words);
    is(
        refused(&server, "/predict?format=gif", &photograph),
        400,
        "bad_query",
        "unknown variant `gif`",
    );
    is(
        refused(&server, "/predict?task=depth", &photograph),
        400,
        "bad_query",
        "unknown field `task`",
    );
    is(refused(&server, "/predict?max_side=0", &photograph), 400, "bad_query", "1 or more");
    is(refused(&server, "/nowhere", &photograph), 404, "unknown_path", "/nowhere");
    is(server.get("/predict").refusal(), 405, "method", "GET is not allowed");
    is(server.get("/v2/models/other").refusal(), 404, "unknown_model", "`quickstart`");
    is(server.get("/v2/models/quickstart/versions/2").refusal(), 404, "unknown_version", "`1`");
}

#[test]
fn bad_tensors_are_named() {
    let server = Served::start("merged", &["--queue", "4"]);
    let infer = |input: Value, output: &str| {
        let body = json!({"inputs": [input], "outputs": [{"name": output}]}).to_string();
        refused(&server, "/v2/models/quickstart/infer", body.as_bytes())
    };
    let input = |name: &str, shape: Value| json!({"name": name, "datatype": "UINT8", "shape": shape, "data": vec![0; 12]});
    let good = || input("images", json!([1, 2, 2, 3]));
    is(infer(input("image", json!([1, 2, 2, 3])), "depth"), 400, "bad_tensor", "found `image`");
    let words = "FP32 of shape [images, 3, 96, 96], found UINT8 of shape [2, 2, 3]";
    is(infer(input("images", json!([2, 2, 3])), "depth"), 400, "bad_tensor", words);
    is(infer(input("images", json!([1, 3, 3, 3])), "depth"), 400, "bad_tensor", "found 12 numbers");
    is(infer(good(), "colour"), 400, "unknown_task", "task `colour`");
    let five =
        json!({"name": "images", "datatype": "UINT8", "shape": [5, 2, 2, 3], "data": vec![0; 60]});
    is(infer(five, "depth"), 413, "too_many_images", "at most 4 images");
    is(refused(&server, "/v2/models/quickstart/infer", b"{"), 400, "bad_request", "in JSON");
    is(refused(&server, "/v2/models/other/infer", b"{}"), 404, "unknown_model", "`other`");
}

#[test]
fn servers_that_cannot_start_say_why() {
    let server = Served::start("merged", &[]);
    let taken = server.address.trim_start_matches("http://").to_owned();
    let fails = |args: &[&str]| {
        let output = program(folder()).args(["serve", "merged"]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let port = fails(&["--addr", &taken]);
    assert!(port.starts_with(&format!("error: {taken}: expected a free port, found")), "{port}");
    let token = fails(&["--addr", "0.0.0.0:0"]);
    assert!(token.starts_with("error: 0.0.0.0:0: expected a token"), "{token}");
    let task = fails(&["--addr", "127.0.0.1:0", "--tasks", "colour"]);
    assert!(task.starts_with("error: task `colour`: expected one of depth"), "{task}");
    let size = fails(&["--addr", "127.0.0.1:0", "--batch-size", "0"]);
    assert!(size.starts_with("error: batch size: expected 1 or more"), "{size}");
}

#[test]
fn a_token_opens_what_costs_and_health_stays_open() {
    let server = Served::start_with("merged", &[], &[("POLYPTYCH_TOKEN", "secret")]);
    let photograph = jpeg(60, 40);
    let none = server.post("/predict", &photograph);
    assert_eq!(none.header("www-authenticate"), "Bearer");
    is(none.refusal(), 401, "token", "Authorization: Bearer");
    let with = |token: &str| {
        server.post_with("/predict?tasks=sal", &[("Authorization", token)], &photograph).status
    };
    assert_eq!((with("Bearer secret"), with("Bearer other")), (200, 401));
    assert_eq!((server.get("/v2/health/ready").status, server.get("/metrics").status), (200, 401));
}
