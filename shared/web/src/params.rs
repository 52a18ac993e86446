//! The parameters of a request, from its query or from its JSON body, by one set of rules.

use std::ops::RangeInclusive;
use std::str::FromStr;

use engine::{InvalidId, VideoId};
use serde_json::{Map, Value};
use smol_str::{SmolStr, StrExt};

use crate::Problem;
use crate::percent;

/// Longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 16 * 1024;
/// Longest category, language, tag or other word, in bytes.
pub const WORD_BYTES_MAX: usize = 64;

/// Longest market, in bytes.
const MARKET_BYTES_MAX: usize = 8;
/// The last millisecond of the year 9999.
const TIME_MS_MAX: i64 = 253_402_300_799_999;

/// The parameters a handler knows; all others are gone already.
///
/// A parameter that takes one value is refused when it comes twice, because two readers of the
/// same address (the edge's key and we) could pick different ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    /// In the order they came; few enough to be searched.
    values: Vec<(&'static str, Raw)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Raw {
    /// From a query.
    Text(SmolStr),
    /// From a query, not UTF-8.
    Malformed,
    /// From a body.
    Json(Value),
}

impl Params {
    /// Reads the known parameters out of raw query bytes.
    ///
    /// # Errors
    /// 414 when the query is longer than [`QUERY_BYTES_MAX`].
    pub fn of_query(query: &[u8], known: &[&'static str]) -> Result<Self, Problem> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(Problem::uri_too_long());
        }
        let mut params = Self::default();
        for pair in query.split(|byte| *byte == b'&') {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = halves.next().and_then(percent::decode);
            let Some(name) = name.and_then(|name| known.iter().find(|k| ***k == *name)) else {
                continue;
            };
            let raw = match percent::decode(halves.next().unwrap_or_default()) {
                Some(text) => Raw::Text(SmolStr::new(text)),
                None => Raw::Malformed,
            };
            params.values.push((name, raw));
        }
        Ok(params)
    }

