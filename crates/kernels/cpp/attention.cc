#include "polyptych-kernels/cpp/attention_tiles.cc"
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/product.h"
#include "polyptych-kernels/cpp/rows.h"
#include "polyptych-kernels/cpp/types.h"

namespace polyptych {

namespace {

void softmax_of(Tensor &scores, const Tensor &bias, double scale) {
  auto count = scores.size(-1), period = bias.defined() ? bias.numel() / count : 1;
  by_type(scores, [&](auto type) {
    using T = decltype(type);
    auto to = numbers_of<T>(scores);
    auto added = bias.defined() ? numbers<T>(bias) : nullptr;
    by_rows(scores, [&](int64_t begin, int64_t end) {
      POLYPTYCH_BEST(
          softmax<T>(to, added, static_cast<float>(scale), period, begin, end, count));
    });
  });
}

void softmax_gradient_of(Tensor &g, const Tensor &probabilities, double scale) {
  by_type(g, [&](auto type) {
    using T = decltype(type);
    auto to = numbers_of<T>(g);
    auto from = numbers<T>(probabilities);
    by_rows(g, [&](int64_t begin, int64_t end) {
      POLYPTYCH_BEST(
          softmax_gradient<T>(to, from, static_cast<float>(scale), begin, end, g.size(-1)));
    });
  });
}

// Runs of `width` numbers between [batch, tokens, parts, heads, width] and
// [parts, batch, heads, tokens, width].
void exchange(const Tensor &joined, const Tensor &split, int64_t parts, int64_t heads, bool split_up) {
  auto batch = joined.size(0), tokens = joined.size(1);
  auto run = joined.numel() / (batch * tokens * parts * heads) * joined.element_size();
  auto outer = static_cast<char *>(joined.data_ptr()), inner = static_cast<char *>(split.data_ptr());
  auto grain = std::max<int64_t>(1, GRAIN / (tokens * parts * heads * run));
  at::parallel_for(0, batch, grain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++)
      for (int64_t p = 0; p < parts; p++)
        for (int64_t h = 0; h < heads; h++)
          for (int64_t t = 0; t < tokens; t++) {
            auto from = outer + (((b * tokens + t) * parts + p) * heads + h) * run;
            auto to = inner + (((p * batch + b) * heads + h) * tokens + t) * run;
            if (split_up)
              std::memcpy(to, from, run);
            else
              std::memcpy(from, to, run);
          }
  });
}

// [batch, tokens, parts * heads * width] to [parts, batch * heads, tokens, width].
Tensor heads_of(const Tensor &joined, int64_t parts, int64_t heads) {
  auto from = joined.contiguous();
  auto batch = from.size(0), tokens = from.size(1), width = from.size(2) / parts / heads;
  auto split = at::empty({parts, batch * heads, tokens, width}, from.options());
  exchange(from, split, parts, heads, true);
  return split;
}

// The inverse.
Tensor joined_of(const Tensor &split, int64_t batch, int64_t heads) {
  auto parts = split.size(0), tokens = split.size(2), width = split.size(3);
  auto joined = at::empty({batch, tokens, parts * heads * width}, split.options());
  exchange(joined, split, parts, heads, false);
  return joined;
}

