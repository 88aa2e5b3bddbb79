// Masks of dropout from a counter.
#pragma once

#include "polyptych-kernels/cpp/vector.h"

namespace polyptych {

// MurmurHash3's finaliser over a counter: one number per element, without state.
template <class U>
POLYPTYCH_INLINE U mixed(U x) {
  x ^= x >> 16;
  x *= 0x85ebca6bU;
  x ^= x >> 13;
  x *= 0xc2b2ae35U;
  return x ^ (x >> 16);
}

struct Mask {
  uint32_t key, step, threshold;
  float scale;

  Mask(uint64_t seed, double p)
      : key(static_cast<uint32_t>(seed)),
        step(static_cast<uint32_t>(seed >> 32) | 1U),
        threshold(static_cast<uint32_t>(p * 4294967296.0)),
        scale(static_cast<float>(1.0 / (1.0 - p))) {}

  inline float at(uint32_t index) const {
    return mixed(index * step + key) < threshold ? 0.0f : scale;
  }

  // Of `index` and those after it.
  POLYPTYCH_INLINE Vec from(uint32_t index) const {
    constexpr Bits LANES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return mixed(LANES * step + (index * step + key)) < threshold ? Vec{} : splat(scale);
  }
};

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
