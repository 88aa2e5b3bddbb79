// Products of bfloat16 by the instruction that multiplies pairs of them (AVX-512 BF16).
#pragma once

#include "polyptych-tensor/src/kernels/tensors.h"

namespace polyptych {

// Whether x W^T is formed here: on such a processor, in bfloat16, over whole pairs, where x [.., in]
// lies row after row and W [out, in] or its transpose does; and of a width and depth for
// which oneDNN is not as quick.
bool pairs_fit(const Tensor &x, const Tensor &weight);

// What becomes of a product before it is rounded; what is not there is not defined.
struct Finish {
  Tensor bias, other;
  bool gelu = false;
};

// x W^T, finished. x: [.., in], W: [out, in], bias: [out], other and the result: [.., out].
Tensor pairs_product(const Tensor &x, const Tensor &weight, const Finish &finish);

}  // namespace polyptych
