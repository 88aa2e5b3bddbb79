// Bilinear resizing of maps whose channels come last, pixels as areas.
#include "polyptych-tensor/src/kernels/tensors.h"

namespace polyptych {

namespace {

// Between which two positions of an axis each new position lies, and how near to the second.
struct Axis {
  std::vector<int64_t> low, high;
  std::vector<float> share;

  Axis(int64_t from, int64_t to) : low(to), high(to), share(to) {
    auto scale = static_cast<float>(from) / static_cast<float>(to);
    for (int64_t i = 0; i < to; i++) {
      auto at = std::max((static_cast<float>(i) + 0.5f) * scale - 0.5f, 0.0f);
      low[i] = std::min(static_cast<int64_t>(at), from - 1);
      high[i] = std::min(low[i] + 1, from - 1);
      share[i] = std::min(at - static_cast<float>(low[i]), 1.0f);
    }
  }
};

// A row of [width, channels] to one of as many positions as `axis` has.
#define POLYPTYCH_ALONG(NAME, T)                                                             \
  POLYPTYCH_WIDE void NAME(const T *row, const Axis &axis, int64_t channels, float *out) {   \
    for (size_t i = 0; i < axis.low.size(); i++) {                                           \
      const T *a = row + axis.low[i] * channels, *b = row + axis.high[i] * channels;         \
      float *to = out + static_cast<int64_t>(i) * channels, share = axis.share[i];           \
      for (int64_t c = 0; c < channels; c++)                                                 \
        to[c] = wide(a[c]) * (1.0f - share) + wide(b[c]) * share;                            \
    }                                                                                        \
  }
POLYPTYCH_ALONG(along, float)
POLYPTYCH_ALONG(along_bf16, uint16_t)

// Gradient of the above: added to `row`.
POLYPTYCH_WIDE void along_gradient(const float *g, const Axis &axis, int64_t channels, float *row) {
  for (size_t i = 0; i < axis.low.size(); i++) {
    const float *from = g + static_cast<int64_t>(i) * channels;
    float *a = row + axis.low[i] * channels, *b = row + axis.high[i] * channels;
    float share = axis.share[i];
    for (int64_t c = 0; c < channels; c++) a[c] += from[c] * (1.0f - share);
    for (int64_t c = 0; c < channels; c++) b[c] += from[c] * share;
  }
}

POLYPTYCH_WIDE void blend(const float *a, const float *b, float share, float *onto, int64_t count) {
  for (int64_t i = 0; i < count; i++) onto[i] += a[i] * (1.0f - share) + b[i] * share;
}

#define POLYPTYCH_ADD_ROW(NAME, T)                                                           \
  POLYPTYCH_WIDE void NAME(const T *x, float factor, float *onto, int64_t count) {           \
    for (int64_t i = 0; i < count; i++) onto[i] += factor * wide(x[i]);                      \
  }
POLYPTYCH_ADD_ROW(add_row, float)
POLYPTYCH_ADD_ROW(add_row_bf16, uint16_t)

#define POLYPTYCH_STORE_ROW(NAME, T)                                                         \
  POLYPTYCH_WIDE void NAME(const float *x, T *out, int64_t count) {                          \
    for (int64_t i = 0; i < count; i++) narrow(x[i], out[i]);                                \
  }
POLYPTYCH_STORE_ROW(store_row, float)
POLYPTYCH_STORE_ROW(store_row_bf16, uint16_t)

void add_to(const Tensor &x, int64_t at, float factor, float *onto, int64_t count) {
  if (x.scalar_type() == at::kFloat)
    add_row(floats(x) + at, factor, onto, count);
  else
    add_row_bf16(halves(x) + at, factor, onto, count);
}

void store(const float *x, const Tensor &out, int64_t at, int64_t count) {
  if (out.scalar_type() == at::kFloat)
    store_row(x, floats_of(out) + at, count);
  else
    store_row_bf16(x, halves_of(out) + at, count);
}

template <class F>
void by_maps(const Tensor &x, F f) {
  auto each = std::max<int64_t>(1, x.numel() / x.size(0));
  at::parallel_for(0, x.size(0), std::max<int64_t>(1, GRAIN / each),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t b = begin; b < end; b++) f(b);
                   });
}

