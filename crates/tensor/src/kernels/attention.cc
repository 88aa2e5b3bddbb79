#include "polyptych-tensor/src/kernels/tensors.h"

namespace polyptych {

namespace {

// Query, key and value of every head, [3, batch * heads, tokens, head_dim], from
// [batch, tokens, 3 * dim].
Tensor heads_of(const Tensor &qkv, int64_t heads) {
  auto batch = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3 / heads;
  auto split = qkv.reshape({batch, tokens, 3, heads, width}).permute({2, 0, 3, 1, 4});
  return split.clone(at::MemoryFormat::Contiguous).view({3, batch * heads, tokens, width});
}

// softmax(q k^T / sqrt(head_dim) + bias); bias: [windows, heads, tokens, tokens], in turn.
Tensor shares(const Tensor &scaled_q, const Tensor &k, const Tensor &bias) {
  auto scores = at::bmm(scaled_q, k.transpose(1, 2));
  if (bias.defined())
    scores.view({-1, bias.size(0), bias.size(1), bias.size(2), bias.size(3)}).add_(bias);
  return at::_softmax(scores, -1, false);
}

// Kept: query, key and value side by side, and the shares.
struct Attention : Function<Attention> {
  static Tensor forward(AutogradContext *ctx, const Tensor &qkv, const std::optional<Tensor> &bias,
                        int64_t heads) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto split = heads_of(qkv, heads);
    auto q = split[0].mul_(scale(split)), mask = bias.value_or(Tensor());
    auto share = shares(q, split[1], mask);
    auto mixed = at::bmm(share, split[2]);
    ctx->save_for_backward({split, share, mask});
    ctx->saved_data["heads"] = heads;
    auto batch = qkv.size(0), tokens = qkv.size(1);
    return mixed.view({batch, heads, tokens, -1}).transpose(1, 2).reshape({batch, tokens, -1});
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &split = saved[0], &share = saved[1], &bias = saved[2];
    auto heads = ctx->saved_data["heads"].toInt();
    auto batch = grads[0].size(0), tokens = grads[0].size(1);
    auto q = split[0], k = split[1], v = split[2];
    auto g = grads[0].reshape({batch, tokens, heads, -1}).transpose(1, 2).reshape(v.sizes());
    auto out = at::empty_like(split);
    auto dscores =
        at::_softmax_backward_data(at::bmm(g, v.transpose(1, 2)), share, -1, share.scalar_type());
    out[0].copy_(at::bmm(dscores, k).mul_(scale(split)));
    out[1].copy_(at::bmm(dscores.transpose(1, 2), q));
    out[2].copy_(at::bmm(share.transpose(1, 2), g));
    Tensor dbias;
    if (bias.defined() && ctx->needs_input_grad(1)) {
      auto in_turn = dscores.view({-1, bias.size(0), bias.size(1), bias.size(2), bias.size(3)});
      dbias = in_turn.sum(0);
    }
    auto joined = out.view({3, batch, heads, tokens, -1}).permute({1, 3, 0, 2, 4});
    return {joined.reshape({batch, tokens, -1}), dbias, {}};
  }

  static double scale(const Tensor &split) { return 1.0 / std::sqrt(static_cast<double>(split.size(3))); }
};

Tensor plain_attention(const Tensor &qkv, const Tensor &bias, int64_t heads) {
  auto batch = qkv.size(0), tokens = qkv.size(1);
  auto split = qkv.reshape({batch, tokens, 3, heads, -1}).permute({2, 0, 3, 1, 4});
  auto q = split[0] * (1.0 / std::sqrt(static_cast<double>(split.size(4))));
  auto scores = q.matmul(split[1].transpose(-2, -1));
  if (bias.defined()) {
    auto in_turn = scores.view({-1, bias.size(0), bias.size(1), bias.size(2), bias.size(3)});
    scores = (in_turn + bias).view(scores.sizes());
  }
  return scores.softmax(-1).matmul(split[2]).transpose(1, 2).reshape({batch, tokens, -1});
}

}  // namespace

Address attention(Address qkv, Address bias, std::int64_t heads) {
  auto &in = tensor(qkv), &mask = tensor(bias);
  if (traced() || in.numel() == 0 || !in.is_cpu())
    return owned(plain_attention(in, mask, heads));
  if (!mask.defined() && in.scalar_type() == at::kFloat && !learns({&in})) {
    // The one case in which LibTorch's own kernel is faster.
    auto batch = in.size(0), tokens = in.size(1);
    auto split = in.reshape({batch, tokens, 3, heads, -1}).permute({2, 0, 3, 1, 4});
    auto mixed = at::scaled_dot_product_attention(split[0], split[1], split[2]);
    return owned(mixed.transpose(1, 2).reshape({batch, tokens, -1}));
  }
  return owned(Attention::apply(in, some(mask), heads));
}

}  // namespace polyptych
