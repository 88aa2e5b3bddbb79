//! Names of classes in files that annotation tools put beside the labels.

use std::collections::BTreeMap;
use std::path::Path;

use super::found::Found;
use super::lists::texts;
use crate::decode::read_text;
use crate::folder::read_table;

/// Names that a file gives, by stored number or by colour.
#[derive(Debug)]
pub(super) enum Names {
    /// `_classes.csv` of Roboflow: `Pixel Value, Class`.
    Numbers(BTreeMap<u32, String>),
    /// `labelmap.txt` of CVAT: `label:color_rgb:parts:actions`.
    Colours(BTreeMap<[u8; 3], String>),
}

/// The names that files below `folder` give.
pub(super) fn find(folder: &Path) -> Vec<Names> {
    texts(folder, &["csv", "txt"]).iter().filter_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Option<Names> {
    match path.file_name()?.to_str()?.to_lowercase().as_str() {
        "_classes.csv" => {
            let rows = read_table(path, "Class").ok()?;
            let rows = rows.into_iter().map(|(number, name)| Some((number.parse().ok()?, name)));
            Some(Names::Numbers(rows.collect::<Option<_>>()?))
        }
        "labelmap.txt" => {
            let text = read_text(path).ok()?;
            let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains(':'));
            Some(Names::Colours(lines.map(coloured).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

fn coloured(line: &str) -> Option<([u8; 3], String)> {
    let (name, rest) = line.split_once(':')?;
    let colour = rest.split(':').next()?.split(',').map(|part| part.trim().parse().ok());
    let colour: Option<Vec<u8>> = colour.collect();
    Some((colour?.try_into().ok()?, name.trim().to_owned()))
}

impl Found {
    /// Calls classes as a file does that knows all of them.
    pub(super) fn named(mut self, names: &[Names]) -> Self {
        let known = names.iter().find_map(|names| {
            let classes = match names {
                Names::Numbers(numbers) if self.palette.is_empty() && self.counts_from_zero() => {
                    (0..).zip(&self.classes).map(|(k, _)| numbers.get(&k).cloned()).collect()
                }
                Names::Colours(colours) if !self.palette.is_empty() => {
                    self.palette.iter().map(|colour| colours.get(colour).cloned()).collect()
                }
                _ => None,
            };
            classes.filter(|classes: &Vec<String>| distinct(classes))
        });
        self.has_names = known.is_some();
        self.classes = known.unwrap_or(self.classes);
        self
    }

    /// Whether stored numbers are those of classes.
    fn counts_from_zero(&self) -> bool {
        !self.classes.is_empty() && !self.keys.iter().any(|key| key.starts_with("map "))
    }
}

fn distinct(names: &[String]) -> bool {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    sorted.dedup();
    sorted.len() == names.len()
}
