mod of_parquet;

use std::fs;
use std::path::PathBuf;

use super::*;

const CSV: Layout = Layout::Text {
    separator: Separator::Comma,
    header: true,
};

/// What is in a file: per row its number and cells, or what is wrong with it.
fn read(
    path: &Path,
    layout: Layout,
    columns: &[Column],
) -> Vec<(u64, Result<Vec<String>, String>)> {
    let mut records = open(path, layout, columns).unwrap();
    let mut found = Vec::new();
    loop {
        match records.next().unwrap() {
            Step::Record { row, cells } => {
                let cells = (0..columns.len())
                    .map(|at| cells.get(at).to_owned())
                    .collect();
                found.push((row, Ok(cells)));
            }
            Step::Malformed { row, reason } => found.push((row, Err(reason))),
            Step::End => return found,
        }
    }
}

fn ok(row: u64, cells: &[&str]) -> (u64, Result<Vec<String>, String>) {
    (
        row,
        Ok(cells.iter().map(|cell| (*cell).to_owned()).collect()),
    )
}

fn broken(row: u64, reason: &str) -> (u64, Result<Vec<String>, String>) {
    (row, Err(reason.to_owned()))
}

fn file(dir: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn columns_are_found_by_name_and_rows_of_another_length_are_malformed() {
    let dir = tempfile::tempdir().unwrap();
    let text = "Item_Id,note,USER\n1,\"two\nlines\",a\n2,x\n\n3,\"y, z\", b \r\n4,x,c,d\n";
    let path = file(&dir, "a.csv", text);
    let columns = [
        Column::required("USER"),
        Column::required("ItemId"),
        Column::optional("price"),
    ];
    let found = read(&path, CSV, &columns);
    let expected = [
        ok(2, &["a", "1", ""]),
        broken(4, "2 fields instead of 3"),
        ok(6, &["b", "3", ""]),
        broken(7, "4 fields instead of 3"),
    ];
    assert_eq!(found, expected);
    let missing = open(&path, CSV, &[Column::required("ts")])
        .err()
        .unwrap()
        .to_string();
    assert!(
        missing.ends_with("has no column ts; it has: Item_Id, note, USER"),
        "{missing}"
    );
}

#[test]
fn a_quote_that_never_closes_costs_one_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "a.csv", "a,b\n1,\"open\n2,x\n3,y\n");
    let columns = [Column::required("a"), Column::required("b")];
    let expected = [
        broken(2, "a quote in it is not closed"),
        ok(3, &["2", "x"]),
        ok(4, &["3", "y"]),
    ];
    assert_eq!(read(&path, CSV, &columns), expected);

    let filler = format!("{}\n", "9,z".repeat(30));
    let text = format!(
        "a,b\n1,\"open\n{}5,\"also\n6,w\n",
        filler.repeat(ROW_BYTES_MAX / 80)
    );
    let found = read(&file(&dir, "b.csv", &text), CSV, &columns);
    assert_eq!(
        found.len(),
        text.lines().count() - 1,
        "every row is looked at"
    );
    assert_eq!(found[0], expected[0].clone());
    assert_eq!(
        found.last().unwrap().1,
        Ok(vec!["6".to_owned(), "w".to_owned()])
    );
}

#[test]
fn a_line_without_end_is_malformed_and_not_held() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("a\n{}\n1\n", "x".repeat(3 * ROW_BYTES_MAX));
    let found = read(&file(&dir, "a.csv", text), CSV, &[Column::required("a")]);
    assert_eq!(found, [broken(2, "longer than 1 MiB"), ok(3, &["1"])]);
}

#[test]
fn files_without_a_header_and_in_latin_1_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::Text {
        separator: Separator::Colons,
        header: false,
    };
    let columns = [Column::required("id"), Column::required("title")];
    let path = file(
        &dir,
        "movies.dat",
        b"1::Fant\xf4mas\n2::caf\xc3\xa9 \"x::y\n",
    );
    let expected = [
        ok(1, &["1", "Fantômas"]),
        broken(2, "3 fields instead of 2"),
    ];
    assert_eq!(read(&path, layout, &columns), expected);
}

#[test]
fn json_lines_hold_text_numbers_and_lists() {
    let dir = tempfile::tempdir().unwrap();
    let text = concat!(
        "{\"a\":\"x\",\"b\":1.5}\n",
        "{\"b\":[\"p\",2],\"a\":true,\"c\":{}}\n",
        "\n",
        "{\"a\":null}\n",
        "[1]\n",
        "{\"a\":{}}\n",
    );
    let columns = [Column::required("a"), Column::required("b")];
    let expected = [
        ok(1, &["x", "1.5"]),
        ok(2, &["true", "p|2"]),
        ok(4, &["", ""]),
        broken(5, "not a JSON object"),
        broken(6, "a: neither text nor number nor a list of them"),
    ];
    assert_eq!(
        read(&file(&dir, "a.jsonl", text), Layout::JsonLines, &columns),
        expected
    );
}
