//! From words to tokens, by Hugging Face's `tokenizers`.

use std::path::Path;

use polyptych_tensor::Tensor;
use serde_json::{Value, json};

use crate::error::{Error, Result};

const JSON: &str = "tokenizer.json";
const VOCAB: &str = "vocab.json";
const MERGES: &str = "merges.txt";
/// CLIP's marks.
const BEGIN: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";
/// What CLIP takes for a word before it looks into its vocabulary.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Texts of one length.
#[derive(Debug)]
pub struct TextTokens {
    /// `[batch, tokens]`, int64; behind a text's end the mark of the end again.
    pub ids: Tensor,
    /// Place of the mark of the end in each text, `[batch]`, int64.
    pub ends: Tensor,
}

/// Turns texts into tokens, with a mark of the begin and of the end around each.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The mark of the end.
    end: u32,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or else CLIP's `vocab.json` and `merges.txt`, in the folder `path`;
    /// or the file `path` itself, which is a `tokenizer.json`.
    ///
    /// # Errors
    /// Files that are absent or cannot be read; a tokenizer without marks of begin and end.
    pub fn open(path: &Path) -> Result<Self> {
        let origin = path.display().to_string();
        let file = if path.is_dir() { path.join(JSON) } else { path.into() };
        if file.exists() {
            return Self::of_json(&origin, JSON, &text(&file)?);
        }
        let (vocab, merges) = (path.join(VOCAB), path.join(MERGES));
        if vocab.exists() && merges.exists() {
            let vocab: Value = serde_json::from_str(&text(&vocab)?)
                .map_err(|e| unreadable(&origin, VOCAB, e.to_string()))?;
            if let Some(mark) = [BEGIN, END].into_iter().find(|mark| !vocab[mark].is_u64()) {
                return Err(wrong(&origin, VOCAB, format!("a number for {mark}"), "none"));
            }
            let whole = clip(vocab, &text(&merges)?).to_string();
            return Self::of_json(&origin, &format!("{VOCAB}, {MERGES}"), &whole);
        }
        let expected = format!("{JSON}, or {VOCAB} and {MERGES}");
        Err(wrong(&origin, "tokenizer", expected, "none of them"))
    }

    /// A tokenizer whose entries are `words`, set apart by white space and punctuation, whatever
    /// their case; other words are one entry, `[unknown]`.
    ///
    /// # Errors
    /// No word at all.
    pub fn of_words(words: &[&str]) -> Result<Self> {
        if words.is_empty() {
            return Err(wrong("words", "tokenizer", "one word or more", "none"));
        }
        let marks = [END, BEGIN, "[unknown]"];
        let entries = marks.iter().chain(words).enumerate();
        let vocab: serde_json::Map<String, Value> =
            entries.map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
        let special = |id: usize| json!({"SpecialToken": {"id": marks[id], "type_id": 0}});
        let mark = |id: usize| json!({"id": marks[id], "ids": [id], "tokens": [marks[id]]});
        let whole = json!({
            "version": "1.0",
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [special(1), {"Sequence": {"id": "A", "type_id": 0}}, special(0)],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {END: mark(0), BEGIN: mark(1)},
            },
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": marks[2]},
        });
        Self::of_json("words", JSON, &whole.to_string())
    }

    /// That of `json`, the content of the files `name` of `origin`.
    fn of_json(origin: &str, name: &str, json: &str) -> Result<Self> {
        let refused = |e: tokenizers::Error| unreadable(origin, name, e.to_string());
        let mut inner: tokenizers::Tokenizer = json.parse().map_err(refused)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(refused)?;
        let nothing = inner.encode("", true).map_err(refused)?;
        match nothing.get_ids() {
            [_, end] => Ok(Self { end: *end, inner }),
            other => {
                let expected = "a mark of the begin and one of the end around every text";
                Err(wrong(origin, name, expected, &format!("{} marks", other.len())))
            }
        }
    }

    /// Entries of the vocabulary.
    pub fn vocab_size(&self) -> i64 {
        let largest = self.inner.get_vocab(true).into_values().max();
        largest.map_or(0, |id| i64::from(id) + 1)
    }

    /// The tokens of `texts`, as many for each as the longest has, and at most `context_length`:
    /// a longer text loses its last words, and keeps the mark of the end.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    pub fn encode(&self, texts: &[&str], context_length: i64) -> Result<TextTokens> {
        let most = context_length.max(2) as usize;
        let mut rows = Vec::with_capacity(texts.len());
        for text in texts {
            let refused = |e: tokenizers::Error| unreadable(text, "text", e.to_string());
            let encoded = self.inner.encode(*text, true).map_err(refused)?;
            let mut ids: Vec<i64> = encoded.get_ids().iter().map(|&id| i64::from(id)).collect();
            if ids.len() > most {
                ids.truncate(most - 1);
                ids.push(i64::from(self.end));
            }
            rows.push(ids);
        }
        let ends: Vec<i64> = rows.iter().map(|row| row.len() as i64 - 1).collect();
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        rows.iter_mut().for_each(|row| row.resize(longest, i64::from(self.end)));
        let ids = Tensor::from_slice(&rows.concat()).view([texts.len() as i64, longest as i64]);
        Ok(TextTokens { ids, ends: Tensor::from_slice(&ends) })
    }
}

