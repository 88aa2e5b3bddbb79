// A linear map with a low-rank one beside it.
#include "polyptych-kernels/cpp/checks.h"
#include "polyptych-kernels/cpp/gelu.h"
#include "polyptych-kernels/cpp/tiled_product.h"
#include "polyptych-kernels/cpp/tasks.h"

namespace polyptych {

namespace {

// x W^T + b + s dropout(x) A^T B^T. Kept for the backward pass: x, or what it is the GELU of, and
// its low-rank image.
struct LowRankLinear : Function<LowRankLinear> {
  // What is optional comes last: the engine counts the tensors that are there.
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight,
                        const Tensor &a, const Tensor &b, const std::optional<Tensor> &bias,
                        double scale, double p, int64_t seed) {
    at::AutoDispatchBelowADInplaceOrView guard;
    Kept kept(x);
    auto flat = rows(x);
    auto kind = x.scalar_type();
    auto down = a.to(kind), up = b.to(kind) * scale;
    auto read = p > 0 ? dropped(flat, Mask(static_cast<uint64_t>(seed), p)) : flat;
    auto low = product(read, down);
    auto out = tiles_fit(flat, weight, low)
                   ? tiled_product(flat, weight, {bias.value_or(Tensor()), {}, false, low, up})
                   : plus(product(flat, weight, bias), low, up.t());
    ctx->save_for_backward({kept.source, weight, low, a, b});
    ctx->saved_data["gelu"] = kept.is_gelu;
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["p"] = p;
    ctx->saved_data["seed"] = seed;
    ctx->saved_data["bias"] = bias.has_value();
    auto shape = x.sizes().vec();
    shape.back() = weight.size(0);
    return out.view(shape);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &weight = saved[1], &low = saved[2], &a = saved[3], &b = saved[4];
    auto scale = ctx->saved_data["scale"].toDouble(), p = ctx->saved_data["p"].toDouble();
    auto bias = ctx->saved_data["bias"].toBool();
    Mask mask(static_cast<uint64_t>(ctx->saved_data["seed"].toInt()), p);
    auto g = rows(grads[0].contiguous());
    auto kind = g.scalar_type();
    auto down = a.to(kind), up = b.to(kind) * scale;
    Tensor x, dx, dw, db, da, dup;
    auto by = gradients(g, low, up.t(), ctx->needs_input_grad(3));
    if (ctx->needs_input_grad(1) || ctx->needs_input_grad(2))
      x = rows(Kept::again(saved[0], ctx->saved_data["gelu"].toBool()));
    if (ctx->needs_input_grad(2)) {
      auto read = p > 0 ? dropped(x, mask) : x;
      da = (narrow_rank(low) ? narrow_gradient(by.low, read) : weight_gradient(by.low, read))
               .to(a.scalar_type());
    }
    if (ctx->needs_input_grad(3)) dup = by.up.t().to(b.scalar_type()).mul_(scale);
    if (ctx->needs_input_grad(0)) {
      dx = input_gradient_of(g, weight, by.low, down, p > 0 ? &mask : nullptr);
      auto shape = grads[0].sizes().vec();
      shape.back() = weight.size(1);
      dx = dx.view(shape);
    }
    if (ctx->needs_input_grad(1)) dw = weight_gradient(g, x);
    if (bias && ctx->needs_input_grad(4)) db = g.sum(0);
    return {dx, dw, da, dup, db, {}, {}, {}};
  }

  // g W + mask * (low down), where masks may be none.
  static Tensor input_gradient_of(const Tensor &g, const Tensor &weight, const Tensor &low,
                                  const Tensor &down, const Mask *mask) {
    if (tiles_fit(g, weight.t(), low))
      return tiled_product(g, weight.t(), {{}, {}, false, low, down.t(), mask});
    auto dx = input_gradient(g, weight);
    if (mask == nullptr) return plus(dx, low, down);
    add_dropped(product(low, down.t()), dx, *mask);
    return dx;
  }

  // Whether loops beat products: those of bfloat16 are twice as quick.
  static bool narrow_rank(const Tensor &low) {
    return low.size(1) <= (low.scalar_type() == at::kBFloat16 ? NARROW / 2 : NARROW);
  }

  // base + low up; base is given away.
  static Tensor plus(Tensor base, const Tensor &low, const Tensor &up) {
    if (!narrow_rank(low)) return product_onto(base, low, up.t());
    add_narrow(base, low, up);
    return base;
  }

  // Of base + low up, by low and, if asked for, by up.
  static UpdateGradients gradients(const Tensor &g, const Tensor &low, const Tensor &up,
                                   bool wants_up) {
    if (!narrow_rank(low))
      return {{}, product(g, up), wants_up ? weight_gradient(low, g) : Tensor()};
    auto by = update_gradients(g.unsqueeze(0), low.unsqueeze(0), up.unsqueeze(0), false);
    return {{}, by.low[0], by.up[0]};
  }
};

Tensor plain_low_rank(const Tensor &x, const Tensor &weight, const Tensor &bias, const Tensor &a,
                      const Tensor &b, double scale, double p) {
  auto read = p > 0 ? at::dropout(x, p, true) : x;
  auto low = at::linear(at::linear(read, as_type(a, x.scalar_type())), as_type(b, x.scalar_type()));
  return at::linear(x, weight, some(bias)) + low * scale;
}

}  // namespace

Owned low_rank_linear(const Tensor &in, const Tensor &w, const Tensor &c, const Tensor &down,
                      const Tensor &up, double scale, double dropout) {
  check_linear("low_rank_linear", in, w, c);
  TORCH_CHECK(down.dim() == 2 && up.dim() == 2 && down.size(1) == w.size(1) &&
                  up.size(0) == w.size(0) && up.size(1) == down.size(0),
              "low_rank_linear: expected a [r, in] and b [out, r] for weight ", w.sizes(),
              ", found ", down.sizes(), " and ", up.sizes());
  if (!fits(in, w, {at::kFloat, at::kBFloat16}) || !maskable(in))
    return owned(plain_low_rank(in, w, c, down, up, scale, dropout));
  auto seed = dropout > 0 ? static_cast<int64_t>(draw()) : 0;
  return owned(LowRankLinear::apply(in, w, down, up, some(c), scale, dropout, seed));
}

}  // namespace polyptych
