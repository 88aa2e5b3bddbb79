// Batch normalisation and the ReLU behind it.
#include "polyptych-tensor/src/kernels/tensors.h"

namespace polyptych {

namespace {

// Channels that are treated together: a few lines of cache.
constexpr int64_t CHANNELS = 64;

template <class F>
void by_channels(int64_t channels, F f) {
  auto blocks = (channels + CHANNELS - 1) / CHANNELS;
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; block++)
      f(block * CHANNELS, std::min(CHANNELS, channels - block * CHANNELS));
  });
}

// sum += of `count` channels over rows, in stretches whose sums are short.
#define POLYPTYCH_SUMS(NAME, T)                                                              \
  POLYPTYCH_WIDE void NAME(const T *x, int64_t rows, int64_t stride, int64_t count,          \
                           const float *mean, double *sum) {                                 \
    for (int64_t first = 0; first < rows; first += 128) {                                    \
      float part[CHANNELS] = {0};                                                            \
      for (int64_t r = first; r < std::min(rows, first + 128); r++)                          \
        for (int64_t c = 0; c < count; c++) {                                                \
          float v = wide(x[r * stride + c]);                                                 \
          part[c] += mean == nullptr ? v : (v - mean[c]) * (v - mean[c]);                    \
        }                                                                                    \
      for (int64_t c = 0; c < count; c++) sum[c] += part[c];                                 \
    }                                                                                        \
  }
POLYPTYCH_SUMS(sums, float)
POLYPTYCH_SUMS(sums_bf16, uint16_t)

#define POLYPTYCH_SCALED_RELU(NAME, T)                                                       \
  POLYPTYCH_WIDE void NAME(const T *x, T *out, int64_t rows, int64_t stride, int64_t count,  \
                           const float *gain, const float *shift) {                          \
    for (int64_t r = 0; r < rows; r++)                                                       \
      for (int64_t c = 0; c < count; c++) {                                                  \
        float v = wide(x[r * stride + c]) * gain[c] + shift[c];                              \
        narrow(v > 0.0f || v != v ? v : 0.0f, out[r * stride + c]);                          \
      }                                                                                      \
  }
POLYPTYCH_SCALED_RELU(scaled_relu, float)
POLYPTYCH_SCALED_RELU(scaled_relu_bf16, uint16_t)

// Sums of the gradient that passes the ReLU, and of its product with the normalised input.
#define POLYPTYCH_GRADIENT_SUMS(NAME, T)                                                     \
  POLYPTYCH_WIDE void NAME(const T *x, const T *g, int64_t rows, int64_t stride,             \
                           int64_t count, const float *gain, const float *shift,             \
                           const float *mean, const float *inverse, double *sum,             \
                           double *product) {                                                \
    for (int64_t first = 0; first < rows; first += 128) {                                    \
      float a[CHANNELS] = {0}, b[CHANNELS] = {0};                                            \
      for (int64_t r = first; r < std::min(rows, first + 128); r++)                          \
        for (int64_t c = 0; c < count; c++) {                                                \
          float v = wide(x[r * stride + c]);                                                 \
          float passed = v * gain[c] + shift[c] > 0.0f ? wide(g[r * stride + c]) : 0.0f;     \
          a[c] += passed;                                                                    \
          b[c] += passed * (v - mean[c]) * inverse[c];                                       \
        }                                                                                    \
      for (int64_t c = 0; c < count; c++) {                                                  \
        sum[c] += a[c];                                                                      \
        product[c] += b[c];                                                                  \
      }                                                                                      \
    }                                                                                        \
  }
POLYPTYCH_GRADIENT_SUMS(gradient_sums, float)
POLYPTYCH_GRADIENT_SUMS(gradient_sums_bf16, uint16_t)

// gain (passed - of_sum - normalised of_product).
#define POLYPTYCH_GRADIENT(NAME, T)                                                          \
  POLYPTYCH_WIDE void NAME(const T *x, const T *g, T *out, int64_t rows, int64_t stride,     \
                           int64_t count, const float *gain, const float *shift,             \
                           const float *mean, const float *inverse, const float *of_sum,     \
                           const float *of_product) {                                        \
    for (int64_t r = 0; r < rows; r++)                                                       \
      for (int64_t c = 0; c < count; c++) {                                                  \
        float v = wide(x[r * stride + c]);                                                   \
        float passed = v * gain[c] + shift[c] > 0.0f ? wide(g[r * stride + c]) : 0.0f;       \
        float normalised = (v - mean[c]) * inverse[c];                                       \
        narrow(gain[c] * (passed - of_sum[c] - normalised * of_product[c]),                  \
               out[r * stride + c]);                                                         \
      }                                                                                      \
  }
POLYPTYCH_GRADIENT(gradient, float)
POLYPTYCH_GRADIENT(gradient_bf16, uint16_t)

