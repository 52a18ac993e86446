//! Columns of a batch, read with checks.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray, RecordBatch, StringViewArray};
use store::Error;

use crate::table::{TableRow, corrupt};

/// A text column, whose values are bounded in length.
pub(crate) struct Text<'a> {
    array: &'a StringViewArray,
    name: &'static str,
    bytes_max: usize,
}

/// The columns of a batch, by name.
pub(crate) struct Columns<'a>(pub(crate) &'a RecordBatch);

impl<'a> Columns<'a> {
    pub(crate) fn text<R: TableRow>(
        &self,
        name: &'static str,
        bytes_max: usize,
    ) -> Result<Text<'a>, Error> {
        let array = self.find::<R>(name)?.as_string_view_opt();
        let array = array.ok_or_else(|| wrong::<R>(name))?;
        Ok(Text {
            array,
            name,
            bytes_max,
        })
    }

    /// A text column that files of an older version do not have.
    pub(crate) fn added_text<R: TableRow>(
        &self,
        name: &'static str,
        bytes_max: usize,
    ) -> Result<Option<Text<'a>>, Error> {
        match self.0.column_by_name(name) {
            Some(_) => self.text::<R>(name, bytes_max).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn int64<R: TableRow>(
        &self,
        name: &str,
    ) -> Result<&'a PrimitiveArray<Int64Type>, Error> {
        self.find::<R>(name)?
            .as_primitive_opt()
            .ok_or_else(|| wrong::<R>(name))
    }

    pub(crate) fn int32<R: TableRow>(
        &self,
        name: &str,
    ) -> Result<&'a PrimitiveArray<Int32Type>, Error> {
        self.find::<R>(name)?
            .as_primitive_opt()
            .ok_or_else(|| wrong::<R>(name))
    }

    pub(crate) fn float32<R: TableRow>(
        &self,
        name: &str,
    ) -> Result<&'a PrimitiveArray<Float32Type>, Error> {
        self.find::<R>(name)?
            .as_primitive_opt()
            .ok_or_else(|| wrong::<R>(name))
    }

    pub(crate) fn boolean<R: TableRow>(&self, name: &str) -> Result<&'a BooleanArray, Error> {
        self.find::<R>(name)?
            .as_boolean_opt()
            .ok_or_else(|| wrong::<R>(name))
    }

    fn find<R: TableRow>(&self, name: &str) -> Result<&'a ArrayRef, Error> {
        self.0.column_by_name(name).ok_or_else(|| wrong::<R>(name))
    }
}

impl<'a> Text<'a> {
    /// The text in a row, `None` for null.
    pub(crate) fn optional<R: TableRow>(&self, row: usize) -> Result<Option<&'a str>, Error> {
        if row >= self.array.len() || self.array.is_null(row) {
            return Ok(None);
        }
        let text = self.array.value(row);
        if text.len() > self.bytes_max {
            Err(wrong::<R>(self.name))
        } else {
            Ok(Some(text))
        }
    }

    /// The text in a row that must have one.
    pub(crate) fn required<R: TableRow>(&self, row: usize) -> Result<&'a str, Error> {
        self.optional::<R>(row)?
            .ok_or_else(|| wrong::<R>(self.name))
    }
}

/// The error of a value that its column may not hold.
pub(crate) fn wrong<R: TableRow>(column: &str) -> Error {
    corrupt::<R>(format!("column {column} holds what it may not"))
}
