// Masks of dropout from a counter.
#pragma once

#include "polyptych-kernels/cpp/arguments.h"

namespace polyptych {

// Whether x can be masked: one number of 32 bits counts its elements.
inline bool maskable(const Tensor &x) {
  return readable(x) && x.numel() <= std::numeric_limits<uint32_t>::max();
}

// x * mask.
Tensor dropped(const Tensor &x, const Mask &mask);

// onto += x * mask.
void add_dropped(const Tensor &x, Tensor &onto, const Mask &mask);

// The next number of LibTorch's generator, which seeds govern.
uint64_t draw();

}  // namespace polyptych
