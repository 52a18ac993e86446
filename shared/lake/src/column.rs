//! The columns of a table, as plain data.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{ColumnDescriptor, Type, TypePtr};

/// One column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name in the file.
    pub name: &'static str,
    /// What its cells are.
    pub kind: Kind,
    /// Whether a row may have none.
    pub nullable: bool,
    /// Whether its values hardly repeat: a dictionary would only cost.
    pub unique: bool,
    /// Whether it came after version 1: a file may be without it.
    pub added: bool,
}

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A signed number of 64 bits.
    Int64,
    /// A signed number of 32 bits.
    Int32,
    /// A float of 32 bits.
    Float,
    /// True or false.
    Bool,
}

impl Column {
    /// A column that every row has a value in, of every version.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            nullable: false,
            unique: false,
            added: false,
        }
    }

    /// The same, where a row may have none.
    #[must_use]
    pub const fn nullable(self) -> Self {
        Self {
            nullable: true,
            ..self
        }
    }

    /// The same, whose values hardly repeat.
    #[must_use]
    pub const fn unique(self) -> Self {
        Self {
            unique: true,
            ..self
        }
    }

    /// The same, which files of version 1 do not have.
    #[must_use]
    pub const fn added(self) -> Self {
        Self {
            added: true,
            ..self
        }
    }

    /// Whether a file's column holds what this one holds, null or not.
    pub(crate) fn is_like(&self, found: &ColumnDescriptor) -> bool {
        let logical = found.logical_type_ref();
        let plain =
            |own: &[ConvertedType]| logical.is_none() && own.contains(&found.converted_type());
        let integer = |bits, own| {
            logical == Some(&LogicalType::integer(bits, true)) || plain(&[ConvertedType::NONE, own])
        };
        found.physical_type() == self.kind.physical()
            && match self.kind {
                Kind::Text => {
                    logical == Some(&LogicalType::String) || plain(&[ConvertedType::UTF8])
                }
                Kind::Int64 => integer(64, ConvertedType::INT_64),
                Kind::Int32 => integer(32, ConvertedType::INT_32),
                Kind::Float | Kind::Bool => plain(&[ConvertedType::NONE]),
            }
    }

    fn to_parquet(self) -> Result<TypePtr, ParquetError> {
        let repetition = match self.nullable {
            true => Repetition::OPTIONAL,
            false => Repetition::REQUIRED,
        };
        let logical = (self.kind == Kind::Text).then_some(LogicalType::String);
        Type::primitive_type_builder(self.name, self.kind.physical())
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    }
}

impl Kind {
    fn physical(self) -> Physical {
        match self {
            Self::Text => Physical::BYTE_ARRAY,
            Self::Int64 => Physical::INT64,
            Self::Int32 => Physical::INT32,
            Self::Float => Physical::FLOAT,
            Self::Bool => Physical::BOOLEAN,
        }
    }
}

/// The schema of a file with these columns.
pub(crate) fn schema(columns: &[Column]) -> Result<TypePtr, ParquetError> {
    let columns = columns.iter().map(|column| column.to_parquet());
    Type::group_type_builder("schema")
        .with_fields(columns.collect::<Result<_, _>>()?)
        .build()
        .map(Arc::new)
}
