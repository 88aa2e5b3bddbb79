//! OpenEXR, as renderers store depth and normals.

use std::collections::BTreeSet;
use std::io::Cursor;

use exr::compression::Compression;
use exr::image::{AnyChannel, FlatSamples};
use exr::meta::header::Header;
use exr::meta::{BlockDescription, MetaData};
use exr::prelude::{ReadChannels, ReadLayers, read};
use ndarray::{ArrayD, IxDyn};

use super::bounds::{Decoded, MAX_BYTES, affordable, bounded, explained};

/// Channels that are one map although there are others beside them: depth and luminance.
const MAPS: [&str; 5] = ["Z", "Y", "V", "depth", "Depth"];
/// Channels that are vectors.
const VECTORS: [[&str; 3]; 3] = [["R", "G", "B"], ["X", "Y", "Z"], ["r", "g", "b"]];
/// Blender's layer of the picture itself, beside those of numbers.
const PICTURE: &str = "Combined.";

/// Reads the first part: vectors `[height, width, 3]` of the channels R, G, B or X, Y, Z, else one
/// map `[height, width]`. Names may stand behind those of layers, as `ViewLayer.Depth.Z`, of which one
/// has such channels.
pub(crate) fn array(bytes: &[u8]) -> Decoded<ArrayD<f64>> {
    let meta = MetaData::read_from_buffered(Cursor::new(bytes), false);
    // Of several parts one is read.
    for header in meta.map_err(|error| error.to_string())?.headers {
        require_held(&header, bytes.len())?;
    }
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

/// Refuses a part of a file of `stored` bytes that takes too much memory.
fn require_held(header: &Header, stored: usize) -> Decoded<()> {
    let [width, height] = [header.layer_size.width(), header.layer_size.height()];
    bounded(width, height)?;
    // Decoders of the first overflow, and of the second ask for what a file claims, where no
    // encoder wrote it; labels are not kept so.
    let lossy = match header.compression {
        Compression::B44 | Compression::B44A => Some("B44"),
        Compression::DWAA(_) | Compression::DWAB(_) => Some("DWA"),
        _ => None,
    };
    if let Some(name) = lossy {
        return Err(format!("{name} loses digits, expected another compression: save it with ZIP"));
    }
    let channels = &header.channels;
    let pixels = width * height;
    let block = match header.blocks {
        BlockDescription::Tiles(tiles) => tiles.tile_size.area(),
        BlockDescription::ScanLines => header.compression.scan_lines_per_block() * width,
    };
    // A block is unpacked, and its bytes are brought in order, before they become numbers; what is
    // chosen is held as doubles too.
    let numbers = pixels.saturating_mul(channels.bytes_per_pixel);
    let blocks = block.min(pixels).saturating_mul(2 * channels.bytes_per_pixel);
    let doubles = size_of::<f64>() * pixels * channels.list.len().min(3);
    let needed = numbers.saturating_add(blocks).saturating_add(doubles);
    if needed as u64 > MAX_BYTES {
        let reason = "write a file of the label's channels alone";
        return Err(format!("{needed} bytes of numbers, expected at most {MAX_BYTES}: {reason}"));
    }
    explained(numbers, stored)?;
    affordable(needed)
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
    let (pixels, count) = (height * width, channels.len());
    if channels.iter().any(|channel| channel.sample_data.len() != pixels) {
        return Err("channels of fewer numbers than pixels".to_owned());
    }
    let mut all = vec![0.0; pixels * count];
    for (first, channel) in channels.iter().enumerate() {
        let places = all.iter_mut().skip(first).step_by(count);
        let values = channel.sample_data.values_as_f32();
        places.zip(values).for_each(|(place, value)| *place = f64::from(value));
    }
    let shape: &[usize] = if count == 1 { &[height, width] } else { &[height, width, count] };
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
        let lossy = [("B44", Compression::B44), ("DWA", Compression::DWAA(None))];
        for (name, compression) in lossy.into_iter().chain([("DWA", Compression::DWAB(None))]) {
            let encoding = Encoding { compression, ..Encoding::UNCOMPRESSED };
            let message = array(&encoded(&["Z"], encoding)).unwrap_err();
            assert!(message.starts_with(&format!("{name} loses digits")), "{message}");
        }
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

    /// A file that claims `side` x `side` pixels of three floats.
    fn claiming(side: i32) -> Vec<u8> {
        let mut bytes = file(&["R", "G", "B"]);
        let window = b"dataWindow\0box2i\0\x10\0\0\0";
        let start = bytes.windows(window.len()).position(|part| part == window).unwrap();
        let largest = start + window.len() + 8;
        bytes[largest..largest + 4].copy_from_slice(&(side - 1).to_le_bytes());
        bytes[largest + 4..largest + 8].copy_from_slice(&(side - 1).to_le_bytes());
        bytes
    }

    /// Three channels of 10000 x 10000 floats that are claimed are 1.2 billion bytes, 2.4 more as
    /// doubles, and two of a line.
    #[test]
    fn more_bytes_than_are_read_are_refused() {
        assert_eq!(
            array(&claiming(10_000)).unwrap_err(),
            "3600240000 bytes of numbers, expected at most 1073741824: write a file of the label's \
             channels alone"
        );
        let message = array(&claiming(5000)).unwrap_err();
        assert!(message.starts_with("300000000 bytes from "), "{message}");
        assert!(message.contains("expected at most 67108864: the file was cut off"), "{message}");
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for length in (0..DEPTH.len()).step_by(7) {
            assert!(array(&DEPTH[..length]).is_err(), "{length}");
        }
    }
}
