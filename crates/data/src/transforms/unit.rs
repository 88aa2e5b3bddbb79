//! Vectors of length one.

/// The vector at length one; vectors too short to have a direction become zero, "no label".
pub(crate) fn normalised(vector: [f32; 3]) -> [f32; 3] {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 1e-6 { vector.map(|v| v / length) } else { [0.0; 3] }
}
