//! Which tables, stream and bucket, and where.

use ops::settings::Reader;

/// The region used against emulators when none is set.
const EMULATOR_REGION: &str = "us-east-1";

/// Names and places in AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSettings {
    /// `REELWAY_TABLE_PREFIX`: tables are named `<prefix>-users`, `<prefix>-videos`, ….
    pub table_prefix: String,
    /// `REELWAY_STREAM`: the Kinesis stream of events.
    pub stream: String,
    /// `REELWAY_BUCKET`: the S3 bucket of the lake and the index.
    pub bucket: String,
    /// `AWS_REGION`: set by Lambda; otherwise the SDK's own chain decides.
    pub region: Option<String>,
    /// `REELWAY_AWS_ENDPOINT_DYNAMODB`: an emulator instead of DynamoDB.
    pub dynamodb_endpoint: Option<String>,
    /// `REELWAY_AWS_ENDPOINT_KINESIS`: an emulator instead of Kinesis.
    pub kinesis_endpoint: Option<String>,
    /// `REELWAY_AWS_ENDPOINT_S3`: an emulator instead of S3.
    pub s3_endpoint: Option<String>,
    /// Whether `AWS_ACCESS_KEY_ID` is set: without it, emulators get credentials worth nothing.
    pub has_credentials: bool,
}

impl AwsSettings {
    /// Reads the settings; problems stay with the reader.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            table_prefix: reader.text("REELWAY_TABLE_PREFIX", "reelway"),
            stream: reader.text("REELWAY_STREAM", "reelway-events"),
            bucket: reader.required("REELWAY_BUCKET"),
            region: reader.optional("AWS_REGION"),
            dynamodb_endpoint: reader.optional("REELWAY_AWS_ENDPOINT_DYNAMODB"),
            kinesis_endpoint: reader.optional("REELWAY_AWS_ENDPOINT_KINESIS"),
            s3_endpoint: reader.optional("REELWAY_AWS_ENDPOINT_S3"),
            has_credentials: reader.optional("AWS_ACCESS_KEY_ID").is_some(),
        }
    }

    /// The region to set, where asking the SDK's chain would mean asking a machine that is not
    /// there.
    pub(crate) fn region_to_set(&self) -> Option<String> {
        let emulated = self.dynamodb_endpoint.is_some()
            && self.kinesis_endpoint.is_some()
            && self.s3_endpoint.is_some();
        self.region
            .clone()
            .or_else(|| emulated.then(|| EMULATOR_REGION.to_owned()))
    }
}
