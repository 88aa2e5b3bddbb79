//! All parts of one kind, by name.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::{Error, Part, Result};

/// One part in a registry. `K` is the trait object of its kind.
pub struct Entry<K: ?Sized> {
    /// [`Part::NAME`].
    pub name: &'static str,
    /// [`Part::SUMMARY`].
    pub summary: &'static str,
    /// Reads settings.
    read: fn(Value) -> serde_json::Result<Arc<K>>,
    /// [`Part::example`].
    example: fn() -> Arc<K>,
    /// Describes the settings.
    schema: fn(&mut SchemaGenerator) -> Schema,
}

impl<K: ?Sized> Entry<K> {
    /// The entry of the part `P`; the functions turn it into the kind's trait object.
    #[must_use]
    pub const fn of<P: Part>(
        read: fn(Value) -> serde_json::Result<Arc<K>>,
        example: fn() -> Arc<K>,
    ) -> Self {
        let schema = <P as JsonSchema>::json_schema;
        Self { name: P::NAME, summary: P::SUMMARY, read, example, schema }
    }

    /// Reads settings.
    ///
    /// # Errors
    /// A field that is missing, unknown or of another type.
    pub fn read(&self, settings: Value) -> serde_json::Result<Arc<K>> {
        (self.read)(settings)
    }

    /// JSON Schema of the settings, without the name of the part.
    #[must_use]
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }

    /// [`Part::example`].
    #[must_use]
    pub fn example(&self) -> Arc<K> {
        (self.example)()
    }
}

impl<K: ?Sized> Clone for Entry<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized> Copy for Entry<K> {}

impl<K: ?Sized> fmt::Debug for Entry<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.summary)
    }
}

/// The parts of one kind: those built in, and those that the program has registered.
#[derive(Debug)]
pub struct Registry<K: ?Sized + 'static> {
    kind: &'static str,
    built_in: &'static [Entry<K>],
    registered: RwLock<Vec<Entry<K>>>,
}

impl<K: ?Sized + 'static> Registry<K> {
    /// A registry of `built_in`, whose order is that of [`Registry::entries`].
    #[must_use]
    pub const fn new(kind: &'static str, built_in: &'static [Entry<K>]) -> Self {
        Self { kind, built_in, registered: RwLock::new(Vec::new()) }
    }

    /// What the parts are, in messages: `balancer`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// All parts: those built in, then others in the order of their registration.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry<K>> {
        let registered = self.registered.read().unwrap_or_else(PoisonError::into_inner);
        self.built_in.iter().chain(registered.iter()).copied().collect()
    }

    /// The part called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Entry<K>> {
        self.entries().into_iter().find(|entry| entry.name == name)
    }

    /// Adds a part. It is known from then on, everywhere in the process.
    ///
    /// # Errors
    /// [`Error::Taken`] where another part has its name.
    pub fn register(&self, entry: Entry<K>) -> Result<()> {
        if self.find(entry.name).is_some() {
            return Err(Error::Taken { kind: self.kind, name: entry.name });
        }
        self.registered.write().unwrap_or_else(PoisonError::into_inner).push(entry);
        Ok(())
    }
}
