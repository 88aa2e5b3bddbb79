//! The list of a kind, and the type that recipes hold.

/// Lists the parts of a kind, and makes the type that holds any one of them.
///
/// `pub struct Name(dyn Trait), kind = "..", tag = "..";` and one line per part. `Trait` extends
/// [`DynPart`](crate::DynPart), every part implements [`Part`](crate::Part) and `Trait`, and `tag`
/// is the field that has the part's name. `Name` dereferences to `dyn Trait`, is made from any part
/// with `Name::from(part)`, and has `registry`, `names`, `examples`, `register` and `downcast_ref`.
#[macro_export]
macro_rules! parts {
    (
        $(#[$meta:meta])*
        pub struct $config:ident(dyn $kind:path), kind = $word:literal, tag = $tag:literal;
        $($part:ty),* $(,)?
    ) => {
        $(#[$meta])*
        #[derive(Clone)]
        pub struct $config(::std::sync::Arc<dyn $kind>);

        impl $config {
            /// All parts of this kind.
            #[must_use]
            pub fn registry() -> &'static $crate::Registry<dyn $kind> {
                static REGISTRY: $crate::Registry<dyn $kind> =
                    $crate::Registry::new($word, &[$($config::entry::<$part>()),*]);
                &REGISTRY
            }

            /// The names of all parts of this kind.
            #[must_use]
            pub fn names() -> ::std::vec::Vec<&'static str> {
                Self::registry().entries().iter().map(|entry| entry.name).collect()
            }

            /// Every part of this kind with the settings that it begins with.
            #[must_use]
            pub fn examples() -> ::std::vec::Vec<Self> {
                Self::registry().entries().iter().map(|entry| Self(entry.example())).collect()
            }

            /// Adds the part `P`. Recipes can name it from then on.
            ///
            /// # Errors
            /// Another part has its name.
            pub fn register<P: $crate::Part + $kind>() -> $crate::Result<()> {
                Self::registry().register(Self::entry::<P>())
            }

            /// The settings, if they are those of the part `P`.
            #[must_use]
            pub fn downcast_ref<P: $crate::Part>(&self) -> ::std::option::Option<&P> {
                $crate::DynPart::as_any(&*self.0).downcast_ref()
            }

            const fn entry<P: $crate::Part + $kind>() -> $crate::Entry<dyn $kind> {
                $crate::Entry::of::<P>(
                    |settings| {
                        let part: P = $crate::from_value(settings)?;
                        Ok(::std::sync::Arc::new(part))
                    },
                    || ::std::sync::Arc::new(P::example()),
                )
            }
        }

        impl<P: $crate::Part + $kind> ::std::convert::From<P> for $config {
            fn from(part: P) -> Self {
                Self(::std::sync::Arc::new(part))
            }
        }

        impl ::std::ops::Deref for $config {
            type Target = dyn $kind;

            fn deref(&self) -> &Self::Target {
                &*self.0
            }
        }

        impl ::std::fmt::Debug for $config {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Debug::fmt(&*self.0, f)
            }
        }

        /// Same part, same settings.
        impl ::std::cmp::PartialEq for $config {
            fn eq(&self, other: &Self) -> bool {
                use $crate::DynPart as _;
                self.0.name() == other.0.name() && self.0.to_value() == other.0.to_value()
            }
        }

        impl $crate::schemars::JsonSchema for $config {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($config).into()
            }

            fn json_schema(
                generator: &mut $crate::schemars::SchemaGenerator,
            ) -> $crate::schemars::Schema {
                $crate::schema(Self::registry(), $tag, generator)
            }
        }

        impl $crate::serde::Serialize for $config {
            fn serialize<S: $crate::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                $crate::write(&*self.0, $tag, serializer)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $config {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                $crate::read(Self::registry(), $tag, deserializer).map(Self)
            }
        }
    };
}

/// Implements [`Part`](crate::Part) for a type: its name, one line about it, and its example.
#[macro_export]
macro_rules! part {
    ($part:ty, $name:literal, $summary:literal, $example:expr) => {
        impl $crate::Part for $part {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = $summary;

            fn example() -> Self {
                $example
            }
        }
    };
}
