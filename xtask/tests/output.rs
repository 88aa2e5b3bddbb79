//! What a reader of a command sees, and may miss.

use std::process::{Command, Stdio};

#[test]
fn a_reader_that_leaves_is_no_panic() {
    for args in [["bench", "--list"], ["ci", "--dry-run"], ["data", "list"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.is_empty(), "{args:?}: {said}");
    }
}
