// What operations that read memory themselves expect of their arguments; else they throw.
#pragma once

#include "polyptych-kernels/cpp/tensors.h"

namespace polyptych {

// x: [.., in], weight: [out, in], bias: [out] or none.
inline void check_linear(const char *op, const Tensor &x, const Tensor &weight, const Tensor &bias) {
  TORCH_CHECK(x.dim() > 0 && weight.dim() == 2 && x.size(-1) == weight.size(1), op,
              ": expected x [.., in] and weight [out, in], found ", x.sizes(), " and ",
              weight.sizes());
  TORCH_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0)), op,
              ": expected bias [", weight.size(0), "], found ", bias.sizes());
}

// x: [tasks, .., in], a: [tasks, r, in].
inline void check_down(const char *op, const Tensor &x, const Tensor &a) {
  TORCH_CHECK(x.dim() > 1 && a.dim() == 3 && a.size(0) == x.size(0) && a.size(2) == x.size(-1), op,
              ": expected x [tasks, .., in] and a [tasks, r, in], found ", x.sizes(), " and ",
              a.sizes());
}

// low: [tasks, .., rank], b: [tasks, out, rank], base: [.., out] or none.
inline void check_up(const char *op, const Tensor &low, int64_t rank, const Tensor &b,
                     const Tensor &base) {
  TORCH_CHECK(low.dim() > 1 && b.dim() == 3 && b.size(0) == low.size(0) && b.size(2) == rank, op,
              ": expected b [tasks, out, ", rank, "] for ", low.sizes(), ", found ", b.sizes());
  if (!base.defined()) return;
  auto inner = [](at::IntArrayRef sizes) { return sizes.slice(0, sizes.size() - 1); };
  TORCH_CHECK(base.dim() > 0 && base.size(-1) == b.size(1) &&
                  inner(base.sizes()) == inner(low.sizes()).slice(1),
              op, ": expected base [.., ", b.size(1), "] for ", low.sizes(), ", found ",
              base.sizes());
}

}  // namespace polyptych
