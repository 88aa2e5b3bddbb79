// A linear map with a low-rank one beside it.
#include "polyptych-kernels/cpp/checks.h"
#include "polyptych-kernels/cpp/cpu.h"
#include "polyptych-kernels/cpp/gelu.h"
#include "polyptych-kernels/cpp/tiled_product.h"
#include "polyptych-kernels/cpp/tasks.h"

namespace polyptych {

namespace {

// x W^T + b + s dropout(x) A^T B^T. Kept for the backward pass: x, or what it is the GELU of, and
// its low-rank image; where factors are added to the weight, their sum in its place.
struct LowRankLinear : Function<LowRankLinear> {
  // What is optional comes last: the engine counts the tensors that are there.
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight,
                        const Tensor &a, const Tensor &b, const std::optional<Tensor> &bias,
                        double scale, double p, int64_t seed, int64_t plan) {
    at::AutoDispatchBelowADInplaceOrView guard;
    Kept kept(x);
    auto flat = rows(x);
    auto kind = x.scalar_type();
    auto down = a.to(kind), up = b.to(kind) * scale;
    Tensor out, low;
    if (plan == static_cast<int64_t>(LowRankPlan::formed)) {
      low = at::addmm(weight, up, down);
      out = product(flat, low, bias);
    } else {
      low = product(p > 0 ? dropped(flat, Mask(static_cast<uint64_t>(seed), p)) : flat, down);
      out = tiles_fit(flat, weight, low)
                ? tiled_product(flat, weight, {bias.value_or(Tensor()), {}, false, low, up})
                : plus(product(flat, weight, bias), low, up.t());
    }
    ctx->save_for_backward({kept.source, weight, low, a, b});
    ctx->saved_data["gelu"] = kept.is_gelu;
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["p"] = p;
    ctx->saved_data["seed"] = seed;
    ctx->saved_data["plan"] = plan;
    ctx->saved_data["bias"] = bias.has_value();
    auto shape = x.sizes().vec();
    shape.back() = weight.size(0);
    return out.view(shape);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto plan = static_cast<LowRankPlan>(ctx->saved_data["plan"].toInt());
    auto g = rows(grads[0].contiguous());
    bool learns = ctx->needs_input_grad(1) || ctx->needs_input_grad(2) || ctx->needs_input_grad(3);
    Tensor x;
    if (learns) x = rows(Kept::again(saved[0], ctx->saved_data["gelu"].toBool()));
    auto by = plan == LowRankPlan::beside ? beside(ctx, saved, g, x)
                                          : by_full(ctx, saved, g, x, plan);
    if (by.input.defined()) {
      auto shape = grads[0].sizes().vec();
      shape.back() = saved[1].size(1);
      by.input = by.input.view(shape);
    }
    Tensor dbias;
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(4)) dbias = g.sum(0);
    return {by.input, by.weight, by.a, by.b, dbias, {}, {}, {}, {}};
  }

  // Gradients; those that nobody asks for are not defined.
  struct Gradients {
    Tensor input, weight, a, b;
  };

  static Gradients beside(AutogradContext *ctx, const variable_list &saved, const Tensor &g,
                          const Tensor &x) {
    auto &weight = saved[1], &low = saved[2], &a = saved[3], &b = saved[4];
    auto scale = ctx->saved_data["scale"].toDouble(), p = ctx->saved_data["p"].toDouble();
    Mask mask(static_cast<uint64_t>(ctx->saved_data["seed"].toInt()), p);
    auto kind = g.scalar_type();
    auto down = a.to(kind), up = b.to(kind) * scale;
    Gradients out;
    auto by = gradients(g, low, up.t(), ctx->needs_input_grad(3));
    if (ctx->needs_input_grad(2)) {
      auto read = p > 0 ? dropped(x, mask) : x;
      out.a = (narrow_rank(low) ? narrow_gradient(by.low, read) : weight_gradient(by.low, read))
                  .to(a.scalar_type());
    }
    if (ctx->needs_input_grad(3)) out.b = by.up.t().to(b.scalar_type()).mul_(scale);
    if (ctx->needs_input_grad(0))
      out.input = input_gradient_of(g, weight, by.low, down, p > 0 ? &mask : nullptr);
    if (ctx->needs_input_grad(1)) out.weight = weight_gradient(g, x);
    return out;
  }

