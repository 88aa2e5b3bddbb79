#include "polyptych-kernels/cpp/gelu.h"

#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/types.h"

namespace polyptych {

Tensor gelu_gradient(const Tensor &g, const Tensor &x) {
  if (!readable(x) || g.scalar_type() != x.scalar_type()) return at::gelu_backward(g, x);
  auto by = g.contiguous(), from = x.contiguous(), out = at::empty_like(from);
  in_parallel(from.numel(), [&](int64_t begin, int64_t end) {
    by_type(from, [&](auto type) {
      using T = decltype(type);
      POLYPTYCH_BEST(
          gelu_gradient<T>(numbers<T>(by), numbers<T>(from), numbers_of<T>(out), begin, end));
    });
  });
  return out;
}

Owned gelu(const Tensor &x) { return owned(gelu_of(x)); }

}  // namespace polyptych
