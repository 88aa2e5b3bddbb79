//! The tower: tokens to features, block by block for whoever lets two streams meet.

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_tensor::{
    Activations, Init, Kind, LayerNorm, Linear, Parameter, Plan, Scope, Site, Tensor, cast,
};

use super::block::Block;
use super::config::TextConfig;
use super::tokenizer::TextTokens;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::plain_stages::{block_scope, ends_with};
use crate::blocks::streams::PassedStreams;
use crate::blocks::tap::StageTap;
use crate::built::Recorder;
use crate::error::{Error, Result};

/// Added to what attention must not see: the exponential of it is 0 in float32, and float16 has it.
const UNSEEN: f64 = -1e4;

/// What the tower makes of texts.
#[derive(Debug)]
pub struct TextFeatures {
    /// Behind the final norm, `[batch, tokens, embed_dim]`.
    pub hidden: Activations,
    /// At the mark of the end, projected where the tower has `text_projection`:
    /// `[batch, num_features]`.
    pub pooled: Activations,
}

/// CLIP's text transformer; see [`TextConfig::build`].
#[derive(Debug)]
pub struct TextTower {
    token_embedding: Tensor,
    positional_embedding: Tensor,
    blocks: Vec<Rc<Block>>,
    ln_final: LayerNorm,
    text_projection: Option<Linear>,
    passed_streams: PassedStreams,
    config: TextConfig,
}

/// A tower, and all that its plan was asked for.
#[derive(Debug)]
pub struct BuiltText {
    /// The tower.
    pub tower: TextTower,
    /// The sites that it asked for, in its order; [`Plan::merge`] goes by them.
    pub sites: Vec<Site>,
    /// Its parameters and the plan's: what trains, and which task owns what.
    pub parameters: Vec<Parameter>,
}

/// A pass through the blocks that waits between two of them.
#[derive(Debug)]
pub struct TextPass {
    x: Activations,
    tap: StageTap,
    mask: Tensor,
}

impl TextConfig {
    /// Builds the tower with its parameters below `scope` and `plan` at its projections, and checks
    /// that the plan fits it as a whole.
    ///
    /// # Errors
    /// A field that is out of range, a name that is taken, [`Error::Plan`] of [`Plan::check`].
    pub fn build(&self, scope: &Scope, plan: &dyn Plan) -> Result<BuiltText> {
        self.validate()?;
        let recorder = Recorder { plan, sites: RefCell::default() };
        let tower = TextTower::new(self, scope, &recorder)?;
        let (sites, parameters) = (recorder.sites.into_inner(), plan.parameters(scope));
        plan.check(&sites, &parameters).map_err(Error::Plan)?;
        Ok(BuiltText { tower, sites, parameters })
    }
}

impl TextPass {
    /// The streams in front of the next block, `[batch, tokens, embed_dim]`.
    pub fn streams(&self) -> &Activations {
        &self.x
    }

    /// Puts others in their place.
    pub fn replace(&mut self, x: Activations) {
        self.x = x;
    }
}

impl TextTower {
    fn new(
        config: &TextConfig,
        scope: &Scope,
        plan: &dyn Plan,
    ) -> Result<Self, polyptych_tensor::Error> {
        let (dim, top) = (config.embed_dim, LayerScope::top(scope, plan));
        let block =
            |index| Block::new(&block_scope(&top, index, config.depth), config).map(Rc::new);
        let projection =
            || Linear::new(&scope.pp("text_projection"), dim, config.projection_dim, false);
        let embedding = scope.pp("token_embedding");
        Ok(Self {
            token_embedding: embedding.param(
                "weight",
                &[config.vocab_size, dim],
                Init::Normal(0.02),
            )?,
            positional_embedding: scope.param(
                "positional_embedding",
                &[config.context_length, dim],
                Init::Normal(0.01),
            )?,
            blocks: (0..config.depth).map(block).collect::<Result<Vec<_>, _>>()?,
            ln_final: LayerNorm::new(&scope.pp("ln_final"), dim, config.norm_eps)?,
            text_projection: (config.projection_dim > 0).then(projection).transpose()?,
            passed_streams: PassedStreams::of(plan),
            config: config.clone(),
        })
    }

