#include "polyptych-kernels/cpp/gelu.h"

#include "polyptych-kernels/cpp/normal.h"
#include "polyptych-kernels/cpp/rows.h"

namespace polyptych {

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
  for (int n = 0; n < GELU_VECS; n++)
    store_vec(load_vec(g + n * VEC) * slope.at[n], to + n * VEC);
}

#define POLYPTYCH_GELU_GRADIENT(NAME, T)                                                     \
  POLYPTYCH_WIDE void NAME(const T *g, const T *x, T *out, int64_t begin, int64_t end) {     \
    int64_t j = begin;                                                                       \
    for (; j + BATCH <= end; j += BATCH) gelu_gradient_batch(g + j, x + j, out + j);         \
    T by[BATCH] = {0}, some[BATCH] = {0};                                                    \
    std::copy(g + j, g + end, by), std::copy(x + j, x + end, some);                          \
    gelu_gradient_batch(by, some, some);                                                     \
    std::copy(some, some + (end - j), out + j);                                              \
  }
POLYPTYCH_GELU_GRADIENT(gelu_gradient_floats, float)
POLYPTYCH_GELU_GRADIENT(gelu_gradient_bf16, uint16_t)

}  // namespace

Tensor gelu_gradient(const Tensor &g, const Tensor &x) {
  if (!readable(x) || g.scalar_type() != x.scalar_type()) return at::gelu_backward(g, x);
  auto by = g.contiguous(), from = x.contiguous(), out = at::empty_like(from);
  in_parallel(from.numel(), [&](int64_t begin, int64_t end) {
    if (from.scalar_type() == at::kFloat)
      gelu_gradient_floats(floats(by), floats(from), floats_of(out), begin, end);
    else
      gelu_gradient_bf16(bf16(by), bf16(from), bf16_of(out), begin, end);
  });
  return out;
}

Owned gelu(const Tensor &x) { return owned(gelu_of(x)); }

}  // namespace polyptych
