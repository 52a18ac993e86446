//! Pages of a column, looked at before they are decoded.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::ParquetError;

/// Most values of one dictionary; bounds what a lying header makes its reader allocate.
pub const DICTIONARY_VALUES_MAX: usize = 1 << 24;
/// The shortest value that a dictionary can hold: a number, or the length of an empty text.
const VALUE_BYTES_MIN: usize = 4;

/// Hands on the pages of a column chunk, refusing those whose header promises what they cannot
/// hold: decoders allocate by the header.
pub struct Pages {
    pages: Box<dyn PageReader>,
    encodings: Option<&'static [Encoding]>,
}

impl Pages {
    /// Pages in any encoding.
    #[must_use]
    pub fn new(pages: Box<dyn PageReader>) -> Self {
        Self {
            pages,
            encodings: None,
        }
    }

    /// Refuses pages in other encodings as well.
    #[must_use]
    pub fn only(self, encodings: &'static [Encoding]) -> Self {
        Self {
            encodings: Some(encodings),
            ..self
        }
    }

    fn judge(&self, page: Page) -> Result<Page, ParquetError> {
        let encoding = page.encoding();
        if self.encodings.is_some_and(|only| !only.contains(&encoding)) {
            let why = format!("a page in the encoding {encoding}");
            return Err(ParquetError::General(why));
        }
        let values = usize::try_from(page.num_values()).unwrap_or(usize::MAX);
        let room = page.buffer().len() / VALUE_BYTES_MIN;
        if page.is_dictionary_page() && values > room.min(DICTIONARY_VALUES_MAX) {
            let why = format!("a dictionary of {values} values in {room} words");
            return Err(ParquetError::General(why));
        }
        Ok(page)
    }
}

impl Iterator for Pages {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let page = self.pages.get_next_page()?;
        page.map(|page| self.judge(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool, ParquetError> {
        self.pages.at_record_boundary()
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages")
            .field("encodings", &self.encodings)
            .finish_non_exhaustive()
    }
}

/// Runs the Parquet reader, which asserts where it should refuse; `None` when it did.
pub fn caught<T>(read: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// A column chunk of no pages.
    struct Nothing;

    impl Iterator for Nothing {
        type Item = Result<Page, ParquetError>;

        fn next(&mut self) -> Option<Self::Item> {
            None
        }
    }

    impl PageReader for Nothing {
        fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
            Ok(None)
        }

        fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
            Ok(None)
        }

        fn skip_next_page(&mut self) -> Result<(), ParquetError> {
            Ok(())
        }
    }

    #[test]
    fn a_dictionary_has_room_for_the_values_it_declares() {
        let dictionary = |bytes: usize, num_values: u32| Page::DictionaryPage {
            buf: Bytes::from(vec![0; bytes]),
            num_values,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let most = DICTIONARY_VALUES_MAX as u32;
        let cases = [
            (0, 0, true),
            (40, 10, true),
            (40, 11, false),
            (40, u32::MAX, false),
            (DICTIONARY_VALUES_MAX * 4 + 8, most, true),
            (DICTIONARY_VALUES_MAX * 4 + 8, most + 1, false),
        ];
        let pages = Pages::new(Box::new(Nothing));
        for (bytes, values, kept) in cases {
            let judged = pages.judge(dictionary(bytes, values));
            assert_eq!(judged.is_ok(), kept, "{values} values in {bytes} bytes");
        }
        let plain = Pages::new(Box::new(Nothing)).only(&[Encoding::RLE]);
        assert!(
            plain.judge(dictionary(40, 1)).is_err(),
            "in another encoding"
        );
    }

    #[test]
    fn a_reader_that_panics_read_nothing() {
        assert_eq!(caught(|| 7), Some(7));
        assert_eq!(
            caught(|| -> u32 { panic!("an assertion of the reader") }),
            None
        );
    }
}
