//! Pages of a column, each found by its header and unpacked once while it is held.

use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;

use super::levels::{Parts, Rows};
use super::sound::is_by_dictionary;
use super::unpack::{general, require_read, unpacked};
use crate::decode::explained;
use crate::packed::held::Held;
use crate::packed::lists::MOST_VALUES;
use crate::packed::shard::Shard;
use crate::packed::thrift::{self, DATA, DATA_V2, DICTIONARY, PageHeader};

/// Largest page, unpacked or not.
const MOST_PAGE: u64 = 256 << 20;
/// Most bytes of unpacked pages that are held for a split.
const MOST_HELD: usize = 64 << 20;
/// What holding a page takes beside its bytes.
const OVERHEAD: usize = 256;
/// How much is read in search of a header's end, one after the other.
const HEADERS: [u64; 3] = [1 << 10, 64 << 10, 8 << 20];

/// Unpacked pages by file and first byte.
#[derive(Debug)]
pub(super) struct Pages(pub(super) Held<(usize, u64), Page>);

impl Default for Pages {
    fn default() -> Self {
        Self(Held::new(MOST_HELD))
    }
}

/// A file whose pages are read.
#[derive(Debug)]
pub(super) struct PagedFile {
    pub(super) shard: Shard,
    /// Its number among the files of the split.
    pub(super) number: usize,
    pub(super) pages: Arc<Pages>,
}

/// The pages of a column in a row group.
#[derive(Debug)]
pub(super) struct Chunk {
    about: ColumnChunkMetaData,
    dictionary: Option<Place>,
    pages: Vec<Place>,
    /// Rows of the first pages of a column of lists, as far as they were looked at.
    rows: Mutex<Vec<(usize, Rows)>>,
}

/// Where a page is.
#[derive(Debug)]
struct Place {
    start: u64,
    /// Bytes of its header and its own.
    length: u64,
    unpacked: u64,
    /// Values before it.
    before: usize,
    values: usize,
}

impl PagedFile {
    /// Finds the pages of a column.
    pub(super) fn chunk(&self, about: &ColumnChunkMetaData) -> Result<Chunk> {
        require_read(about.compression())?;
        let first = about.dictionary_page_offset().unwrap_or(about.data_page_offset());
        let [start, length] = [first, about.compressed_size()].map(u64::try_from);
        let (Ok(mut start), Ok(length)) = (start, length) else {
            return Err(general("a column before the file begins"));
        };
        let end = start.saturating_add(length);
        let (mut dictionary, mut pages, mut before) = (None, Vec::new(), 0);
        while start < end {
            let header = self.header(start, end)?;
            let place = place(&header, start, end, before)?;
            start += place.length;
            match header.kind {
                DICTIONARY => dictionary = Some(place),
                // PyArrow may end a column with a page of no values.
                DATA | DATA_V2 if place.values > 0 => {
                    before = before.saturating_add(place.values);
                    pages.push(place);
                }
                _ => {}
            }
        }
        Ok(Chunk { about: about.clone(), dictionary, pages, rows: Mutex::default() })
    }

    fn header(&self, start: u64, end: u64) -> Result<PageHeader> {
        let mut found = Err("the header of a page is cut off".to_owned());
        for most in HEADERS {
            let bytes = self.bytes(start, most.min(end - start))?;
            found = thrift::page(&bytes);
            if found.is_ok() || most >= end - start {
                break;
            }
        }
        found.map_err(ParquetError::General)
    }

    fn bytes(&self, start: u64, length: u64) -> Result<Vec<u8>> {
        self.shard.bytes(start, length).map_err(|error| ParquetError::External(Box::new(error)))
    }

    /// A page, unpacked.
    fn page(&self, chunk: &Chunk, place: &Place) -> Result<Arc<Page>> {
        let weight = |page: &Page| page.buffer().len() + OVERHEAD;
        self.pages.0.get(&(self.number, place.start), weight, || {
            let bytes = self.bytes(place.start, place.length)?;
            if bytes.len() as u64 != place.length {
                return Err(general("the file was cut off"));
            }
            unpacked(&chunk.about, bytes, place.unpacked, chunk.dictionary.is_some())
        })
    }
}

fn place(header: &PageHeader, start: u64, end: u64, before: usize) -> Result<Place> {
    let sizes = [header.stored, header.unpacked].map(u64::try_from);
    let ([Ok(stored), Ok(unpacked)], Ok(values)) = (sizes, usize::try_from(header.values)) else {
        return Err(general("a page of fewer than 0 bytes or values"));
    };
    let length = stored.saturating_add(header.length as u64);
    if length > end - start {
        return Err(general("a page that ends behind its column"));
    }
    if stored.max(unpacked) > MOST_PAGE {
        let size = stored.max(unpacked);
        return Err(general(format!("a page of {size} bytes, expected at most {MOST_PAGE}")));
    }
    explained(unpacked as usize, stored as usize).map_err(ParquetError::General)?;
    // Every value of a dictionary takes a byte or more, and more once it is read.
    if header.kind == DICTIONARY && values as u64 > unpacked.min(MOST_VALUES as u64) {
        return Err(general(format!("a dictionary of {values} values in {unpacked} bytes")));
    }
    Ok(Place { start, length, unpacked, before, values })
}

