// Normalisation of rows, with statistics and parameters in float32.
#include "polyptych-tensor/src/kernels/rows.h"
#include "polyptych-tensor/src/kernels/tasks.h"

namespace polyptych {

namespace {

// out = (x - mean) rstd weight + bias; mean and rstd of each row are written too.
#define POLYPTYCH_LAYER_NORM(NAME, T)                                                        \
  POLYPTYCH_WIDE void NAME(const T *x, const float *weight, const float *bias, float eps,    \
                           T *out, float *means, float *rstds, int64_t begin, int64_t end,   \
                           int64_t count) {                                                  \
    float v[LONGEST], d[LONGEST];                                                            \
    for (int64_t j = count; j < whole(count); j++) v[j] = 0.0f;                              \
    for (int64_t row = begin; row < end; row++) {                                            \
      const T *own = x + row * count;                                                        \
      for (int64_t j = 0; j < count; j++) v[j] = wide(own[j]);                               \
      float mean = total(v, whole(count)) / static_cast<float>(count);                       \
      for (int64_t j = 0; j < whole(count); j++) d[j] = (v[j] - mean) * (v[j] - mean);       \
      for (int64_t j = count; j < whole(count); j++) d[j] = 0.0f;                            \
      float variance = total(d, whole(count)) / static_cast<float>(count);                   \
      float rstd = 1.0f / std::sqrt(variance + eps);                                         \
      for (int64_t j = 0; j < count; j++)                                                    \
        narrow((v[j] - mean) * rstd * weight[j] + bias[j], out[row * count + j]);            \
      means[row] = mean;                                                                     \
      rstds[row] = rstd;                                                                     \
    }                                                                                        \
  }
POLYPTYCH_LAYER_NORM(layer_norm_floats, float)
POLYPTYCH_LAYER_NORM(layer_norm_bf16, uint16_t)

// Gradients: that of x is written, those of weight and bias are added to.
#define POLYPTYCH_LAYER_NORM_GRADIENT(NAME, T)                                               \
  POLYPTYCH_WIDE void NAME(const T *x, const T *g, const float *weight, const float *means,  \
                           const float *rstds, T *dx, float *dweight, float *dbias,          \
                           int64_t begin, int64_t end, int64_t count) {                      \
    float normed[LONGEST], scaled[LONGEST], product[LONGEST];                                \
    for (int64_t j = count; j < whole(count); j++) scaled[j] = product[j] = 0.0f;            \
    for (int64_t row = begin; row < end; row++) {                                            \
      const T *own = x + row * count, *slope = g + row * count;                              \
      float mean = means[row], rstd = rstds[row];                                            \
      for (int64_t j = 0; j < count; j++) {                                                  \
        float by = wide(slope[j]);                                                           \
        normed[j] = (wide(own[j]) - mean) * rstd;                                            \
        scaled[j] = by * weight[j];                                                          \
        product[j] = scaled[j] * normed[j];                                                  \
        dweight[j] += by * normed[j];                                                        \
        dbias[j] += by;                                                                      \
      }                                                                                      \
      float of_sum = total(scaled, whole(count)) / static_cast<float>(count);                \
      float of_product = total(product, whole(count)) / static_cast<float>(count);           \
      for (int64_t j = 0; j < count; j++)                                                    \
        narrow(rstd * (scaled[j] - of_sum - normed[j] * of_product), dx[row * count + j]);   \
    }                                                                                        \
  }
POLYPTYCH_LAYER_NORM_GRADIENT(layer_norm_gradient, float)
POLYPTYCH_LAYER_NORM_GRADIENT(layer_norm_gradient_bf16, uint16_t)

// Kept: x and the statistics of its rows.
struct LayerNorm : Function<LayerNorm> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight,
                        const Tensor &bias, double eps) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto from = x.contiguous(), gain = in_floats(weight), shift = in_floats(bias);
    auto count = from.size(-1);
    auto out = at::empty_like(from);
    auto means = at::empty({from.numel() / count}, gain.options()), rstds = at::empty_like(means);
    by_rows(from, [&](int64_t begin, int64_t end) {
      auto least = static_cast<float>(eps);
      if (from.scalar_type() == at::kFloat)
        layer_norm_floats(floats(from), floats(gain), floats(shift), least, floats_of(out),
                          floats_of(means), floats_of(rstds), begin, end, count);
      else
        layer_norm_bf16(halves(from), floats(gain), floats(shift), least, halves_of(out),
                        floats_of(means), floats_of(rstds), begin, end, count);
    });
    ctx->save_for_backward({from, weight, means, rstds});
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &x = saved[0], &weight = saved[1], &means = saved[2], &rstds = saved[3];
    auto count = x.size(-1), number = x.numel() / count;
    auto g = grads[0].contiguous(), gain = in_floats(weight), dx = at::empty_like(x);
    auto sums = at::zeros({(number + STRETCH - 1) / STRETCH, 2, count}, gain.options());
    by_stretches(number, [&](int64_t stretch, int64_t begin, int64_t end) {
      auto dweight = floats_of(sums) + stretch * 2 * count, dbias = dweight + count;
      if (x.scalar_type() == at::kFloat)
        layer_norm_gradient(floats(x), floats(g), floats(gain), floats(means), floats(rstds),
                            floats_of(dx), dweight, dbias, begin, end, count);
      else
        layer_norm_gradient_bf16(halves(x), halves(g), floats(gain), floats(means), floats(rstds),
                                 halves_of(dx), dweight, dbias, begin, end, count);
    });
    auto whole = sums.sum(0).to(weight.scalar_type());
    return {dx, whole[0], whole[1], {}};
  }
};

}  // namespace

Address layer_norm(Address x, Address weight, Address bias, double eps) {
  auto &in = tensor(x), &gain = tensor(weight), &shift = tensor(bias);
  if (traced() || !readable(in) || in.numel() == 0 || in.size(-1) > LONGEST)
    return owned(at::layer_norm(in, {in.size(-1)}, as_type(gain, in.scalar_type()),
                                as_type(shift, in.scalar_type()), eps, false));
  return owned(LayerNorm::apply(in, gain, shift, eps));
}

}  // namespace polyptych