// Mean over rows of x, or of the squared distance to `mean`, in float32.
Tensor over_rows(const Tensor &x, const Tensor &mean) {
  auto count = x.size(0), channels = x.size(1);
  auto out = at::empty({channels}, x.options().dtype(at::kFloat));
  auto centre = mean.defined() ? mean.const_data_ptr<float>() : nullptr;
  by_channels(channels, [&](int64_t first, int64_t width) {
    double sum[CHANNELS] = {0};
    auto from = centre == nullptr ? nullptr : centre + first;
    if (x.scalar_type() == at::kFloat)
      sums(x.const_data_ptr<float>() + first, count, channels, width, from, sum);
    else
      sums_bf16(halves(x) + first, count, channels, width, from, sum);
    for (int64_t c = 0; c < width; c++)
      out.data_ptr<float>()[first + c] = static_cast<float>(sum[c] / static_cast<double>(count));
  });
  return out;
}

struct BatchNormRelu : Function<BatchNormRelu> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight,
                        const Tensor &bias, Tensor mean, Tensor inverse) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto gain = weight * inverse, shift = bias - mean * gain;
    auto out = at::empty_like(x);
    auto count = x.size(0), channels = x.size(1);
    by_channels(channels, [&](int64_t first, int64_t width) {
      auto g = gain.const_data_ptr<float>() + first, s = shift.const_data_ptr<float>() + first;
      if (x.scalar_type() == at::kFloat)
        scaled_relu(x.const_data_ptr<float>() + first, out.data_ptr<float>() + first, count,
                    channels, width, g, s);
      else
        scaled_relu_bf16(halves(x) + first, halves_of(out) + first, count, channels, width, g, s);
    });
    ctx->save_for_backward({x, gain, shift, mean, inverse});
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &x = saved[0], &gain = saved[1], &shift = saved[2], &mean = saved[3], &inverse = saved[4];
    auto g = grads[0].contiguous();
    auto out = at::empty_like(x);
    auto dweight = at::empty_like(gain), dbias = at::empty_like(gain);
    auto count = x.size(0), channels = x.size(1);
    by_channels(channels, [&](int64_t first, int64_t width) {
      auto at = [&](const Tensor &t) { return t.const_data_ptr<float>() + first; };
      double sum[CHANNELS] = {0}, with[CHANNELS] = {0};
      bool floats = x.scalar_type() == at::kFloat;
      if (floats)
        gradient_sums(at(x), at(g), count, channels, width, at(gain), at(shift), at(mean),
                      at(inverse), sum, with);
      else
        gradient_sums_bf16(halves(x) + first, halves(g) + first, count, channels, width, at(gain),
                           at(shift), at(mean), at(inverse), sum, with);
      float of_sum[CHANNELS], of_product[CHANNELS];
      for (int64_t c = 0; c < width; c++) {
        dbias.data_ptr<float>()[first + c] = static_cast<float>(sum[c]);
        dweight.data_ptr<float>()[first + c] = static_cast<float>(with[c]);
        of_sum[c] = static_cast<float>(sum[c] / static_cast<double>(count));
        of_product[c] = static_cast<float>(with[c] / static_cast<double>(count));
      }
      if (floats)
        gradient(at(x), at(g), out.data_ptr<float>() + first, count, channels, width, at(gain),
                 at(shift), at(mean), at(inverse), of_sum, of_product);
      else
        gradient_bf16(halves(x) + first, halves(g) + first, halves_of(out) + first, count, channels,
                      width, at(gain), at(shift), at(mean), at(inverse), of_sum, of_product);
    });
    return {out, dweight, dbias, {}, {}};
  }
};

}  // namespace

Address batch_norm_relu(Address x, Address weight, Address bias, Address running_mean,
                        Address running_var, double momentum, double eps, bool train) {
  auto &in = tensor(x);
  auto &mean = tensor(running_mean), &var = tensor(running_var);
  auto &w = tensor(weight), &b = tensor(bias);
  bool known = !train && learns({&in, &w, &b});
  if (known || !readable(in) || traced()) {
    auto from = as_type(in, at::kFloat);
    auto normed = at::batch_norm(from, w, b, mean, var, train, momentum, eps, false);
    return owned(as_type(normed.relu(), in.scalar_type()));
  }
  auto flat = in.contiguous();
  Tensor centre = mean, spread = var;
  {
    at::NoGradGuard guard;
    if (train) {
      auto values = flat.detach();
      centre = over_rows(values, {});
      spread = over_rows(values, centre);
      auto count = static_cast<double>(flat.size(0));
      Tensor(mean).mul_(1 - momentum).add_(centre, momentum);
      Tensor(var).mul_(1 - momentum).add_(spread, momentum * count / (count - 1));
    }
    spread = (spread + eps).rsqrt_();
  }
  return owned(BatchNormRelu::apply(flat, w, b, centre, spread));
}

}  // namespace polyptych
