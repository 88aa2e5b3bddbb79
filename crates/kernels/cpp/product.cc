#include "polyptych-kernels/cpp/product.h"

#include "polyptych-kernels/cpp/cpu.h"
#include "polyptych-kernels/cpp/tiled_product.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <string_view>

namespace polyptych {

namespace {

using Pointwise = Tensor(const Tensor &, const Tensor &, const std::optional<Tensor> &,
                         std::string_view, c10::List<std::optional<at::Scalar>>,
                         std::optional<std::string_view>);
using Binary = Tensor(const Tensor &, const Tensor &, const Tensor &, const std::optional<Tensor> &,
                      std::string_view);

template <class Signature>
std::optional<c10::TypedOperatorHandle<Signature>> find(const char *overload) {
  auto op = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", overload});
  if (!op) return std::nullopt;
  return op->typed<Signature>();
}

const auto &pointwise() {
  static const auto op = find<Pointwise>("");
  return op;
}

const auto &binary() {
  static const auto op = find<Binary>("binary");
  return op;
}

}  // namespace

bool fits(const Tensor &x, const Tensor &weight, std::initializer_list<at::ScalarType> types) {
  auto type = std::find(types.begin(), types.end(), x.scalar_type());
  return type != types.end() && weight.scalar_type() == x.scalar_type() && x.is_cpu() &&
         weight.is_cpu() && weight.dim() == 2 && x.dim() >= 2 && x.numel() > 0 &&
         weight.numel() > 0 && at::globalContext().userEnabledMkldnn() && pointwise() && binary() &&
         !traced();
}

// oneDNN is slow by two orders of magnitude where rows lie otherwise than one after the other, or
// all columns so.
static Tensor dense(const Tensor &x) {
  return x.dim() == 2 && x.t().is_contiguous() ? x : x.contiguous();
}

static Tensor of(const std::optional<Tensor> &t) { return t.value_or(Tensor()); }

bool in_floats_alone(const Tensor &x) {
  bool bf16 = x.scalar_type() == at::kBFloat16;
  return x.is_cpu() && product_rule_without_tiles(level(), bf16) == Product::onednn_in_floats;
}

Tensor widened(const Tensor &x) { return x.to(at::kFloat); }

static Tensor narrowed(const Tensor &x) { return x.to(at::kBFloat16); }

// Of float64 oneDNN has no products.
static bool is_double(const Tensor &x) { return x.scalar_type() == at::kDouble; }

Tensor product(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias,
               std::string_view then) {
  if (is_double(x)) {
    auto out = at::linear(x, weight, bias);
    return then == "gelu" ? at::gelu(out) : out;
  }
  if (tiles_fit(x, weight)) return tiled_product(x, weight, {of(bias), {}, then == "gelu"});
  if (in_floats_alone(x)) {
    auto added = bias.has_value() ? std::make_optional(widened(*bias)) : std::nullopt;
    return narrowed(product(widened(x), widened(weight), added, then));
  }
  // Of the two algorithms of a GELU this is the exact one.
  auto algorithm = then == "gelu" ? "none" : "";
  return pointwise()->call(dense(x), dense(weight), bias, then, c10::List<std::optional<at::Scalar>>(),
                           algorithm);
}

Tensor product_onto(const Tensor &other, const Tensor &x, const Tensor &weight) {
  if (is_double(x)) return other + at::linear(x, weight);
  if (tiles_fit(x, weight)) return tiled_product(x, weight, {{}, other, false});
  if (in_floats_alone(x))
    return narrowed(product_onto(widened(other), widened(x), widened(weight)));
  return binary()->call(dense(x), dense(other), dense(weight), std::nullopt, "add");
}

// A weight that lies as columns costs a narrow product up to three quarters of its rate; in bfloat16
// LibTorch itself asks oneDNN, and hands it over as rows.
Tensor input_gradient(const Tensor &g, const Tensor &weight) {
  if (tiles_fit(g, weight.t())) return tiled_product(g, weight.t(), {});
  bool asks = g.scalar_type() == at::kBFloat16 && !in_floats_alone(g);
  return asks ? g.mm(weight) : product(g, weight.t());
}

// Of the two orders the one is faster whose result is the longer way round; in bfloat16 LibTorch
// itself asks oneDNN, and blocks the rows better.
Tensor weight_gradient(const Tensor &g, const Tensor &x) {
  if (in_floats_alone(g)) return narrowed(weight_gradient(widened(g), widened(x)));
  bool straight = x.size(1) >= g.size(1);
  if (x.scalar_type() == at::kBFloat16) return straight ? g.t().mm(x) : x.t().mm(g).t();
  return straight ? product(g.t(), x.t()) : product(x.t(), g.t()).t();
}

Tensor batched(const Tensor &x, const Tensor &y) {
  return in_floats_alone(x) ? narrowed(at::bmm(widened(x), widened(y))) : at::bmm(x, y);
}

}  // namespace polyptych
