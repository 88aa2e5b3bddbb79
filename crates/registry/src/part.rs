//! What every part says about itself.

use std::any::Any;
use std::fmt::Debug;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The settings of a part: a serde struct with a name.
///
/// Settings refuse unknown fields (`#[serde(deny_unknown_fields)]`), so that a typing error in a
/// recipe is found. The comments on their fields are what `polyptych recipe explain` and the
/// reference say about them.
pub trait Part: Serialize + DeserializeOwned + JsonSchema + Debug + Send + Sync + 'static {
    /// Name in recipes, in snake case.
    const NAME: &'static str;

    /// What it is, in one line without a full stop.
    const SUMMARY: &'static str;

    /// Settings to begin with: published defaults, and a small value where a recipe must choose.
    fn example() -> Self;
}

/// The face of [`Part`] that trait objects have; every part has it.
pub trait DynPart: Debug + Send + Sync {
    /// [`Part::NAME`].
    fn name(&self) -> &'static str;

    /// The settings as JSON; numbers that are not finite are null.
    fn to_value(&self) -> Value;

    /// The part's own type, for `downcast_ref`.
    fn as_any(&self) -> &dyn Any;
}

impl<P: Part> DynPart for P {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
