//! The engine's section of the hot document.

use std::collections::BTreeMap;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How recommendations are made; hot, validated, swapped whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EngineTuning {
    /// Budgets of the stages.
    pub budgets: Budgets,
    /// What a scene does not name is taken from `home`.
    pub scenes: BTreeMap<String, Scene>,
    /// Watched at least this long, or to the end, is a long view. Milliseconds.
    pub long_view_ms: u32,
}

/// Longest times of the stages, in milliseconds. No stage outlives its request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// The whole request, 10 to 10,000.
    pub request_ms: u32,
    /// All sources together, 5 to 10,000.
    pub recall_ms: u32,
    /// The ranker and all rerankers together, 5 to 10,000.
    pub rerank_ms: u32,
}

/// How one place in the product is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Scene {
    /// Weight per source, 0 to 1; a source that is not named or weighs 0 is off.
    pub weights: BTreeMap<String, f32>,
    /// Candidates each source may propose, 10 to 2,000.
    pub candidates_max: u32,
    /// Videos of one creator allowed in any `diversity_window` neighbours, at least 1.
    pub creator_max: u32,
    /// Videos of one category allowed in any `diversity_window` neighbours, at least 1.
    pub category_max: u32,
    /// Length of the window the two caps look at, 2 to 50.
    pub diversity_window: u32,
    /// What likeness to the videos before it takes from a video's score, 0 (nothing) to 1.
    pub mmr_weight: f32,
    /// Places of a slate that new videos may be moved up to, at most; a share, 0 to 0.5.
    pub fresh_share: f32,
    /// A video is new for so many hours after it was published, 1 to 8,760.
    pub fresh_hours: u32,
    /// Chance of a place to go to a video drawn at random from those next in line, 0 (off) to 0.2.
    pub explore_share: f32,
    /// Videos next in line that exploration draws from, 2 to 200.
    pub explore_pool: u32,
}

const DEFAULT_WEIGHTS: [(&str, f32); 3] = [("cf", 0.4), ("content", 0.35), ("trending", 0.25)];

impl Default for EngineTuning {
    fn default() -> Self {
        Self {
            budgets: Budgets::default(),
            scenes: BTreeMap::from([("home".to_owned(), Scene::default())]),
            long_view_ms: crate::event::LONG_VIEW_MS,
        }
    }
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            request_ms: 200,
            recall_ms: 80,
            rerank_ms: 80,
        }
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            weights: DEFAULT_WEIGHTS
                .into_iter()
                .map(|(name, w)| (name.to_owned(), w))
                .collect(),
            candidates_max: 300,
            creator_max: 2,
            category_max: 4,
            diversity_window: 10,
            mmr_weight: 0.05,
            fresh_share: 0.1,
            fresh_hours: 48,
            explore_share: 0.0,
            explore_pool: 50,
        }
    }
}

impl Scene {
    /// Whether nobody has touched the weights.
    #[must_use]
    pub fn has_default_weights(&self) -> bool {
        let known = |(name, weight): &(&str, f32)| self.weights.get(*name) == Some(weight);
        self.weights.len() == DEFAULT_WEIGHTS.len() && DEFAULT_WEIGHTS.iter().all(known)
    }
}

impl EngineTuning {
    /// The tuning of a scene; an unknown one is served like `home`.
    #[must_use]
    pub fn scene(&self, name: &str) -> Option<&Scene> {
        self.scenes.get(name).or_else(|| self.scenes.get("home"))
    }

    /// Names every value that is out of bounds; empty when the document may be applied.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, what: String| {
            if !holds {
                problems.push(what);
            }
        };
        let b = &self.budgets;
        for (name, value, least) in [
            ("request_ms", b.request_ms, 10),
            ("recall_ms", b.recall_ms, 5),
            ("rerank_ms", b.rerank_ms, 5),
        ] {
            check(
                (least..=10_000).contains(&value),
                format!("budgets.{name} is not {least} to 10000"),
            );
        }
        check(
            self.scenes.contains_key("home"),
            "scenes.home is missing".into(),
        );
        for (name, scene) in &self.scenes {
            let weights = scene.weights.values();
            let in_range = weights.clone().all(|w| (0.0..=1.0).contains(w));
            check(
                in_range,
                format!("scenes.{name}.weights has one that is not 0 to 1"),
            );
            let any = weights.clone().any(|w| *w > 0.0);
            check(
                any,
                format!("scenes.{name}.weights switches every source off"),
            );
            let candidates = (10..=2_000).contains(&scene.candidates_max);
            check(
                candidates,
                format!("scenes.{name}.candidates_max is not 10 to 2000"),
            );
            let caps = scene.creator_max >= 1 && scene.category_max >= 1;
            check(caps, format!("scenes.{name} has a diversity cap below 1"));
            let window = (2..=50).contains(&scene.diversity_window);
            check(
                window,
                format!("scenes.{name}.diversity_window is not 2 to 50"),
            );
            let shares = [
                ("mmr_weight", scene.mmr_weight, 1.0),
                ("fresh_share", scene.fresh_share, 0.5),
                ("explore_share", scene.explore_share, 0.2),
            ];
            for (field, value, most) in shares {
                check(
                    (0.0..=most).contains(&value),
                    format!("scenes.{name}.{field} is not 0 to {most}"),
                );
            }
            check(
                (1..=8_760).contains(&scene.fresh_hours),
                format!("scenes.{name}.fresh_hours is not 1 to 8760"),
            );
            check(
                (2..=200).contains(&scene.explore_pool),
                format!("scenes.{name}.explore_pool is not 2 to 200"),
            );
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_budget_out_of_bounds_is_named() {
        let mut tuning = EngineTuning::default();
        assert_eq!(tuning.problems(), Vec::<String>::new());
        tuning.budgets = Budgets {
            request_ms: 10_001,
            recall_ms: 4,
            rerank_ms: 0,
        };
        let expected = [
            "budgets.request_ms is not 10 to 10000",
            "budgets.recall_ms is not 5 to 10000",
            "budgets.rerank_ms is not 5 to 10000",
        ];
        assert_eq!(tuning.problems(), expected);
    }
}
