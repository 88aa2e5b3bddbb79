// Columns of a matrix in panels, as products in tiles read them.
#pragma once

#include "polyptych-kernels/cpp/arguments.h"
#include "polyptych-kernels/cpp/tensors.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>

#include <vector>

namespace polyptych {

// Panels of `width` columns of W^T, for W [out, in], one after the other: [depth / cell, width, cell],
// with zeros up to `depth` and in the last vector.
inline Tensor to_panels(const Tensor &w, int64_t width, int64_t cell, int64_t depth) {
  auto padded = at::constant_pad_nd(w, {0, depth - w.size(1), 0, whole(w.size(0)) - w.size(0)});
  std::vector<Tensor> panels;
  for (auto &panel : padded.split(width))
    panels.push_back(panel.reshape({-1, depth / cell, cell}).transpose(0, 1).reshape(-1));
  return at::cat(panels);
}

// W [out, in] of its panels.
inline Tensor from_panels(const Tensor &panels, int64_t out, int64_t in, int64_t width, int64_t cell,
                          int64_t depth) {
  std::vector<Tensor> rows;
  for (auto &panel : panels.narrow(0, 0, whole(out) * depth).split(width * depth))
    rows.push_back(panel.view({depth / cell, -1, cell}).transpose(0, 1).reshape({-1, depth}));
  return at::cat(rows).narrow(0, 0, out).narrow(1, 0, in).contiguous();
}

}  // namespace polyptych
