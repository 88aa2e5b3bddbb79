//! Which file defines what a path names?

use std::collections::BTreeMap;

use super::tree::Module;
use super::uses::Path;

/// A path of every pair of files of which the first needs the second.
pub(super) type Edges = BTreeMap<(String, String), String>;

/// Re-exports of re-exports that are followed; a circle among them would have no end.
const MAX_DEPTH: usize = 16;

#[derive(Clone, Copy)]
enum Found {
    /// An item, with the module that defines it.
    Item(usize),
    Module(usize),
}

/// What files need of each other.
pub(super) fn edges(modules: &[Module]) -> Edges {
    let mut edges = Edges::new();
    for (id, module) in modules.iter().enumerate() {
        let Module { file, uses, .. } = module;
        let mut needs = |owner: usize, path: &Path| {
            let to = &modules[owner].file;
            if to != file {
                edges.entry((file.clone(), to.clone())).or_insert_with(|| path.join("::"));
            }
        };
        for path in uses.imports.values().chain(&uses.paths) {
            if let Some(Found::Item(owner)) = resolve(modules, id, path, 0) {
                needs(owner, path);
            }
        }
        for path in &uses.globs {
            if let Some(Found::Item(owner) | Found::Module(owner)) = resolve(modules, id, path, 0) {
                needs(owner, path);
            }
        }
    }
    edges
}

fn resolve(modules: &[Module], from: usize, path: &Path, depth: usize) -> Option<Found> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut at = from;
    for (index, name) in path.iter().enumerate() {
        let is_last = index + 1 == path.len();
        at = match name.as_str() {
            "crate" => 0,
            "self" => at,
            "super" => modules[at].parent?,
            name => match lookup(modules, at, name, is_last, depth) {
                Some(Found::Module(module)) => module,
                Some(item) => return Some(item),
                // A macro made it; in the root it may be another crate's.
                None if index > 0 && at > 0 => return Some(Found::Item(at)),
                None => return None,
            },
        };
    }
    Some(Found::Module(at))
}

/// What `name` is in the module `at`: a module first where more names follow, else an item.
fn lookup(modules: &[Module], at: usize, name: &str, is_last: bool, depth: usize) -> Option<Found> {
    let module = &modules[at];
    let item = || module.items.contains(name).then_some(Found::Item(at));
    let child = || module.children.get(name).map(|child| Found::Module(*child));
    let import = || {
        let path = module.uses.imports.get(name)?;
        // `use a;` below a crate's root names the crate `a`.
        let is_other = path.len() == 1 && path[0] == name;
        if is_other { None } else { resolve(modules, at, path, depth + 1) }
    };
    let glob = || {
        module.uses.globs.iter().find_map(|path| match resolve(modules, at, path, depth + 1)? {
            Found::Module(other) if other != at && depth < MAX_DEPTH => {
                lookup(modules, other, name, is_last, depth + 1)
            }
            _ => None,
        })
    };
    if is_last {
        item().or_else(import).or_else(child).or_else(glob)
    } else {
        child().or_else(import).or_else(item).or_else(glob)
    }
}
