// Rows of a tensor, among threads.
#pragma once

#include "polyptych-kernels/cpp/tensors.h"

namespace polyptych {

template <class F>
void by_rows(const Tensor &x, F f) {
  auto count = x.size(-1), grain = std::max<int64_t>(1, GRAIN / count);
  at::parallel_for(0, x.numel() / count, grain, f);
}

}  // namespace polyptych
