//! Rows of a Parquet file.

mod leaf;

use std::fs::File;
use std::path::Path;

use ::parquet::basic::{ConvertedType, LogicalType};
use ::parquet::column::reader::get_column_reader;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::{SchemaDescriptor, Type};
use anyhow::{Context, bail};
use lake::pages::{Pages, caught};

use super::{Cells, Column, Records, Step, order};
use leaf::Leaf;

const BATCH_ROWS: usize = 4_096;

/// Rows of a Parquet file, of which only the named columns are read.
pub(super) struct ParquetRecords {
    file: SerializedFileReader<File>,
    leaves: Vec<Box<dyn Leaf>>,
    /// The next row group.
    group: usize,
    /// Rows of the row group before it that were not read yet.
    left: usize,
    /// Rows that were read but not handed out yet.
    ready: usize,
    row: u64,
    rows: u64,
    bytes: u64,
    cells: Cells,
}

impl ParquetRecords {
    pub(super) fn open(path: &Path, columns: &[Column]) -> anyhow::Result<Self> {
        let unreadable = || format!("{} cannot be read as Parquet", path.display());
        let file = File::open(path).with_context(unreadable)?;
        let bytes = file.metadata().with_context(unreadable)?.len();
        let file = caught(|| SerializedFileReader::new(file));
        let file = file
            .context("its footer is damaged")
            .and_then(|file| Ok(file?));
        let file = file.with_context(unreadable)?;
        let metadata = file.metadata().file_metadata();
        let schema = metadata.schema_descr();
        let fields = schema.root_schema().get_fields();
        let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
        let order = order(path, columns, &names)?;
        let mut roots: Vec<usize> = order.iter().copied().flatten().collect();
        roots.sort_unstable();
        roots.dedup();
        let mut leaves = Vec::with_capacity(roots.len());
        for root in &roots {
            let Some(leaf) = leaf_of(schema, *root) else {
                bail!(
                    "{}: column {} is of a type that is not read",
                    path.display(),
                    names.get(*root).map_or("", String::as_str)
                );
            };
            leaves.push(leaf);
        }
        // The leaves are only of the columns that are read, in the order of the file.
        let place = |root: Option<usize>| root.and_then(|root| roots.binary_search(&root).ok());
        let cells = Cells::new(order.into_iter().map(place).collect());
        let rows = u64::try_from(metadata.num_rows()).unwrap_or(0);
        Ok(Self {
            file,
            leaves,
            group: 0,
            left: 0,
            ready: 0,
            row: 0,
            rows,
            bytes,
            cells,
        })
    }

    /// Reads more rows; `false` when there are none.
    fn fill(&mut self) -> anyhow::Result<bool> {
        while self.left == 0 {
            if self.group >= self.file.num_row_groups() {
                return Ok(false);
            }
            let group = self.file.get_row_group(self.group)?;
            self.left = usize::try_from(group.metadata().num_rows())?;
            self.group += 1;
            let schema = group.metadata().schema_descr();
            for leaf in &mut self.leaves {
                let pages = Pages::new(group.get_column_page_reader(leaf.place())?);
                leaf.begin(get_column_reader(
                    schema.column(leaf.place()),
                    Box::new(pages),
                ))?;
            }
        }
        self.ready = self.left.min(BATCH_ROWS);
        self.left -= self.ready;
        for leaf in &mut self.leaves {
            leaf.fill(self.ready)?;
        }
        Ok(true)
    }
}

impl Records for ParquetRecords {
    fn next(&mut self) -> anyhow::Result<Step<'_>> {
        if self.ready == 0 {
            let filled = caught(|| self.fill());
            if !filled.unwrap_or_else(|| bail!("a page of the Parquet file is damaged"))? {
                return Ok(Step::End);
            }
        }
        self.cells.clear();
        for leaf in &mut self.leaves {
            leaf.write(&mut self.cells.text)?;
            self.cells.end_field();
        }
        self.ready -= 1;
        self.row += 1;
        Ok(Step::Record {
            row: self.row,
            cells: &self.cells,
        })
    }

    fn raw(&self) -> String {
        let fields = (0..self.cells.fields()).map(|field| self.cells.field(field));
        fields.collect::<Vec<_>>().join("\t")
    }

    fn bytes_read(&self) -> u64 {
        let share = self.row as f64 / self.rows.max(1) as f64;
        (self.bytes as f64 * share) as u64
    }
}

/// The values below a column, `None` when it is neither of a plain type nor a list of one.
fn leaf_of(schema: &SchemaDescriptor, root: usize) -> Option<Box<dyn Leaf>> {
    let place = (0..schema.num_columns()).find(|leaf| schema.get_column_root_idx(*leaf) == root)?;
    let field = schema.root_schema().get_fields().get(root)?;
    let leaf = schema.columns().get(place)?;
    if leaf.max_rep_level() > 1 || !(field.is_primitive() || is_list(field)) {
        return None;
    }
    leaf::of(place, leaf)
}

/// Whether a group is a list of plain values, in three levels or, as old writers did, in two.
fn is_list(group: &Type) -> bool {
    let info = group.get_basic_info();
    let named = info.logical_type_ref() == Some(&LogicalType::List)
        || info.converted_type() == ConvertedType::LIST;
    let of_plain = match group.get_fields() {
        [repeated] if repeated.is_primitive() => true,
        [repeated] => matches!(repeated.get_fields(), [item] if item.is_primitive()),
        _ => false,
    };
    named && of_plain
}
