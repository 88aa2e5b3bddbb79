//! What the server says is what the program says to files.
#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Read};

use image::ImageFormat;
use serde_json::{Value, json};

use crate::common::{program, succeed};
use crate::server::{Served, encoded, folder, jpeg, npy};

const TASKS: [&str; 6] = ["depth", "edge", "human_parts", "normals", "sal", "semseg"];

/// The maps that `predict --raw` writes for the photograph, by task: shape and numbers.
fn offline(run: &str) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    offline_of(run, &TASKS)
}

fn offline_of(run: &str, tasks: &[&str]) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let (out, names) = (format!("seen-{run}-{}", tasks.len()), tasks.join(","));
    let args = ["predict", run, "photograph.jpg", "--out", &out, "--raw", "--tasks", &names];
    succeed(folder(), &args);
    let bytes = std::fs::read(folder().join(out).join("photograph.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let float = |four: &[u8]| f32::from_le_bytes(four.try_into().unwrap());
    let one = |name: &str| {
        let tensor = file.tensor(name).unwrap();
        let values = tensor.data().chunks_exact(4).map(float).collect();
        (name.to_owned(), tensor.shape().to_vec(), values)
    };
    assert_eq!(file.names().len(), tasks.len(), "others were predicted too");
    tasks.iter().copied().map(one).collect()
}

#[test]
fn tasks_that_are_named_are_predicted_alone() {
    for run in ["run", "merged"] {
        let some = offline_of(run, &["depth", "semseg"]);
        let all = offline(run).into_iter().filter(|(name, ..)| name == "depth" || name == "semseg");
        assert!(some == all.collect::<Vec<_>>(), "{run}");
    }
    let mut refused = program(folder());
    refused.args(["predict", "run", "photograph.jpg", "--tasks", "dpeth"]);
    let said = String::from_utf8(refused.output().unwrap().stderr).unwrap();
    let known = TASKS.join(", ");
    assert!(said.contains(&format!("tasks: expected {known}, found dpeth")), "{said}");
}

#[test]
fn answers_equal_those_for_files_whatever_tasks_are_asked_for() {
    let photograph = std::fs::read(folder().join("photograph.jpg")).unwrap();
    for run in ["run", "merged"] {
        let server = Served::start(run, &[]);
        let all = server.post("/predict?format=npy", &photograph);
        assert_eq!((all.status, all.header("content-type")), (200, "application/zip"));
        let mut archive = zip::ZipArchive::new(Cursor::new(all.body)).unwrap();
        for (task, shape, values) in offline(run) {
            let [a, b, c] = shape[..] else { panic!("{task}: {shape:?}") };
            let expected = (format!("({a}, {b}, {c})"), values);
            let alone = server.post(&format!("/predict?format=npy&tasks={task}"), &photograph);
            assert_eq!(alone.status, 200);
            assert!(npy(&alone.body) == expected, "{run}: {task} alone");
            let mut inside = Vec::new();
            archive.by_name(&format!("{task}.npy")).unwrap().read_to_end(&mut inside).unwrap();
            assert!(npy(&inside) == expected, "{run}: {task} among all");
        }
    }
}

#[test]
fn photographs_come_in_several_formats_and_answers_go_out_in_several() {
    let server = Served::start("merged", &["--tasks", "semseg,depth"]);
    assert!(
        server.greeting.ends_with("answers for quickstart: depth, semseg\n"),
        "{}",
        server.greeting
    );
    let image = image::load_from_memory(&jpeg(60, 40)).unwrap().into_rgb8();
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let answer = server.post("/predict", &encoded(&image, format)).json();
        assert_eq!(answer["photograph"], json!({"height": 40, "width": 60}));
        let names: Vec<&Value> =
            answer["tasks"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
        assert_eq!(names, ["depth", "semseg"]);
        assert!(answer["milliseconds"]["model"].as_f64().unwrap() > 0.0);
    }
    let form = [
        b"--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n\r\n"
            .as_slice(),
        &jpeg(60, 40),
        b"\r\n--x--\r\n",
    ];
    let headers = [("Content-Type", "multipart/form-data; boundary=x")];
    let panel = server.post_with("/predict?format=png&max_side=30", &headers, &form.concat());
    assert_eq!((panel.status, panel.header("content-type")), (200, "image/png"));
    assert!(panel.header("server-timing").contains("model;dur="));
    // The photograph and two maps, scaled to a side of 30.
    let panel = image::load_from_memory(&panel.body).unwrap();
    assert!(panel.width() > 3 * 30 && panel.height() >= 20, "{panel:?}");
    let rich = server.post("/predict?tasks=semseg&pictures=true&values=true", &jpeg(60, 40)).json();
    let semseg = &rich["tasks"][0];
    assert!(semseg["picture"].as_str().unwrap().starts_with("data:image/png"));
    assert_eq!(semseg["values"]["shape"], json!([1, 40, 60]));
    let shares = semseg["classes"].as_array().unwrap().iter().map(|c| c["share"].as_f64().unwrap());
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn tensors_go_in_and_out_as_the_protocol_says() {
    let server = Served::start("merged", &["--name", "toy"]);
    let about = server.get("/v2").json();
    assert_eq!(
        (&about["name"], &about["extensions"]),
        (&json!("polyptych"), &json!(["binary_tensor_data"]))
    );
    for path in [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/toy/ready",
        "/v2/models/toy/versions/1/ready",
    ] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let model = server.get("/v2/models/toy").json();
    assert_eq!(
        model["inputs"][0],
        json!({"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, 3]})
    );
    assert_eq!(
        model["outputs"][3],
        json!({"name": "normals", "datatype": "FP32", "shape": [-1, 3, 96, 96]})
    );
    let pixels: Vec<u8> = (0..2 * 30 * 40 * 3u32).map(|value| value as u8).collect();
    let request = json!({
        "id": "a",
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [2, 30, 40, 3], "data": pixels}],
        "outputs": [{"name": "semseg"}, {"name": "depth"}],
    });
    let text = server.post("/v2/models/toy/infer", request.to_string().as_bytes()).json();
    assert_eq!((&text["id"], &text["model_version"]), (&json!("a"), &json!("1")));
    assert_eq!(
        (&text["outputs"][0]["name"], &text["outputs"][0]["datatype"]),
        (&json!("semseg"), &json!("INT32"))
    );
    assert_eq!(text["outputs"][1]["shape"], json!([2, 1, 96, 96]));
    let binary = json!({
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [2, 30, 40, 3],
                    "parameters": {"binary_data_size": pixels.len()}}],
        "outputs": [{"name": "depth", "parameters": {"binary_data": true}}],
    });
    let head = binary.to_string();
    let headers = [("Inference-Header-Content-Length", head.len().to_string())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let body = [head.as_bytes(), &pixels].concat();
    let reply = server.post_with("/v2/models/toy/versions/1/infer", &headers, &body);
    let length: usize = reply.header("inference-header-content-length").parse().unwrap();
    let tail = &reply.body[length..];
    assert_eq!(tail.len(), 2 * 96 * 96 * 4);
    let depth = text["outputs"][1]["data"].as_array().unwrap();
    for (four, expected) in tail.chunks_exact(4).zip(depth) {
        let (found, expected) =
            (f32::from_le_bytes(four.try_into().unwrap()), expected.as_f64().unwrap());
        assert!((f64::from(found) - expected).abs() < 1e-4, "{found} {expected}");
    }
}

#[test]
fn programs_find_numbers_and_paths() {
    let server = Served::start("merged", &[]);
    server.post("/predict?tasks=depth", &jpeg(60, 40));
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    for line in [
        "polyptych_requests_total{route=\"/predict\",status=\"200\"} 1",
        "polyptych_answers_total{task=\"depth\"} 1",
        "polyptych_batch_images_count 1",
        "polyptych_model_generation 1",
        "polyptych_images_in_hand 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    let paths = server.get("/openapi.json").json();
    assert!(paths["paths"]["/predict"]["post"].is_object());
    assert_eq!(paths["components"]["parameters"]["tasks"]["schema"]["items"]["enum"], json!(TASKS));
}
