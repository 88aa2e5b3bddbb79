// Cross entropy of planes of logits, one plane a class.
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/pixels.h"

#include <string>

namespace polyptych {

namespace {

struct CrossEntropy : Function<CrossEntropy> {
  static Tensor forward(AutogradContext *ctx, const Tensor &z, const Tensor &label, double spread,
                        double background, int64_t *labelled) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto images = z.size(0), plane = z.size(2) * z.size(3);
    Classes of{z.size(1), plane, static_cast<float>(spread), static_cast<float>(background)};
    auto kept = at::empty({2, images, plane}, z.options());
    auto parts = at::empty({images * patches(plane), 4}, at::kDouble);
    by_pixels(images, plane, [&](int64_t image, int64_t patch, int64_t begin, int64_t end) {
      auto top = floats_of(kept) + image * plane;
      POLYPTYCH_BEST(patch_loss(floats(z) + image * of.count * plane, floats(label) + image * plane,
                                of, begin, end, top, top + images * plane,
                                doubles_of(parts) + patch * 4));
    });
    auto sums = parts.sum(0);
    auto total = sums.const_data_ptr<double>();
    TORCH_CHECK_INDEX(total[3] == 0.0, outside(label, of.count));
    *labelled = static_cast<int64_t>(total[2]);
    // Without labels there is no loss.
    auto weight = total[2] == 0.0 ? 1.0 : total[1];
    ctx->save_for_backward({z, label, kept});
    ctx->saved_data["spread"] = spread;
    ctx->saved_data["background"] = background;
    ctx->saved_data["weight"] = weight;
    return at::full({}, total[0] / weight, z.options());
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &z = saved[0], &label = saved[1], &kept = saved[2];
    auto images = z.size(0), plane = z.size(2) * z.size(3);
    Classes of{z.size(1), plane, static_cast<float>(ctx->saved_data["spread"].toDouble()),
               static_cast<float>(ctx->saved_data["background"].toDouble())};
    auto scale = grads[0].item<double>() / ctx->saved_data["weight"].toDouble();
    auto out = at::empty_like(z);
    by_pixels(images, plane, [&](int64_t image, int64_t, int64_t begin, int64_t end) {
      auto top = floats(kept) + image * plane;
      auto at = image * of.count * plane;
      POLYPTYCH_BEST(patch_gradient(floats(z) + at, floats(label) + image * plane, of, begin, end,
                                    top, top + images * plane, static_cast<float>(scale),
                                    floats_of(out) + at));
    });
    return {out, {}, {}, {}, {}};
  }

  static std::string outside(const Tensor &label, int64_t classes) {
    auto index = label.masked_select(label.isnan().logical_not()).trunc();
    auto wrong = index.masked_select(index.lt(0).logical_or(index.ge(classes)));
    return c10::str("index ", wrong[0].item<double>(), " is out of bounds: there are ", classes,
                    " classes");
  }
};

}  // namespace

Owned cross_entropy(const Tensor &z, const Tensor &label, double smoothing,
                    double background_weight, std::int64_t &labelled) {
  if (!fits_pixels(z, label)) return nullptr;
  TORCH_CHECK(label.size(0) == z.size(0) && label.size(1) == 1 &&
                  label.sizes().slice(2) == z.sizes().slice(2),
              "cross_entropy: expected target [batch, 1, height, width] for ", z.sizes(),
              ", found ", label.sizes());
  return owned(CrossEntropy::apply(z.contiguous(), label.contiguous(), smoothing, background_weight,
                                   &labelled));
}

}  // namespace polyptych
