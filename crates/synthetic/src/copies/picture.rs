//! What the copies of dense data sets show.

use ndarray::{Array2, Array3};

use crate::{Scenes, ScenesConfig};
use polyptych_data::{Dataset, Label, Result};

/// One scene with its labels.
pub(super) struct Picture {
    pub(super) image: Array3<u8>,
    /// Classes of the scenes.
    pub(super) classes: Array2<u8>,
    /// Which object each pixel shows.
    pub(super) instances: Array2<u16>,
    /// Body parts; none without people.
    pub(super) parts: Option<Array2<u8>>,
    pub(super) salient: Array2<u8>,
    pub(super) normals: Array3<f32>,
    pub(super) depth: Array2<f32>,
    pub(super) edges: Array2<u8>,
}

impl Picture {
    /// Scene `index` of `[height, width]` pixels.
    pub(super) fn draw(index: usize, [height, width]: [usize; 2]) -> Result<Self> {
        let split = "train".to_owned();
        let config = ScenesConfig { seed: 20, split, len: index + 1, height, width };
        let scenes = Scenes::new(config)?;
        let mut sample = scenes.get(index)?;
        let mut map = |task: &str| match sample.labels.remove(task) {
            Some(Label::Classes(map) | Label::Binary(map)) => Some(map),
            Some(Label::Edges(mut maps)) => maps.pop(),
            _ => None,
        };
        const WHY: &str = "every scene has this label";
        let classes = map("semseg").expect(WHY);
        let (parts, salient) = (map("human_parts"), map("sal").expect(WHY));
        let edges = map("edge").expect(WHY);
        let (Some(Label::Normals(normals)), Some(Label::Depth(depth))) =
            (sample.labels.remove("normals"), sample.labels.remove("depth"))
        else {
            unreachable!("{WHY}")
        };
        let (image, instances) = (sample.image, scenes.instances(index));
        Ok(Self { image, classes, instances, parts, salient, normals, depth, edges })
    }

    /// The classes under other numbers.
    pub(super) fn mapped<T: Copy>(&self, table: &[T; 16]) -> Array2<T> {
        self.classes.map(|&class| table[usize::from(class)])
    }

    pub(super) fn size(&self) -> [usize; 2] {
        [self.classes.nrows(), self.classes.ncols()]
    }
}

/// Normals as bytes of red, green and blue, and as these bytes are read again.
pub(super) fn stored_normals(normals: &Array3<f32>, signs: [f32; 3]) -> Array3<u8> {
    Array3::from_shape_fn(normals.dim(), |(y, x, c)| {
        (127.5 + 127.5 * signs[c] * normals[[y, x, c]]).round() as u8
    })
}

/// Where there is a normal at all: of length 1 there, else 0.
pub(super) fn known_normals(normals: &Array3<f32>) -> Label {
    Label::Normals(normals.clone())
}
