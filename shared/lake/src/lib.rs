//! The Parquet event lake and profile tables: schemas, readers, writers.
