//! The paths that a module names.

use std::collections::HashMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, Item, ItemUse, UseTree, Visibility};

/// A path of names, such as `["crate", "a", "B"]`.
pub(super) type Path = Vec<String>;

/// What a module imports and names.
#[derive(Default)]
pub(super) struct Uses {
    /// What `use` brings, by the name that it has here.
    pub(super) imports: HashMap<String, Path>,
    /// Modules of which `use` brings everything.
    pub(super) globs: Vec<Path>,
    /// Paths of two names or more.
    pub(super) paths: Vec<Path>,
}

/// Uses of `items`, without those of modules among them and without tests.
pub(super) fn of(items: &[Item]) -> Uses {
    let mut uses = Uses::default();
    items.iter().for_each(|item| uses.visit_item(item));
    uses
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item(&mut self, item: &'ast Item) {
        // A module has uses of its own.
        if !matches!(item, Item::Mod(_)) && !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &mut Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Path = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if names.len() > 1 && path.leading_colon.is_none() {
            self.paths.push(names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

impl Uses {
    fn import(&mut self, tree: &UseTree, above: &mut Path) {
        match tree {
            UseTree::Path(tree) => {
                above.push(tree.ident.to_string());
                self.import(&tree.tree, above);
                above.pop();
            }
            UseTree::Group(tree) => tree.items.iter().for_each(|tree| self.import(tree, above)),
            UseTree::Glob(_) => self.globs.push(above.clone()),
            UseTree::Name(tree) => self.import_one(&tree.ident.to_string(), None, above),
            UseTree::Rename(tree) => {
                self.import_one(&tree.ident.to_string(), Some(tree.rename.to_string()), above);
            }
        }
    }

    fn import_one(&mut self, name: &str, rename: Option<String>, above: &Path) {
        let mut path = above.clone();
        if name != "self" {
            path.push(name.to_owned());
        }
        let Some(name) = rename.or_else(|| path.last().cloned()) else { return };
        // Each `_` brings a trait.
        let name = if name == "_" { path.join("::") } else { name };
        self.imports.insert(name, path);
    }

    /// Paths in what a macro is given.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Path::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.end(&mut path);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Path) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.paths.push(path);
        }
    }
}

/// Whether `attributes` leave an item to tests: `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, ..))]`.
pub(super) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let condition = attribute.meta.require_list().map(|list| list.tokens.to_string());
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && condition.is_ok_and(|text| {
                    text == "test" || text.replace(' ', "").starts_with("all(test,")
                }))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
