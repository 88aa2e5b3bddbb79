// Attention head by head where tokens are few: nothing but two numbers a row is kept, and no matrix
// of scores leaves the first caches.
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/types.h"

namespace polyptych {

namespace {

Heads heads_in(const Tensor &qkv, const Tensor &bias, int64_t heads) {
  auto dim = qkv.size(2) / 3, entries = qkv.size(0);
  Head head{qkv.size(1), dim / heads, 3 * dim, dim, dim};
  auto period = bias.defined() ? bias.size(0) : entries;
  return {head, entries, heads, period, bias.defined(), pairs_rule(level())};
}

Top *tops_of(const Tensor &kept) { return reinterpret_cast<Top *>(kept.data_ptr()); }

template <class F>
void by_tasks_of(const Heads &batch, F f) {
  at::parallel_for(0, batch.turns() * batch.period * batch.heads, 1, f);
}

// Kept: query, key and value as they came, and two numbers for each row of probabilities.
struct TileAttention : Function<TileAttention> {
  static Tensor forward(AutogradContext *ctx, const Tensor &qkv, const std::optional<Tensor> &bias,
                        int64_t heads) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto from = qkv.contiguous(), mask = bias.has_value() ? bias->contiguous() : Tensor();
    auto batch = heads_in(from, mask, heads);
    auto out = at::empty({batch.entries, batch.head.tokens, batch.head.out_line}, from.options());
    auto kept = at::empty({batch.entries, heads, batch.head.tokens, 2},
                          from.options().dtype(at::kFloat));
    by_type(from, [&](auto type) {
      using T = decltype(type);
      auto added = batch.has_bias ? numbers<T>(mask) : nullptr;
      by_tasks_of(batch, [&](int64_t begin, int64_t end) {
        POLYPTYCH_BEST(forward_tasks<T>(batch, numbers<T>(from), added, numbers_of<T>(out),
                                        tops_of(kept), begin, end));
      });
    });
    ctx->save_for_backward({from, kept, mask});
    ctx->saved_data["heads"] = heads;
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &qkv = saved[0], &kept = saved[1], &bias = saved[2];
    auto batch = heads_in(qkv, bias, ctx->saved_data["heads"].toInt());
    auto g = grads[0].contiguous(), gradient = at::empty_like(qkv);
    Tensor sums;
    if (batch.has_bias && ctx->needs_input_grad(1))
      sums = at::empty({batch.turns(), bias.size(0), bias.size(1), bias.size(2), bias.size(3)},
                       kept.options());
    auto sum = sums.defined() ? floats_of(sums) : nullptr;
    by_type(qkv, [&](auto type) {
      using T = decltype(type);
      auto added = batch.has_bias ? numbers<T>(bias) : nullptr;
      by_tasks_of(batch, [&](int64_t begin, int64_t end) {
        POLYPTYCH_BEST(backward_tasks<T>(batch, numbers<T>(qkv), added, tops_of(kept),
                                         numbers<T>(g), numbers_of<T>(gradient), sum, begin, end));
      });
    });
    return {gradient, sum == nullptr ? Tensor() : sums.sum(0).to(bias.scalar_type()), {}};
  }
};

// Whether tiles can hold the heads of qkv.
bool fits_tiles(const Tensor &qkv, const Tensor &bias, int64_t heads) {
  AttentionShape shape{qkv.scalar_type() == at::kBFloat16, qkv.size(1),
                       qkv.size(2) / (3 * heads)};
  return attention_rule(level(), shape) == Attending::tiles &&
         (!bias.defined() || bias.scalar_type() == qkv.scalar_type());
}

Tensor tile_attention(const Tensor &qkv, const Tensor &bias, int64_t heads) {
  return TileAttention::apply(qkv, some(bias), heads);
}

}  // namespace

}  // namespace polyptych
