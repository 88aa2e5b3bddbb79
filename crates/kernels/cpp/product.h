// Matrix products by oneDNN.
#pragma once

#include "polyptych-kernels/cpp/tensors.h"

#include <string_view>

namespace polyptych {

// LibTorch sends float32 products to MKL, which does not use the whole width of every maker's
// processors; oneDNN does.
bool fits(const Tensor &x, const Tensor &weight, std::initializer_list<at::ScalarType> types);

// Whether numbers are of bfloat16, and products of them are computed in float32: x in that type.
bool in_floats_alone(const Tensor &x);
Tensor widened(const Tensor &x);

// x W^T + b over rows, and what `then` says: "none" or "gelu".
Tensor product(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias = {},
               std::string_view then = "none");

// other + x W^T over rows.
Tensor product_onto(const Tensor &other, const Tensor &x, const Tensor &weight);

// g W of rows: the gradient of an input.
Tensor input_gradient(const Tensor &g, const Tensor &weight);

// g^T x of rows: the gradient of a weight.
Tensor weight_gradient(const Tensor &g, const Tensor &x);

// x_n y_n for every n.
Tensor batched(const Tensor &x, const Tensor &y);

}  // namespace polyptych
