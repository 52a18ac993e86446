//! A query string and a JSON body of any bytes: every parameter is read or refused by name.

#![no_main]

use engine::VideoId;
use libfuzzer_sys::fuzz_target;
use web::Params;
use web::body::parse_json;

const KNOWN: [&str; 4] = ["a", "b", "limit", "category"];

fuzz_target!(|bytes: &[u8]| {
    if let Ok(params) = Params::of_query(bytes, &KNOWN) {
        read(&params);
    }
    if let Ok(body) = parse_json(bytes) {
        if let Some(object) = body.as_object() {
            read(&Params::of_json(object.clone(), &KNOWN));
        }
    }
});

fn read(params: &Params) {
    for name in KNOWN {
        let text = params.text(name, 64);
        assert!(text.is_err() || text.is_ok_and(|text| text.is_none_or(|text| text.len() <= 64)));
        let _ = params.id::<VideoId>(name);
        let _ = (params.name(name), params.market(name));
        let _ = (params.time_ms(name), params.flag(name));
        let number = params.integer(name, 1..=50);
        assert!(number.is_err() || number.is_ok_and(|n| n.is_none_or(|n| (1..=50).contains(&n))));
        assert!(params.words(name, 20).map_or(0, |words| words.len()) <= 20);
        assert!(params.ids::<VideoId>(name, 200).map_or(0, |ids| ids.len()) <= 200);
    }
}
