//! A registry of two parts, and a third that a program adds: `cargo run -p polyptych-registry
//! --example shapes`.

use polyptych_registry::{DynPart, Part, parts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What all parts of this kind can do.
pub trait Shape: DynPart {
    /// Its area.
    fn area(&self) -> f64;
}

macro_rules! shape {
    ($name:ident, $tag:literal, $summary:literal, $field:ident, $area:expr) => {
        #[doc = $summary]
        #[derive(Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            #[doc = "Its length."]
            pub $field: f64,
        }

        impl Part for $name {
            const NAME: &'static str = $tag;
            const SUMMARY: &'static str = $summary;

            fn example() -> Self {
                Self { $field: 1.0 }
            }
        }

        impl Shape for $name {
            fn area(&self) -> f64 {
                let area: fn(f64) -> f64 = $area;
                area(self.$field)
            }
        }
    };
}

shape!(Square, "square", "four equal sides", side, |side| side * side);
shape!(Disc, "disc", "all points near one", radius, |radius| std::f64::consts::PI
    * radius
    * radius);
shape!(Cross, "cross", "five squares", side, |side| 5.0 * side * side);

parts! {
    /// A shape, as a file has it.
    pub struct ShapeConfig(dyn Shape), kind = "shape", tag = "name";
    Square,
    Disc,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ShapeConfig::register::<Cross>()?;
    for text in
        ["name = 'square'\nside = 2.0", "name = 'disc'\nradius = 1.0", "name = 'cross'\nside = 1.0"]
    {
        let shape: ShapeConfig = toml::from_str(text)?;
        println!("{}: area {:.2}", shape.name(), shape.area());
    }
    if let Err(unknown) = toml::from_str::<ShapeConfig>("name = 'ring'") {
        println!("{unknown}");
    }
    Ok(())
}
