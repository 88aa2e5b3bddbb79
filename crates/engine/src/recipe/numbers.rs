//! Numbers of a recipe that are no numbers or out of range: PyTorch's rules.

use toml::Value;

use super::config::Recipe;
use super::optimiser::OptimiserRecipe;
use super::problems::Problem;

/// Every number that is out of range.
pub(super) fn wrong(recipe: &Recipe) -> Vec<Problem> {
    let mut found = Vec::new();
    if let Ok(value) = Value::try_from(recipe) {
        not_a_number("", &value, &mut found);
    }
    let train = &recipe.train;
    let finite = |value: f64| value.is_finite() && value >= 0.0;
    let at_least_0 = "a finite number of at least 0";
    let mut require = |key: &str, value: f64, fits: bool, expected: &str| {
        if !fits && !value.is_nan() {
            found.push((format!("train.{key}"), format!("expected {expected}, found {value}")));
        }
    };
    require("lr", train.lr, finite(train.lr), at_least_0);
    for (pattern, factor) in &train.lr_scale {
        let fits = factor.is_finite() && *factor > 0.0;
        require(&format!("lr_scale.{pattern}"), *factor, fits, "a finite number above 0");
    }
    require("weight_decay", train.weight_decay, finite(train.weight_decay), at_least_0);
    // Infinity clips nothing.
    let clip = train.clip_grad_norm;
    require("clip_grad_norm", clip, clip > 0.0, "a number above 0");
    match train.optimiser {
        OptimiserRecipe::AdamW(config) => moments(config.betas, config.eps, require),
        OptimiserRecipe::AdaTask(config) => moments(config.betas, config.eps, require),
        OptimiserRecipe::Sgd(config) => {
            require("optimiser.momentum", config.momentum, finite(config.momentum), at_least_0);
        }
    }
    found
}

fn moments(betas: [f64; 2], eps: f64, mut require: impl FnMut(&str, f64, bool, &str)) {
    for beta in betas {
        let fits = (0.0..1.0).contains(&beta);
        require("optimiser.betas", beta, fits, "rates of at least 0 and below 1");
    }
    let fits = eps.is_finite() && eps >= 0.0;
    require("optimiser.eps", eps, fits, "a finite number of at least 0");
}

fn not_a_number(path: &str, value: &Value, found: &mut Vec<Problem>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Float(number) if number.is_nan() => {
            found.push((path.to_owned(), "expected a number, found nan".to_owned()));
        }
        Value::Table(table) => {
            table.iter().for_each(|(key, value)| not_a_number(&below(key), value, found));
        }
        Value::Array(list) => {
            let items = list.iter().enumerate();
            items.for_each(|(k, value)| not_a_number(&below(&k.to_string()), value, found));
        }
        _ => {}
    }
}
