//! Attention against its formula in pieces.

use super::*;

/// Attention of `heads` heads in pieces.
fn formula(qkv: &Tensor, heads: i64, bias: Option<&Tensor>) -> Tensor {
    let [entries, tokens, width] = [0, 1, 2].map(|axis| qkv.size()[axis]);
    let split = qkv.view([entries, tokens, 3, heads, -1]).permute([2, 0, 3, 1, 4]);
    let [q, k, v] = [0, 1, 2].map(|part| split.select(0, part));
    let scale = ((width / 3 / heads) as f64).sqrt();
    let scores = q.matmul(&k.transpose(-2, -1)) / scale;
    let scores = match bias {
        Some(bias) => scores + bias.repeat([entries / bias.size()[0], 1, 1, 1]),
        None => scores,
    };
    let mixed = scores.softmax(-1, None::<Kind>).matmul(&v);
    mixed.transpose(1, 2).reshape([entries, tokens, width / 3])
}

#[test]
fn attention_is_the_formula() {
    let _drawing = alone();
    // A head's width that tiles cannot hold; a window; rows that fill no tile, and keys that end
    // with a vector's first lane; more tokens than tiles are for.
    let shapes = [(6, 5, 4), (6, 49, 32), (18, 5, 32), (2, 65, 64), (1, 260, 32)];
    for ((kind, tolerance), (entries, tokens, width)) in
        TYPES.into_iter().flat_map(|of| shapes.map(|shape| (of, shape)))
    {
        let qkv = random(&[entries, tokens, 6 * width], kind);
        for biases in [Some(1), Some(entries / 2).filter(|_| entries > 1), None] {
            let bias = biases.map(|count| random(&[count, 2, tokens, tokens], kind));
            let all: Vec<&Tensor> = std::iter::once(&qkv).chain(&bias).collect();
            let fast = passes(&all, |t| attention(&t[0], 2, t.get(1)));
            let plain = passes(&all, |t| formula(&t[0], 2, t.get(1)));
            agree(&fast, &plain, 2.0 * tolerance);
            let alone = no_grad(|| attention(&qkv, 2, bias.as_ref()));
            agree(&[alone], &plain[..1], 2.0 * tolerance);
        }
    }
}

#[test]
fn what_a_mask_hides_has_probability_zero() {
    let _drawing = alone();
    for (kind, tolerance) in TYPES {
        let qkv = random(&[2, 49, 192], kind);
        let hidden = Tensor::zeros([1, 2, 49, 49], (kind, Device::Cpu));
        let _ = hidden.narrow(3, 17, 32).fill_(-100.0);
        let all = [&qkv];
        let fast = passes(&all, |t| attention(&t[0], 2, Some(&hidden)));
        agree(&fast, &passes(&all, |t| formula(&t[0], 2, Some(&hidden))), 2.0 * tolerance);
        let behind = fast[1].narrow(1, 17, 32).narrow(2, 64, 128);
        // Not even a number of the least size, which some processors multiply slowly.
        assert_eq!(behind.abs().max().double_value(&[]), 0.0);
    }
}
