//! Pages of results: a generated block, and prose that people write around it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::lab::machine::{Origin, without_paths};

const START: &str = "<!-- generated:";
const END: &str = "<!-- /generated -->";

/// `block`, between marks that name the `command` which makes it again.
pub(crate) fn generated(command: &str, block: &str) -> String {
    format!("{START} {command} -->\n\n{}\n\n{END}", block.trim())
}

/// The page with a new generated block; text outside of the block of `old` is kept.
///
/// # Errors
/// An old page without the marks.
pub(crate) fn renew(old: Option<&str>, title: &str, generated: &str) -> Result<String> {
    let Some(old) = old else { return Ok(format!("# {title}\n\n{generated}\n")) };
    let start = old.find(START).with_context(|| format!("expected `{START}`, found none"))?;
    let length = old[start..].find(END).with_context(|| format!("expected `{END}`, found none"))?;
    Ok(format!("{}{generated}{}", &old[..start], &old[start + length + END.len()..]))
}

/// Machine and versions, in two lines.
pub(crate) fn origin_line(origin: &Origin) -> String {
    format!(
        "Machine: {} with {} cores, {}.\n{}, tch {}, LibTorch {}, at commit {}.",
        origin.cpu,
        origin.cores,
        origin.os,
        origin.rustc,
        origin.tch,
        origin.libtorch,
        origin.git.short()
    )
}

/// Writes a page, without the paths of this machine.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    std::fs::write(path, without_paths(text)).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_around_the_block_stays() {
        let first = renew(None, "Faults", &generated("make", "one\n")).unwrap();
        assert_eq!(first, "# Faults\n\n<!-- generated: make -->\n\none\n\n<!-- /generated -->\n");
        let written = first.replace("# Faults\n", "# Faults\n\nWhy.\n") + "\nThen.\n";
        let second = renew(Some(&written), "Faults", &generated("make", "two")).unwrap();
        assert_eq!(second, written.replace("one", "two"));
        assert!(renew(Some("text"), "t", "b").is_err());
    }
}
