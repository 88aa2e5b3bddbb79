//! Words that the glossary keeps out of names: the field has others for them.

use proc_macro2::{TokenStream, TokenTree};

use super::files::File;
use super::table;

const PAGE: &str = "docs/glossary.md";

/// A word, or several as in `in turn`, and what to write.
struct Unused {
    words: Vec<String>,
    instead: String,
}

/// Names of library sources that hold a word of the glossary's table.
pub(super) fn check(files: &[File]) -> Vec<String> {
    let page = files.iter().find(|file| file.path == PAGE).map_or("", |file| &file.text);
    let Some(unused) = unused(page) else {
        return vec![format!("{PAGE}: expected a table `| not used here | write |`, found none")];
    };
    let sources = files.iter().filter(|file| file.is_library() || file.is_library_test());
    sources.flat_map(|file| check_file(file, &unused)).collect()
}

fn unused(page: &str) -> Option<Vec<Unused>> {
    let rows = table::rows(page, |cells| cells == ["not used here", "write"])?;
    let entries = rows.iter().flat_map(|row| {
        let instead = row.get(1).cloned().unwrap_or_default();
        row[0].split(',').map(move |words| Unused {
            words: words.split_whitespace().map(str::to_lowercase).collect(),
            instead: instead.clone(),
        })
    });
    Some(entries.filter(|entry| !entry.words.is_empty()).collect())
}

fn check_file(file: &File, unused: &[Unused]) -> Vec<String> {
    let Ok(tokens) = file.text.parse::<TokenStream>() else {
        return vec![format!("{}: expected Rust, found something else", file.path)];
    };
    let mut names = Vec::new();
    collect(tokens, &mut names);
    names.sort_unstable();
    names.dedup();
    let breach = |name: &String| {
        let words = words_of(name);
        let is_in = |entry: &&Unused| words.windows(entry.words.len()).any(|w| w == entry.words);
        let entry = unused.iter().find(is_in)?;
        let (word, instead) = (entry.words.join(" "), &entry.instead);
        Some(format!("{}: `{name}`: not `{word}`, write {instead} ({PAGE})", file.path))
    };
    names.iter().filter_map(breach).collect()
}

/// Identifiers, without those behind `.` and `::`, which were defined elsewhere, here or by others,
/// and without the names of tests, which are sentences.
fn collect(tokens: TokenStream, names: &mut Vec<String>) {
    // Characters of punctuation right before the token, or `fn` of a test.
    let mut before = String::new();
    let mut of_test = false;
    for token in tokens {
        match token {
            TokenTree::Punct(punct) => {
                before.push(punct.as_char());
                continue;
            }
            TokenTree::Ident(name) if name == "fn" && of_test => {
                before = "fn".into();
                continue;
            }
            TokenTree::Ident(_) if before == "fn" => of_test = false,
            TokenTree::Ident(name) if !is_qualified(&before) => {
                names.push(name.to_string().trim_start_matches("r#").to_owned());
            }
            TokenTree::Group(group) if before == "#" && group.stream().to_string() == "test" => {
                of_test = true;
            }
            TokenTree::Group(group) => collect(group.stream(), names),
            TokenTree::Ident(_) | TokenTree::Literal(_) => {}
        }
        before.clear();
    }
}

fn is_qualified(before: &str) -> bool {
    before.ends_with("::") || (before.ends_with('.') && !before.ends_with(".."))
}

/// `LowRank2d`, `low_rank` and `LOW_RANK` as words in lower case.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for letter in name.chars() {
        let starts = letter.is_uppercase() && !before.is_uppercase();
        if letter == '_' || starts {
            words.push(String::new());
        }
        if letter != '_'
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| not used here | write |\n|---|---|\n| fold, in turn | merge |\n";

    fn found(source: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        check(&[file(PAGE, TABLE), file("crates/a/src/b.rs", source)])
    }

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(words_of("LowRank2d"), ["low", "rank2d"]);
        assert_eq!(words_of("LOW_RANK"), ["low", "rank"]);
        assert_eq!(words_of("_x"), ["x"]);
    }

    #[test]
    fn definitions_are_named() {
        assert_eq!(
            found("fn can_fold() { let x = 1; }"),
            ["crates/a/src/b.rs: `can_fold`: not `fold`, write merge (docs/glossary.md)"]
        );
        assert_eq!(found("struct FoldState { a: u8 }").len(), 1);
        assert_eq!(found("fn f() { assert!(g(|in_turn: u8| in_turn)) }").len(), 1);
    }

    #[test]
    fn names_of_others_texts_and_other_words_pass() {
        let source =
            "// fold\nfn folder(turn: u8) { x.iter().fold(0, f64::fold); g(\"fold\", 0..in_) }";
        assert_eq!(found(source), [] as [&str; 0]);
        assert_eq!(found("#[test] fn all_fold() { x() }"), [] as [&str; 0]);
        assert_eq!(found("#[test] fn a() { fold() } fn fold() {}").len(), 1);
        assert!(found("fn f() { for i in 0..fold {} }").len() == 1);
    }

    #[test]
    fn a_glossary_without_the_table_fails() {
        assert!(check(&[])[0].contains("found none"));
    }
}