// Sum of maps resized to `height` by `width`, and of `onto`, if it is defined.
// levels: [batch, h, w, channels] each.
Tensor resized(const std::vector<Tensor> &levels, const Tensor &onto, int64_t height, int64_t width) {
  auto &first = levels[0];
  auto line = width * first.size(3);
  auto out = at::empty({first.size(0), height, width, first.size(3)}, first.options());
  by_maps(out, [&](int64_t b) {
    std::vector<std::vector<float>> spread;
    std::vector<Axis> down;
    for (auto &level : levels) {
      auto rows = level.size(1), within = level.size(2) * level.size(3);
      Axis across(level.size(2), width);
      down.emplace_back(rows, height);
      spread.emplace_back(rows * line);
      for (int64_t y = 0; y < rows; y++) {
        auto at = (b * rows + y) * within;
        auto to = spread.back().data() + y * line;
        if (level.scalar_type() == at::kFloat)
          along(floats(level) + at, across, level.size(3), to);
        else
          along_bf16(halves(level) + at, across, level.size(3), to);
      }
    }
    std::vector<float> sum(line);
    for (int64_t y = 0; y < height; y++) {
      std::fill(sum.begin(), sum.end(), 0.0f);
      auto at = (b * height + y) * line;
      if (onto.defined()) add_to(onto, at, 1.0f, sum.data(), line);
      for (size_t l = 0; l < levels.size(); l++) {
        auto from = spread[l].data();
        blend(from + down[l].low[y] * line, from + down[l].high[y] * line, down[l].share[y],
              sum.data(), line);
      }
      store(sum.data(), out, at, line);
    }
  });
  return out;
}

// Gradient by one level of `size`, [batch, h, w, channels]. g: [batch, height, width, channels].
Tensor resized_gradient(const Tensor &g, at::IntArrayRef size) {
  auto height = g.size(1), line = g.size(2) * size[3], within = size[2] * size[3];
  auto out = at::empty(size, g.options());
  Axis down(size[1], height), across(size[2], g.size(2));
  by_maps(g, [&](int64_t b) {
    std::vector<float> sums(size[1] * line), row(within);
    for (int64_t y = 0; y < height; y++) {
      auto at = (b * height + y) * line;
      auto low = sums.data() + down.low[y] * line, high = sums.data() + down.high[y] * line;
      add_to(g, at, 1.0f - down.share[y], low, line);
      if (down.share[y] > 0.0f) add_to(g, at, down.share[y], high, line);
    }
    for (int64_t y = 0; y < size[1]; y++) {
      std::fill(row.begin(), row.end(), 0.0f);
      along_gradient(sums.data() + y * line, across, size[3], row.data());
      store(row.data(), out, (b * size[1] + y) * within, within);
    }
  });
  return out;
}

struct Upsample : Function<Upsample> {
  static Tensor forward(AutogradContext *ctx, at::TensorList levels,
                        const std::optional<Tensor> &onto, int64_t height, int64_t width) {
    at::AutoDispatchBelowADInplaceOrView guard;
    variable_list from;
    std::vector<int64_t> sizes;
    for (auto &level : levels) {
      from.push_back(level.contiguous());
      sizes.insert(sizes.end(), level.sizes().begin(), level.sizes().end());
    }
    ctx->saved_data["sizes"] = sizes;
    ctx->saved_data["onto"] = onto.has_value();
    auto under = onto.has_value() ? onto->contiguous() : Tensor();
    return resized(from, under, height, width);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto sizes = ctx->saved_data["sizes"].toIntVector();
    auto g = grads[0].contiguous();
    variable_list out;
    for (size_t l = 0; l < sizes.size() / 4; l++)
      out.push_back(ctx->needs_input_grad(l)
                        ? resized_gradient(g, at::IntArrayRef(sizes.data() + 4 * l, 4))
                        : Tensor());
    out.insert(out.end(), {ctx->saved_data["onto"].toBool() ? g : Tensor(), Tensor(), Tensor()});
    return out;
  }
};

Tensor plain_upsample(const variable_list &levels, const Tensor &onto, at::IntArrayRef size) {
  Tensor sum = onto;
  for (auto &level : levels) {
    auto map = at::upsample_bilinear2d(level.permute({0, 3, 1, 2}), size, false);
    auto last = map.permute({0, 2, 3, 1});
    sum = sum.defined() ? sum + last : last;
  }
  return sum;
}

}  // namespace

Address upsample(rust::Slice<const std::size_t> levels, Address onto, std::int64_t height,
                 std::int64_t width) {
  variable_list all;
  for (auto address : levels) all.push_back(tensor(address));
  auto &under = tensor(onto);
  bool fit = !traced();
  for (auto &level : all)
    fit = fit && readable(level) && level.numel() > 0 && level.scalar_type() == all[0].scalar_type();
  if (!fit || (under.defined() && under.scalar_type() != all[0].scalar_type()))
    return owned(plain_upsample(all, under, {height, width}));
  return owned(Upsample::apply(at::TensorList(all), some(under), height, width));
}

}  // namespace polyptych
