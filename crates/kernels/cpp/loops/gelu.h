// The slope of GELU.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Vectors that are treated together.
constexpr int GELU_VECS = 4;
constexpr int64_t BATCH = GELU_VECS * VEC;

template <class T>
POLYPTYCH_INLINE void gelu_gradient_batch(const T *g, const T *from, T *to) {
  using Batch = Vecs<GELU_VECS>;
  auto x = Batch::of(POLYPTYCH_EACH(load_vec(from + n * VEC)));
  Normal<Batch> at(x);
  auto slope = at.cdf + x * at.pdf;
#pragma GCC unroll 4
  for (int n = 0; n < GELU_VECS; n++) store_vec(load_vec(g + n * VEC) * slope.at[n], to + n * VEC);
}

template <class T>
void gelu_gradient(const T *g, const T *x, T *out, int64_t begin, int64_t end) {
  int64_t j = begin;
  for (; j + BATCH <= end; j += BATCH) gelu_gradient_batch(g + j, x + j, out + j);
  T by[BATCH] = {0}, some[BATCH] = {0};
  std::copy(g + j, g + end, by), std::copy(x + j, x + end, some);
  gelu_gradient_batch(by, some, some);
  std::copy(some, some + (end - j), out + j);
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
