//! The bytes of single rows.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::columns::{Column, Kind, Step};
use crate::decode::{Decoded, MAX_BYTES};
use crate::packed::lists::{self, Content, MOST_VALUES};
use crate::packed::numbers::wide;

/// Where the numbers of some rows are.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: usize,
    /// Start and length in the file of every buffer.
    pub(super) buffers: Vec<(u64, u64)>,
}

/// The values of a row: those of all its lists lie one behind the other.
struct Span {
    values: Range<usize>,
    /// Lengths of the lists of each depth.
    lengths: Vec<Vec<usize>>,
    /// Which values are there.
    present: Vec<bool>,
}

impl Batch {
    /// The value of `row`; none where it has none.
    pub(super) fn value(
        &self,
        file: &mut (impl Read + Seek),
        length: u64,
        row: usize,
        column: &Column,
    ) -> Decoded<Option<Vec<u8>>> {
        let mut buffers = Buffers { file, length, places: &self.buffers, row };
        let Some(span) = buffers.span(row, &column.steps)? else { return Ok(None) };
        let items = buffers.items(&span.values, column)?;
        if span.lengths.is_empty() {
            return Ok(Some(match column.kind.content() {
                Content::Number(number) => number.digits(items.item(0)).into_bytes(),
                Content::Bytes | Content::Text => items.bytes,
            }));
        }
        let there = span.present.iter().enumerate();
        let each = there.map(|(place, &there)| there.then(|| items.item(place)));
        match column.kind.content() {
            Content::Number(number) => lists::numbers(number, &span.lengths, each).map(Some),
            Content::Bytes | Content::Text => lists::lines(each).map(Some),
        }
    }
}

/// The bytes of values.
struct Items {
    bytes: Vec<u8>,
    ends: Ends,
}

/// Where values end.
enum Ends {
    /// All have this size.
    Every(usize),
    /// Where each begins, and the last one ends.
    At(Vec<usize>),
}

impl Items {
    fn item(&self, place: usize) -> &[u8] {
        match &self.ends {
            Ends::Every(size) => &self.bytes[place * size..][..*size],
            Ends::At(starts) => {
                &self.bytes[starts[place] - starts[0]..starts[place + 1] - starts[0]]
            }
        }
    }
}

/// The buffers of a batch while a row is read.
struct Buffers<'a, F> {
    file: &'a mut F,
    /// Bytes of the file.
    length: u64,
    places: &'a [(u64, u64)],
    row: usize,
}

impl<F: Read + Seek> Buffers<'_, F> {
    /// Which values are those of `row`; none where it has none.
    fn span(&mut self, row: usize, steps: &[Step]) -> Decoded<Option<Span>> {
        let mut span = Span { values: row..row + 1, lengths: Vec::new(), present: vec![true] };
        for &step in steps {
            let nested = !span.lengths.is_empty();
            match step {
                Step::Validity(buffer) => {
                    self.note_missing(buffer, &mut span)?;
                    if !nested && !span.present[0] {
                        return Ok(None);
                    }
                    continue;
                }
                _ if span.present.contains(&false) => {
                    return Err("a null list within a list".to_owned());
                }
                Step::List(buffer, size) => {
                    let starts = self.starts(buffer, size, &span.values)?;
                    let lengths = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
                    span.lengths.push(lengths);
                    span.values = starts[0]..starts[starts.len() - 1];
                }
                Step::Fixed(length) => {
                    span.lengths.push(vec![length; span.values.len()]);
                    let place = |value: usize| value.checked_mul(length);
                    let ends = place(span.values.start).zip(place(span.values.end));
                    span.values =
                        ends.map(|(from, to)| from..to).ok_or("lists that are too long")?;
                }
            }
            if span.values.len() > MOST_VALUES {
                return Err(format!("a row of more than {MOST_VALUES} values"));
            }
            span.present = vec![true; span.values.len()];
        }
        Ok(Some(span))
    }

    /// Notes which values are not there. Without bits, all are.
    fn note_missing(&mut self, buffer: usize, span: &mut Span) -> Decoded<()> {
        if self.places[buffer].1 == 0 || span.values.is_empty() {
            return Ok(());
        }
        let flags = self.flags(buffer, &span.values)?;
        span.present.iter_mut().zip(flags).for_each(|(there, flag)| *there &= flag);
        Ok(())
    }

    /// Where lists or texts begin, and where the last one ends.
    fn starts(&mut self, buffer: usize, size: usize, of: &Range<usize>) -> Decoded<Vec<usize>> {
        if of.is_empty() {
            return Ok(vec![0]);
        }
        let bytes = self.within(buffer, of.start, size, of.len() + 1)?;
        let starts = bytes.chunks_exact(size).map(|bytes| usize::try_from(wide(bytes)));
        let starts: Vec<usize> =
            starts.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        match starts.is_sorted() {
            true => Ok(starts),
            false => Err(format!("row {} ends before it begins", self.row)),
        }
    }

    /// Bits.
    fn flags(&mut self, buffer: usize, of: &Range<usize>) -> Decoded<Vec<bool>> {
        let first = of.start / 8;
        let bytes = self.within(buffer, first, 1, of.end.div_ceil(8) - first)?;
        let flag = |place: usize| bytes[place / 8 - first] >> (place % 8) & 1 == 1;
        Ok(of.clone().map(flag).collect())
    }

    fn items(&mut self, of: &Range<usize>, column: &Column) -> Decoded<Items> {
        let values = column.values;
        Ok(match column.kind {
            Kind::Flags => {
                let flags = if of.is_empty() { Vec::new() } else { self.flags(values, of)? };
                let bytes = flags.into_iter().map(u8::from).collect();
                Items { bytes, ends: Ends::Every(1) }
            }
            Kind::Number(number) => {
                let bytes = self.within(values, of.start, number.size(), of.len())?;
                Items { bytes, ends: Ends::Every(number.size()) }
            }
            Kind::Bytes(size) | Kind::Text(size) => {
                let starts = self.starts(values, size, of)?;
                let (from, to) = (starts[0], starts[starts.len() - 1]);
                if (to - from) as u64 > MAX_BYTES {
                    return Err(format!("row {} from byte {from} to {to}", self.row));
                }
                let bytes = self.within(values + 1, from, 1, to - from)?;
                Items { bytes, ends: Ends::At(starts) }
            }
        })
    }

    /// `count` things of `size` bytes in a buffer from the one at `from` on.
    fn within(
        &mut self,
        buffer: usize,
        from: usize,
        size: usize,
        count: usize,
    ) -> Decoded<Vec<u8>> {
        let (start, own) = self.places[buffer];
        let place = from.checked_mul(size).zip(count.checked_mul(size));
        let place = place.map(|(from, length)| (from as u64, length));
        let inside = place.filter(|&(from, length)| {
            from.checked_add(length as u64).is_some_and(|end| end <= own)
        });
        let wrong = || format!("row {} lies outside of its buffer", self.row);
        let (from, length) = inside.ok_or_else(wrong)?;
        bytes(self.file, start + from, length, self.length)
    }
}

/// Part of a file whose length is known.
pub(super) fn bytes(
    file: &mut (impl Read + Seek + ?Sized),
    from: u64,
    size: usize,
    length: u64,
) -> Decoded<Vec<u8>> {
    if from.checked_add(size as u64).is_none_or(|end| end > length) {
        return Err(cut());
    }
    let mut bytes = vec![0; size];
    let read = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(&mut bytes));
    read.map_err(|error| error.to_string())?;
    Ok(bytes)
}

pub(super) fn cut() -> String {
    "the file was cut off".to_owned()
}