    /// Its numbers.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// The features of texts.
    ///
    /// `kind` is the type that the blocks compute in; `train` switches the plan's dropout on.
    ///
    /// # Errors
    /// Tokens that are no rows of the vocabulary, or more of them than the context has.
    pub fn forward(&self, tokens: &TextTokens, kind: Kind, train: bool) -> Result<TextFeatures> {
        let mut pass = self.begin(&self.embed(tokens, kind)?)?;
        for index in 0..self.config.depth {
            self.step(&mut pass, index, train);
        }
        Ok(self.end(pass, &tokens.ends))
    }

    /// Embeddings of tokens, without their positions: `[batch, tokens, embed_dim]`.
    ///
    /// # Errors
    /// Tokens that are no rows of the vocabulary.
    pub fn embed(&self, tokens: &TextTokens, kind: Kind) -> Result<Tensor> {
        let largest = match tokens.ids.numel() {
            0 => 0,
            _ => tokens.ids.max().int64_value(&[]),
        };
        if largest >= self.config.vocab_size {
            let expected = format!("tokens below {}", self.config.vocab_size);
            return Err(Error::Config { key: "tokens", expected, found: largest.to_string() });
        }
        let ids = tokens.ids.to_device(self.token_embedding.device());
        Ok(Tensor::embedding(&cast(&self.token_embedding, kind), &ids, -1, false, false))
    }

    /// What goes into the first block: `embeddings`, `[batch, tokens, embed_dim]`, at their
    /// positions.
    ///
    /// # Errors
    /// More tokens than the context has.
    pub fn begin(&self, embeddings: &Tensor) -> Result<TextPass> {
        let (tokens, kind) = (embeddings.size()[1], embeddings.kind());
        if tokens > self.config.context_length {
            let expected = format!("at most {} tokens", self.config.context_length);
            return Err(Error::Config { key: "tokens", expected, found: tokens.to_string() });
        }
        let positions = cast(&self.positional_embedding.narrow(0, 0, tokens), kind);
        let later = Tensor::full([tokens, tokens], UNSEEN, (kind, embeddings.device())).triu(1);
        let mask = later.expand([1, self.config.num_heads, tokens, tokens], false).contiguous();
        let x = Activations::Shared(embeddings + positions);
        Ok(TextPass { x, tap: StageTap::default(), mask })
    }

    /// Goes through block `index`.
    pub fn step(&self, pass: &mut TextPass, index: usize, train: bool) {
        let block = &self.blocks[index];
        pass.x = pass.tap.join(block.forward(&pass.x, &pass.mask, train), block.beside());
        if ends_with(index, self.config.depth) {
            pass.x = std::mem::take(&mut pass.tap).level(pass.x.shallow_clone());
            if index + 1 < self.config.depth {
                pass.x = self.passed_streams.of_level(&pass.x);
            }
        }
    }

    /// The features behind the last block; `ends` are the places of the marks of the end, `[batch]`.
    pub fn end(&self, pass: TextPass, ends: &Tensor) -> TextFeatures {
        let hidden = pass.x.map(|t| self.ln_final.forward(t));
        let pooled = hidden.map(|t| {
            let repeats = t.size()[0] / ends.size()[0];
            let at = ends.to_device(t.device()).repeat([repeats]).view([-1, 1, 1]);
            let token = t.gather(1, &at.expand([-1, 1, t.size()[2]], false), false).squeeze_dim(1);
            self.text_projection.as_ref().map_or(token.shallow_clone(), |p| p.forward(&token))
        });
        TextFeatures { hidden, pooled }
    }
}
