// What positions of a bilinearly resized axis are made of; positions as areas.
#pragma once

#include "polyptych-kernels/cpp/arguments.h"

namespace polyptych {

// f(new, old, weight) for what each of `to` positions reads of `from` ones.
template <class F>
void bilinear(int64_t from, int64_t to, F f) {
  auto scale = static_cast<float>(from) / static_cast<float>(to);
  for (int64_t i = 0; i < to; i++) {
    auto at = std::max((static_cast<float>(i) + 0.5f) * scale - 0.5f, 0.0f);
    auto low = std::min(static_cast<int64_t>(at), from - 1);
    auto weight = std::min(at - static_cast<float>(low), 1.0f);
    f(i, low, 1.0f - weight);
    if (weight > 0.0f) f(i, std::min(low + 1, from - 1), weight);
  }
}

inline Taps resizing(int64_t from, int64_t to) {
  Taps out(to);
  bilinear(from, to, [&](int64_t i, int64_t at, float weight) { out.add(i, at, weight); });
  return out;
}

// The gradient of the same: what arrives at each old position.
inline Taps resizing_back(int64_t from, int64_t to) {
  Taps out(from);
  bilinear(from, to, [&](int64_t i, int64_t at, float weight) { out.add(at, i, weight); });
  return out;
}

}  // namespace polyptych
