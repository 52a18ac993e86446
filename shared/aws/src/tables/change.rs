//! One conditional write.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use bytes::Bytes;
use guard::Deadline;
use store::{Change, Error, ErrorKind, Expect, Table, Write, Written};

use super::{DynamoTables, ROW_BYTES_MAX, valid_id};
use crate::failure::failure;

impl DynamoTables {
    pub(super) async fn write_one(
        &self,
        table: Table,
        write: Write,
        deadline: &Deadline,
    ) -> Result<Written, Error> {
        if !valid_id(&write.id) {
            return Err(Error::new(ErrorKind::Invalid, what_writes(table)));
        }
        match write.change {
            Change::Put {
                bytes,
                expires_at_s,
            } => {
                self.put(table, write.id, write.expect, bytes, expires_at_s, deadline)
                    .await
            }
            Change::Delete => self.delete(table, write.id, write.expect, deadline).await,
        }
    }

    async fn put(
        &self,
        table: Table,
        id: String,
        expect: Expect,
        bytes: Bytes,
        expires_at_s: Option<i64>,
        deadline: &Deadline,
    ) -> Result<Written, Error> {
        let what = what_writes(table);
        if bytes.len() > ROW_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{what}: row too large"),
            ));
        }
        let put = Put::of(expect, expires_at_s);
        let mut values = put.values;
        values.insert(
            ":b".to_owned(),
            AttributeValue::B(Blob::new(Vec::from(bytes))),
        );
        let update = self
            .client
            .update_item()
            .table_name(self.name(table))
            .key("id", AttributeValue::S(id))
            .update_expression(put.update)
            .set_condition_expression(put.condition)
            .set_expression_attribute_values(Some(values))
            .return_values(put.returns);
        match deadline.limit(Box::pin(update.send())).await {
            Err(elapsed) => Err(Error::elapsed(elapsed, what)),
            Ok(Ok(done)) => match put.version.or_else(|| version_in(done.attributes.as_ref())) {
                Some(version) => Ok(Written::Done(version)),
                None => Err(Error::new(ErrorKind::Corrupt, what)),
            },
            Ok(Err(SdkError::ServiceError(error)))
                if matches!(
                    error.err(),
                    UpdateItemError::ConditionalCheckFailedException(_)
                ) =>
            {
                Ok(Written::Conflict)
            }
            Ok(Err(error)) => Err(failure(what, &error)),
        }
    }

    async fn delete(
        &self,
        table: Table,
        id: String,
        expect: Expect,
        deadline: &Deadline,
    ) -> Result<Written, Error> {
        let what = what_writes(table);
        let (condition, values) = match expect {
            Expect::Any => (None, None),
            Expect::Absent => (Some("attribute_not_exists(id)".to_owned()), None),
            Expect::Version(version) => (
                Some("v = :v".to_owned()),
                Some(HashMap::from([(":v".to_owned(), number(version))])),
            ),
        };
        let delete = self
            .client
            .delete_item()
            .table_name(self.name(table))
            .key("id", AttributeValue::S(id))
            .set_condition_expression(condition)
            .set_expression_attribute_values(values);
        match deadline.limit(Box::pin(delete.send())).await {
            Err(elapsed) => Err(Error::elapsed(elapsed, what)),
            Ok(Ok(_)) => Ok(Written::Done(0)),
            Ok(Err(SdkError::ServiceError(error)))
                if matches!(
                    error.err(),
                    DeleteItemError::ConditionalCheckFailedException(_)
                ) =>
            {
                Ok(Written::Conflict)
            }
            Ok(Err(error)) => Err(failure(what, &error)),
        }
    }
}

/// How a put is said to DynamoDB.
struct Put {
    update: String,
    condition: Option<String>,
    values: HashMap<String, AttributeValue>,
    returns: ReturnValue,
    /// The new version, where it follows from what was expected. Where it does not, DynamoDB is
    /// asked to return the item, value and all: only unconditional writes pay for that.
    version: Option<u64>,
}

impl Put {
    fn of(expect: Expect, expires_at_s: Option<i64>) -> Self {
        let mut values = HashMap::new();
        let (counts, condition, returns, version) = match expect {
            Expect::Any => {
                values.insert(":one".to_owned(), number(1));
                (" ADD v :one", None, ReturnValue::UpdatedNew, None)
            }
            Expect::Absent => {
                values.insert(":next".to_owned(), number(1));
                (
                    "",
                    Some("attribute_not_exists(id)".to_owned()),
                    ReturnValue::None,
                    Some(1),
                )
            }
            Expect::Version(version) => {
                values.insert(":v".to_owned(), number(version));
                values.insert(":next".to_owned(), number(version.saturating_add(1)));
                let next = Some(version.saturating_add(1));
                ("", Some("v = :v".to_owned()), ReturnValue::None, next)
            }
        };
        let sets_version = if version.is_some() { ", v = :next" } else { "" };
        let expiry = match expires_at_s {
            Some(at) => {
                values.insert(":e".to_owned(), AttributeValue::N(at.to_string()));
                ", e = :e"
            }
            None => " REMOVE e",
        };
        // An update has each clause at most once: SET, then REMOVE, then ADD.
        let update = format!("SET b = :b{sets_version}{expiry}{counts}");
        Self {
            update,
            condition,
            values,
            returns,
            version,
        }
    }
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn version_in(item: Option<&HashMap<String, AttributeValue>>) -> Option<u64> {
    match item?.get("v")? {
        AttributeValue::N(number) => number.parse().ok(),
        _ => None,
    }
}

fn what_writes(table: Table) -> &'static str {
    match table {
        Table::Users => "write a user",
        Table::Videos => "write a video",
        Table::Counters => "write a counter",
        Table::Control => "write a control row",
    }
}
