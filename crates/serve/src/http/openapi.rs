//! `GET /openapi.json`: the paths for programs, with the names of this model and its tasks.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::service::Shared;

const TEXT: &str = include_str!("../../openapi.json");

pub(super) async fn openapi(State(service): State<Shared>) -> Result<Json<Value>, Refusal> {
    let model = service.model();
    let tasks: Vec<&str> = model.tasks.iter().map(|task| task.spec.name.as_str()).collect();
    described(&model.name, &tasks).map(Json)
}

fn described(model: &str, tasks: &[&str]) -> Result<Value, Refusal> {
    let mut all: Value =
        serde_json::from_str(TEXT).map_err(|error| Refusal::Model(format!("openapi: {error}")))?;
    all["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    all["components"]["parameters"]["model"]["schema"]["enum"] = json!([model]);
    all["components"]["parameters"]["tasks"]["schema"]["items"]["enum"] = json!(tasks);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The paths of the router, as its own text has them.
    fn routes() -> BTreeSet<String> {
        let text = include_str!("../http.rs");
        let found = text.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
        found.map(str::to_owned).collect()
    }

    #[test]
    fn every_path_is_described_and_no_other() {
        let all = described("toy", &["depth"]).unwrap();
        let described: BTreeSet<String> =
            all["paths"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(described, routes());
        assert_eq!(
            all["components"]["parameters"]["tasks"]["schema"]["items"]["enum"],
            json!(["depth"])
        );
    }

    #[test]
    fn references_lead_somewhere() {
        let all = described("toy", &["depth"]).unwrap();
        let mut count = 0;
        for place in TEXT.split("\"$ref\": \"#").skip(1) {
            let pointer = place.split('"').next().unwrap();
            assert!(all.pointer(pointer).is_some(), "{pointer}");
            count += 1;
        }
        assert!(count > 10);
    }
}