  // Factors by g^T x, which is the gradient of the sum of weight and factors.
  static Gradients by_full(AutogradContext *ctx, const variable_list &saved, const Tensor &g,
                           const Tensor &x, LowRankPlan plan) {
    auto &weight = saved[1], &a = saved[3], &b = saved[4];
    auto scale = ctx->saved_data["scale"].toDouble();
    Gradients out;
    if (ctx->needs_input_grad(0)) {
      auto kind = g.scalar_type();
      auto beside = [&] {
        auto low = product(g, (b.to(kind) * scale).t());
        return input_gradient_of(g, weight, low, a.to(kind), nullptr);
      };
      out.input = plan == LowRankPlan::formed ? input_gradient(g, saved[2]) : beside();
    }
    if (!x.defined()) return out;
    auto full = weight_gradient(g, x);
    auto as = a.scalar_type(), bs = b.scalar_type();
    if (ctx->needs_input_grad(2)) out.a = (b.to(as) * scale).t().mm(full.to(as));
    if (ctx->needs_input_grad(3)) out.b = full.to(bs).mm(a.to(bs).t()).mul_(scale);
    if (ctx->needs_input_grad(1)) out.weight = full;
    return out;
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

  static bool narrow_rank(const Tensor &low) {
    return readable(low) && rank_rule(low.scalar_type() == at::kBFloat16, low.size(1));
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

void check(const Tensor &x, const Tensor &w, const Tensor &c, const Tensor &a, const Tensor &b) {
  check_linear("low_rank_linear", x, w, c);
  TORCH_CHECK(a.dim() == 2 && b.dim() == 2 && a.size(1) == w.size(1) && b.size(0) == w.size(0) &&
                  b.size(1) == a.size(0),
              "low_rank_linear: expected a [r, in] and b [out, r] for weight ", w.sizes(),
              ", found ", a.sizes(), " and ", b.sizes());
}

// Where nothing learns, or a mask lies on one side alone, factors stay beside the weight.
LowRankPlan plan_of(const Tensor &x, const Tensor &w, const Tensor &a, const Tensor &b,
                    double dropout) {
  if (dropout > 0 || !learns({&a, &b})) return LowRankPlan::beside;
  return low_rank_rule({x.numel() / w.size(1), w.size(1), w.size(0), a.size(0),
                        x.scalar_type() != at::kBFloat16, x.requires_grad(), w.requires_grad()});
}

}  // namespace

Owned low_rank_linear(const Tensor &in, const Tensor &w, const Tensor &c, const Tensor &down,
                      const Tensor &up, double scale, double dropout) {
  check(in, w, c, down, up);
  if (!fits(in, w, {at::kFloat, at::kBFloat16}) || !maskable(in))
    return owned(plain_low_rank(in, w, c, down, up, scale, dropout));
  auto seed = dropout > 0 ? static_cast<int64_t>(draw()) : 0;
  auto plan = static_cast<int64_t>(plan_of(in, w, down, up, dropout));
  return owned(LowRankLinear::apply(in, w, down, up, some(c), scale, dropout, seed, plan));
}

Owned low_rank_linear_by(std::uint8_t plan, const Tensor &in, const Tensor &w, const Tensor &c,
                         const Tensor &down, const Tensor &up, double scale) {
  check(in, w, c, down, up);
  return owned(LowRankLinear::apply(in, w, down, up, some(c), scale, 0.0, 0, plan));
}

}  // namespace polyptych
