#include "polyptych-kernels/cpp/checks.h"
#include "polyptych-kernels/cpp/gelu.h"
#include "polyptych-kernels/cpp/product.h"

namespace polyptych {

namespace {

struct Linear : Function<Linear> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight,
                        const std::optional<Tensor> &bias) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({weight.requires_grad() ? x : Tensor(), weight});
    ctx->saved_data["bias"] = bias.has_value();
    return product(x, weight, bias);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto g = rows(grads[0]);
    Tensor dx, dw, db;
    if (ctx->needs_input_grad(0)) {
      auto shape = grads[0].sizes().vec();
      shape.back() = saved[1].size(1);
      dx = input_gradient(g, saved[1]).view(shape);
    }
    if (ctx->needs_input_grad(1)) dw = weight_gradient(g, rows(saved[0]));
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2)) db = g.sum(0);
    return {dx, dw, db};
  }
};

Tensor linear_of(const Tensor &x, const Tensor &weight, const Tensor &bias) {
  if (!fits(x, weight, {at::kFloat, at::kBFloat16})) return at::linear(x, weight, some(bias));
  if (!learns({&x, &weight, &bias})) return product(x, weight, some(bias));
  return Linear::apply(x, weight, some(bias));
}

}  // namespace

Owned linear(const Tensor &x, const Tensor &weight, const Tensor &bias) {
  check_linear("linear", x, weight, bias);
  return owned(linear_of(x, weight, bias));
}

Owned linear_gelu(const Tensor &in, const Tensor &w, const Tensor &b) {
  check_linear("linear_gelu", in, w, b);
  if (!learns({&in, &w, &b}) && fits(in, w, {at::kFloat, at::kBFloat16}))
    return owned(product(in, w, some(b), "gelu"));
  return owned(gelu_of(linear_of(in, w, b)));
}

}  // namespace polyptych
