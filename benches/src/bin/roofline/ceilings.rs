//! What the machine can do: products a second, and bytes a second.

use polyptych_benches::Ceiling;
use polyptych_tensor::Kind;

use crate::piece::{Piece, Role};
use crate::work::Work;

/// Rows, inputs and outputs of the products.
const SIDES: [i64; 3] = [1024, 2048, 4096];

/// Products in `kind`, a copy and a triad.
pub(crate) fn all(kind: Kind) -> Vec<Piece> {
    let products = SIDES.iter().map(|&side| {
        let name = format!("{side} x {side} by {side} x {side}");
        piece((Role::Products, name), Ceiling::product(side, kind))
    });
    let memory = |name: &str, ceiling| piece((Role::Memory, name.into()), ceiling);
    products.chain([memory("copy", Ceiling::copy()), memory("triad", Ceiling::triad())]).collect()
}

fn piece(of: (Role, String), mut ceiling: Ceiling) -> Piece {
    let work = Work::new(ceiling.flops(), ceiling.bytes(), 1);
    Piece::new(of, (1, work), move || {
        ceiling.run();
        Ok(())
    })
}
