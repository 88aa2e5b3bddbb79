//! No circle of files: a file whose items need another one is not needed by it.
//!
//! A path counts where it leads to an item, as an edge to the file that defines the item, however
//! many re-exports lie between. Declaring a module is no edge, and tests do not count. What macros
//! make and what methods call cannot be seen.

mod graph;
mod resolve;
mod tree;
mod uses;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::files::File;
use super::known::Known;
use graph::Graph;

const KNOWN: Known =
    Known { path: "xtask/src/tidy/known_circles.txt", text: include_str!("known_circles.txt") };

/// Roots of crates below `src`.
const ROOTS: [&str; 2] = ["lib.rs", "main.rs"];

/// Circles that are not known, and known ones that are no longer.
pub(super) fn check(files: &[File]) -> Result<Vec<String>> {
    Ok(KNOWN.compare(&found(files)?))
}

fn found(files: &[File]) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (folder, root) in roots(files) {
        let edges = resolve::edges(&tree::read(files, &folder, root)?);
        for circle in Graph::new(&edges).circles() {
            let names = circle.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            let key = format!("{folder}: {names}");
            let message = format!("circle of files in {key}\n{}", shown(&circle, &edges));
            found.insert(key, message);
        }
    }
    Ok(found)
}

/// Source folder and root file of every crate.
fn roots(files: &[File]) -> BTreeSet<(String, &'static str)> {
    let root = |file: &File| {
        let (_, below) = file.in_crate()?;
        let root = *ROOTS.iter().find(|root| **root == below)?;
        Some((file.path[..file.path.len() - root.len() - 1].to_owned(), root))
    };
    files.iter().filter_map(root).collect()
}

/// The shortest way round, and every other use inside of the circle.
fn shown(circle: &BTreeSet<String>, edges: &resolve::Edges) -> String {
    let way = Graph::new(edges).way_round(circle);
    let inside = edges.iter().filter(|((a, b), _)| circle.contains(a) && circle.contains(b));
    let line = |((from, to), path): (&(String, String), &String)| {
        format!("    {from} uses `{path}` of {to}\n")
    };
    format!("    {}\n{}", way.join(" -> "), inside.map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(sources: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| File {
            path: format!("crates/a/src/{path}"),
            text: (*text).into(),
        };
        let files: Vec<File> = sources.iter().map(file).collect();
        found(&files).unwrap().into_values().collect()
    }

    #[test]
    fn a_circle_is_printed_file_by_file() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::B; pub struct A; fn f(b: B) {}"),
            ("b.rs", "use crate::c::{self, C}; pub struct B; fn f(c: C) {}"),
            ("c.rs", "pub struct C; fn f() { super::a::g(); }"),
        ]);
        assert_eq!(
            found,
            ["circle of files in crates/a/src: a.rs b.rs c.rs\n\
             \x20   a.rs -> b.rs -> c.rs -> a.rs\n\
             \x20   a.rs uses `crate::b::B` of b.rs\n\
             \x20   b.rs uses `crate::c::C` of c.rs\n\
             \x20   c.rs uses `super::a::g` of a.rs\n"]
        );
    }

    #[test]
    fn declaring_a_module_is_no_edge() {
        let child = ("a/b.rs", "use super::A; fn f(a: A) {}");
        assert!(
            circles(&[("lib.rs", "mod a;"), ("a.rs", "mod b; pub struct A;"), child]).is_empty()
        );
        let user = ("a.rs", "mod b; pub struct A; fn f() { b::g() }");
        assert_eq!(circles(&[("lib.rs", "mod a;"), user, child]).len(), 1);
    }

    #[test]
    fn re_exports_lead_to_the_owner() {
        let root = ("lib.rs", "mod a; mod b; pub use a::A; pub use b::*;");
        let a = ("a.rs", "pub struct A; fn f(b: crate::B) {}");
        assert!(circles(&[root, a, ("b.rs", "pub struct B;")]).is_empty());
        let b = ("b.rs", "pub struct B; use crate::A; fn f(a: A) {}");
        assert_eq!(circles(&[root, a, b]).len(), 1);
        let renamed = ("b.rs", "pub struct B; use crate::a as other; fn f() { other::g() }");
        assert_eq!(circles(&[root, a, renamed]).len(), 1);
    }

    #[test]
    fn tests_and_other_crates_do_not_count() {
        let root = ("lib.rs", "mod a; mod b;");
        let b = ("b.rs", "use crate::a::A; use std::a::A as O; pub struct B; fn f(a: A) {}");
        let tests = "#[cfg(test)] mod tests { use crate::b::B; } #[cfg(test)] mod more;";
        let only = "#[cfg(test)] use crate::b::B; #[test] fn t() { crate::b::f() }";
        let a = format!(
            "pub struct A; impl A {{ #[cfg(test)] fn f(b: crate::b::B) {{}} }} {tests}{only}"
        );
        assert!(circles(&[root, ("a.rs", &a), b, ("a/more.rs", "use crate::b::B;")]).is_empty());
    }

    #[test]
    fn macros_globs_and_modules_in_a_file_are_read() {
        let root = ("lib.rs", "mod a; mod b;");
        let b = ("b.rs", "pub fn g() {} mod inner { use super::super::a::*; }");
        let a = ("a.rs", "pub struct A; fn f() { println!(\"{}\", crate::b::g()); }");
        assert_eq!(circles(&[root, a, b]).len(), 1);
    }

    #[test]
    fn a_missing_module_file_is_an_error() {
        let file = File { path: "crates/a/src/lib.rs".into(), text: "mod gone;".into() };
        let message = found(&[file]).unwrap_err().to_string();
        assert_eq!(
            message,
            "crates/a/src/lib.rs: mod gone: expected gone.rs or gone/mod.rs, found none"
        );
    }
}
