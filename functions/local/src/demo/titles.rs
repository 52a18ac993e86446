//! Words the demo's titles are made of.

/// One topic of the demo catalogue.
pub(super) struct Topic {
    pub name: &'static str,
    pub tags: &'static [&'static str],
    pub subjects: &'static [&'static str],
}

const fn topic(
    name: &'static str,
    tags: &'static [&'static str],
    subjects: &'static [&'static str],
) -> Topic {
    Topic {
        name,
        tags,
        subjects,
    }
}

pub(super) const TOPICS: [Topic; 12] = [
    topic(
        "cooking",
        &["pasta", "baking", "street-food", "vegan"],
        &[
            "ramen",
            "sourdough",
            "green curry",
            "focaccia",
            "dumplings",
            "shakshuka",
        ],
    ),
    topic(
        "travel",
        &["hiking", "trains", "islands", "cities"],
        &[
            "Lisbon",
            "the night train",
            "Iceland",
            "Kyoto",
            "the Dolomites",
            "Oaxaca",
        ],
    ),
    topic(
        "music",
        &["guitar", "piano", "live", "vinyl"],
        &[
            "a bossa nova groove",
            "the blues scale",
            "a synth patch",
            "a string quartet",
            "a drum fill",
            "fingerstyle",
        ],
    ),
    topic(
        "football",
        &["goals", "tactics", "derby", "skills"],
        &[
            "the back three",
            "a last-minute winner",
            "the perfect free kick",
            "the high press",
            "a derby day",
            "the offside trap",
        ],
    ),
    topic(
        "science",
        &["physics", "space", "biology", "maths"],
        &[
            "black holes",
            "the double slit",
            "tardigrades",
            "prime gaps",
            "the deep sea",
            "fusion",
        ],
    ),
    topic(
        "gaming",
        &["speedrun", "indie", "retro", "co-op"],
        &[
            "a speedrun",
            "the final boss",
            "an indie gem",
            "the map secret",
            "a pixel classic",
            "the hardest level",
        ],
    ),
    topic(
        "fitness",
        &["running", "yoga", "strength", "mobility"],
        &[
            "a 5 k",
            "the deadlift",
            "morning yoga",
            "hip mobility",
            "pull-ups",
            "a rest day",
        ],
    ),
    topic(
        "diy",
        &["wood", "electronics", "garden", "repair"],
        &[
            "a walnut shelf",
            "the leaking tap",
            "a raised bed",
            "an old radio",
            "a standing desk",
            "a bike wheel",
        ],
    ),
    topic(
        "comedy",
        &["sketch", "stand-up", "pranks", "office"],
        &[
            "the group chat",
            "a job interview",
            "the in-laws",
            "airport security",
            "a first date",
            "the printer",
        ],
    ),
    topic(
        "animals",
        &["cats", "dogs", "birds", "wildlife"],
        &[
            "a rescue cat",
            "the smartest crow",
            "sheepdogs",
            "an otter family",
            "a hummingbird",
            "a very old tortoise",
        ],
    ),
    topic(
        "fashion",
        &["vintage", "streetwear", "shoes", "sewing"],
        &[
            "a thrifted coat",
            "one white shirt",
            "sneakers",
            "a capsule wardrobe",
            "denim",
            "a hemline",
        ],
    ),
    topic(
        "news",
        &["climate", "economy", "tech", "cities-tomorrow"],
        &[
            "the new tram line",
            "chip prices",
            "a heat wave",
            "the rent question",
            "the battery race",
            "a local election",
        ],
    ),
];

/// How a subject becomes a title; `{}` is its place.
pub(super) const FORMS: [&str; 10] = [
    "{} in ten minutes",
    "The truth about {}",
    "I tried {} for a week",
    "{}, explained slowly",
    "What nobody says about {}",
    "A beginner's guide to {}",
    "{}: before and after",
    "Three mistakes with {}",
    "{} at midnight",
    "Everything I know about {}",
];

/// A title; every thirteenth video is a second part.
pub(super) fn title(form: &str, subject: &str, serial: usize) -> String {
    let text = form.replace("{}", subject);
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    let part = if (serial + 1).is_multiple_of(13) {
        " (part 2)"
    } else {
        ""
    };
    format!("{first}{}{part}", letters.as_str())
}
