// Distance of vectors of a map, at unit length, from those of a target.
#include "polyptych-kernels/cpp/pixels.h"

namespace polyptych {

namespace {

// Keeps a zero vector from 0 / 0.
constexpr float SHORTEST = 1e-12f;

POLYPTYCH_INLINE float length_of(const float *z, int64_t plane, int64_t l) {
  float x = z[l], y = z[plane + l], last = z[2 * plane + l];
  return std::sqrt(x * x + y * y + last * last);
}

POLYPTYCH_WIDE void distances(const float *z, const float *target, int64_t plane, int64_t begin,
                              int64_t end, double *to) {
  float sum[PIXELS] = {0}, labelled[PIXELS] = {0};
  by_strips(begin, end, [&](int64_t at, int64_t count) POLYPTYCH_ALWAYS {
    for (int64_t l = 0; l < count; l++) {
      float unit = 1.0f / (length_of(z + at, plane, l) + SHORTEST);
      for (int64_t c = 0; c < 3; c++) {
        auto from = c * plane + at + l;
        bool known = target[from] == target[from];
        sum[l] += known ? std::fabs(z[from] * unit - target[from]) : 0.0f;
        labelled[l] += known ? 1.0f : 0.0f;
      }
    }
  });
  to[0] = pixel_sum(sum);
  to[1] = pixel_sum(labelled);
}

// By a vector: of what a sign says of each component, the part across the vector.
POLYPTYCH_WIDE void distance_gradients(const float *z, const float *target, int64_t plane,
                                       int64_t begin, int64_t end, float scale, float *out) {
  by_strips(begin, end, [&](int64_t at, int64_t count) POLYPTYCH_ALWAYS {
    float along[PIXELS], unit[PIXELS], known[PIXELS];
    for (int64_t l = 0; l < count; l++) {
      float length = length_of(z + at, plane, l);
      unit[l] = 1.0f / (length + SHORTEST);
      along[l] = known[l] = 0.0f;
      for (int64_t c = 0; c < 3; c++) {
        auto from = c * plane + at + l;
        float apart = z[from] * unit[l] - target[from];
        float sign = apart > 0.0f ? scale : apart < 0.0f ? -scale : 0.0f;
        // No number has no sign, and neither has what is compared with one.
        out[from] = sign;
        along[l] += sign * z[from];
        known[l] += target[from] == target[from] ? 1.0f : 0.0f;
      }
      // A zero vector has no direction.
      along[l] = length == 0.0f ? 0.0f : along[l] * unit[l] / length;
    }
    for (int64_t c = 0; c < 3; c++)
      for (int64_t l = 0; l < count; l++) {
        auto from = c * plane + at + l;
        out[from] = known[l] == 0.0f ? 0.0f : (out[from] - along[l] * z[from]) * unit[l];
      }
  });
}

struct NormalsL1 : Function<NormalsL1> {
  static Tensor forward(AutogradContext *ctx, const Tensor &z, const Tensor &target,
                        int64_t *labelled) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto images = z.size(0), plane = z.size(2) * z.size(3);
    auto parts = at::empty({images * patches(plane), 2}, at::kDouble);
    by_pixels(images, plane, [&](int64_t image, int64_t patch, int64_t begin, int64_t end) {
      auto at = image * 3 * plane;
      distances(floats(z) + at, floats(target) + at, plane, begin, end,
                parts.data_ptr<double>() + patch * 2);
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
      distance_gradients(floats(z) + at, floats(target) + at, plane, begin, end, scale,
                         floats_of(out) + at);
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
