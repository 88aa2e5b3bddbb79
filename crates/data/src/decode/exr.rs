//! OpenEXR, as renderers store depth and normals.

use std::collections::BTreeSet;
use std::io::Cursor;

use exr::compression::Compression;
use exr::image::{AnyChannel, FlatSamples};
use exr::meta::MetaData;
use exr::prelude::{ReadChannels, ReadLayers, read};
use ndarray::{ArrayD, IxDyn};

use super::bounds::{Decoded, MAX_BYTES, affordable, bounded};

/// Channels that are one map although there are others beside them: depth and luminance.
const MAPS: [&str; 5] = ["Z", "Y", "V", "depth", "Depth"];
/// Bytes of a chosen channel's number, as a float and as a double.
const HELD: usize = 4 + 8;
/// Channels that are vectors.
const VECTORS: [[&str; 3]; 3] = [["R", "G", "B"], ["X", "Y", "Z"], ["r", "g", "b"]];
/// Blender's layer of the picture itself, beside those of numbers.
const PICTURE: &str = "Combined.";

/// Reads the first part: vectors `[height, width, 3]` of the channels R, G, B or X, Y, Z, else one
/// map `[height, width]`. Names may stand behind those of layers, as `ViewLayer.Depth.Z`, of which one
/// has such channels.
pub(crate) fn array(bytes: &[u8]) -> Decoded<ArrayD<f64>> {
    let meta = MetaData::read_from_buffered(Cursor::new(bytes), false);
    let mut needed = 0_usize;
    for header in meta.map_err(|error| error.to_string())?.headers {
        bounded(header.layer_size.width(), header.layer_size.height())?;
        // Its decoder overflows on what no encoder writes; labels are not kept so.
        if matches!(header.compression, Compression::B44 | Compression::B44A) {
            return Err("B44 loses digits, expected another compression: save it with ZIP".into());
        }
        // Of several parts one is read; what is chosen of it is held as floats and doubles too.
        let per_pixel = header.channels.bytes_per_pixel + HELD * header.channels.list.len().min(3);
        let bytes = header.layer_size.area().saturating_mul(per_pixel);
        needed = needed.max(bytes);
    }
    if needed as u64 > MAX_BYTES {
        let reason = "write a file of the label's channels alone";
        return Err(format!("{needed} bytes of numbers, expected at most {MAX_BYTES}: {reason}"));
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
    let names: Vec<String> = channels.iter().map(|channel| channel.name.to_string()).collect();
    let chosen = chosen(&names).ok_or_else(|| {
        let expected = "one channel, R, G, B or X, Y, Z, or one layer of such as LAYER.Z";
        format!("expected {expected}, found {}", names.join(", "))
    })?;
    let chosen: Vec<_> = chosen.into_iter().map(|place| &channels[place]).collect();
    interleaved([size.height(), size.width()], &chosen)
}

/// Places of the channels that are the label: one, or three.
fn chosen(names: &[String]) -> Option<Vec<usize>> {
    if names.len() == 1 {
        return Some(vec![0]);
    }
    if let Some(plain) = of_layer(names, "") {
        return Some(plain);
    }
    let layer = |name: &String| name.rfind('.').map(|dot| name[..=dot].to_owned());
    let layers: BTreeSet<String> = names.iter().filter_map(layer).collect();
    let (pictures, others): (Vec<_>, Vec<_>) =
        layers.iter().partition(|layer| layer.ends_with(PICTURE));
    let of = |layers: Vec<&String>| -> Vec<Vec<usize>> {
        layers.into_iter().filter_map(|layer| of_layer(names, layer)).collect()
    };
    let mut found = of(others);
    if found.is_empty() {
        found = of(pictures);
    }
    <[Vec<usize>; 1]>::try_from(found).ok().map(|[only]| only)
}

/// Places of the vectors of a layer, whose name ends with a dot, or else of its map.
fn of_layer(names: &[String], layer: &str) -> Option<Vec<usize>> {
    let find = |name: &&str| {
        names.iter().position(|own| own.strip_prefix(layer).is_some_and(|own| own == *name))
    };
    let several = |names: &[&str; 3]| names.iter().map(find).collect::<Option<Vec<usize>>>();
    let vectors = VECTORS.iter().find_map(several);
    vectors.or_else(|| MAPS.iter().find_map(find).map(|place| vec![place]))
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
    use std::io::Cursor;

    use exr::prelude::{
        AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer, LayerAttributes,
        WritableImage,
    };

    use super::{Compression, array};

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
    fn compression_that_loses_digits_is_named() {
        let encoding = Encoding { compression: Compression::B44, ..Encoding::UNCOMPRESSED };
        let message = array(&encoded(&["Z"], encoding)).unwrap_err();
        assert!(message.starts_with("B44 loses digits"), "{message}");
        let encoding = Encoding { compression: Compression::ZIP16, ..Encoding::UNCOMPRESSED };
        assert!(array(&encoded(&["Z"], encoding)).is_ok());
    }

    fn file(names: &[&str]) -> Vec<u8> {
        encoded(names, Encoding::UNCOMPRESSED)
    }

    /// An image of 2 x 1 pixels, channel `n` of which holds 10 n and 10 n + 1.
    fn encoded(names: &[&str], encoding: Encoding) -> Vec<u8> {
        let mut names = names.to_vec();
        names.sort_unstable();
        let channel = |(number, name): (usize, &&str)| {
            let first = 10.0 * number as f32;
            AnyChannel::new(*name, FlatSamples::F32(vec![first, first + 1.0]))
        };
        let channels = AnyChannels::sort(names.iter().enumerate().map(channel).collect());
        let attributes = LayerAttributes::default();
        let layer = Layer::new((2, 1), attributes, encoding, channels);
        let mut bytes = Cursor::new(Vec::new());
        Image::from_layer(layer).write().to_buffered(&mut bytes).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn channels_of_layers_are_found_by_their_last_word() {
        let combined = ["ViewLayer.Combined.A", "ViewLayer.Combined.B", "ViewLayer.Combined.G"];
        let combined = [&combined[..], &["ViewLayer.Combined.R"]].concat();
        let read = |more: &[&str]| array(&file(&[&combined[..], more].concat()));
        // Sorted by name: Depth.Z is the fifth channel.
        let depth = read(&["ViewLayer.Depth.Z"]).unwrap();
        assert_eq!((depth.shape(), depth[[0, 1]]), (&[1, 2][..], 41.0));
        let normal = ["ViewLayer.Normal.X", "ViewLayer.Normal.Y", "ViewLayer.Normal.Z"];
        let found = read(&normal).unwrap();
        assert_eq!(found.shape(), [1, 2, 3]);
        assert_eq!([0, 1, 2].map(|c| found[[0, 0, c]]), [40.0, 50.0, 60.0]);
        // The picture itself where there is nothing else, and what stands in no layer first.
        assert_eq!(read(&[]).unwrap()[[0, 0, 0]], 30.0);
        assert_eq!(read(&["Z"]).unwrap().shape(), [1, 2]);
        let both = read(&[&normal[..], &["ViewLayer.Depth.Z"]].concat()).unwrap_err();
        let expected = "expected one channel, R, G, B or X, Y, Z, or one layer of such as LAYER.Z, \
                        found ViewLayer.Combined.A, ";
        assert!(both.starts_with(expected) && both.contains("ViewLayer.Depth.Z"), "{both}");
    }

    /// Three channels of 10000 x 10000 floats that are claimed are 1.2 billion bytes.
    #[test]
    fn more_bytes_than_are_read_are_refused() {
        let mut bytes = file(&["R", "G", "B"]);
        let window = b"dataWindow\0box2i\0\x10\0\0\0";
        let start = bytes.windows(window.len()).position(|part| part == window).unwrap();
        let largest = start + window.len() + 8;
        bytes[largest..largest + 4].copy_from_slice(&9999_i32.to_le_bytes());
        bytes[largest + 4..largest + 8].copy_from_slice(&9999_i32.to_le_bytes());
        assert_eq!(
            array(&bytes).unwrap_err(),
            "4800000000 bytes of numbers, expected at most 1073741824: write a file of the label's \
             channels alone"
        );
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for length in (0..DEPTH.len()).step_by(7) {
            assert!(array(&DEPTH[..length]).is_err(), "{length}");
        }
    }
}
