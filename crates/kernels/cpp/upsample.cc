// Bilinear resizing of maps whose channels come last, and of planes; pixels as areas.
#include "polyptych-kernels/cpp/rows.h"
#include "polyptych-kernels/cpp/types.h"
#include "polyptych-kernels/cpp/vector.h"

namespace polyptych {

namespace {

// What each new position of an axis is the weighted sum of: positions one after the other, from
// `first` on.
struct Taps {
  std::vector<int64_t> first;
  std::vector<std::vector<float>> weights;

  explicit Taps(int64_t count) : first(count), weights(count) {}

  void add(int64_t to, int64_t from, float weight) {
    auto &own = weights[to];
    if (own.empty()) first[to] = from;
    // At the end of an axis both neighbours are its last position.
    if (from < first[to] + static_cast<int64_t>(own.size()))
      own.back() += weight;
    else
      own.push_back(weight);
  }
};

// f(new, old, weight) for what each of `to` positions reads of `from` ones.
template <class F>
void bilinear(int64_t from, int64_t to, F f) {
  auto scale = static_cast<float>(from) / static_cast<float>(to);
  for (int64_t i = 0; i < to; i++) {
    auto at = std::max((static_cast<float>(i) + 0.5f) * scale - 0.5f, 0.0f);
    auto low = std::min(static_cast<int64_t>(at), from - 1);
    auto weight = std::min(at - static_cast<float>(low), 1.0f);
    f(i, low, 1.0f - weight);
    if (weight > 0.0f) f(i, std::min(low + 1, from - 1), weight);
  }
}

Taps resizing(int64_t from, int64_t to) {
  Taps out(to);
  bilinear(from, to, [&](int64_t i, int64_t at, float weight) { out.add(i, at, weight); });
  return out;
}

// The gradient of the same: what arrives at each old position.
Taps resizing_back(int64_t from, int64_t to) {
  Taps out(from);
  bilinear(from, to, [&](int64_t i, int64_t at, float weight) { out.add(at, i, weight); });
  return out;
}

// sum += the rows from `from` on, by their weights.
template <int N, class T>
POLYPTYCH_INLINE void add_rows(const std::vector<float> &weights, const T *from, int64_t stride,
                               Vec *sum) {
  for (auto weight : weights) {
    auto by = splat(weight);
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) sum[n] += by * load_vec(from + n * VEC);
    from += stride;
  }
}

// One of the maps that are summed, [batch, height, width, channels].
template <class T>
struct Side {
  const T *map;
  int64_t height, width;
  Taps down, across;
};

// Row `y` of the sum of all sides, N vectors of channels from `c` on: first what each position of a
// side has at that height, which stays in the first cache, then what each new position has of those.
template <int N, class T>
POLYPTYCH_INLINE void mix(const std::vector<Side<T>> &sides, int64_t map, int64_t y, const T *onto,
                          int64_t width, int64_t channels, int64_t c, float *lines, T *out) {
  constexpr int64_t STEP = N * VEC;
  float *line = lines;
  for (auto &side : sides) {
    auto from = side.map + (map * side.height + side.down.first[y]) * side.width * channels + c;
    for (int64_t x = 0; x < side.width; x++, line += STEP) {
      Vec sum[N] = {};
      add_rows<N>(side.down.weights[y], from + x * channels, side.width * channels, sum);
      for (int n = 0; n < N; n++) store_vec(sum[n], line + n * VEC);
    }
  }
  for (int64_t x = 0; x < width; x++) {
    Vec sum[N] = {};
    if (onto != nullptr)
      for (int n = 0; n < N; n++) sum[n] = load_vec(onto + x * channels + c + n * VEC);
    line = lines;
    for (auto &side : sides) {
      add_rows<N>(side.across.weights[x], line + side.across.first[x] * STEP, STEP, sum);
      line += side.width * STEP;
    }
    for (int n = 0; n < N; n++) store_vec(sum[n], out + x * channels + c + n * VEC);
  }
}

// The last vectors overlap those before.
template <int N, class T>
POLYPTYCH_INLINE void mix_all(const std::vector<Side<T>> &sides, int64_t map, int64_t y,
                              const T *onto, int64_t width, int64_t channels, float *lines, T *out) {
  for (int64_t c = 0; c < channels; c += N * VEC)
    mix<N>(sides, map, y, onto, width, channels, std::min(c, channels - N * VEC), lines, out);
}

// Vectors of channels, or of a plane's row, that are summed side by side.
constexpr int64_t MIXED_VECS = 4;

// out = rows of `from` by their weights.
template <int N, class T, class U>
POLYPTYCH_INLINE void blend(const std::vector<float> &weights, const T *from, int64_t width, U *out) {
  for (int64_t c = 0; c < width; c += N * VEC) {
    auto at = std::min(c, width - N * VEC);
    Vec sum[N] = {};
    add_rows<N>(weights, from + at, width, sum);
    for (int n = 0; n < N; n++) store_vec(sum[n], out + at + n * VEC);
  }
}

// Weights of positions that one row of a plane consists of, each a whole number of vectors.
struct Across {
  std::vector<int64_t> first;
  std::vector<float> weights;
  int64_t each = VEC;

