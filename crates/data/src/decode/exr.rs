//! OpenEXR, as renderers store depth and normals.

use std::io::Cursor;

use exr::image::{AnyChannel, FlatSamples};
use exr::meta::MetaData;
use exr::prelude::{ReadChannels, ReadLayers, read};
use ndarray::{ArrayD, IxDyn};

use super::bounds::{Decoded, affordable, bounded};

/// Channels that are one map although there are others beside them: depth and luminance.
const MAPS: [&str; 5] = ["Z", "Y", "V", "depth", "Depth"];
/// Channels that are vectors.
const VECTORS: [[&str; 3]; 3] = [["R", "G", "B"], ["X", "Y", "Z"], ["r", "g", "b"]];

/// Reads the first layer: vectors `[height, width, 3]` of the channels R, G, B or X, Y, Z, else one
/// map `[height, width]`.
pub(crate) fn array(bytes: &[u8]) -> Decoded<ArrayD<f64>> {
    let meta = MetaData::read_from_buffered(Cursor::new(bytes), false);
    let mut needed = 0_usize;
    for header in meta.map_err(|error| error.to_string())?.headers {
        bounded(header.layer_size.width(), header.layer_size.height())?;
        let pixels = header.layer_size.area().saturating_mul(header.channels.list.len());
        needed = needed.saturating_add(pixels.saturating_mul(4));
    }
    affordable(needed)?;
    let image = read()
        .no_deep_data()
        .largest_resolution_level()
        .all_channels()
        .first_valid_layer()
        .all_attributes()
        .non_parallel()
        .from_buffered(Cursor::new(bytes))
        .map_err(|error| error.to_string())?;
    let (layer, size) = (&image.layer_data, image.layer_data.size);
    let channels = &layer.channel_data.list;
    let find = |name: &str| channels.iter().find(|channel| channel.name.to_string() == name);
    let several = |names: &[&str; 3]| Some([find(names[0])?, find(names[1])?, find(names[2])?]);
    if let Some(vectors) = VECTORS.iter().find_map(several) {
        return interleaved([size.height(), size.width()], &vectors);
    }
    let single = MAPS.iter().find_map(|name| find(name));
    let map = match &channels[..] {
        [only] => Some(only),
        _ => single,
    };
    let map = map.ok_or_else(|| {
        let names: Vec<String> = channels.iter().map(|channel| channel.name.to_string()).collect();
        format!("expected one channel, R, G, B or X, Y, Z, found {}", names.join(", "))
    })?;
    interleaved([size.height(), size.width()], &[map])
}

fn interleaved(
    [height, width]: [usize; 2],
    channels: &[&AnyChannel<FlatSamples>],
) -> Decoded<ArrayD<f64>> {
    let values: Vec<Vec<f32>> =
        channels.iter().map(|channel| channel.sample_data.values_as_f32().collect()).collect();
    if values.iter().any(|channel| channel.len() != height * width) {
        return Err("channels of fewer numbers than pixels".to_owned());
    }
    let pixel = |place: usize| values.iter().map(move |channel| f64::from(channel[place]));
    let all: Vec<f64> = (0..height * width).flat_map(pixel).collect();
    let shape: &[usize] =
        if channels.len() == 1 { &[height, width] } else { &[height, width, channels.len()] };
    ArrayD::from_shape_vec(IxDyn(shape), all).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::array;

    // Written by OpenCV and OpenEXR for Python (`tests/exr/generate.py`).
    const DEPTH: &[u8] = include_bytes!("../../tests/exr/depth.exr");
    const NORMALS: &[u8] = include_bytes!("../../tests/exr/normals.exr");

    #[test]
    fn maps_and_vectors_are_those_of_openexr() {
        let depth = array(DEPTH).unwrap();
        assert_eq!(depth.shape(), [3, 4]);
        for ((y, x), &metres) in
            depth.clone().into_dimensionality::<ndarray::Ix2>().unwrap().indexed_iter()
        {
            assert_eq!(metres, 0.5 * (4 * y + x) as f64);
        }
        let normals = array(NORMALS).unwrap();
        assert_eq!(normals.shape(), [3, 4, 3]);
        // Halves hold these.
        assert_eq!((normals[[1, 2, 0]], normals[[1, 2, 1]], normals[[1, 2, 2]]), (0.5, -0.25, 1.0));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for length in (0..DEPTH.len()).step_by(7) {
            assert!(array(&DEPTH[..length]).is_err(), "{length}");
        }
    }
}