// Kept: query, key and value side by side, and the probabilities.
struct Attention : Function<Attention> {
  static Tensor forward(AutogradContext *ctx, const Tensor &qkv, const std::optional<Tensor> &bias,
                        int64_t heads) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto split = heads_of(qkv, 3, heads);
    auto mask = bias.has_value() ? bias->contiguous() : Tensor();
    auto probabilities = at::bmm(split[0], split[1].transpose(1, 2));
    softmax_of(probabilities, mask, scale(split));
    auto mixed = at::bmm(probabilities, split[2]).unsqueeze(0);
    ctx->save_for_backward({split, probabilities, mask});
    ctx->saved_data["heads"] = heads;
    return joined_of(mixed, qkv.size(0), heads);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &split = saved[0], &probabilities = saved[1], &bias = saved[2];
    auto heads = ctx->saved_data["heads"].toInt();
    auto q = split[0], k = split[1], v = split[2];
    auto g = heads_of(grads[0], 1, heads)[0];
    auto out = at::empty_like(split);
    auto dq = out[0], dk = out[1], dv = out[2];
    auto dscores = at::bmm(g, v.transpose(1, 2));
    softmax_gradient_of(dscores, probabilities, scale(split));
    at::bmm_out(dq, dscores, k);
    at::bmm_out(dk, dscores.transpose(1, 2), q);
    at::bmm_out(dv, probabilities.transpose(1, 2), g);
    Tensor dbias;
    if (bias.defined() && ctx->needs_input_grad(1)) {
      auto grouped = dscores.view({-1, bias.size(0), bias.size(1), bias.size(2), bias.size(3)});
      dbias = grouped.sum(0).div_(scale(split));
    }
    return {joined_of(out, grads[0].size(0), heads), dbias, {}};
  }

  static double scale(const Tensor &split) {
    return 1.0 / std::sqrt(static_cast<double>(split.size(3)));
  }
};

Tensor plain_attention(const Tensor &qkv, const Tensor &bias, int64_t heads) {
  auto batch = qkv.size(0), tokens = qkv.size(1);
  auto split = qkv.reshape({batch, tokens, 3, heads, -1}).permute({2, 0, 3, 1, 4});
  auto q = split[0] * (1.0 / std::sqrt(static_cast<double>(split.size(4))));
  auto scores = q.matmul(split[1].transpose(-2, -1));
  if (bias.defined()) {
    auto grouped = scores.view({-1, bias.size(0), bias.size(1), bias.size(2), bias.size(3)});
    scores = (grouped + bias).view(scores.sizes());
  }
  return scores.softmax(-1).matmul(split[2]).transpose(1, 2).reshape({batch, tokens, -1});
}

// LibTorch's fused forms, which GPUs have. Bias of several windows is laid out for the whole batch.
Tensor device_attention(const Tensor &qkv, const Tensor &bias, int64_t heads) {
  auto batch = qkv.size(0), tokens = qkv.size(1);
  auto split = qkv.reshape({batch, tokens, 3, heads, -1}).permute({2, 0, 3, 1, 4});
  std::optional<Tensor> mask;
  if (bias.defined())
    mask = bias.to(qkv.scalar_type())
               .unsqueeze(0)
               .expand({batch / bias.size(0), -1, -1, -1, -1})
               .reshape({batch, heads, tokens, tokens});
  auto mixed = at::scaled_dot_product_attention(split[0], split[1], split[2], mask);
  return mixed.transpose(1, 2).reshape({batch, tokens, -1});
}

}  // namespace

Owned attention(const Tensor &in, const Tensor &mask, std::int64_t heads) {
  TORCH_CHECK(in.dim() == 3 && heads > 0 && in.size(2) % (3 * heads) == 0,
              "attention: expected qkv [batch, tokens, 3 * ", heads, " * width], found ",
              in.sizes());
  TORCH_CHECK(!mask.defined() || (mask.dim() == 4 && mask.size(0) > 0 &&
                                  in.size(0) % mask.size(0) == 0 && mask.size(1) == heads &&
                                  mask.size(2) == in.size(1) && mask.size(3) == in.size(1)),
              "attention: expected bias [windows, ", heads, ", tokens, tokens] for ", in.sizes(),
              ", found ", mask.sizes());
  if (!traced() && in.numel() > 0 && !in.is_cpu())
    return owned(device_attention(in, mask, heads));
  if (traced() || in.numel() == 0 || !readable(in) || in.size(1) > LONGEST)
    return owned(plain_attention(in, mask, heads));
  if (fits_tiles(in, mask, heads)) return owned(tile_attention(in, mask, heads));
  if (in_floats_alone(in)) {
    auto added = mask.defined() ? widened(mask) : mask;
    return owned(attention(widened(in), added, heads)->to(at::kBFloat16));
  }
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
