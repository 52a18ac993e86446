//! Taking a row of text apart.

use super::Cells;

/// What stands between the fields of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::import) enum Separator {
    /// A comma; fields may be quoted, a quote in them is doubled.
    Comma,
    /// A tab; fields may be quoted as with commas.
    Tab,
    /// Two colons; nothing is quoted.
    Colons,
}

impl Separator {
    fn byte(self) -> Option<char> {
        match self {
            Self::Comma => Some(','),
            Self::Tab => Some('\t'),
            Self::Colons => None,
        }
    }
}

/// Follows the quotes of a row through its lines.
#[derive(Debug)]
pub(super) struct Quotes {
    separator: Option<char>,
    open: bool,
    begins: bool,
}

impl Quotes {
    pub(super) fn new(separator: Separator) -> Self {
        Self {
            separator: separator.byte(),
            open: false,
            begins: true,
        }
    }

    /// Whether a quote is open at the end of this line: the row goes on in the next one.
    pub(super) fn follow(&mut self, line: &[u8]) -> bool {
        let Some(separator) = self.separator else {
            return false;
        };
        for byte in line {
            match byte {
                // A quote opens a field only where the field begins; one right behind a closing
                // quote is doubled and opens it again.
                b'"' if self.open || self.begins => {
                    (self.open, self.begins) = (!self.open, self.open);
                }
                byte if !self.open => self.begins = char::from(*byte) == separator,
                _ => {}
            }
        }
        self.open
    }
}

/// Fills the cells with the fields of a row.
pub(super) fn split(row: &str, separator: Separator, cells: &mut Cells) {
    cells.clear();
    let Some(between) = separator.byte() else {
        for field in row.split("::") {
            cells.text.push_str(field);
            cells.end_field();
        }
        return;
    };
    let mut rest = Some(row);
    while let Some(row) = rest {
        rest = match row.strip_prefix('"') {
            Some(quoted) => split_quoted(quoted, between, cells),
            None => {
                let (field, after) = match row.split_once(between) {
                    Some((field, after)) => (field, Some(after)),
                    None => (row, None),
                };
                cells.text.push_str(field);
                after
            }
        };
        cells.end_field();
    }
}

/// Takes a field up to its closing quote; answers what comes after the next separator.
fn split_quoted<'a>(mut row: &'a str, between: char, cells: &mut Cells) -> Option<&'a str> {
    loop {
        let Some((text, after)) = row.split_once('"') else {
            cells.text.push_str(row);
            return None;
        };
        cells.text.push_str(text);
        if let Some(doubled) = after.strip_prefix('"') {
            cells.text.push('"');
            row = doubled;
            continue;
        }
        // What stands between the quote and the separator belongs to the field as it is.
        return match after.split_once(between) {
            Some((tail, next)) => {
                cells.text.push_str(tail);
                Some(next)
            }
            None => {
                cells.text.push_str(after);
                None
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_apart_as_they_were_put_together() {
        use Separator::{Colons, Comma, Tab};
        let cases: [(Separator, &str, &[&str]); 12] = [
            (Comma, "a,b,c", &["a", "b", "c"]),
            (Comma, "", &[""]),
            (Comma, ",", &["", ""]),
            (Comma, "5,\"20,43\"", &["5", "20,43"]),
            (Comma, "\"say \"\"hi\"\"\",x", &["say \"hi\"", "x"]),
            (Comma, "\"two\nlines\",x", &["two\nlines", "x"]),
            (Comma, "5\" screen,x", &["5\" screen", "x"]),
            (Comma, "\"a\"b,c", &["ab", "c"]),
            (Comma, "\"open,c", &["open,c"]),
            (Comma, "\"\",\"\"", &["", ""]),
            (Tab, "a\t\"b,\tc\"\t", &["a", "b,\tc", ""]),
            (Colons, "1::\"x::y:z", &["1", "\"x", "y:z"]),
        ];
        for (separator, row, fields) in cases {
            let mut cells = Cells::default();
            split(row, separator, &mut cells);
            let found: Vec<&str> = (0..cells.fields()).map(|at| cells.field(at)).collect();
            assert_eq!(found, fields, "{row:?}");
        }
    }

    #[test]
    fn a_row_goes_on_while_a_quote_is_open() {
        use Separator::{Colons, Comma};
        let cases: [(Separator, &str, bool); 8] = [
            (Comma, "a,b", false),
            (Comma, "a,\"b", true),
            (Comma, "a,\"b\"\"", true),
            (Comma, "a,\"b\"\"\"", false),
            (Comma, "5\" screen,b", false),
            (Comma, "\"a\",\"b\"", false),
            (Comma, "\"a\",b,\"", true),
            (Colons, "a::\"b", false),
        ];
        for (separator, row, goes_on) in cases {
            for at in 0..row.len() {
                let (one, other) = row.as_bytes().split_at(at);
                let mut quotes = Quotes::new(separator);
                quotes.follow(one);
                assert_eq!(quotes.follow(other), goes_on, "{row:?} cut at {at}");
            }
        }
    }
}
