// Exponentials and the normal distribution, for loops that become vectors.
#pragma once

#include "polyptych-tensor/src/kernels/tensors.h"

namespace polyptych {

// 1 / sqrt(2 pi).
constexpr float DENSITY = 0.398942280f;

// e^y for y <= 0 to 2 units in the last place: 2^n e^r, with a Taylor series of r.
POLYPTYCH_INLINE float decay(float y) {
  constexpr float TO_WHOLE = 12582912.0f, LOG2_E = 1.44269504f;
  // ln 2 in two parts, the first of few bits.
  constexpr float LN_2 = 0.693359375f, LN_2_REST = -2.12194440e-4f;
  y = std::max(y, -87.0f);
  float n = (y * LOG2_E + TO_WHOLE) - TO_WHOLE;
  float r = (y - n * LN_2) - n * LN_2_REST;
  float series = 1.38888889e-3f;
  series = series * r + 8.33333333e-3f;
  series = series * r + 4.16666667e-2f;
  series = series * r + 1.66666667e-1f;
  series = series * r + 0.5f;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &series, 4);
  bits += static_cast<uint32_t>(static_cast<int32_t>(n)) << 23;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

// e^(-x^2 / 2).
POLYPTYCH_INLINE float bell(float x) { return decay(-0.5f * x * x); }

// The share of the standard normal distribution below x, given bell(x); Abramowitz and Stegun,
// 7.1.26, within 1e-7.
POLYPTYCH_INLINE float normal(float x, float bell) {
  float t = 1.0f / (1.0f + 0.231641888f * std::fabs(x));
  float series = 1.061405429f;
  series = series * t - 1.453152027f;
  series = series * t + 1.421413741f;
  series = series * t - 0.284496736f;
  series = series * t + 0.254829592f;
  float below = 0.5f * series * t * bell;
  return x < 0.0f ? below : 1.0f - below;
}

}  // namespace polyptych
