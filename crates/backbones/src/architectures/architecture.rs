//! What an architecture says about itself.

use std::sync::Arc;

use polyptych_registry::DynPart;
use polyptych_tensor::{Plan, Scope, Tensor, Tensors};
use serde_json::{Map, Value};

use super::summary::Summary;
use crate::backbone::{Backbone, Options};
use crate::error::Result;

/// An architecture, and one configuration of it: the settings of a
/// [`Part`](polyptych_registry::Part), whose [`example`](polyptych_registry::Part::example) answers
/// what does not depend on a configuration.
///
/// What has a default is needed for weights of other sources and for exports alone.
pub trait Architecture: DynPart {
    /// Its named configurations; the names are timm's, where timm has them.
    fn variants(&self) -> Vec<(&'static str, Arc<dyn Architecture>)>;

    /// Architecture, width and depth.
    fn summary(&self) -> Summary;

    /// Channels, and height and width, of the images that the backbone is planned for.
    fn image(&self) -> (i64, [i64; 2]);

    /// Outputs of the classifier; 0 for none.
    fn num_classes(&self) -> i64;

    /// The same with these arguments.
    fn with(&self, args: ModelArgs) -> Arc<dyn Architecture>;

    /// The same with patches of `patch_size` pixels a side, for which kernels of weights are
    /// resampled; nothing where stages fix their size.
    fn of_patch_size(&self, patch_size: i64) -> Option<Arc<dyn Architecture>> {
        let _ = patch_size;
        None
    }

    /// Builds the backbone with its parameters below `scope` and `plan` at its projections.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, a plan that does not fit.
    fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<Box<dyn Backbone>>;

    /// Name of the classifier, whose parameters are its `weight` and `bias`.
    fn classifier(&self) -> &'static str {
        "head"
    }

    /// Name of the convolution that reads the image.
    fn first_conv(&self) -> &'static str {
        "patch_embed.proj"
    }

    /// Name of the normalisation behind all blocks, and the length of its parameters.
    fn final_norm(&self) -> Option<(&'static str, i64)> {
        None
    }

    /// Fits a learned position of another size to the shape `wanted`; `None` for any other tensor.
    /// `name` may have a prefix.
    fn resample_positions(&self, name: &str, tensor: &Tensor, wanted: &[i64]) -> Option<Tensor> {
        let _ = (name, tensor, wanted);
        None
    }

    /// Architecture, width and depth of the backbone that `tensors` are of; `None` where they are
    /// of another architecture.
    fn summary_of(&self, tensors: &Tensors) -> Option<Summary> {
        let _ = tensors;
        None
    }

    /// The configuration that `tensors` are of, by their names and shapes, and by the fields of the
    /// `config.json` beside them, which may be none; `None` where they are no whole backbone of
    /// this architecture.
    fn config_of(
        &self,
        tensors: &Tensors,
        fields: &Map<String, Value>,
    ) -> Option<Arc<dyn Architecture>> {
        let _ = (tensors, fields);
        None
    }

    /// Whether some configuration has a parameter of this name.
    fn has_parameter(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Patterns of buffers that files hold and that the backbone computes itself.
    fn computed(&self) -> &'static [&'static str] {
        &[]
    }

    /// What this configuration's parameters leave open, where another architecture of timm's has
    /// the same ones.
    fn ambiguity(&self) -> Option<Ambiguity> {
        None
    }

    /// Checks in more detail than [`Summary`] that `tensors` are of this architecture.
    ///
    /// # Errors
    /// Shapes that belong to another variant.
    fn check_tensors(&self, origin: &str, tensors: &Tensors) -> Result<()> {
        let _ = (origin, tensors);
        Ok(())
    }

    /// What people should know of `tensors` from a file without
    /// [`ROUNDED_UP`](crate::ROUNDED_UP) that become parameters of this configuration.
    fn note_rounded_down(&self, tensors: &Tensors) -> Option<String> {
        let _ = tensors;
        None
    }

    /// What people should know of this configuration where weights come from a source that pads
    /// maps before it rolls them, whose name stands before the sentence.
    fn note_rolled_first(&self) -> Option<String> {
        None
    }

    /// Refuses values of a model of this configuration that was planned before stages were rounded
    /// up ([`ROUNDED_UP`](crate::ROUNDED_UP)), where that makes a difference.
    ///
    /// # Errors
    /// A stage that was planned in another way; the message says which, and what to do.
    fn refuse_rounded_down(&self, origin: &str) -> Result<()> {
        let _ = origin;
        Ok(())
    }

    /// Eps of its norms, where it has one for all.
    fn norm_eps(&self) -> Option<f64> {
        None
    }

    /// What stands between the matrices of its perceptrons, in Hugging Face's words.
    fn hidden_act(&self) -> &'static str {
        "gelu"
    }

    /// Fields of Hugging Face's `config.json`, each with the value that says the same as this
    /// configuration.
    fn hugging_face_fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// Classifiers beside [`Architecture::classifier`] whose mean with it timm's model answers.
    fn averaged_classifiers(&self) -> &'static [&'static str] {
        &[]
    }

    /// Parts of timm's names whose models have the same parameters and compute something else.
    fn unsupported_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// How timm builds the same model.
    ///
    /// # Errors
    /// Why timm does not compute the same.
    fn timm_model(&self) -> Result<TimmModel, String> {
        Err(format!("expected an architecture of timm's, found {}", self.name()))
    }
}

