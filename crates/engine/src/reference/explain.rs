//! What one key means, found by its path or by its end.

use super::Reference;
use super::keys::Key;
use crate::recipe::problems::closest;

/// A key, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Explained<'r> {
    /// `recipe`, `manifest`, or kind and name of a part: `adapter method lora`.
    pub owner: (&'static str, &'r str),
    /// The key.
    pub key: &'r Key,
}

impl Reference {
    /// The keys that `asked` means: those with this path, else those whose path ends so.
    ///
    /// Numbers and names in a path, such as `data.train.0.root` and `tasks.depth.weight`, mean any.
    pub fn explain(&self, asked: &str) -> Vec<Explained<'_>> {
        let all = || self.all().into_iter();
        let whole: Vec<_> = all().filter(|found| is_at(&found.key.path, asked)).collect();
        if !whole.is_empty() {
            return whole;
        }
        all().filter(|found| ends(&found.key.path, asked)).collect()
    }

    /// The path that is nearest to `asked`, for a message.
    pub fn nearest(&self, asked: &str) -> Option<&str> {
        let all = self.all();
        let of_whole = closest(asked, all.iter().map(|found| found.key.path.as_str()));
        let ends = all.iter().filter_map(|found| found.key.path.rsplit('.').next());
        let of_end = closest(asked, ends);
        if asked.contains('.') { of_whole.or(of_end) } else { of_end.or(of_whole) }
    }

    fn all(&self) -> Vec<Explained<'_>> {
        let of = |owner| move |key| Explained { owner, key };
        let recipe = self.recipe.iter().map(of(("recipe", "")));
        let manifest = self.manifest.iter().map(of(("manifest", "")));
        let parts = self.parts.iter().filter(|part| !part.at.is_empty());
        let parts =
            parts.flat_map(|part| part.keys.iter().map(of((part.kind, part.name.as_str()))));
        recipe.chain(manifest).chain(parts).collect()
    }
}

/// Whether `asked` is the path `path`, whose `NAME` and `N` stand for anything.
pub(super) fn is_at(path: &str, asked: &str) -> bool {
    let (path, asked): (Vec<&str>, Vec<&str>) =
        (path.split('.').collect(), asked.split('.').collect());
    path.len() == asked.len()
        && std::iter::zip(path, asked).all(|(known, word)| is_word(known, word))
}

fn is_word(known: &str, word: &str) -> bool {
    match known {
        "NAME" => true,
        "N" => word == "N" || word.parse::<usize>().is_ok(),
        known => known == word,
    }
}

fn ends(path: &str, asked: &str) -> bool {
    path.strip_suffix(asked).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::super::reference;

    fn found(asked: &str) -> Vec<String> {
        let reference = reference();
        let found = reference.explain(asked);
        found.iter().map(|f| format!("{} {} {}", f.owner.0, f.owner.1, f.key.path)).collect()
    }

    #[test]
    fn a_key_is_found_by_its_path_and_by_its_end() {
        assert_eq!(found("train.lr"), ["recipe  train.lr"]);
        assert_eq!(
            found("data.train.0.follow_links"),
            ["data source folder data.train.N.follow_links"]
        );
        assert_eq!(found("tasks.depth.weight"), ["recipe  tasks.NAME.weight"]);
        assert!(found("adapter.r").contains(&"adapter method lora adapter.r".to_owned()));
        assert_eq!(found("clip_grad_norm"), ["recipe  train.clip_grad_norm"]);
        assert!(found("allow_void").contains(&"manifest  tasks.N.allow_void".to_owned()));
        assert!(found("no_such_key").is_empty());
        assert_eq!(reference().nearest("clip_grad_nrm"), Some("clip_grad_norm"));
    }
}
