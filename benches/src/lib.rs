//! How fast is it? Each file in `benches/` answers one question with criterion.