/// Arguments of timm's `create_model`, for any architecture; what is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ModelArgs {
    /// Height and width of the images.
    pub img_size: Option<[i64; 2]>,
    /// Outputs of the classifier; 0 for none.
    pub num_classes: Option<i64>,
    /// Channels of the images.
    pub in_chans: Option<i64>,
    /// Stochastic depth of the last block.
    pub drop_path_rate: Option<f64>,
}

/// What the names and shapes of tensors do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguity {
    /// Name of the tensor that is missing.
    pub key: &'static str,
    /// What would tell.
    pub expected: &'static str,
    /// What it may be instead.
    pub found: &'static str,
    /// The field of a `config.json` beside the weights that tells, if there is one.
    pub settled_by: Option<&'static str>,
}

/// What timm's `create_model` needs.
#[derive(Debug, Clone, PartialEq)]
pub struct TimmModel {
    /// A name of timm's of the same architecture, for variants that timm does not have.
    pub architecture: &'static str,
    /// Length of the pooled features.
    pub num_features: i64,
    /// timm's `global_pool`.
    pub global_pool: &'static str,
    /// Arguments by name: all numbers that the model is built from.
    pub model_args: Value,
}

/// Whether patches of `patch_size` leave a rest of an image of `img_size`.
pub(super) fn has_rest(img_size: [i64; 2], patch_size: i64) -> bool {
    img_size.iter().any(|side| side % patch_size != 0)
}

/// What an [`Architecture`] answers alike whose configuration has timm's `img_size`, `in_chans`,
/// `num_classes` and `drop_path_rate`, and whose room has `parameters`.
macro_rules! timm_answers {
    () => {
        fn variants(&self) -> Vec<(&'static str, std::sync::Arc<dyn Architecture>)> {
            let all = Self::variants().into_iter();
            all.map(|(name, config)| (name, std::sync::Arc::new(config) as _)).collect()
        }

        fn summary(&self) -> $crate::Summary {
            self.summarized()
        }

        fn image(&self) -> (i64, [i64; 2]) {
            (self.in_chans, self.img_size)
        }

        fn num_classes(&self) -> i64 {
            self.num_classes
        }

        fn with(&self, args: $crate::ModelArgs) -> std::sync::Arc<dyn Architecture> {
            std::sync::Arc::new(Self {
                img_size: args.img_size.unwrap_or(self.img_size),
                num_classes: args.num_classes.unwrap_or(self.num_classes),
                in_chans: args.in_chans.unwrap_or(self.in_chans),
                drop_path_rate: args.drop_path_rate.unwrap_or(self.drop_path_rate),
                ..self.clone()
            })
        }

        fn init(
            &self,
            scope: &polyptych_tensor::Scope,
            plan: &dyn polyptych_tensor::Plan,
            options: $crate::Options,
        ) -> $crate::Result<Box<dyn $crate::Backbone>> {
            Ok(Box::new(Self::init(self, scope, plan, options)?))
        }

        fn summary_of(&self, tensors: &polyptych_tensor::Tensors) -> Option<$crate::Summary> {
            Self::summary_of_tensors(tensors)
        }

        fn has_parameter(&self, name: &str) -> bool {
            parameters::has_parameter(name)
        }
    };
}
pub(super) use timm_answers;
