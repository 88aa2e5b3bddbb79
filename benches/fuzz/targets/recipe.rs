//! Recipes: any bytes give a value or an error.
#![no_main]

use polyptych_engine::Recipe;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(recipe) = Recipe::parse("fuzz", text, &[]) {
        let again = recipe.to_toml().expect("a recipe that was read can be written");
        Recipe::parse("again", &again, &[]).expect("what was written can be read");
    }
});
