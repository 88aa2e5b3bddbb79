// Distance of vectors of a map, at unit length, from those of a target.
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/pixels.h"

namespace polyptych {

namespace {

struct NormalsL1 : Function<NormalsL1> {
  static Tensor forward(AutogradContext *ctx, const Tensor &z, const Tensor &target,
                        int64_t *labelled) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto images = z.size(0), plane = z.size(2) * z.size(3);
    auto parts = at::empty({images * patches(plane), 2}, at::kDouble);
    by_pixels(images, plane, [&](int64_t image, int64_t patch, int64_t begin, int64_t end) {
      auto at = image * 3 * plane;
      POLYPTYCH_BEST(distances(floats(z) + at, floats(target) + at, plane, begin, end,
                               doubles_of(parts) + patch * 2));
    });
    auto sums = parts.sum(0);
    auto total = sums.const_data_ptr<double>();
    *labelled = static_cast<int64_t>(total[1]);
    auto count = std::max(total[1], 1.0);
    ctx->save_for_backward({z, target});
    ctx->saved_data["count"] = count;
    return at::full({}, total[0] / count, z.options());
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &z = saved[0], &target = saved[1];
    auto plane = z.size(2) * z.size(3);
    auto scale = static_cast<float>(grads[0].item<double>() / ctx->saved_data["count"].toDouble());
    auto out = at::empty_like(z);
    by_pixels(z.size(0), plane, [&](int64_t image, int64_t, int64_t begin, int64_t end) {
      auto at = image * 3 * plane;
      POLYPTYCH_BEST(distance_gradients(floats(z) + at, floats(target) + at, plane, begin, end,
                                        scale, floats_of(out) + at));
    });
    return {out, {}, {}};
  }
};

}  // namespace

Owned normals_l1(const Tensor &z, const Tensor &y, std::int64_t &labelled) {
  if (!fits_pixels(z, y) || z.size(1) != 3) return nullptr;
  TORCH_CHECK(y.sizes() == z.sizes(), "normals_l1: expected target ", z.sizes(), ", found ",
              y.sizes());
  return owned(NormalsL1::apply(z.contiguous(), y.contiguous(), &labelled));
}

}  // namespace polyptych
