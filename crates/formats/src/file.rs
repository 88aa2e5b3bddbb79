//! Safetensors in and out.
//!
//! Files are mapped, not read: a tensor's pages come from disk when they are first used.
//! Writing goes aside, to disk and then into place, so a cut never leaves half a file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::{
    Dtype,
    tensor::{Metadata, TensorView},
};
use tch::{Device, Kind, Tensor};

use polyptych_tensor::Tensors;

use crate::{Error, Result};

/// What a file holds: tensors, and the free text of its header.
#[derive(Debug, Default)]
pub struct TensorFile {
    /// Tensors by name, on the CPU, in the type of the file.
    pub tensors: Tensors,
    /// The header's `__metadata__`.
    pub metadata: HashMap<String, String>,
}

/// Longest header that is read, as the format's own reader has it.
const MAX_HEADER: u64 = 100_000_000;

/// Bytes that tell the length of the header, and what that is a multiple of.
const LENGTH: usize = 8;

/// Maps the file at `path`.
///
/// # Errors
/// A file that is absent, cut off, of another format, or holds a type other than
/// f64, f32, f16, bf16, i64, i32, i16, i8, u8 or bool.
pub fn load(path: &Path) -> Result<TensorFile> {
    let header = read_header(path)?;
    let name = path.to_string_lossy();
    let map =
        Tensor::f_from_file(&name, false, header.file_len as i64, (Kind::Uint8, Device::Cpu))?;
    tensors_in(path, &header, &map)
}

/// Reads a file that is in memory already; `origin` names it in errors.
///
/// # Errors
/// As [`load`].
pub fn parse(origin: &str, content: &[u8]) -> Result<TensorFile> {
    let path = Path::new(origin);
    let header = split_header(path, content, content.len() as u64)?;
    tensors_in(path, &header, &Tensor::from_slice(content))
}

/// Writes `tensors` in their own types.
///
/// # Errors
/// A folder that is absent or read-only, a full disk; nothing is left at `path` then.
pub fn save(path: &Path, tensors: &Tensors, metadata: HashMap<String, String>) -> Result<()> {
    let bytes: Vec<(&String, Dtype, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let (dtype, data) = bytes_of(name, tensor)?;
            let shape = tensor.size().iter().map(|&extent| extent as usize).collect();
            Ok((name, dtype, shape, data))
        })
        .collect::<Result<_>>()?;
    let views: Vec<(&String, TensorView)> = bytes
        .iter()
        .map(|(name, dtype, shape, data)| {
            let view = TensorView::new(*dtype, shape.clone(), data);
            view.map(|view| (*name, view)).map_err(|e| format(path, e.to_string()))
        })
        .collect::<Result<_>>()?;
    let mut content =
        safetensors::serialize(views, None).map_err(|e| format(path, e.to_string()))?;
    if !metadata.is_empty() {
        insert_metadata(&mut content, metadata);
    }
    write_aside(path, &content)
}

/// Puts `metadata` into the header of the file `content` that has none. `safetensors` writes it in
/// the order of a hash map, which differs from process to process: equal runs have equal bytes.
fn insert_metadata(content: &mut Vec<u8>, metadata: HashMap<String, String>) {
    let sorted: BTreeMap<String, String> = metadata.into_iter().collect();
    let sorted = serde_json::to_string(&sorted).expect("keys and values are strings");
    let length = |bytes: [u8; LENGTH]| u64::from_le_bytes(bytes) as usize;
    let old = content.first_chunk().copied().map(length).expect("a file begins with a length");
    let entries = content[LENGTH + 1..LENGTH + old].trim_ascii_end();
    let comma = if entries == b"}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{sorted}{comma}").into_bytes();
    header.extend(entries);
    // Data begins at a multiple of 8, as `safetensors` has it.
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    let start = (header.len() as u64).to_le_bytes().into_iter().chain(header);
    content.splice(..LENGTH + old, start.collect::<Vec<_>>());
}

