//! The update and condition expressions that `aws` uses.
//!
//! ```text
//! condition = check { "AND" check }
//! check     = "attribute_exists(" name ")" | "attribute_not_exists(" name ")" | name "=" :value
//! update    = [ "SET" name "=" :value {, …} ] [ "REMOVE" name {, …} ] [ "ADD" name :value {, …} ]
//! ```

use serde_json::{Map, Value, json};

/// An item: attribute name to typed value, as on the wire.
pub(super) type Item = Map<String, Value>;

/// The values and names an expression refers to.
pub(super) struct Terms<'a> {
    request: &'a Value,
}

impl<'a> Terms<'a> {
    pub(super) fn of(request: &'a Value) -> Self {
        Self { request }
    }

    fn name(&self, word: &str) -> Result<String, String> {
        if !word.starts_with('#') {
            return Ok(word.to_owned());
        }
        let name = self
            .request
            .get("ExpressionAttributeNames")
            .and_then(|names| names.get(word));
        name.and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| format!("no name {word}"))
    }

    fn value(&self, word: &str) -> Result<&'a Value, String> {
        let values = self.request.get("ExpressionAttributeValues");
        values
            .and_then(|values| values.get(word))
            .ok_or_else(|| format!("no value {word}"))
    }

    /// Whether the condition of the request, if any, holds for the item.
    pub(super) fn condition_holds(&self, item: Option<&Item>) -> Result<bool, String> {
        let Some(text) = self
            .request
            .get("ConditionExpression")
            .and_then(Value::as_str)
        else {
            return Ok(true);
        };
        for check in text.split(" AND ") {
            if !self.check_holds(check.trim(), item)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn check_holds(&self, check: &str, item: Option<&Item>) -> Result<bool, String> {
        let attribute = |name: &str| -> Result<Option<&Value>, String> {
            let name = self.name(name.trim())?;
            Ok(item.and_then(|item| item.get(&name)))
        };
        let inside = |function: &str| {
            check
                .strip_prefix(function)?
                .trim()
                .strip_prefix('(')?
                .strip_suffix(')')
        };
        if let Some(name) = inside("attribute_not_exists") {
            return Ok(attribute(name)?.is_none());
        }
        if let Some(name) = inside("attribute_exists") {
            return Ok(attribute(name)?.is_some());
        }
        let (name, value) = check
            .split_once('=')
            .ok_or_else(|| format!("condition not stubbed: {check}"))?;
        Ok(attribute(name)? == Some(self.value(value.trim())?))
    }

    /// Applies the update of the request.
    pub(super) fn update(&self, item: &mut Item) -> Result<(), String> {
        let text = self
            .request
            .get("UpdateExpression")
            .and_then(Value::as_str)
            .unwrap_or_default();
        for (clause, part) in clauses(text) {
            match clause {
                "SET" => {
                    let (name, value) = part
                        .split_once('=')
                        .ok_or_else(|| format!("SET not stubbed: {part}"))?;
                    item.insert(self.name(name.trim())?, self.value(value.trim())?.clone());
                }
                "REMOVE" => {
                    item.remove(&self.name(part)?);
                }
                "ADD" => {
                    let (name, value) = part
                        .split_once(' ')
                        .ok_or_else(|| format!("ADD not stubbed: {part}"))?;
                    let name = self.name(name)?;
                    let sum = number(item.get(&name)) + number(Some(self.value(value.trim())?));
                    item.insert(name, json!({"N": sum.to_string()}));
                }
                _ => return Err(format!("update not stubbed: {text}")),
            }
        }
        Ok(())
    }
}

/// Splits an update into its clauses' parts, each with the clause's word.
fn clauses(text: &str) -> Vec<(&str, &str)> {
    let words = ["SET ", "REMOVE ", "ADD "];
    let mut starts: Vec<usize> = words
        .iter()
        .filter_map(|word| text.find(word))
        .chain([text.len()])
        .collect();
    starts.sort_unstable();
    let mut parts = Vec::new();
    for (start, end) in starts.iter().zip(starts.iter().skip(1)) {
        let clause = text.get(*start..*end).unwrap_or_default();
        let (word, rest) = clause.split_once(' ').unwrap_or((clause, ""));
        parts.extend(rest.split(',').map(|part| (word, part.trim())));
    }
    parts
}

fn number(value: Option<&Value>) -> i64 {
    let text = value
        .and_then(|value| value.get("N"))
        .and_then(Value::as_str);
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_sets_removes_and_adds() {
        let request = json!({
            "UpdateExpression": "SET b = :b, #w = :w REMOVE e ADD v :one",
            "ExpressionAttributeNames": {"#w": "when"},
            "ExpressionAttributeValues": {":b": {"S": "x"}, ":w": {"N": "5"}, ":one": {"N": "1"}},
        });
        let mut item = Item::new();
        item.insert("e".into(), json!({"N": "9"}));
        item.insert("v".into(), json!({"N": "41"}));
        Terms::of(&request).update(&mut item).unwrap();
        let expected = json!({"b": {"S": "x"}, "v": {"N": "42"}, "when": {"N": "5"}});
        assert_eq!(Value::Object(item), expected);
    }

    #[test]
    fn conditions_hold_or_not_and_others_are_refused() {
        let item: Item = json!({"id": {"S": "a"}, "v": {"N": "3"}})
            .as_object()
            .unwrap()
            .clone();
        let cases = [
            ("attribute_not_exists(id)", Ok(false), Ok(true)),
            ("attribute_exists(id)", Ok(true), Ok(false)),
            ("v = :v", Ok(true), Ok(false)),
            ("attribute_exists(id) AND v = :other", Ok(false), Ok(false)),
            ("size(v)", Err(()), Err(())),
        ];
        for (condition, with, without) in cases {
            let request = json!({
                "ConditionExpression": condition,
                "ExpressionAttributeValues": {":v": {"N": "3"}, ":other": {"N": "4"}},
            });
            let holds = |item| Terms::of(&request).condition_holds(item).map_err(drop);
            assert_eq!(holds(Some(&item)), with, "{condition}");
            assert_eq!(holds(None), without, "{condition}");
        }
    }
}
