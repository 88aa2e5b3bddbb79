//! Running other programs: in our place, as a step, or to read what they print.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

/// Turns into `command`: signals reach it and its exit code is ours, because nothing stands between.
#[cfg(unix)]
pub(crate) fn become_child(command: &mut Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(error).with_context(|| shown(command))
}

/// Runs `command` and passes its exit code on.
#[cfg(not(unix))]
pub(crate) fn become_child(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| shown(command))?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Runs `command` to its end; a failure is an error that shows the command.
pub(crate) fn step(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| shown(command))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Standard output of `command`, or `None` where it cannot be run or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program =
        std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_shows_its_command() {
        let error = step(Command::new("false").arg("a b")).unwrap_err().to_string();
        assert!(error.starts_with("`false 'a b'` failed"), "{error}");
    }

    #[test]
    fn output_is_trimmed_and_failure_is_none() {
        assert_eq!(output(Command::new("echo").arg("x")), Some("x".into()));
        assert_eq!(output(&mut Command::new("false")), None);
        assert_eq!(output(&mut Command::new("no-such-program-at-all")), None);
    }
}
