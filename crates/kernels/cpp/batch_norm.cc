// Batch normalisation and the ReLU behind it.
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/rows.h"
#include "polyptych-kernels/cpp/types.h"

#include <tuple>

namespace polyptych {

namespace {

// Rows whose sums are float32.
constexpr int64_t BLOCK = 128;

// The two sums that add(row, end, first, second) adds up over all rows, [2, channels] in float64.
// They are those of whole blocks, whatever the number of threads.
template <class Add>
Tensor channel_sums(int64_t rows, int64_t channels, Add add) {
  auto blocks = (rows + BLOCK - 1) / BLOCK, slots = whole(channels);
  auto parts = at::zeros({blocks, 2, slots}, at::kFloat);
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) {
      auto to = floats_of(parts) + b * 2 * slots;
      add(b * BLOCK, std::min(rows, (b + 1) * BLOCK), to, to + slots);
    }
  });
  auto sums = parts.sum({0}, false, at::kDouble);
  // The last vector of channels overlaps the one before.
  auto lanes = lanes_of(level()), last = up_to(channels, lanes) - lanes;
  auto over = last + lanes - channels;
  return at::cat({sums.narrow(1, 0, last), sums.narrow(1, last + over, lanes - over)}, 1);
}

// Mean and variance over rows, in float32. Sums of squares stay exact since they are taken from
// near the mean: that of a few rows.
std::pair<Tensor, Tensor> moments(const Tensor &x) {
  auto rows = x.size(0), channels = x.size(1);
  auto some = x.slice(0, 0, rows, std::max<int64_t>(1, rows / 16)).to(at::kFloat);
  auto centre = some.mean(0).contiguous();
  Tensor sums;
  by_type(x, [&](auto type) {
    using T = decltype(type);
    Channels all{channels, nullptr, nullptr, floats(centre)};
    auto from = numbers<T>(x);
    sums = channel_sums(rows, channels, [&](int64_t row, int64_t end, float *first, float *second) {
      POLYPTYCH_BEST(add_moments<T>(from, row, end, all, first, second));
    });
  });
  auto apart = sums[0] / rows;
  auto var = (sums[1] / rows - apart * apart).clamp_min(0);
  return {(centre + apart).to(at::kFloat), var.to(at::kFloat)};
}

template <class F>
void by_whole_rows(const Tensor &x, F f) {
  at::parallel_for(0, x.size(0), std::max<int64_t>(1, GRAIN / x.size(1)),
                   [&](int64_t begin, int64_t end) { f(begin * x.size(1), end - begin); });
}

struct BatchNormRelu : Function<BatchNormRelu> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight,
                        const Tensor &bias, Tensor mean, Tensor inverse) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto gain = weight * inverse, shift = bias - mean * gain;
    auto out = at::empty_like(x);
    Channels all{x.size(1), floats(gain), floats(shift), floats(mean)};
    by_type(x, [&](auto type) {
      using T = decltype(type);
      by_whole_rows(x, [&](int64_t at, int64_t rows) {
        POLYPTYCH_BEST(scaled_relu<T>(numbers<T>(x) + at, rows, all, numbers_of<T>(out) + at));
      });
    });
    ctx->save_for_backward({x, gain, shift, mean, inverse});
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &x = saved[0], &gain = saved[1], &shift = saved[2], &mean = saved[3], &inverse = saved[4];
    auto g = grads[0].contiguous();
    auto out = at::empty_like(x);
    Channels all{x.size(1), floats(gain), floats(shift), floats(mean)};
    Tensor dweight, dbias;
    by_type(x, [&](auto type) {
      using T = decltype(type);
      auto from = numbers<T>(x), by = numbers<T>(g);
      auto sums = channel_sums(
          x.size(0), all.count, [&](int64_t row, int64_t end, float *first, float *second) {
            POLYPTYCH_BEST(add_passed<T>(from, by, row, end, all, first, second));
          });
      dbias = sums[0].to(at::kFloat);
      dweight = (sums[1] * inverse).to(at::kFloat);
      auto flat = gain * dbias / x.size(0), slope = gain * inverse * dweight / x.size(0);
      by_whole_rows(x, [&](int64_t at, int64_t rows) {
        POLYPTYCH_BEST(norm_gradient<T>(from + at, by + at, rows, all, floats(flat), floats(slope),
                                        numbers_of<T>(out) + at));
      });
    });
    return {out, dweight, dbias, {}, {}};
  }
};

}  // namespace

Owned batch_norm_relu(const Tensor &in, const Tensor &w, const Tensor &b, const Tensor &mean,
                      const Tensor &var, double momentum, double eps, bool train) {
  for (auto t : {&w, &b, &mean, &var})
    TORCH_CHECK(in.dim() == 2 && t->dim() == 1 && t->size(0) == in.size(1),
                "batch_norm_relu: expected parameters for x ", in.sizes(), ", found ",
                t->sizes());
  bool known = !train && learns({&in, &w, &b});
  if (known || !readable(in) || in.size(1) < WIDEST || in.size(0) == 0 || traced()) {
    auto from = as_type(in, at::kFloat);
    auto normed = at::batch_norm(from, w, b, mean, var, train, momentum, eps, false);
    return owned(as_type(normed.relu(), in.scalar_type()));
  }
  auto flat = in.contiguous();
  Tensor centre = mean, spread = var;
  {
    at::NoGradGuard guard;
    if (train) {
      std::tie(centre, spread) = moments(flat.detach());
      auto count = static_cast<double>(flat.size(0));
      Tensor(mean).mul_(1 - momentum).add_(centre, momentum);
      Tensor(var).mul_(1 - momentum).add_(spread, momentum * count / (count - 1));
    }
    spread = (spread + eps).rsqrt_();
  }
  return owned(BatchNormRelu::apply(flat, w, b, centre, spread));
}

}  // namespace polyptych
