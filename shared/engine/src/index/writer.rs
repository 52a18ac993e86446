//! Puts sections together to the bytes of a generation.

use std::io;

use smol_str::SmolStr;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::format::{Entry, Header, Kind, MAGIC, NAME_BYTES_MAX, SCHEMA, SECTION_ALIGN};

/// Collects sections and writes them as one generation. Equal sections give equal bytes.
#[derive(Debug, Clone)]
pub struct IndexWriter {
    generation: SmolStr,
    as_of_ms: i64,
    /// A section's parts are written one behind the other.
    sections: Vec<(Kind, Vec<Vec<u8>>)>,
}

impl IndexWriter {
    /// An empty generation; of a longer name only [`NAME_BYTES_MAX`] bytes are kept.
    #[must_use]
    pub fn new(generation: &str, as_of_ms: i64) -> Self {
        let mut end = generation.len().min(NAME_BYTES_MAX);
        while !generation.is_char_boundary(end) {
            end -= 1;
        }
        let generation = SmolStr::new(generation.get(..end).unwrap_or_default());
        Self {
            generation,
            as_of_ms,
            sections: Vec::new(),
        }
    }

    /// Adds or replaces a section.
    pub fn put<T: IntoBytes + Immutable>(&mut self, kind: Kind, rows: &[T]) {
        self.put_bytes(kind, rows.as_bytes().to_vec());
    }

    /// Adds or replaces a section of plain bytes.
    pub fn put_bytes(&mut self, kind: Kind, bytes: Vec<u8>) {
        self.put_parts(kind, vec![bytes]);
    }

    /// Adds or replaces a section of plain bytes that lie in several pieces.
    pub fn put_parts(&mut self, kind: Kind, parts: Vec<Vec<u8>>) {
        self.sections.retain(|(other, _)| *other != kind);
        self.sections.push((kind, parts));
    }

    /// Adds texts as a list.
    pub fn put_texts<'a>(
        &mut self,
        starts: Kind,
        bytes: Kind,
        texts: impl Iterator<Item = &'a str>,
    ) {
        let mut offsets = vec![U32::ZERO];
        let mut all = Vec::new();
        for text in texts {
            all.extend_from_slice(text.as_bytes());
            offsets.push(U32::new(u32::try_from(all.len()).unwrap_or(u32::MAX)));
        }
        self.put(starts, &offsets);
        self.put_bytes(bytes, all);
    }

    /// Adds rows as a list.
    pub fn put_list<T: IntoBytes + Immutable + Copy>(
        &mut self,
        starts: Kind,
        values: Kind,
        rows: impl Iterator<Item = impl AsRef<[T]>>,
    ) {
        let mut offsets = vec![U32::ZERO];
        let mut all: Vec<u8> = Vec::new();
        let width = size_of::<T>().max(1);
        for row in rows {
            all.extend_from_slice(row.as_ref().as_bytes());
            offsets.push(U32::new(
                u32::try_from(all.len() / width).unwrap_or(u32::MAX),
            ));
        }
        self.put(starts, &offsets);
        self.put_bytes(values, all);
    }

    /// Writes the generation.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_to(&mut self, out: &mut dyn io::Write) -> io::Result<()> {
        self.sections.sort_by_key(|(kind, _)| *kind);
        let table = self.table();
        let header = self.header(&table);
        out.write_all(header.as_bytes())?;
        out.write_all(table.as_bytes())?;
        let mut at = size_of::<Header>() + size_of_val(table.as_slice());
        for (_, parts) in &self.sections {
            let start = at.next_multiple_of(SECTION_ALIGN);
            out.write_all(zeros(start - at))?;
            at = start;
            for part in parts {
                out.write_all(part)?;
                at += part.len();
            }
        }
        Ok(())
    }

    /// The generation in memory.
    #[must_use]
    pub fn to_bytes(&mut self) -> Vec<u8> {
        let sections = self
            .sections
            .iter()
            .map(|(_, parts)| length(parts) + SECTION_ALIGN);
        let entries = self.sections.len() * size_of::<Entry>();
        let room = size_of::<Header>() + entries + sections.sum::<usize>();
        let mut bytes = Vec::with_capacity(room);
        // Writing to memory cannot fail; were it to, the empty result is refused on open.
        match self.write_to(&mut bytes) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }

    fn table(&self) -> Vec<Entry> {
        let mut at = size_of::<Header>() + self.sections.len() * size_of::<Entry>();
        let mut table = Vec::with_capacity(self.sections.len());
        for (kind, parts) in &self.sections {
            at = at.next_multiple_of(SECTION_ALIGN);
            table.push(Entry {
                kind: U32::new(kind.number()),
                reserved: U32::ZERO,
                offset: U64::new(at as u64),
                bytes: U64::new(length(parts) as u64),
                checksum: U64::new(checksum(parts)),
            });
            at += length(parts);
        }
        table
    }

    fn header(&self, table: &[Entry]) -> Header {
        let start = size_of::<Header>() + size_of_val(table);
        let end = table
            .last()
            .map_or(start as u64, |e| e.offset.get() + e.bytes.get());
        let mut header = Header::new_zeroed();
        header.magic = MAGIC;
        header.schema = U32::new(SCHEMA);
        header.sections = U32::new(u32::try_from(table.len()).unwrap_or(u32::MAX));
        header.file_bytes = U64::new(end);
        header.as_of_ms = I64::new(self.as_of_ms);
        header.name_bytes = U16::new(u16::try_from(self.generation.len()).unwrap_or(0));
        for (slot, byte) in header.name.iter_mut().zip(self.generation.bytes()) {
            *slot = byte;
        }
        header.checksum = U64::new(header_checksum(&header, table));
        header
    }
}

/// The checksum over header (from the schema on) and table.
pub(super) fn header_checksum(header: &Header, table: &[Entry]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(header.as_bytes().get(16..).unwrap_or_default());
    hash.update(table.as_bytes());
    hash.digest()
}

fn length(parts: &[Vec<u8>]) -> usize {
    parts.iter().map(Vec::len).sum()
}

/// The checksum of the parts as one.
fn checksum(parts: &[Vec<u8>]) -> u64 {
    if let [whole] = parts {
        return xxh3_64(whole);
    }
    let mut hash = Xxh3::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.digest()
}

fn zeros(count: usize) -> &'static [u8] {
    const ZEROS: [u8; SECTION_ALIGN] = [0; SECTION_ALIGN];
    ZEROS.get(..count).unwrap_or_default()
}
