//! Stages whose shifted windows depend on whether a map is padded or rolled first.
//!
//! timm rolls a map by half a window and pads the rolled one to whole windows, so that zeros stand
//! behind rows that came from the opposite edge. TorchVision and Hugging Face pad first and roll
//! zeros along. The two agree where windows fill the map, or nothing is shifted.

use super::config::SwinConfig;
use super::windows::Windows;

impl SwinConfig {
    /// What is to be known of the stages where padding first, as sources of weights may do, gives
    /// other windows than ours; nothing where there are none.
    pub(super) fn note_padded_shifts(&self) -> Option<String> {
        let depends = |stage: &usize| self.depends_on_order(*stage);
        let stages: Vec<String> = (0..self.depths.len()).filter(depends).map(layer).collect();
        let [high, wide] = self.img_size;
        (!stages.is_empty()).then(|| {
            format!(
                "pads a map to whole windows and then rolls it, where timm and Polyptych roll and \
                 then pad: for images of {high} x {wide}, shifted windows of {} do not fill their \
                 map, so outputs differ from those of the source",
                stages.join(", ")
            )
        })
    }

    fn depends_on_order(&self, stage: usize) -> bool {
        // A stage of one block shifts nothing.
        let Windows { size, shift } = self.windows(stage, self.depths[stage] > 1);
        let resolution = self.resolution(stage);
        (0..2).any(|axis| shift[axis] > 0 && resolution[axis] % size[axis] != 0)
    }
}

fn layer(stage: usize) -> String {
    format!("layers.{stage}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BackboneConfig;

    #[test]
    fn only_shifted_windows_that_do_not_fill_their_map_depend_on_the_order() {
        let tiny = BackboneConfig::from_name("swin_tiny_patch4_window7_224").unwrap();
        let tiny = tiny.downcast_ref::<SwinConfig>().unwrap();
        // Windows of 7 in maps of 52, 26 and 13; the last map is one window.
        for (img_size, expected) in [
            ([224, 224], [false; 4]),
            ([208, 208], [true, true, true, false]),
            ([224, 208], [true, true, true, false]),
            ([448, 896], [false; 4]),
        ] {
            let config = SwinConfig { img_size, ..tiny.clone() };
            assert_eq!([0, 1, 2, 3].map(|stage| config.depends_on_order(stage)), expected);
        }
        let unshifted = SwinConfig { img_size: [208; 2], depths: vec![1; 4], ..tiny.clone() };
        assert_eq!(unshifted.note_padded_shifts(), None);
    }
}