  explicit Across(const Taps &taps) : first(taps.first) {
    for (auto &own : taps.weights) each = std::max(each, whole(static_cast<int64_t>(own.size())));
    weights.resize(first.size() * each);
    for (size_t i = 0; i < first.size(); i++)
      std::copy(taps.weights[i].begin(), taps.weights[i].end(), weights.begin() + i * each);
  }
};

template <class T>
POLYPTYCH_INLINE void mix_along(const float *row, const Across &across, T *out) {
  auto weights = across.weights.data();
  for (size_t i = 0; i < across.first.size(); i++, weights += across.each) {
    Vec sum = {};
    for (int64_t t = 0; t < across.each; t += VEC)
      sum += load_vec(row + across.first[i] + t) * load_vec(weights + t);
    narrow(sum_of(sum), out[i]);
  }
}

// Compilers make copies for each width of vectors of plain functions alone.
#define POLYPTYCH_RESIZING_LOOPS(T)                                                          \
  POLYPTYCH_WIDE void mix_row(const std::vector<Side<T>> &sides, int64_t map, int64_t y,     \
                              const T *onto, int64_t width, int64_t channels, float *lines,  \
                              T *out) {                                                      \
    if (channels >= MIXED_VECS * VEC)                                                           \
      mix_all<MIXED_VECS>(sides, map, y, onto, width, channels, lines, out);                    \
    else                                                                                     \
      mix_all<1>(sides, map, y, onto, width, channels, lines, out);                          \
  }                                                                                          \
  /* A plane first along its rows, then down. */                                             \
  POLYPTYCH_WIDE void stretch(const T *plane, int64_t height, int64_t width,                 \
                              const Across &across, const Taps &down, float *row,            \
                              float *lines, T *out) {                                        \
    int64_t to = across.first.size(), rows = down.first.size();                              \
    for (int64_t y = 0; y < height; y++) {                                                   \
      for (int64_t x = 0; x < width; x++) row[x] = wide(plane[y * width + x]);               \
      mix_along(row, across, lines + y * to);                                                \
    }                                                                                        \
    for (int64_t y = 0; y < rows; y++) {                                                     \
      auto from = lines + down.first[y] * to;                                                \
      if (to >= MIXED_VECS * VEC)                                                               \
        blend<MIXED_VECS>(down.weights[y], from, to, out + y * to);                             \
      else                                                                                   \
        blend<1>(down.weights[y], from, to, out + y * to);                                   \
    }                                                                                        \
  }                                                                                          \
  /* A plane first down, then along its rows. */                                             \
  POLYPTYCH_WIDE void gather(const T *plane, int64_t width, const Across &across,            \
                             const Taps &down, float *row, T *out) {                         \
    int64_t to = across.first.size(), rows = down.first.size();                              \
    for (int64_t y = 0; y < rows; y++) {                                                     \
      auto from = plane + down.first[y] * width;                                             \
      if (width >= MIXED_VECS * VEC)                                                            \
        blend<MIXED_VECS>(down.weights[y], from, width, row);                                   \
      else                                                                                   \
        blend<1>(down.weights[y], from, width, row);                                         \
      mix_along(row, across, out + y * to);                                                  \
    }                                                                                        \
  }
POLYPTYCH_RESIZING_LOOPS(float)
POLYPTYCH_RESIZING_LOOPS(uint16_t)

// f(begin, end) over `count` pieces of `each` numbers.
template <class F>
void by_pieces(int64_t count, int64_t each, F f) {
  at::parallel_for(0, count, std::max<int64_t>(1, GRAIN / std::max<int64_t>(1, each)), f);
}

// Sum of all sides, and of `onto`, if it is defined, in `out`, [batch, height, width, channels].
template <class T>
void mix_maps(const std::vector<Side<T>> &sides, const Tensor &onto, const Tensor &out) {
  auto height = out.size(1), width = out.size(2), channels = out.size(3);
  int64_t positions = 0;
  for (auto &side : sides) positions += side.width;
  by_pieces(out.size(0) * height, width * channels, [&](int64_t begin, int64_t end) {
    std::vector<float> lines(positions * MIXED_VECS * VEC);
    for (int64_t row = begin; row < end; row++) {
      auto at = row * width * channels;
      auto under = onto.defined() ? numbers<T>(onto) + at : nullptr;
      mix_row(sides, row / height, row % height, under, width, channels, lines.data(),
              numbers_of<T>(out) + at);
    }
  });
}

// levels: [batch, h, w, channels] each.
template <class T>
void resize(const std::vector<Tensor> &levels, const Tensor &onto, const Tensor &out) {
  auto height = out.size(1), width = out.size(2);
  if (out.size(3) > 1) {
    std::vector<Side<T>> sides;
    for (auto &l : levels)
      sides.push_back({numbers<T>(l), l.size(1), l.size(2), resizing(l.size(1), height),
                       resizing(l.size(2), width)});
    return mix_maps(sides, onto, out);
  }
  auto from = numbers<T>(levels[0]);
  auto rows = levels[0].size(1), columns = levels[0].size(2);
  Across across(resizing(columns, width));
  auto down = resizing(rows, height);
  by_pieces(out.size(0), height * width, [&](int64_t begin, int64_t end) {
    std::vector<float> row(columns + across.each), lines(rows * width);
    for (int64_t b = begin; b < end; b++)
      stretch(from + b * rows * columns, rows, columns, across, down, row.data(), lines.data(),
              numbers_of<T>(out) + b * height * width);
  });
}

// Gradient by one level. g: [batch, height, width, channels].
template <class T>
void resize_back(const Tensor &g, const Tensor &out) {
  auto height = g.size(1), width = g.size(2), rows = out.size(1), columns = out.size(2);
  auto down = resizing_back(rows, height), along = resizing_back(columns, width);
  if (out.size(3) > 1)
    return mix_maps<T>({{numbers<T>(g), height, width, down, along}}, {}, out);
  Across across(along);
  by_pieces(out.size(0), height * width, [&](int64_t begin, int64_t end) {
    std::vector<float> row(width + across.each);
    for (int64_t b = begin; b < end; b++)
      gather(numbers<T>(g) + b * height * width, width, across, down, row.data(),
             numbers_of<T>(out) + b * rows * columns);
  });
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
    auto out = at::empty({from[0].size(0), height, width, from[0].size(3)}, from[0].options());
    by_type(out, [&](auto type) { resize<decltype(type)>(from, under, out); });
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto sizes = ctx->saved_data["sizes"].toIntVector();
    auto g = grads[0].contiguous();
    variable_list out;
    for (size_t l = 0; l < sizes.size() / 4; l++) {
      out.emplace_back();
      if (!ctx->needs_input_grad(l)) continue;
      out.back() = at::empty(at::IntArrayRef(sizes.data() + 4 * l, 4), g.options());
      by_type(g, [&](auto type) { resize_back<decltype(type)>(g, out.back()); });
    }
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

Owned upsample(const Tensors &all, const Tensor &under, std::int64_t height, std::int64_t width) {
  TORCH_CHECK(!all.empty() && height > 0 && width > 0, "upsample: expected levels and a size");
  for (auto &level : all)
    TORCH_CHECK(level.dim() == 4 && level.size(0) == all[0].size(0) &&
                    level.size(3) == all[0].size(3),
                "upsample: expected levels [batch, h, w, chans], found ", all[0].sizes(), " and ",
                level.sizes());
  std::vector<int64_t> size{all[0].size(0), height, width, all[0].size(3)};
  TORCH_CHECK(!under.defined() || under.sizes() == at::IntArrayRef(size),
              "upsample: expected onto [batch, ", height, ", ", width, ", chans], found ",
              under.sizes());
  // Vectors run over channels, or over the rows of single planes.
  auto channels = all[0].size(3);
  bool planes = channels == 1 && all.size() == 1 && !under.defined() && width >= VEC;
  bool fit = !traced() && (channels >= VEC || planes);
  for (auto &level : all)
    fit = fit && readable(level) && level.numel() > 0 && level.scalar_type() == all[0].scalar_type();
  if (!fit || (under.defined() && under.scalar_type() != all[0].scalar_type()))
    return owned(plain_upsample(all, under, {height, width}));
  return owned(Upsample::apply(at::TensorList(all), some(under), height, width));
}

}  // namespace polyptych
