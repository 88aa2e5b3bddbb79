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

// Vectors that a polynomial takes at a time: each waits for its own last step, not for the others.
constexpr int64_t ABREAST = 4;
typedef Vec Vecs[ABREAST];

// c(2 x^2 / reach^2 - 1) x + 1/2 for a polynomial c, lowest coefficient first. Beyond `reach` to
// either side x counts as there.
template <int64_t N>
POLYPTYCH_INLINE void odd_about_half(const Vecs &x, float reach, const float (&c)[N], Vecs &out) {
  Vecs near, square;
#pragma GCC unroll 4
  for (int64_t i = 0; i < ABREAST; i++) {
    near[i] = x[i] < -reach ? splat(-reach) : x[i];
    near[i] = near[i] > reach ? splat(reach) : near[i];
    square[i] = near[i] * near[i] * (2.0f / (reach * reach)) - 1.0f;
    out[i] = splat(c[N - 1]);
  }
#pragma GCC unroll 16
  for (int64_t n = N - 2; n >= 0; n--)
#pragma GCC unroll 4
    for (int64_t i = 0; i < ABREAST; i++) out[i] = out[i] * square[i] + c[n];
#pragma GCC unroll 4
  for (int64_t i = 0; i < ABREAST; i++) out[i] = near[i] * out[i] + 0.5f;
}

// The share of the standard normal distribution below x, within 3e-7, and 0 and 1 far out: a fit by
// least squares, its points weighted until all errors are alike. Half the work of `normal` where
// the density itself is not needed.
POLYPTYCH_INLINE void share_below(const Vecs &x, Vecs &out) {
  constexpr float C[] = {
      0.138605297f, -0.0690027475f, 0.0507817455f, -0.0402320586f, 0.0317376181f, -0.0239220988f,
      0.0173358098f, -0.0122889485f, 0.00719337305f, -0.00291114487f, 0.00202425895f,
      -0.00209393166f, 0.000812044484f};
  odd_about_half(x, 5.1f, C, out);
}

// The slope of x share_below(x), within 6e-7, in the same way.
POLYPTYCH_INLINE void slope_of_gelu(const Vecs &x, Vecs &out) {
  constexpr float C[] = {
      0.126416564f, -0.0642828047f, 0.0518183038f, -0.0509524271f, 0.0564583987f, -0.0651091263f,
      0.0735065788f, -0.0726310238f, 0.0590144843f, -0.0544615798f, 0.0592699461f,
      -0.0344289765f, 0.000396521675f, -0.00509848353f, 0.0167045351f, -0.00733519625f};
  odd_about_half(x, 5.6f, C, out);
}

}  // namespace polyptych
