//! What may be asked, and how it is read.

use axum::body::Body;
use engine::user::RECENT_MAX;
use engine::{CategoriesMatch, UserId, VideoId};
use http::HeaderMap;
use http::request::Parts;
use serde_json::Value;
use smol_str::SmolStr;
use store::{Ask, Cohort, Kind, Who};
use web::cursor::CURSOR_BYTES_MAX;
use web::freshness::VIEWER_COUNTRY;
use web::params::market_of;
use web::{BodyRules, Params, Problem, read_json};

use guard::Deadline;

/// Items on a page unless asked otherwise.
pub(crate) const LIMIT_DEFAULT: u64 = 20;
/// Most items on a page.
pub(crate) const LIMIT_MAX: u64 = 50;
/// Most videos that one request may exclude.
pub(crate) const EXCLUDE_MAX: usize = 200;
/// Most categories that one request may name.
const CATEGORIES_MAX: usize = 20;
/// Longest scene, in bytes.
const SCENE_BYTES_MAX: usize = 64;

/// Parameters of `/recommend`.
pub(crate) const RECOMMEND: &[&str] = &[
    "user_id", "cohort", "session", "scene", "limit", "cursor", "category", "match", "exclude",
    "market", "explain",
];
/// Parameters of the lists.
pub(crate) const LIST: &[&str] = &[
    "user_id", "limit", "cursor", "category", "match", "market", "exclude", "explain",
];

/// A validated request for a page of a slate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SlateRequest {
    pub who: Who,
    pub session: Vec<VideoId>,
    pub scene: SmolStr,
    pub limit: usize,
    pub cursor: Option<String>,
    pub categories: Vec<SmolStr>,
    pub categories_match: CategoriesMatch,
    pub exclude: Vec<VideoId>,
    pub market: SmolStr,
    pub explain: bool,
}

