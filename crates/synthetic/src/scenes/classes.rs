//! The classes of the scenes, their colours, and the tasks with labels.

use polyptych_data::{TaskKind, TaskSpec};

pub(crate) const SKY: u8 = 0;
pub(crate) const GROUND: u8 = 1;
pub(crate) const WALL: u8 = 2;
pub(crate) const CEILING: u8 = 3;
pub(crate) const PERSON: u8 = 4;
pub(crate) const BOX: u8 = 5;
pub(crate) const BALL: u8 = 6;
pub(crate) const COLUMN: u8 = 7;
pub(crate) const CONE: u8 = 8;
pub(crate) const TABLE: u8 = 9;
pub(crate) const CHAIR: u8 = 10;
pub(crate) const LAMP: u8 = 11;
pub(crate) const TREE: u8 = 12;
pub(crate) const HOUSE: u8 = 13;
pub(crate) const CAR: u8 = 14;
pub(crate) const VASE: u8 = 15;

/// Classes of `semseg`: the first [`OBJECTS`] are background.
const NAMES: [(&str, [u8; 3]); 16] = [
    ("sky", [135, 196, 250]),
    ("ground", [136, 120, 96]),
    ("wall", [210, 205, 190]),
    ("ceiling", [248, 246, 240]),
    ("person", [220, 20, 60]),
    ("box", [255, 165, 0]),
    ("ball", [255, 235, 40]),
    ("column", [110, 110, 130]),
    ("cone", [255, 95, 30]),
    ("table", [130, 70, 20]),
    ("chair", [190, 110, 220]),
    ("lamp", [255, 255, 170]),
    ("tree", [30, 140, 50]),
    ("house", [150, 30, 90]),
    ("car", [20, 50, 200]),
    ("vase", [0, 190, 190]),
];

/// Index of the first class that is an object.
pub(crate) const OBJECTS: u8 = PERSON;

/// Number of classes that are objects: the flags of `tags`.
pub(crate) const OBJECT_COUNT: usize = NAMES.len() - OBJECTS as usize;

const PARTS: [(&str, [u8; 3]); 7] = [
    ("background", [0, 0, 0]),
    ("head", [230, 60, 60]),
    ("torso", [250, 170, 40]),
    ("upper arm", [90, 200, 90]),
    ("lower arm", [40, 120, 60]),
    ("upper leg", [80, 130, 240]),
    ("lower leg", [40, 50, 150]),
];

/// The seven tasks: six dense ones, and `tags` for pre-training.
pub(crate) fn tasks() -> Vec<TaskSpec> {
    vec![
        task("semseg", TaskKind::Semseg, &NAMES),
        task("human_parts", TaskKind::HumanParts, &PARTS),
        task("sal", TaskKind::Sal, &[]),
        task("normals", TaskKind::Normals, &[]),
        task("depth", TaskKind::Depth, &[]),
        task("edge", TaskKind::Edge, &[]),
        task("tags", TaskKind::Tags, &NAMES[usize::from(OBJECTS)..]),
    ]
}

fn task(name: &str, kind: TaskKind, classes: &[(&str, [u8; 3])]) -> TaskSpec {
    TaskSpec {
        name: name.to_owned(),
        kind,
        classes: classes.iter().map(|(name, _)| (*name).to_owned()).collect(),
        palette: classes.iter().map(|(_, colour)| *colour).collect(),
        flip_pairs: Vec::new(),
    }
}
