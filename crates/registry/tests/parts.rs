//! Parts are found by name, built in or registered, and read and written with their name.
#![allow(missing_docs)]

use polyptych_registry::{DynPart, Error, Part, parts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub trait Shape: DynPart {
    fn area(&self) -> f64;

    fn is_round(&self) -> bool {
        false
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Square {
    side: f64,
    #[serde(default)]
    colour: Option<String>,
}

impl Part for Square {
    const NAME: &'static str = "square";
    const SUMMARY: &'static str = "four equal sides";

    fn example() -> Self {
        Self { side: 1.0, colour: None }
    }
}

impl Shape for Square {
    fn area(&self) -> f64 {
        self.side * self.side
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disc {
    radius: f64,
}

impl Part for Disc {
    const NAME: &'static str = "disc";
    const SUMMARY: &'static str = "all points within a radius";

    fn example() -> Self {
        Self { radius: 1.0 }
    }
}

impl Shape for Disc {
    fn area(&self) -> f64 {
        3.0 * self.radius * self.radius
    }

    fn is_round(&self) -> bool {
        true
    }
}

parts! {
    /// A shape of a recipe.
    pub struct ShapeConfig(dyn Shape), kind = "shape", tag = "name";
    Square,
}

fn parse(text: &str) -> Result<ShapeConfig, String> {
    toml::from_str(text).map_err(|e: toml::de::Error| e.message().to_owned())
}

#[test]
fn settings_come_back_with_their_name() {
    let square = parse("name = 'square'\nside = 2.0").unwrap();
    assert_eq!((square.area(), square.is_round(), square.name()), (4.0, false, "square"));
    assert_eq!(toml::to_string(&square).unwrap(), "name = \"square\"\nside = 2.0\n");
    assert_eq!(parse(&toml::to_string(&square).unwrap()).unwrap(), square);
    assert_ne!(square, ShapeConfig::from(Square { side: 3.0, colour: None }));
    assert_eq!(square.downcast_ref::<Square>().unwrap().side, 2.0);
    assert!(square.downcast_ref::<Disc>().is_none());
}

#[test]
fn mistakes_are_named_in_the_words_of_serde() {
    for (text, expected) in [
        ("side = 2.0", "missing field `name`"),
        ("name = 3", "invalid type: 3, expected a string at `name`"),
        ("name = 'line'", "unknown variant `line`, expected one of `square`"),
        ("name = 'square'", "missing field `side`"),
        ("name = 'square'\nsize = 2", "unknown field `size`, expected `side` or `colour`"),
        ("name = 'square'\nside = 'long'", "invalid type: string \"long\", expected f64"),
    ] {
        let message = parse(text).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    }
}

/// The only test that registers: the registry is one for the process.
#[test]
fn a_program_adds_parts_of_its_own() {
    assert!(ShapeConfig::names().starts_with(&["square"]));
    ShapeConfig::register::<Disc>().unwrap();
    let disc = parse("name = 'disc'\nradius = 2.0").unwrap();
    assert_eq!((disc.area(), disc.is_round()), (12.0, true));
    assert_eq!(ShapeConfig::names(), ["square", "disc"]);
    assert_eq!(ShapeConfig::examples().len(), 2);
    let again = ShapeConfig::register::<Disc>().unwrap_err();
    assert_eq!(again, Error::Taken { kind: "shape", name: "disc" });
}

#[test]
fn the_schema_has_every_part_with_its_name_and_its_settings() {
    let schema = schemars::schema_for!(ShapeConfig).to_value();
    assert_eq!(schema["title"], "shape");
    let square = &schema["oneOf"][0];
    assert_eq!(
        (&square["title"], &square["description"]),
        (&"square".into(), &"four equal sides".into())
    );
    assert_eq!(square["properties"]["name"]["const"], "square");
    assert!(square["properties"].get("side").is_some());
    assert_eq!(square["required"], serde_json::json!(["name", "side"]));
}
