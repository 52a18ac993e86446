//! Adapters for AWS: DynamoDB, Kinesis, S3.