impl Chunk {
    /// Pages, the dictionary's among them, and those that begin within a row.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let rows = self.rows.lock().unwrap();
        let within = rows.iter().filter(|(_, rows)| rows.within).count();
        (self.pages.len() + usize::from(self.dictionary.is_some()), within)
    }

    /// The page in which a row begins, and how many it passes over there.
    fn find(&self, row: usize, file: &PagedFile) -> Result<(usize, usize)> {
        let depth = self.about.column_descr().max_rep_level();
        if depth == 0 {
            let behind = self.pages.partition_point(|page| page.before <= row);
            let page = behind.checked_sub(1).ok_or_else(|| few(row))?;
            let skip = row - self.pages[page].before;
            let inside = skip < self.pages[page].values;
            return if inside { Ok((page, skip)) } else { Err(few(row)) };
        }
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = |rows: &[(usize, Rows)]| rows.last().map_or(0, |(n, page)| n + page.begun);
        while behind(&rows) <= row {
            let place = self.pages.get(rows.len()).ok_or_else(|| few(row))?;
            let page = file.page(self, place)?;
            let found = Parts::of(&page, self.about.column_descr()).and_then(|page| page.rows());
            let before = behind(&rows);
            rows.push((before, found.map_err(ParquetError::General)?));
        }
        let page = rows.partition_point(|(before, _)| *before <= row) - 1;
        let (before, found) = rows[page];
        Ok((page, row - before + usize::from(found.within)))
    }
}

fn few(row: usize) -> ParquetError {
    general(format!("expected row {row} of a group, found fewer"))
}

/// The pages from the one in which a row begins.
pub(super) struct Run {
    file: Arc<PagedFile>,
    chunk: Arc<Chunk>,
    next: usize,
    /// Whether the dictionary was given.
    dictionary: bool,
    /// Values that pages may still have.
    values: usize,
}

impl Run {
    /// The pages for `row`, and how many rows it passes over there.
    pub(super) fn new(
        file: &Arc<PagedFile>,
        chunk: &Arc<Chunk>,
        row: usize,
    ) -> Result<(Self, usize)> {
        let (next, skip) = chunk.find(row, file)?;
        // Of single values, one is read; a row of lists may go on for many pages.
        let flat = chunk.about.column_descr().max_rep_level() == 0;
        let values = if flat { usize::MAX } else { MOST_VALUES };
        let (file, chunk) = (Arc::clone(file), Arc::clone(chunk));
        Ok((Self { file, chunk, next, dictionary: false, values }, skip))
    }
}

impl Iterator for Run {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Run {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let Some(place) = self.chunk.pages.get(self.next) else { return Ok(None) };
        let page = self.file.page(&self.chunk, place)?;
        let encoding = match &*page {
            Page::DataPage { encoding, .. } | Page::DataPageV2 { encoding, .. } => *encoding,
            Page::DictionaryPage { .. } => Encoding::PLAIN,
        };
        if let (Some(place), false, true) =
            (&self.chunk.dictionary, self.dictionary, is_by_dictionary(encoding))
        {
            self.dictionary = true;
            return Ok(Some(self.file.page(&self.chunk, place)?.as_ref().clone()));
        }
        let values = self.values.checked_sub(place.values);
        let many = || general(format!("a row of more than {MOST_VALUES} values"));
        self.values = values.ok_or_else(many)?;
        self.next += 1;
        Ok(Some(page.as_ref().clone()))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        let about = |place: &Place| PageMetadata {
            num_rows: None,
            num_levels: Some(place.values),
            is_dict: false,
        };
        Ok(self.chunk.pages.get(self.next).map(about))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.next += 1;
        Ok(())
    }

    /// Rows of lists may go on in the next page.
    fn at_record_boundary(&mut self) -> Result<bool> {
        Ok(self.next >= self.chunk.pages.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_claim_too_much_are_refused_before_they_are_read() {
        let refused = |kind, stored, unpacked, values| {
            let header = PageHeader { length: 20, kind, unpacked, stored, values };
            place(&header, 4, 4 + (1 << 30), 0).unwrap_err().to_string()
        };
        let large = (256 << 20) + 1;
        let message = refused(DATA, 100, large, 9);
        assert!(message.ends_with("a page of 268435457 bytes, expected at most 268435456"));
        assert_eq!(refused(DATA_V2, large, 100, 9), message);
        let message = refused(DATA, 100, 256 << 20, 9);
        assert!(message.contains("268435456 bytes from 100, expected at most 67108864"));
        let message = refused(DICTIONARY, 100, 100, 101);
        assert!(message.ends_with("a dictionary of 101 values in 100 bytes"), "{message}");
        let message = refused(DATA, -1, 100, 9);
        assert!(message.ends_with("a page of fewer than 0 bytes or values"), "{message}");
        let message = refused(DATA, 1 << 30, 100, 9);
        assert!(message.ends_with("a page that ends behind its column"), "{message}");
    }
}
