// Products in tiles of sums that stay in registers.
#pragma once

#include "polyptych-kernels/cpp/mask.h"

namespace polyptych {

// Whether x W^T, or x W^T + low up^T, is computed here: by the rule for products, and where x
// [.., in] and low [.., r] lie row after row and W [out, in] or its transpose does.
bool tiles_fit(const Tensor &x, const Tensor &weight, const Tensor &low = {});

// What is added to a product, and what becomes of it before it is rounded; what is not there is not
// defined. bias: [out], other: [.., out]; mask * (low up^T), where low: [.., r], up: [out, r].
struct Epilogue {
  Tensor bias, other;
  bool gelu = false;
  Tensor low, up;
  const Mask *mask = nullptr;
};

// x W^T and its epilogue. x: [.., in], W: [out, in]; out: [.., out].
Tensor tiled_product(const Tensor &x, const Tensor &weight, const Epilogue &epilogue);

// W [out, in], whose columns lie in panels: zeros fill the last vector of each row of cells.
struct Packed {
  Tensor panels;
  int64_t out, in;
};

// The same of a weight in panels, without a low-rank term.
Tensor tiled_product(const Tensor &x, const Packed &weight, const Epilogue &epilogue);

// Numbers that lie side by side in a cell of a packed weight of such numbers; 0 where products read
// no such cells, or convert numbers on the way.
int64_t packed_cell(const Tensor &weight);

}  // namespace polyptych