/// Writes `content` to `path` as one step: beside it first, flushed to disk, then renamed.
///
/// # Errors
/// Whatever the file system says; the file beside it is removed then.
pub fn write_aside(path: &Path, content: &[u8]) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    let aside = PathBuf::from(aside);
    let io = |source| Error::Io { path: path.into(), source };
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&aside)?;
        std::io::Write::write_all(&mut file, content)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    };
    write().map_err(|e| {
        // The write has failed already; that the remains cannot be removed adds nothing.
        let _ = std::fs::remove_file(&aside);
        io(e)
    })
}

/// Flushes to disk which names `folder` holds, so that a file that was renamed stays renamed.
///
/// # Errors
/// Whatever the file system says.
pub fn sync_folder(folder: &Path) -> Result<()> {
    // Elsewhere a folder cannot be opened as a file, and the file system keeps its own order.
    if !cfg!(unix) {
        return Ok(());
    }
    let sync = File::open(folder).and_then(|folder| folder.sync_all());
    sync.map_err(|source| Error::Io { path: folder.into(), source })
}

struct Header {
    bytes: Vec<u8>,
    file_len: u64,
}

fn read_header(path: &Path) -> Result<Header> {
    let io = |source| Error::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let file_len = file.metadata().map_err(io)?.len();
    split_header(path, file, file_len)
}

fn split_header(path: &Path, mut content: impl Read, file_len: u64) -> Result<Header> {
    let mut length = [0; 8];
    content.read_exact(&mut length).map_err(|_| format(path, "shorter than 8 bytes".into()))?;
    let header_len = u64::from_le_bytes(length);
    if header_len > MAX_HEADER.min(file_len.saturating_sub(8)) {
        return Err(format(path, format!("a header of {header_len} bytes in {file_len} bytes")));
    }
    let mut bytes = Vec::new();
    let io = |source| Error::Io { path: path.into(), source };
    content.take(header_len).read_to_end(&mut bytes).map_err(io)?;
    Ok(Header { bytes, file_len })
}

/// Views of the tensors in `content`, the whole file as bytes.
fn tensors_in(path: &Path, header: &Header, content: &Tensor) -> Result<TensorFile> {
    let metadata: Metadata =
        serde_json::from_slice(&header.bytes).map_err(|e| format(path, e.to_string()))?;
    let data_start = 8 + header.bytes.len() as i64;
    let expected = data_start as u64 + metadata.data_len() as u64;
    if expected != header.file_len {
        return Err(format(path, format!("expected {expected} bytes, found {}", header.file_len)));
    }
    let mut tensors = Tensors::new();
    for (name, info) in metadata.tensors() {
        let kind = kind_of(info.dtype).ok_or_else(|| {
            format(path, format!("{name}: type {:?} is not supported", info.dtype))
        })?;
        let shape: Vec<i64> = info.shape.iter().map(|&extent| extent as i64).collect();
        let (begin, end) = info.data_offsets;
        let bytes = content.narrow(0, data_start + begin as i64, (end - begin) as i64);
        tensors.insert(name, typed(&bytes, kind, &shape)?);
    }
    Ok(TensorFile { tensors, metadata: metadata.metadata().clone().unwrap_or_default() })
}

fn typed(bytes: &Tensor, kind: Kind, shape: &[i64]) -> Result<Tensor> {
    if bytes.numel() == 0 {
        return Ok(Tensor::zeros(shape, (kind, Device::Cpu)));
    }
    // A view needs an address that the type divides; a file need not grant it.
    let aligned = (bytes.data_ptr() as usize).is_multiple_of(kind.elt_size_in_bytes());
    let bytes = if aligned { bytes.shallow_clone() } else { bytes.copy() };
    Ok(bytes.f_view_dtype(kind)?.f_view(shape)?)
}

fn bytes_of(name: &str, tensor: &Tensor) -> Result<(Dtype, Vec<u8>)> {
    let dtype = dtype_of(tensor.kind())
        .ok_or_else(|| Error::Type { key: name.into(), found: format!("{:?}", tensor.kind()) })?;
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    let bytes = if tensor.numel() == 0 {
        Vec::new()
    } else {
        let flat = tensor.view([-1]).f_view_dtype(Kind::Uint8)?;
        Vec::<u8>::try_from(&flat)?
    };
    Ok((dtype, bytes))
}

