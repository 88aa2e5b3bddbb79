//! What a plan puts between the levels and whoever reads them.

use polyptych_tensor::{Activations, Neck, Plan, Result, Scope};

use crate::backbone::FeatureInfo;

/// What stands behind the levels, if anything.
#[derive(Debug)]
pub(crate) struct LevelNeck(Option<Box<dyn Neck>>);

impl LevelNeck {
    /// That of `plan` behind `levels`, with its parameters below `scope`, the backbone's own.
    pub(crate) fn of(plan: &dyn Plan, scope: &Scope, levels: &[FeatureInfo]) -> Result<Self> {
        let channels: Vec<i64> = levels.iter().map(|level| level.num_chs).collect();
        Ok(Self(plan.neck(scope, &channels)?))
    }

    /// `levels` as heads read them.
    pub(crate) fn forward(&self, levels: Vec<Activations>, train: bool) -> Vec<Activations> {
        match &self.0 {
            Some(neck) => neck.forward(levels, train),
            None => levels,
        }
    }
}
