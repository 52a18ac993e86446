//! Taking an aggregate apart, read field by field so that hostile counts are met before memory is
//! given out for them.

use bytes::Bytes;
use md5::{Digest, Md5};
use smol_str::SmolStr;

use super::{
    DATA, Error, ITEMS_MAX, KEY_INDEX, KEY_TABLE, MAGIC, MD5_BYTES, RECORD_BYTES_MAX, RECORDS,
    corrupt,
};

/// Longest partition key.
const KEY_BYTES_MAX: usize = 1_024;

/// Takes a stream record's data apart into (partition key, payload), in order.
///
/// Plain data comes back as one payload with an empty key: its key is the record's own.
///
/// # Errors
/// `Corrupt` when the data starts like an aggregate and is none, or passes a limit.
pub fn unpack(data: &Bytes) -> Result<Vec<(SmolStr, Bytes)>, Error> {
    if data.len() > RECORD_BYTES_MAX {
        return Err(corrupt("too large"));
    }
    let Some(rest) = data.strip_prefix(&MAGIC) else {
        return Ok(vec![(SmolStr::default(), data.clone())]);
    };
    let body_bytes = rest
        .len()
        .checked_sub(MD5_BYTES)
        .ok_or_else(|| corrupt("cut short"))?;
    let (body, digest) = rest
        .split_at_checked(body_bytes)
        .ok_or_else(|| corrupt("cut short"))?;
    if Md5::digest(body).as_slice() != digest {
        return Err(corrupt("its digest differs"));
    }
    let mut keys: Vec<SmolStr> = Vec::new();
    let mut items: Vec<(u64, &[u8])> = Vec::new();
    let mut fields = Fields(body);
    while let Some(field) = fields.next_field()? {
        if keys.len() > ITEMS_MAX || items.len() >= ITEMS_MAX {
            return Err(corrupt("too many items"));
        }
        match field {
            (KEY_TABLE, Value::Bytes(key)) => keys.push(parse_key(key)?),
            (RECORDS, Value::Bytes(record)) => items.push(parse_item(record)?),
            (KEY_TABLE | RECORDS, Value::Number(_)) => {
                return Err(corrupt("a field has another type"));
            }
            _ => {}
        }
    }
    let named = |(index, payload): (u64, &[u8])| {
        let key = usize::try_from(index)
            .ok()
            .and_then(|index| keys.get(index));
        let key = key.ok_or_else(|| corrupt("a key is missing"))?;
        Ok((key.clone(), data.slice_ref(payload)))
    };
    items.into_iter().map(named).collect()
}

fn parse_key(bytes: &[u8]) -> Result<SmolStr, Error> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|key| key.len() <= KEY_BYTES_MAX);
    text.map(SmolStr::new)
        .ok_or_else(|| corrupt("a key is none"))
}

fn parse_item(bytes: &[u8]) -> Result<(u64, &[u8]), Error> {
    let (mut index, mut payload) = (None, None);
    let mut fields = Fields(bytes);
    while let Some(field) = fields.next_field()? {
        match field {
            (KEY_INDEX, Value::Number(number)) => index = Some(number),
            (DATA, Value::Bytes(data)) => payload = Some(data),
            _ => {}
        }
    }
    index
        .zip(payload)
        .ok_or_else(|| corrupt("an item lacks its key or its data"))
}

/// A protobuf field's value, as far as the aggregate needs telling them apart.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Walks the fields of one protobuf message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The next field's tag byte (0 for numbers above 15, which nobody asks for) and value.
    fn next_field(&mut self) -> Result<Option<(u8, Value<'a>)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 0b111 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let bytes = self.varint()?;
                Value::Bytes(self.take(bytes)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return Err(corrupt("an unknown wire type")),
        };
        Ok(Some((u8::try_from(tag).unwrap_or(0), value)))
    }

    fn varint(&mut self) -> Result<u64, Error> {
        prost::encoding::decode_varint(&mut self.0).map_err(|_| corrupt("cut short"))
    }

    fn take(&mut self, bytes: u64) -> Result<&'a [u8], Error> {
        let bytes = usize::try_from(bytes).map_err(|_| corrupt("cut short"))?;
        let (taken, rest) = self
            .0
            .split_at_checked(bytes)
            .ok_or_else(|| corrupt("cut short"))?;
        self.0 = rest;
        Ok(taken)
    }
}
