//! The modules of a crate, read from its root.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result};
use syn::{Item, ItemMod};

use super::uses::{self, Uses, is_test};
use crate::tidy::files::File;

/// A module, which is a file or lies in one.
pub(super) struct Module {
    /// Its file, below the crate's `src`.
    pub(super) file: String,
    pub(super) parent: Option<usize>,
    pub(super) children: HashMap<String, usize>,
    /// Names of what it defines.
    pub(super) items: HashSet<String>,
    pub(super) uses: Uses,
}

struct Reader<'a> {
    folder: &'a str,
    files: HashMap<&'a str, &'a str>,
    modules: Vec<Module>,
}

/// All modules below `folder/root`; the first is the root's.
pub(super) fn read(files: &[File], folder: &str, root: &str) -> Result<Vec<Module>> {
    let below = |file: &'_ File| file.path.strip_prefix(folder)?.strip_prefix('/').map(str::len);
    let files = files.iter().filter_map(|file| {
        let length = below(file)?;
        Some((&file.path[file.path.len() - length..], file.text.as_str()))
    });
    let mut reader = Reader { folder, files: files.collect(), modules: Vec::new() };
    reader.file(root, "", None)?;
    Ok(reader.modules)
}

impl Reader<'_> {
    /// Reads the module of `file`, whose children's files lie below `children`.
    fn file(&mut self, file: &str, children: &str, parent: Option<usize>) -> Result<usize> {
        let path = format!("{}/{file}", self.folder);
        let text = self.files.get(file).with_context(|| format!("{path}: no such file"))?;
        let parsed = syn::parse_file(text).with_context(|| path.clone())?;
        self.module(file, children, parent, &parsed.items)
    }

    fn module(
        &mut self,
        file: &str,
        children: &str,
        parent: Option<usize>,
        items: &[Item],
    ) -> Result<usize> {
        let id = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            children: HashMap::new(),
            items: items.iter().filter_map(name).collect(),
            uses: uses::of(items),
        });
        for item in items {
            if let Item::Mod(item) = item
                && !is_test(&item.attrs)
            {
                let child = self.child(item, file, children, id)?;
                self.modules[id].children.insert(item.ident.to_string(), child);
            }
        }
        Ok(id)
    }

    fn child(&mut self, item: &ItemMod, file: &str, folder: &str, parent: usize) -> Result<usize> {
        let name = item.ident.to_string();
        let children = format!("{folder}{name}/");
        if let Some((_, items)) = &item.content {
            return self.module(file, &children, Some(parent), items);
        }
        let [beside, inside] = [format!("{folder}{name}.rs"), format!("{children}mod.rs")];
        let there = [&beside, &inside].into_iter().find(|f| self.files.contains_key(f.as_str()));
        let there = there.with_context(|| {
            let of = self.folder;
            format!("{of}/{file}: mod {name}: expected {beside} or {inside}, found none")
        })?;
        self.file(there, &children, Some(parent))
    }
}

fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}
