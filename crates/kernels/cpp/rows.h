// Loops over the rows of a tensor.
#pragma once

#include "polyptych-kernels/cpp/vector.h"

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

// The first `count` numbers of a vector, and zeros; WHOLE says that there are enough of them.
template <bool WHOLE = false, class T>
POLYPTYCH_INLINE Vec load_part(const T *from, int64_t count) {
  if (WHOLE || count >= VEC) return load_vec(from);
  T lanes[VEC] = {0};
  for (int64_t l = 0; l < count; l++) lanes[l] = from[l];
  return load_vec(lanes);
}

template <bool WHOLE = false, class T>
POLYPTYCH_INLINE void store_part(Vec x, int64_t count, T *to) {
  if (WHOLE || count >= VEC) return store_vec(x, to);
  T lanes[VEC];
  store_vec(x, lanes);
  for (int64_t l = 0; l < count; l++) to[l] = lanes[l];
}

// The first `count` lanes of x, and zeros.
template <bool WHOLE = false>
POLYPTYCH_INLINE Vec part_of(Vec x, int64_t count) {
  if (WHOLE || count >= VEC) return x;
  float lanes[VEC] = {0};
  for (int64_t l = 0; l < count; l++) lanes[l] = x[l];
  return load_vec(lanes);
}

template <class F>
void by_rows(const Tensor &x, F f) {
  auto count = x.size(-1), grain = std::max<int64_t>(1, GRAIN / count);
  at::parallel_for(0, x.numel() / count, grain, f);
}

}  // namespace polyptych
