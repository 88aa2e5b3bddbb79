// Planes filtered along their rows and columns, with zeros beside them.
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/types.h"

namespace polyptych {

namespace {

// planes: [.., height, width].
Tensor filtered(const Tensor &planes, const std::vector<float> &taps) {
  auto from = planes.contiguous(), out = at::empty_like(from);
  auto height = from.size(-2), width = from.size(-1), size = height * width;
  auto zeros = 2 * static_cast<int64_t>(taps.size() / 2);
  by_type(from, [&](auto type) {
    using T = decltype(type);
    auto grain = std::max<int64_t>(1, GRAIN / size);
    at::parallel_for(0, from.numel() / size, grain, [&](int64_t begin, int64_t end) {
      std::vector<float> row(width + zeros), lines((height + zeros) * width);
      for (int64_t at = begin * size; at < end * size; at += size)
        POLYPTYCH_BEST(filter_plane<T>(numbers<T>(from) + at, height, width, taps, row.data(),
                                       lines.data(), numbers_of<T>(out) + at));
    });
  });
  return out;
}

// Symmetric taps are their own transpose, and so is the filter.
struct Filter : Function<Filter> {
  static Tensor forward(AutogradContext *ctx, const Tensor &planes, const std::vector<double> &taps) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->saved_data["taps"] = taps;
    return filtered(planes, {taps.begin(), taps.end()});
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto taps = ctx->saved_data["taps"].toDoubleVector();
    return {filtered(grads[0], {taps.begin(), taps.end()}), {}};
  }
};

Tensor plain_filter(const Tensor &planes, const std::vector<double> &taps) {
  auto count = static_cast<int64_t>(taps.size()), half = count / 2;
  auto weight = at::tensor(taps, at::kDouble).to(planes.device(), planes.scalar_type());
  auto maps = planes.reshape({-1, 1, planes.size(-2), planes.size(-1)});
  auto along = [&](const Tensor &map, at::IntArrayRef shape, at::IntArrayRef padding) {
    return at::conv2d(map, weight.view(shape), std::nullopt, {1, 1}, padding);
  };
  auto down = along(along(maps, {1, 1, 1, count}, {0, half}), {1, 1, count, 1}, {half, 0});
  return down.view(planes.sizes());
}

}  // namespace

Owned filter_planes(const Tensor &planes, rust::Slice<const double> given) {
  std::vector<double> taps(given.begin(), given.end());
  TORCH_CHECK(planes.dim() >= 2 && planes.numel() > 0, "filter_planes: expected planes, found ",
              planes.sizes());
  TORCH_CHECK(taps.size() % 2 == 1 && std::equal(taps.begin(), taps.end(), taps.rbegin()),
              "filter_planes: expected an odd number of symmetric taps, found ", taps);
  if (!readable(planes) || planes.size(-1) < WIDEST || traced())
    return owned(plain_filter(planes, taps));
  return owned(Filter::apply(planes, taps));
}

}  // namespace polyptych
