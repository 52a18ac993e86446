//! Tables, stream and bucket in the emulators, under names of their own.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use aws::AwsSettings;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use ops::settings::{MapLookup, Reader};
use store::Table;

use crate::{DynamoDbLocal, Moto};

const REGION: &str = "us-east-1";

/// A small AWS: DynamoDB Local's tables, moto's stream and bucket.
#[derive(Debug)]
pub struct Cloud {
    settings: Vec<(String, String)>,
}

impl Cloud {
    /// Makes tables, a stream of `shards` and a bucket that nobody else uses.
    ///
    /// # Errors
    /// When an emulator is not installed or refuses.
    pub async fn start(shards: i32) -> anyhow::Result<Self> {
        let (dynamodb, moto) = tokio::try_join!(DynamoDbLocal::shared(), Moto::shared())?;
        static CLOUDS: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}", CLOUDS.fetch_add(1, Ordering::Relaxed));
        let settings = [
            ("REELWAY_TABLE_PREFIX", name.clone()),
            ("REELWAY_STREAM", name.clone()),
            ("REELWAY_BUCKET", name),
            ("REELWAY_AWS_ENDPOINT_DYNAMODB", dynamodb.endpoint()),
            ("REELWAY_AWS_ENDPOINT_KINESIS", moto.endpoint()),
            ("REELWAY_AWS_ENDPOINT_S3", moto.endpoint()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ];
        let settings = settings
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec();
        let cloud = Self { settings };
        cloud.provision(shards).await?;
        Ok(cloud)
    }

    /// The environment of a function that uses it.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.settings
    }

    /// The settings of adapters that use it. Without the key id: the adapters bring their own, so
    /// that the test process' environment does not matter.
    ///
    /// # Errors
    /// When `aws` finds something wrong with them.
    pub fn settings(&self) -> anyhow::Result<AwsSettings> {
        let pairs = self
            .settings
            .iter()
            .filter(|(name, _)| !name.starts_with("AWS_ACCESS"));
        let lookup: MapLookup = pairs.cloned().collect();
        let mut reader = Reader::new(&lookup);
        let settings = AwsSettings::read(&mut reader);
        reader.finish()?;
        Ok(settings)
    }

    /// Splits the first open shard of the stream in the middle of its hash keys.
    ///
    /// # Errors
    /// When the emulator refuses.
    pub async fn split_first_shard(&self) -> anyhow::Result<()> {
        let settings = self.settings()?;
        let kinesis = kinesis(&settings)?;
        let listed = kinesis
            .list_shards()
            .stream_name(&settings.stream)
            .send()
            .await?;
        let shards = listed.shards.unwrap_or_default();
        let shard = shards.first().context("a shard")?;
        let range = shard
            .hash_key_range
            .as_ref()
            .context("a range of hash keys")?;
        let (from, to): (u128, u128) = (
            range.starting_hash_key.parse()?,
            range.ending_hash_key.parse()?,
        );
        kinesis
            .split_shard()
            .stream_name(&settings.stream)
            .shard_to_split(&shard.shard_id)
            .new_starting_hash_key((from + (to - from) / 2).to_string())
            .send()
            .await
            .context("split a shard")?;
        Ok(())
    }

    async fn provision(&self, shards: i32) -> anyhow::Result<()> {
        let settings = self.settings()?;
        let config = config();
        let endpoint = |endpoint: Option<String>| endpoint.context("an endpoint");
        let dynamodb = aws_sdk_dynamodb::Client::from_conf(
            aws_sdk_dynamodb::config::Builder::from(&config)
                .endpoint_url(endpoint(settings.dynamodb_endpoint.clone())?)
                .build(),
        );
        for table in Table::ALL {
            create_table(
                &dynamodb,
                &format!("{}-{}", settings.table_prefix, table.as_str()),
            )
            .await?;
        }
        let kinesis = kinesis(&settings)?;
        let create = kinesis
            .create_stream()
            .stream_name(&settings.stream)
            .shard_count(shards);
        create.send().await.context("create the stream")?;
        let s3 = aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::config::Builder::from(&config)
                .endpoint_url(endpoint(settings.s3_endpoint.clone())?)
                .force_path_style(true)
                .build(),
        );
        s3.create_bucket()
            .bucket(&settings.bucket)
            .send()
            .await
            .context("create the bucket")?;
        Ok(())
    }
}

fn config() -> aws_config::SdkConfig {
    aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new(REGION))
        .credentials_provider(aws_sdk_dynamodb::config::SharedCredentialsProvider::new(
            aws_sdk_dynamodb::config::Credentials::new("test", "test", None, None, "kit"),
        ))
        .build()
}

fn kinesis(settings: &AwsSettings) -> anyhow::Result<aws_sdk_kinesis::Client> {
    let endpoint = settings.kinesis_endpoint.clone().context("an endpoint")?;
    Ok(aws_sdk_kinesis::Client::from_conf(
        aws_sdk_kinesis::config::Builder::from(&config())
            .endpoint_url(endpoint)
            .build(),
    ))
}

async fn create_table(client: &aws_sdk_dynamodb::Client, name: &str) -> anyhow::Result<()> {
    let id = AttributeDefinition::builder()
        .attribute_name("id")
        .attribute_type(ScalarAttributeType::S)
        .build()?;
    let key = KeySchemaElement::builder()
        .attribute_name("id")
        .key_type(KeyType::Hash)
        .build()?;
    let create = client
        .create_table()
        .table_name(name)
        .attribute_definitions(id)
        .key_schema(key)
        .billing_mode(BillingMode::PayPerRequest);
    create
        .send()
        .await
        .with_context(|| format!("create the table {name}"))?;
    Ok(())
}