/// CLIP's tokenizer as Hugging Face writes it.
fn clip(vocab: Value, merges: &str) -> Value {
    let merges: Vec<&str> =
        merges.lines().filter(|line| !line.starts_with("#version") && !line.is_empty()).collect();
    let (begin, end) = (vocab[BEGIN].clone(), vocab[END].clone());
    let mark = |content: &str, id: &Value| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false, "special": true})
    };
    json!({
        "version": "1.0",
        "added_tokens": [mark(BEGIN, &begin), mark(END, &end)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "post_processor": {"type": "RobertaProcessing", "sep": [END, end], "cls": [BEGIN, begin],
                           "trim_offsets": false, "add_prefix_space": false},
        "model": {"type": "BPE", "unk_token": END, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "</w>", "fuse_unk": false, "vocab": vocab, "merges": merges},
    })
}

fn text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|e| unreadable(&file.display().to_string(), "text", e.to_string()))
}

fn unreadable(origin: &str, key: &str, reason: String) -> Error {
    wrong(origin, key, "what a tokenizer reads", &reason)
}

fn wrong(origin: &str, key: &str, expected: impl Into<String>, found: &str) -> Error {
    let (origin, key) = (origin.to_owned(), key.to_owned());
    Error::Checkpoint { origin, key, expected: expected.into(), found: found.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(tokens: &TextTokens) -> Vec<Vec<i64>> {
        let row = |i| Vec::<i64>::try_from(tokens.ids.select(0, i)).unwrap();
        (0..tokens.ids.size()[0]).map(row).collect()
    }

    #[test]
    fn words_are_counted_and_marked() {
        let tokenizer = Tokenizer::of_words(&["a", "red", "ball"]).unwrap();
        assert_eq!(tokenizer.vocab_size(), 6);
        let tokens = tokenizer.encode(&["a Red ball", "a, cat"], 8).unwrap();
        assert_eq!(rows(&tokens), [[1, 3, 4, 5, 0], [1, 3, 2, 2, 0]]);
        let tokens = tokenizer.encode(&["a red ball", "ball"], 4).unwrap();
        assert_eq!(rows(&tokens), [[1, 3, 4, 0], [1, 5, 0, 0]]);
        assert_eq!(Vec::<i64>::try_from(&tokens.ends).unwrap(), [3, 2]);
        let message = Tokenizer::of_words(&[]).unwrap_err().to_string();
        assert_eq!(message, "words: tokenizer: expected one word or more, found none");
    }

    #[test]
    fn a_folder_without_vocabulary_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let message = Tokenizer::open(folder.path()).unwrap_err().to_string();
        let expected = "tokenizer: expected tokenizer.json, or vocab.json and merges.txt, found \
                        none of them";
        assert!(message.ends_with(expected), "{message}");
        std::fs::write(folder.path().join(JSON), "{}").unwrap();
        let message = Tokenizer::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("tokenizer.json: expected what a tokenizer reads"), "{message}");
    }

    #[test]
    fn files_of_clip_without_their_marks_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |vocab: &str, merges: &str| {
            std::fs::write(folder.path().join(VOCAB), vocab).unwrap();
            std::fs::write(folder.path().join(MERGES), merges).unwrap();
            Tokenizer::open(folder.path()).unwrap_err().to_string()
        };
        for vocab in ["{}", "[]", r#"{"<|endoftext|>": 1}"#] {
            let message = refused(vocab, "");
            let expected = "vocab.json: expected a number for <|startoftext|>, found none";
            assert!(message.ends_with(expected), "{message}");
        }
        // A merge of entries that the vocabulary lacks.
        let message = refused(r#"{"<|startoftext|>": 0, "<|endoftext|>": 1}"#, "a b</w>\n");
        assert!(message.contains("vocab.json, merges.txt: expected what a tokenizer"), "{message}");
    }
}
