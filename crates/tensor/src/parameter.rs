//! The parameters of a backbone, and what was said of each where it was made.

use crate::marks::{Owner, ParameterKinds, Role};
use crate::scope::Scope;

/// A parameter of a backbone that was built with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name within the backbone.
    pub name: String,
    /// What it is.
    pub kinds: ParameterKinds,
    /// Whether the method made it.
    pub adapter: bool,
    /// Whether it trains.
    pub trains: bool,
    /// The one task that depends on it; nothing where several may.
    pub owner: Option<Owner>,
}

/// The parameters below `scope`, in the order of their names; those of the backbone's own train as
/// `trains` says of their kinds.
pub(crate) fn parameters(
    scope: &Scope,
    trains: impl Fn(&ParameterKinds) -> bool,
) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    scope.store().for_each(|name, entry| {
        let Some(name) = relative(name, scope.path()) else { return };
        let marks = &entry.marks;
        parameters.extend((entry.role == Role::Parameter).then(|| Parameter {
            name: name.to_owned(),
            kinds: marks.kinds.clone(),
            adapter: marks.adapter,
            trains: marks.trains(&trains),
            owner: marks.owner.clone(),
        }));
    });
    parameters
}

/// `name` as seen from `path`; nothing where it lies elsewhere.
fn relative<'n>(name: &'n str, path: &str) -> Option<&'n str> {
    match path {
        "" => Some(name),
        path => name.strip_prefix(path)?.strip_prefix('.'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Init, LayerNorm, Linear, ParameterKind, Store};

    fn named(parameters: &[Parameter], choose: impl Fn(&Parameter) -> bool) -> Vec<&str> {
        let chosen = parameters.iter().filter(|parameter| choose(parameter));
        chosen.map(|parameter| parameter.name.as_str()).collect()
    }

    #[test]
    fn layers_say_what_their_parameters_are() {
        let scope = Store::new(Device::Cpu).root().pp("backbone");
        let _ = Linear::new(&scope.pp("fc"), 2, 3, true).unwrap();
        let embed = scope.pp("patch_embed").of_kind(ParameterKind::PatchEmbed);
        let _ = LayerNorm::new(&embed.pp("norm"), 3, 1e-5).unwrap();
        let found = parameters(&scope, |_| false);
        let of = |kind| named(&found, move |parameter| parameter.kinds.contains(&kind));
        assert_eq!(of(ParameterKind::Bias), ["fc.bias", "patch_embed.norm.bias"]);
        let norm = ["patch_embed.norm.bias", "patch_embed.norm.weight"];
        assert_eq!(of(ParameterKind::Norm), norm);
        assert_eq!(of(ParameterKind::PatchEmbed), norm);
        assert!(of(ParameterKind::PatchMerging).is_empty());
        assert!(named(&found, |parameter| parameter.trains).is_empty());
    }

    #[test]
    fn what_a_method_makes_is_marked_where_it_is_made() {
        let store = Store::new(Device::Cpu);
        let top = store.root().pp("mlp");
        let owner = Owner { task: "depth".into(), stage: Some(2) };
        let own = top.adapter();
        let _ = Linear::new(&top.pp("fc1").training(ParameterKind::Bias), 1, 1, true).unwrap();
        let _ = own.pp("down").param("weight", &[1], Init::ONES).unwrap();
        let _ = own.shared_param("rule", &[1], Init::ONES).unwrap();
        let _ = own.owned_by(owner.clone()).pp("ke").param("bias", &[1], Init::ONES).unwrap();
        let _ = own.buffer("mean", &[1], Init::ONES).unwrap();
        let found = parameters(&top, |_| false);
        let own = ["down.weight", "ke.bias", "rule"];
        assert_eq!(named(&found, |parameter| parameter.adapter), own);
        let trained = ["down.weight", "fc1.bias", "ke.bias", "rule"];
        assert_eq!(named(&found, |parameter| parameter.trains), trained);
        assert_eq!(named(&found, |parameter| parameter.owner == Some(owner.clone())), ["ke.bias"]);
        assert_eq!(found.len(), 5);
    }
}
