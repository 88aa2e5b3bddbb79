// Sums and ends of rows.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Whole strips have a width that the compiler knows.
template <class F>
POLYPTYCH_INLINE void by_strips(int64_t begin, int64_t end, F f) {
  for (; begin + PIXELS <= end; begin += PIXELS) f(begin, PIXELS);
  if (begin < end) f(begin, end - begin);
}

// Sum of a row of whole vectors.
POLYPTYCH_INLINE float total(const float *x, int64_t count) {
  Vec sums{};
  for (int64_t j = 0; j < count; j += VEC) sums += load_vec(x + j);
  return sum_of(sums);
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

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
