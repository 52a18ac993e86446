//! Kinesis batch in, the Parquet event lake out.
