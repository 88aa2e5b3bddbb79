// Batch normalisation and the ReLU behind it.
#include "polyptych-kernels/cpp/rows.h"
#include "polyptych-kernels/cpp/types.h"
#include "polyptych-kernels/cpp/vector.h"

#include <tuple>

namespace polyptych {

namespace {

// Rows whose sums are float32, and rows for which a sum stays in a register.
constexpr int64_t BLOCK = 128, TOGETHER = 8;

// f(at, slot) for vectors of channels: the last one overlaps the one before, and has a slot of its
// own for sums.
template <class F>
POLYPTYCH_INLINE void over_channels(int64_t channels, F f) {
  for (int64_t c = 0; c < channels; c += VEC) f(std::min(c, channels - VEC), c);
}

// Parameters of all channels; `mean` is what the input is measured from.
struct Channels {
  int64_t count;
  const float *gain, *shift, *mean;
};

// Sums of the distances to a centre and of their squares.
template <class T>
struct Moments {
  const T *x;

  template <int ROWS>
  POLYPTYCH_INLINE void add(int64_t from, int64_t at, const Channels &all, Vec &a, Vec &b) const {
    auto centre = load_vec(all.mean + at);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      auto apart = load_vec(x + from + r * all.count) - centre;
      a += apart;
      b += apart * apart;
    }
  }
};

// Sums of the gradient that passes the ReLU, and of its product with the distance to the mean.
template <class T>
struct Passed {
  const T *x, *g;

  template <int ROWS>
  POLYPTYCH_INLINE void add(int64_t from, int64_t at, const Channels &all, Vec &a, Vec &b) const {
    auto gain = load_vec(all.gain + at), shift = load_vec(all.shift + at);
    auto mean = load_vec(all.mean + at);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      auto v = load_vec(x + from + r * all.count);
      auto passed = v * gain + shift > 0.0f ? load_vec(g + from + r * all.count) : Vec{};
      a += passed;
      b += passed * (v - mean);
    }
  }
};

template <int ROWS, class Terms>
POLYPTYCH_INLINE void add_together(const Terms &terms, int64_t row, const Channels &all, float *a,
                               float *b) {
  over_channels(all.count, [&](int64_t at, int64_t slot) {
    auto first = load_vec(a + slot), second = load_vec(b + slot);
    terms.template add<ROWS>(row * all.count + at, at, all, first, second);
    store_vec(first, a + slot);
    store_vec(second, b + slot);
  });
}

template <class Terms>
POLYPTYCH_INLINE void add_block(const Terms &terms, int64_t row, int64_t end, const Channels &all,
                                float *a, float *b) {
  for (; row + TOGETHER <= end; row += TOGETHER) add_together<TOGETHER>(terms, row, all, a, b);
  for (; row < end; row++) add_together<1>(terms, row, all, a, b);
}

// Compilers make copies for each width of vectors of plain functions alone.
#define POLYPTYCH_NORM_LOOPS(T)                                                              \
  POLYPTYCH_WIDE void add_all(const Moments<T> &terms, int64_t row, int64_t end,             \
                              const Channels &all, float *a, float *b) {                     \
    add_block(terms, row, end, all, a, b);                                                   \
  }                                                                                          \
  POLYPTYCH_WIDE void add_all(const Passed<T> &terms, int64_t row, int64_t end,              \
                              const Channels &all, float *a, float *b) {                     \
    add_block(terms, row, end, all, a, b);                                                   \
  }                                                                                          \
  POLYPTYCH_WIDE void scaled_relu(const T *x, int64_t rows, const Channels &all, T *out) {   \
    for (int64_t r = 0; r < rows; r++)                                                       \
      over_channels(all.count, [&](int64_t at, int64_t) {                                    \
        auto from = r * all.count + at;                                                      \
        auto v = load_vec(x + from) * load_vec(all.gain + at) + load_vec(all.shift + at);    \
        /* No number stays none. */                                                          \
        store_vec(v <= 0.0f ? Vec{} : v, out + from);                                        \
      });                                                                                    \
  }                                                                                          \
  /* gain passed - flat - slope (x - mean) */                                                \
  POLYPTYCH_WIDE void norm_gradient(const T *x, const T *g, int64_t rows, const Channels &all,    \
                               const float *flat, const float *slope, T *out) {              \
    for (int64_t r = 0; r < rows; r++)                                                       \
      over_channels(all.count, [&](int64_t at, int64_t) {                                    \
        auto from = r * all.count + at;                                                      \
        auto v = load_vec(x + from), gain = load_vec(all.gain + at);                         \
        auto passes = v * gain + load_vec(all.shift + at) > 0.0f;                            \
        auto passed = passes ? gain * load_vec(g + from) : Vec{};                            \
        auto along = load_vec(slope + at) * (v - load_vec(all.mean + at));                   \
        store_vec(passed - load_vec(flat + at) - along, out + from);                         \
      });                                                                                    \
  }
