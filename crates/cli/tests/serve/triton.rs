//! Triton's own client, where Python has it.

use std::process::Command;

use crate::server::Served;

/// Python with `tritonclient[http]`: the program that the environment names, or the system's.
fn python() -> Option<String> {
    let named = std::env::var("POLYPTYCH_PYTHON").ok();
    let python = named.unwrap_or_else(|| "python3".into());
    let asked = Command::new(&python).args(["-c", "import tritonclient.http"]).output().ok()?;
    asked.status.success().then_some(python)
}

#[test]
fn triton_s_client_is_answered() {
    let Some(python) = python() else {
        println!("skipped: no Python with tritonclient[http]; POLYPTYCH_PYTHON names one");
        return;
    };
    let server = Served::start("merged", &[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/serve/triton.py");
    let address = server.address.trim_start_matches("http://");
    let output = Command::new(python).args([script, address, "quickstart"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "tritonclient: all as expected\n");
}
