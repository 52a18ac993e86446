//! Tables of items with a text key `id`.

use std::collections::BTreeMap;
use std::ops::Bound;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{self, Failure};
use super::expression::{Item, Terms};
use super::fault::left_out;
use super::{Call, Request};

const INVALID: Failure = (StatusCode::BAD_REQUEST, "ValidationException");
const CONFLICT: Failure = (StatusCode::BAD_REQUEST, "ConditionalCheckFailedException");

/// Items by table and id.
#[derive(Debug, Default)]
pub(super) struct Tables {
    tables: BTreeMap<String, BTreeMap<String, Item>>,
    /// Keys of BatchGetItem met under a partial fault.
    batched: u64,
}

/// An error's code and words.
type Refusal = (Failure, String);

impl Tables {
    pub(super) fn perform(&mut self, request: &Request, partial_percent: u8) -> Response {
        let done = match serde_json::from_slice::<Value>(&request.body) {
            Ok(body) => self.dispatch(request.call, &body, partial_percent),
            Err(error) => Err((INVALID, error.to_string())),
        };
        match done {
            Ok(value) => answer::json(&value),
            Err((failure, words)) => answer::error(request.call, failure, &words),
        }
    }

    fn dispatch(&mut self, call: Call, body: &Value, percent: u8) -> Result<Value, Refusal> {
        match call {
            Call::GetItem => self.get(body),
            Call::BatchGetItem => self.batch_get(body, percent),
            Call::UpdateItem => self.update(body),
            Call::DeleteItem => self.delete(body),
            Call::PutItem => self.put(body),
            _ => self.scan(body),
        }
    }

    fn table(&mut self, body: &Value) -> Result<&mut BTreeMap<String, Item>, Refusal> {
        let name = text(body.get("TableName")).ok_or_else(|| invalid("no TableName"))?;
        Ok(self.tables.entry(name).or_default())
    }

    fn get(&mut self, body: &Value) -> Result<Value, Refusal> {
        let id = id_in(body.get("Key"))?;
        Ok(match self.table(body)?.get(&id) {
            Some(item) => json!({"Item": item}),
            None => json!({}),
        })
    }

    fn batch_get(&mut self, body: &Value, percent: u8) -> Result<Value, Refusal> {
        let (mut responses, mut unprocessed) = (Map::new(), Map::new());
        let requests = body.get("RequestItems").and_then(Value::as_object);
        for (name, request) in requests.ok_or_else(|| invalid("no RequestItems"))? {
            let table = self.tables.entry(name.clone()).or_default();
            let (mut found, mut rest) = (Vec::new(), Vec::new());
            for key in request
                .get("Keys")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                self.batched += 1;
                if left_out(self.batched - 1, percent) {
                    rest.push(key.clone());
                } else {
                    found.extend(table.get(&id_in(Some(key))?).cloned());
                }
            }
            responses.insert(name.clone(), json!(found));
            if !rest.is_empty() {
                let mut again = request.clone();
                if let Some(again) = again.as_object_mut() {
                    again.insert("Keys".to_owned(), json!(rest));
                }
                unprocessed.insert(name.clone(), again);
            }
        }
        Ok(json!({"Responses": responses, "UnprocessedKeys": unprocessed}))
    }

    fn update(&mut self, body: &Value) -> Result<Value, Refusal> {
        let id = id_in(body.get("Key"))?;
        let terms = Terms::of(body);
        let table = self.table(body)?;
        check(&terms, table.get(&id))?;
        let mut item = table.get(&id).cloned().unwrap_or_else(|| {
            body.get("Key")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        });
        terms.update(&mut item).map_err(|words| (INVALID, words))?;
        table.insert(id, item.clone());
        let returns = body
            .get("ReturnValues")
            .and_then(Value::as_str)
            .unwrap_or("NONE");
        Ok(if returns == "NONE" {
            json!({})
        } else {
            json!({"Attributes": item})
        })
    }

    fn put(&mut self, body: &Value) -> Result<Value, Refusal> {
        let item = body.get("Item").and_then(Value::as_object).cloned();
        let item = item.ok_or_else(|| invalid("no Item"))?;
        let id = id_in(body.get("Item"))?;
        let table = self.table(body)?;
        check(&Terms::of(body), table.get(&id))?;
        table.insert(id, item);
        Ok(json!({}))
    }

    fn delete(&mut self, body: &Value) -> Result<Value, Refusal> {
        let id = id_in(body.get("Key"))?;
        let table = self.table(body)?;
        check(&Terms::of(body), table.get(&id))?;
        table.remove(&id);
        Ok(json!({}))
    }

    fn scan(&mut self, body: &Value) -> Result<Value, Refusal> {
        let limit = body
            .get("Limit")
            .and_then(Value::as_u64)
            .unwrap_or(1_000)
            .max(1);
        let start = match body.get("ExclusiveStartKey") {
            Some(key) if !key.is_null() => Bound::Excluded(id_in(Some(key))?),
            _ => Bound::Unbounded,
        };
        let table = self.table(body)?;
        let mut rest = table.range((start, Bound::Unbounded));
        let page: Vec<(&String, &Item)> = rest
            .by_ref()
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect();
        let items: Vec<&Item> = page.iter().map(|(_, item)| *item).collect();
        let mut answer = json!({"Count": items.len(), "Items": items});
        if let (Some((last, _)), Some(_), Some(answer)) =
            (page.last(), rest.next(), answer.as_object_mut())
        {
            answer.insert("LastEvaluatedKey".to_owned(), json!({"id": {"S": last}}));
        }
        Ok(answer)
    }
}

fn check(terms: &Terms<'_>, item: Option<&Item>) -> Result<(), Refusal> {
    match terms.condition_holds(item) {
        Ok(true) => Ok(()),
        Ok(false) => Err((CONFLICT, "the conditional request failed".to_owned())),
        Err(words) => Err((INVALID, words)),
    }
}

fn id_in(item: Option<&Value>) -> Result<String, Refusal> {
    let id = item
        .and_then(|item| item.get("id"))
        .and_then(|id| id.get("S"));
    text(id).ok_or_else(|| invalid("the stub's tables have a text key named id"))
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

fn invalid(words: &str) -> Refusal {
    (INVALID, words.to_owned())
}