POLYPTYCH_NORM_LOOPS(float)
POLYPTYCH_NORM_LOOPS(uint16_t)

// Both sums of `terms` over all rows, [2, channels] in float64. They are those of whole blocks,
// whatever the number of threads.
template <class Terms>
Tensor channel_sums(const Terms &terms, int64_t rows, const Channels &all) {
  auto blocks = (rows + BLOCK - 1) / BLOCK, slots = whole(all.count), over = slots - all.count;
  auto parts = at::zeros({blocks, 2, slots}, at::kFloat);
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) {
      auto to = floats_of(parts) + b * 2 * slots;
      add_all(terms, b * BLOCK, std::min(rows, (b + 1) * BLOCK), all, to, to + slots);
    }
  });
  auto sums = parts.sum({0}, false, at::kDouble);
  auto last = sums.narrow(1, slots - VEC + over, VEC - over);
  return at::cat({sums.narrow(1, 0, slots - VEC), last}, 1);
}

// Mean and variance over rows, in float32. Sums of squares stay exact since they are taken from
// near the mean: that of a few rows.
std::pair<Tensor, Tensor> moments(const Tensor &x) {
  auto rows = x.size(0), channels = x.size(1);
  auto some = x.slice(0, 0, rows, std::max<int64_t>(1, rows / 16)).to(at::kFloat);
  auto centre = some.mean(0).contiguous();
  Tensor sums;
  by_type(x, [&](auto type) {
    Moments<decltype(type)> terms{numbers<decltype(type)>(x)};
    sums = channel_sums(terms, rows, {channels, nullptr, nullptr, floats(centre)});
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
        scaled_relu(numbers<T>(x) + at, rows, all, numbers_of<T>(out) + at);
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
      auto sums = channel_sums(Passed<T>{numbers<T>(x), numbers<T>(g)}, x.size(0), all);
      dbias = sums[0].to(at::kFloat);
      dweight = (sums[1] * inverse).to(at::kFloat);
      auto flat = gain * dbias / x.size(0), slope = gain * inverse * dweight / x.size(0);
      by_whole_rows(x, [&](int64_t at, int64_t rows) {
        norm_gradient(numbers<T>(x) + at, numbers<T>(g) + at, rows, all, floats(flat), floats(slope),
                 numbers_of<T>(out) + at);
      });
    });
    return {out, dweight, dbias, {}, {}};
  }
};

}  // namespace

Owned batch_norm_relu(const Tensor &in, const Tensor &w, const Tensor &b, const Tensor &mean,
                      const Tensor &var, double momentum, double eps, bool train) {
  for (auto t : {&w, &b, &mean, &var})
    TORCH_CHECK(in.dim() == 2 && t->dim() == 1 && t->size(0) == in.size(1), "batch_norm_relu: expected parameters for x ",
                in.sizes(), ", found ", t->sizes());
  bool known = !train && learns({&in, &w, &b});
  if (known || !readable(in) || in.size(1) < VEC || in.size(0) == 0 || traced()) {
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