    /// Takes the known parameters out of a JSON object; `null` counts as absent.
    #[must_use]
    pub fn of_json(mut object: Map<String, Value>, known: &[&'static str]) -> Self {
        let mut params = Self::default();
        for name in known {
            match object.remove(*name) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    params.values.push((name, Raw::Json(value)));
                }
            }
        }
        params
    }

    /// Whether the parameter came at all.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// One text of at most `bytes_max`, possibly empty, without control characters.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn text(&self, name: &'static str, bytes_max: usize) -> Result<Option<&str>, Problem> {
        let text = match self.one(name)? {
            None => return Ok(None),
            Some(Raw::Text(text)) => text.as_str(),
            Some(Raw::Json(Value::String(text))) => text.as_str(),
            Some(_) => return Err(Problem::field(name)),
        };
        let clean = text.len() <= bytes_max && !text.chars().any(char::is_control);
        clean
            .then_some(Some(text))
            .ok_or_else(|| Problem::field(name))
    }

    /// One id.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn id<T: FromStr<Err = InvalidId>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, Problem> {
        let text = self.text(name, engine::id::ID_BYTES_MAX)?;
        text.map(|text| text.parse().map_err(|InvalidId| Problem::field(name)))
            .transpose()
    }

    /// One name of id characters, such as a scene.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn name(&self, name: &'static str) -> Result<Option<SmolStr>, Problem> {
        Ok(self.id::<VideoId>(name)?.map(SmolStr::from))
    }

    /// One market: 1 to 8 letters, digits and `-`, made upper-case.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn market(&self, name: &'static str) -> Result<Option<SmolStr>, Problem> {
        let text = self.text(name, MARKET_BYTES_MAX)?;
        let market = text.map(|text| market_of(text).ok_or_else(|| Problem::field(name)));
        market.transpose()
    }

    /// One time: RFC 3339 or Unix milliseconds; from the year 1970 to 9999.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn time_ms(&self, name: &'static str) -> Result<Option<i64>, Problem> {
        let time_ms = match self.one(name)? {
            None => return Ok(None),
            Some(Raw::Json(Value::Number(number))) => number.as_i64(),
            Some(Raw::Json(Value::String(text))) => moment(text),
            Some(Raw::Text(text)) => moment(text),
            Some(_) => None,
        };
        let time_ms = time_ms.filter(|time_ms| (0..=TIME_MS_MAX).contains(time_ms));
        time_ms.map(Some).ok_or_else(|| Problem::field(name))
    }

    /// One whole number within `range`.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn integer(
        &self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Problem> {
        let number = match self.one(name)? {
            None => return Ok(None),
            Some(Raw::Text(text)) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            Some(Raw::Json(Value::Number(number))) => number.as_u64(),
            Some(_) => None,
        };
        let number = number.filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| Problem::field(name))
    }

    /// One `true` or `false`.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn flag(&self, name: &'static str) -> Result<Option<bool>, Problem> {
        match self.one(name)? {
            None => Ok(None),
            Some(Raw::Text(text)) if text == "true" => Ok(Some(true)),
            Some(Raw::Text(text)) if text == "false" => Ok(Some(false)),
            Some(Raw::Json(Value::Bool(flag))) => Ok(Some(*flag)),
            Some(_) => Err(Problem::field(name)),
        }
    }

    /// Words: the parameter repeated, or a JSON array; at most `count_max`.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn words(&self, name: &'static str, count_max: usize) -> Result<Vec<SmolStr>, Problem> {
        self.list(name, count_max, false, |text| {
            is_word(text, WORD_BYTES_MAX).then(|| SmolStr::new(text))
        })
    }

    /// Ids: comma-separated, the parameter repeated, or a JSON array; at most `count_max`.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn ids<T: FromStr<Err = InvalidId>>(
        &self,
        name: &'static str,
        count_max: usize,
    ) -> Result<Vec<T>, Problem> {
        self.list(name, count_max, true, |text| text.parse().ok())
    }

    fn list<T>(
        &self,
        name: &'static str,
        count_max: usize,
        commas: bool,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, Problem> {
        let wrong = || Problem::field(name);
        let mut list = Vec::new();
        let mut take = |text: &str| {
            if list.len() == count_max {
                return Err(wrong());
            }
            list.push(read(text).ok_or_else(wrong)?);
            Ok(())
        };
        for raw in self.named(name) {
            match raw {
                Raw::Text(text) if text.is_empty() => {}
                Raw::Text(text) if commas => text.split(',').try_for_each(&mut take)?,
                Raw::Text(text) => take(text)?,
                Raw::Json(Value::Array(values)) => {
                    for value in values {
                        take(value.as_str().ok_or_else(wrong)?)?;
                    }
                }
                Raw::Malformed | Raw::Json(_) => return Err(wrong()),
            }
        }
        Ok(list)
    }

    fn one(&self, name: &'static str) -> Result<Option<&Raw>, Problem> {
        let mut all = self.named(name);
        match (all.next(), all.next()) {
            (one, None) => Ok(one),
            (_, Some(_)) => Err(Problem::field(name)),
        }
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Raw> {
        let named = self.values.iter().filter(move |(known, _)| *known == name);
        named.map(|(_, raw)| raw)
    }
}

/// A time in RFC 3339, as Unix milliseconds.
fn moment(text: &str) -> Option<i64> {
    let moment = text.parse::<jiff::Timestamp>().ok()?;
    Some(moment.as_millisecond())
}

/// A market in its one spelling; `None` when the text names none.
#[must_use]
pub fn market_of(text: &str) -> Option<SmolStr> {
    let fits = (1..=MARKET_BYTES_MAX).contains(&text.len());
    let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (fits && clean).then(|| text.to_ascii_uppercase_smolstr())
}

/// Whether the text is 1 to `bytes_max` bytes without control characters.
#[must_use]
pub fn is_word(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
