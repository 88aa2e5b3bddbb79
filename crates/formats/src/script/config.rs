//! What a script is made from.

/// What a script is made from, beside the function.
#[derive(Debug)]
pub struct ScriptConfig<'a> {
    /// Channels, height and width of an image. The batch is free, these are not.
    pub image: [i64; 3],
    /// Names of the outputs, in their order.
    pub outputs: &'a [String],
    /// Text that the file carries as `extra/polyptych.json`.
    pub extra: &'a str,
}