const KINDS: [(Dtype, Kind); 10] = [
    (Dtype::F64, Kind::Double),
    (Dtype::F32, Kind::Float),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::I64, Kind::Int64),
    (Dtype::I32, Kind::Int),
    (Dtype::I16, Kind::Int16),
    (Dtype::I8, Kind::Int8),
    (Dtype::U8, Kind::Uint8),
    (Dtype::BOOL, Kind::Bool),
];

fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(d, _)| *d == dtype).map(|(_, kind)| *kind)
}

fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(_, k)| *k == kind).map(|(dtype, _)| *dtype)
}

fn format(path: &Path, reason: String) -> Error {
    Error::Safetensors { path: path.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn every_type_comes_back_bit_for_bit() {
        let folder = folder();
        let path = folder.path().join("a.safetensors");
        let base = Tensor::from_slice(&[0.5f32, -1.25, 3.0, 1e-3, 7.0, 2.5]).view([2, 3]);
        let kinds =
            [Kind::Float, Kind::Half, Kind::BFloat16, Kind::Double, Kind::Int64, Kind::Uint8];
        let tensors: Tensors =
            kinds.iter().map(|&kind| (format!("{kind:?}"), base.abs().to_kind(kind))).collect();
        save(&path, &tensors, HashMap::from([("format".into(), "pt".into())])).unwrap();
        let in_memory = parse("a", &std::fs::read(&path).unwrap()).unwrap();
        for back in [load(&path).unwrap(), in_memory] {
            assert_eq!(back.metadata["format"], "pt");
            assert_eq!(back.tensors.len(), tensors.len());
            for (name, tensor) in &tensors {
                assert!(back.tensors[name].equal(tensor), "{name}");
                assert_eq!(back.tensors[name].kind(), tensor.kind());
            }
        }
    }

    #[test]
    fn equal_files_have_equal_bytes_whatever_the_order_of_metadata() {
        let folder = folder();
        let path = folder.path().join("a.safetensors");
        let entry = |index: usize| (format!("key {index}"), "\"é\"".repeat(index));
        let tensor = || Tensor::from_slice(&[1i64, 2, 3]);
        for tensors in [Tensors::new(), Tensors::from([("w".to_owned(), tensor())])] {
            for count in [0, 1, 2, 3, 9] {
                let write = |indices: &mut dyn Iterator<Item = usize>| {
                    let metadata: HashMap<_, _> = indices.map(entry).collect();
                    save(&path, &tensors, metadata.clone()).unwrap();
                    let back = load(&path).unwrap();
                    assert_eq!((back.metadata, back.tensors.len()), (metadata, tensors.len()));
                    assert!(back.tensors.values().all(|t| t.equal(&tensor())));
                    std::fs::read(&path).unwrap()
                };
                let bytes = write(&mut (0..count));
                // What `safetensors` writes itself, where there is one order only.
                if count == 1 {
                    let data = [1i64, 2, 3].map(i64::to_le_bytes).concat();
                    let view = TensorView::new(Dtype::I64, vec![3], &data).unwrap();
                    let views = tensors.keys().map(|name| (name, view.clone()));
                    let metadata = Some(HashMap::from([entry(0)]));
                    assert_eq!(bytes, safetensors::serialize(views, metadata).unwrap());
                }
                assert_eq!(bytes, write(&mut (0..count).rev()));
            }
        }
    }

    #[test]
    fn broken_files_are_refused_by_name() {
        let folder = folder();
        let path = folder.path().join("a.safetensors");
        let tensors =
            Tensors::from([("w".to_owned(), Tensor::ones([4], (Kind::Float, Device::Cpu)))]);
        save(&path, &tensors, HashMap::new()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 5, 20, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let message = load(&path).unwrap_err().to_string();
            assert!(message.contains("a.safetensors: not a safetensors file: "), "{message}");
        }
        std::fs::write(&path, [0xff; 64]).unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("a header of"));
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = folder();
        let path = folder.path().join("absent").join("a.safetensors");
        let message = save(&path, &Tensors::new(), HashMap::new()).unwrap_err().to_string();
        assert!(message.contains("absent"), "{message}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
