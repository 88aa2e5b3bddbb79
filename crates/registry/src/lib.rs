//! How does a part get its name, and how does a recipe find it?
//!
//! A part is one adapter method, balancer, head, loss, architecture or data source. Everything
//! special about it stands in its own file, as an implementation of [`Part`] and of the trait of
//! its kind. [`parts!`](crate::parts) lists the parts that a crate has built in, and makes the type
//! that recipes hold: any part of the kind, read and written with its name as a tag.
//!
//! The list is explicit, and not gathered by the linker: its order is that of help and tables, and
//! a part cannot go missing because nothing else of its crate was used. Programs add parts of their
//! own with `register`, before they read a recipe.
//!
//! ```
//! use polyptych_registry::{DynPart, Part, parts};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! pub trait Shape: DynPart {
//!     fn area(&self) -> f64;
//! }
//!
//! #[derive(Debug, Serialize, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Square { side: f64 }
//!
//! impl Part for Square {
//!     const NAME: &'static str = "square";
//!     const SUMMARY: &'static str = "four equal sides";
//!     fn example() -> Self { Square { side: 1.0 } }
//! }
//!
//! impl Shape for Square {
//!     fn area(&self) -> f64 { self.side * self.side }
//! }
//!
//! parts! {
//!     /// A shape, as a recipe has it.
//!     pub struct ShapeConfig(dyn Shape), kind = "shape", tag = "name";
//!     Square,
//! }
//!
//! let shape: ShapeConfig = toml::from_str("name = 'square'\nside = 2.0").unwrap();
//! assert_eq!(shape.area(), 4.0);
//! ```

mod error;
mod part;
mod parts;
mod registry;
mod schema;
mod tagged;

pub use error::{Error, Result};
pub use part::{DynPart, Part};
pub use registry::{Entry, Registry};
#[doc(hidden)]
pub use schema::schema;
#[doc(hidden)]
pub use tagged::{read, write};

#[doc(hidden)]
pub use schemars;
#[doc(hidden)]
pub use serde;
#[doc(hidden)]
pub use serde_json::{Error as ReadError, Value, from_value};
