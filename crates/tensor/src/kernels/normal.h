// Exponentials and the normal distribution, of one number or of a vector of them.
#pragma once

#include "polyptych-tensor/src/kernels/vector.h"

namespace polyptych {

// 1 / sqrt(2 pi).
constexpr float DENSITY = 0.398942280f;

// 2^n x for a whole n.
POLYPTYCH_INLINE float raised(float x, float n) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits += static_cast<uint32_t>(static_cast<int32_t>(n)) << 23;
  std::memcpy(&x, &bits, 4);
  return x;
}
POLYPTYCH_INLINE Vec raised(Vec x, Vec n) {
  typedef int32_t Whole __attribute__((vector_size(4 * VEC)));
  Whole power = __builtin_convertvector(n, Whole);
  Bits shift;
  std::memcpy(&shift, &power, sizeof shift);
  return of_bits(bits(x) + (shift << 23));
}

POLYPTYCH_INLINE float magnitude(float x) { return std::fabs(x); }
POLYPTYCH_INLINE Vec magnitude(Vec x) { return of_bits(bits(x) & 0x7fffffffU); }

// e^y for y <= 0 to 2 units in the last place: 2^n e^r, with a Taylor series of r.
template <class F>
POLYPTYCH_INLINE F decay(F y) {
  constexpr float TO_WHOLE = 12582912.0f, LOG2_E = 1.44269504f, LEAST = -87.0f;
  // ln 2 in two parts, the first of few bits.
  constexpr float LN_2 = 0.693359375f, LN_2_REST = -2.12194440e-4f;
  y = y < LEAST ? F{} + LEAST : y;
  F n = (y * LOG2_E + TO_WHOLE) - TO_WHOLE;
  F r = (y - n * LN_2) - n * LN_2_REST;
  F series = r * 1.38888889e-3f + 8.33333333e-3f;
  series = series * r + 4.16666667e-2f;
  series = series * r + 1.66666667e-1f;
  series = series * r + 0.5f;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  return raised(series, n);
}

// e^(-x^2 / 2).
template <class F>
POLYPTYCH_INLINE F bell(F x) {
  return decay(-0.5f * x * x);
}

// The share of the standard normal distribution below x, given bell(x); Abramowitz and Stegun,
// 7.1.26, within 1e-7.
template <class F>
POLYPTYCH_INLINE F normal(F x, F bell) {
  F t = 1.0f / (1.0f + 0.231641888f * magnitude(x));
  F series = t * 1.061405429f - 1.453152027f;
  series = series * t + 1.421413741f;
  series = series * t - 0.284496736f;
  series = series * t + 0.254829592f;
  F below = 0.5f * series * t * bell;
  return x < 0.0f ? below : 1.0f - below;
}

}  // namespace polyptych
