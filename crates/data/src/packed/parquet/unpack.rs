//! Single pages as what was packed into them.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::sound::require_sound;

/// # Errors
/// A compression that is not read.
pub(super) fn require_read(compression: Compression) -> Result<()> {
    match compression {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) => Ok(()),
        other => Err(general(format!(
            "packed by {other}, expected Snappy, gzip or no compression: write it anew with one \
             of these"
        ))),
    }
}

/// The page in `bytes`, its header in front of it, as `length` bytes; `dictionary` says whether its
/// column has one.
pub(super) fn unpacked(
    about: &ColumnChunkMetaData,
    bytes: Vec<u8>,
    length: u64,
    dictionary: bool,
) -> Result<Page> {
    let gzip = matches!(about.compression(), Compression::GZIP(_));
    // What gzip packs says nothing of its length, so it is unpacked here, within a bound.
    let packed = if gzip { Compression::UNCOMPRESSED } else { about.compression() };
    let alone = ColumnChunkMetaData::builder(about.column_descr_ptr())
        .set_compression(packed)
        .set_total_compressed_size(bytes.len() as i64)
        .build()?;
    let piece = Arc::new(Bytes::from(bytes));
    let page = SerializedPageReader::new(piece, &alone, 0, None)?.get_next_page()?;
    let mut page = page.ok_or_else(|| general("a page that is none"))?;
    let plain = matches!(page, Page::DataPageV2 { is_compressed: false, .. });
    let (buf, levels) = match &mut page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            (buf, *def_levels_byte_len as usize + *rep_levels_byte_len as usize)
        }
    };
    if gzip && !plain {
        *buf = inflated(buf, levels, length)?.into();
    }
    require_sound(&page, about.column_descr(), dictionary).map_err(ParquetError::General)?;
    Ok(page)
}

/// Bytes that are packed by gzip behind the first `plain` ones.
fn inflated(bytes: &[u8], plain: usize, unpacked: u64) -> Result<Vec<u8>> {
    let cut = || general("levels that are longer than their page");
    let (levels, packed) = bytes.split_at_checked(plain).ok_or_else(cut)?;
    let mut whole = levels.to_vec();
    MultiGzDecoder::new(packed).take(unpacked + 1).read_to_end(&mut whole)?;
    if whole.len() as u64 != unpacked {
        let found = whole.len();
        return Err(general(format!("expected {unpacked} bytes in a page, found {found}")));
    }
    Ok(whole)
}

pub(super) fn general(reason: impl Into<String>) -> ParquetError {
    ParquetError::General(reason.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_gzip_packs_must_be_as_long_as_its_page_says() {
        let mut packed = vec![7, 7];
        let mut writer = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::fast());
        writer.write_all(&[0; 1 << 20]).unwrap();
        drop(writer);
        let whole = inflated(&packed, 2, (1 << 20) + 2).unwrap();
        assert_eq!((whole.len(), &whole[..3]), ((1 << 20) + 2, &[7, 7, 0][..]));
        let message = inflated(&packed, 2, 100).unwrap_err().to_string();
        assert!(message.ends_with("expected 100 bytes in a page, found 103"), "{message}");
        let message = require_read(Compression::LZ4).unwrap_err().to_string();
        assert!(message.contains("packed by LZ4, expected Snappy, gzip"), "{message}");
    }
}