impl SlateRequest {
    /// Reads the query of a GET.
    pub fn of_query(parts: &Parts, known: &[&'static str]) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        Self::parse(&Params::of_query(query.as_bytes(), known)?, &parts.headers)
    }

    /// Reads the JSON body of a POST.
    pub async fn of_body(parts: &Parts, body: Body, deadline: &Deadline) -> Result<Self, Problem> {
        match read_json(&parts.headers, body, BodyRules::JSON, deadline).await? {
            Value::Object(object) => {
                Self::parse(&Params::of_json(object, RECOMMEND), &parts.headers)
            }
            _ => Err(Problem::field("body")),
        }
    }

    fn parse(params: &Params, headers: &HeaderMap) -> Result<Self, Problem> {
        let user = params.id::<UserId>("user_id")?;
        let cohort = params.text("cohort", SCENE_BYTES_MAX)?;
        let cohort =
            cohort.map(|text| text.parse::<Cohort>().map_err(|_| Problem::field("cohort")));
        let who = match (user, cohort.transpose()?) {
            (Some(user), _) => Who::User(user),
            (None, Some(cohort)) => Who::Cohort(cohort),
            (None, None) => Who::Anyone,
        };
        let scene = params.name("scene")?.unwrap_or(SmolStr::new_static("home"));
        let limit = params
            .integer("limit", 1..=LIMIT_MAX)?
            .unwrap_or(LIMIT_DEFAULT);
        let categories_match = match params.text("match", SCENE_BYTES_MAX)? {
            None | Some("any") => CategoriesMatch::Any,
            Some("all") => CategoriesMatch::All,
            Some(_) => return Err(Problem::field("match")),
        };
        Ok(Self {
            who,
            session: params.ids("session", RECENT_MAX)?,
            scene,
            limit: usize::try_from(limit).unwrap_or_default(),
            cursor: params.text("cursor", CURSOR_BYTES_MAX)?.map(str::to_owned),
            categories: params.words("category", CATEGORIES_MAX)?,
            categories_match,
            exclude: params.ids("exclude", EXCLUDE_MAX)?,
            market: market(params, headers)?,
            explain: params.flag("explain")?.unwrap_or_default(),
        })
    }

    /// The question for the tiers; neither the page nor what it leaves out is part of it.
    pub fn ask(&self, kind: Kind, seed: u64) -> Ask {
        Ask {
            scene: self.scene.clone(),
            market: self.market.clone(),
            session: self.session.clone(),
            categories: self.categories.clone(),
            categories_match: self.categories_match,
            seed,
            ..Ask::new(self.who.clone(), kind)
        }
    }

    /// The user who asks.
    pub fn user(&self) -> Option<&UserId> {
        match &self.who {
            Who::User(user) => Some(user),
            Who::Cohort(_) | Who::Anyone => None,
        }
    }
}

/// The market that was named, else the viewer's country as the edge knows it, else none.
fn market(params: &Params, headers: &HeaderMap) -> Result<SmolStr, Problem> {
    let named = params.market("market")?;
    let country = || {
        headers
            .get(VIEWER_COUNTRY)?
            .to_str()
            .ok()
            .and_then(market_of)
    };
    Ok(named.or_else(country).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(query: &str) -> Result<SlateRequest, Problem> {
        let params = Params::of_query(query.as_bytes(), RECOMMEND)?;
        SlateRequest::parse(&params, &HeaderMap::new())
    }

    #[test]
    fn nothing_asked_is_the_first_twenty_of_the_shared_home() {
        let asked = parse("").unwrap();
        assert_eq!(asked.who, Who::Anyone);
        assert_eq!(
            (asked.scene.as_str(), asked.limit, asked.market.as_str()),
            ("home", 20, "")
        );
        assert!(!asked.explain && asked.exclude.is_empty() && asked.cursor.is_none());
    }

    #[test]
    fn a_wrong_value_names_its_field() {
        let many = vec!["v"; EXCLUDE_MAX + 1].join(",");
        for (query, field) in [
            ("user_id=a%2Fb", "user_id"),
            ("cohort=x", "cohort"),
            ("session=a,b!", "session"),
            ("scene=a%20b", "scene"),
            ("limit=0", "limit"),
            ("limit=51", "limit"),
            ("limit=ten", "limit"),
            ("category=", "none"),
            ("category=%01", "category"),
            ("match=some", "match"),
            (&format!("exclude={many}"), "exclude"),
            ("market=Germany-west", "market"),
            ("market=%3Cb%3E", "market"),
            ("explain=1", "explain"),
        ] {
            let found = parse(query).err();
            let found = found.as_ref().map_or(Some("none"), Problem::field_name);
            assert_eq!(found, Some(field), "{query}");
        }
    }

    #[test]
    fn a_user_outranks_a_cohort() {
        assert!(matches!(
            parse("user_id=u&cohort=c3").unwrap().who,
            Who::User(_)
        ));
        assert_eq!(parse("cohort=c3").unwrap().who, Who::Cohort(Cohort::new(3)));
    }

    #[test]
    fn the_market_is_the_viewers_country_unless_named() {
        let mut headers = HeaderMap::new();
        headers.insert(VIEWER_COUNTRY, HeaderValue::from_static("de"));
        let of = |query: &str| {
            let params = Params::of_query(query.as_bytes(), RECOMMEND).unwrap();
            SlateRequest::parse(&params, &headers).unwrap().market
        };
        assert_eq!(of(""), "DE");
        assert_eq!(of("market=fr"), "FR");
    }

    #[test]
    fn the_page_does_not_change_the_question() {
        let key = |query: &str| parse(query).unwrap().ask(Kind::Recommend, 0).key();
        assert_eq!(
            key("user_id=u"),
            key("user_id=u&limit=5&exclude=v1&explain=true")
        );
        assert_ne!(key("user_id=u"), key("user_id=u&scene=next"));
    }
}
