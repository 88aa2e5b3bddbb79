// Loops over the rows of a tensor.
#pragma once

#include "polyptych-tensor/src/kernels/tensors.h"

namespace polyptych {

// Longest row that is treated in one piece.
constexpr int64_t LONGEST = 4096;

// A multiple of 16: so many numbers a buffer of a row has.
inline int64_t whole(int64_t count) { return (count + 15) / 16 * 16; }

POLYPTYCH_INLINE float total(const float *x, int64_t count) {
  float lanes[16] = {0};
  for (int64_t j = 0; j < count; j += 16)
    for (int64_t l = 0; l < 16; l++) lanes[l] += x[j + l];
  return sum_of(lanes);
}

template <class F>
void by_rows(const Tensor &x, F f) {
  auto count = x.size(-1), grain = std::max<int64_t>(1, GRAIN / count);
  at::parallel_for(0, x.numel() / count, grain, f);
}

}  // namespace polyptych
