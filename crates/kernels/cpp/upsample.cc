// Bilinear resizing of maps whose channels come last, and of planes; pixels as areas.
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/resizing.h"
#include "polyptych-kernels/cpp/types.h"

namespace polyptych {

namespace {

// Channels whose gradients are summed together at most.
constexpr int64_t PART = 512;

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
    std::vector<float> lines(positions * channels);
    for (int64_t row = begin; row < end; row++) {
      auto at = row * width * channels;
      auto under = onto.defined() ? numbers<T>(onto) + at : nullptr;
      POLYPTYCH_BEST(mix_row<T>(sides, row / height, row % height, under, width, channels,
                                lines.data(), numbers_of<T>(out) + at));
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
      POLYPTYCH_BEST(stretch<T>(from + b * rows * columns, rows, columns, across, down, row.data(),
                                lines.data(), numbers_of<T>(out) + b * height * width));
  });
}

// Gradients by all levels that ask for one. g: [batch, height, width, channels].
template <class T>
void resize_back(const Tensor &g, const variable_list &out) {
  auto height = g.size(1), width = g.size(2), channels = g.size(3);
  std::vector<Coarse<T>> levels;
  int64_t positions = 0;
  for (auto &level : out) {
    if (!level.defined()) continue;
    auto rows = level.size(1), columns = level.size(2);
    levels.push_back({numbers_of<T>(level), rows, columns, resizing(rows, height),
                      resizing_back(columns, width)});
    positions += 2 * columns;
  }
  // What a piece sums stays in the second cache.
  auto parts = (channels + PART - 1) / PART;
  by_pieces(g.size(0) * parts, height * width * std::min(channels, PART),
            [&](int64_t begin, int64_t end) {
              std::vector<float> room(positions * up_to(PART, MIXED_VECS * WIDEST));
              for (int64_t piece = begin; piece < end; piece++) {
                auto first = channels * (piece % parts) / parts;
                auto count = channels * (piece % parts + 1) / parts - first;
                POLYPTYCH_BEST(unmix_map<T>(levels, numbers<T>(g), piece / parts, height, width,
                                            channels, first, count, room.data()));
              }
            });
}

// Gradient by a plane. g: [batch, height, width, 1].
template <class T>
void resize_back(const Tensor &g, const Tensor &out) {
  auto height = g.size(1), width = g.size(2), rows = out.size(1), columns = out.size(2);
  auto down = resizing_back(rows, height);
  Across across(resizing_back(columns, width));
  by_pieces(out.size(0), height * width, [&](int64_t begin, int64_t end) {
    std::vector<float> row(width + across.each);
    for (int64_t b = begin; b < end; b++)
      POLYPTYCH_BEST(gather<T>(numbers<T>(g) + b * height * width, width, across, down, row.data(),
                               numbers_of<T>(out) + b * rows * columns));
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
    variable_list out(sizes.size() / 4);
    for (size_t l = 0; l < out.size(); l++)
      if (ctx->needs_input_grad(l))
        out[l] = at::empty(at::IntArrayRef(sizes.data() + 4 * l, 4), g.options());
    by_type(g, [&](auto type) {
      using T = decltype(type);
      if (g.size(3) > 1)
        resize_back<T>(g, out);
      else if (out[0].defined())
        resize_back<T>(g, out[0]);
    });
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
  bool planes = channels == 1 && all.size() == 1 && !under.defined() && width >= WIDEST;
  bool fit = !traced() && (channels >= WIDEST || planes);
  for (auto &level : all)
    fit = fit && readable(level) && level.numel() > 0 && level.scalar_type() == all[0].scalar_type();
  if (!fit || (under.defined() && under.scalar_type() != all[0].scalar_type()))
    return owned(plain_upsample(all, under, {height, width}));
  return owned(Upsample::apply(at::TensorList(all), some(under), height, width));
}

}  // namespace polyptych
