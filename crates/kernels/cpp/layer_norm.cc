// Normalisation of rows, with statistics and parameters in float32.
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/rows.h"
#include "polyptych-kernels/cpp/tasks.h"
#include "polyptych-kernels/cpp/types.h"

namespace polyptych {

namespace {

// In float32, with zeros up to whole vectors.
Tensor whole_line(const Tensor &x) {
  auto line = in_floats(x);
  auto rest = whole(line.numel()) - line.numel();
  return rest == 0 ? line : at::constant_pad_nd(line, {0, rest});
}

// Kept: x and the statistics of its rows.
struct LayerNorm : Function<LayerNorm> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight,
                        const Tensor &bias, double eps) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto from = x.contiguous(), gain = whole_line(weight), shift = whole_line(bias);
    auto count = from.size(-1);
    auto out = at::empty_like(from);
    auto means = at::empty({from.numel() / count}, gain.options()), rstds = at::empty_like(means);
    by_type(from, [&](auto type) {
      using T = decltype(type);
      by_rows(from, [&](int64_t begin, int64_t end) {
        POLYPTYCH_BEST(layer_norm<T>(numbers<T>(from), floats(gain), floats(shift),
                                     static_cast<float>(eps), numbers_of<T>(out), floats_of(means),
                                     floats_of(rstds), begin, end, count));
      });
    });
    ctx->save_for_backward({from, weight, means, rstds});
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &x = saved[0], &weight = saved[1], &means = saved[2], &rstds = saved[3];
    auto count = x.size(-1), number = x.numel() / count;
    auto g = grads[0].contiguous(), gain = whole_line(weight), dx = at::empty_like(x);
    auto line = gain.numel();
    auto sums = at::zeros({(number + STRETCH - 1) / STRETCH, 2, line}, gain.options());
    by_stretches(number, [&](int64_t stretch, int64_t begin, int64_t end) {
      auto dweight = floats_of(sums) + stretch * 2 * line, dbias = dweight + line;
      by_type(x, [&](auto type) {
        using T = decltype(type);
        POLYPTYCH_BEST(layer_norm_gradient<T>(numbers<T>(x), numbers<T>(g), floats(gain),
                                              floats(means), floats(rstds), numbers_of<T>(dx),
                                              dweight, dbias, begin, end, count));
      });
    });
    auto both = sums.sum(0).narrow(1, 0, count).to(weight.scalar_type());
    return {dx, both[0], both[1], {}};
  }
};

}  // namespace

Owned layer_norm(const Tensor &in, const Tensor &gain, const Tensor &shift, double eps) {
  for (auto t : {&gain, &shift})
    TORCH_CHECK(in.dim() > 0 && t->dim() == 1 && t->size(0) == in.size(-1),
                "layer_norm: expected parameters for x ", in.sizes(), ", found ", t->sizes());
  if (traced() || !readable(in) || in.numel() == 0 || in.size(-1) > LONGEST)
    return owned(at::layer_norm(in, {in.size(-1)}, as_type(gain, in.scalar_type()),
                                as_type(shift, in.scalar_type()), eps, false));
  return owned(LayerNorm::apply(in, gain, shift, eps));
}

}  // namespace polyptych
