// Windows of a map: cutting and joining in one pass.
#include "polyptych-kernels/cpp/tensors.h"

namespace polyptych {

namespace {

// A map of [batch, height, width, dim], rolled back by `shift`, padded with zeros at its end and
// cut into windows of `size`: [batch * windows, size, size, dim].
struct Cutting {
  int64_t height, width, high, wide, down, right;

  int64_t rows() const { return (height + high - 1) / high * high; }
  int64_t columns() const { return (width + wide - 1) / wide * wide; }

  // Calls f(map, windows, bytes) for every run that lies in one piece on both sides; map is null
  // where there are zeros only.
  template <class F>
  void runs(char *map, char *windows, int64_t image, int64_t bytes, F f) const {
    auto across = columns() / wide, area = high * wide;
    auto first = map + image * height * width * bytes;
    for (int64_t row = 0; row < rows(); row++)
      for (int64_t column = 0; column < columns();) {
        auto window = (image * (rows() / high) + row / high) * across + column / wide;
        auto within = row % high * wide + column % wide;
        auto to = windows + (window * area + within) * bytes;
        auto count = wide - column % wide;
        char *from = nullptr;
        if (row < height && column < width) {
          auto y = (row + down) % height, x = (column + right) % width;
          count = std::min({count, width - column, width - x});
          from = first + (y * width + x) * bytes;
        }
        f(from, to, count * bytes);
        column += count;
      }
  }
};

void keep(AutogradContext *ctx, const Cutting &by) {
  ctx->saved_data["by"] =
      std::vector<int64_t>{by.height, by.width, by.high, by.wide, by.down, by.right};
}

Cutting kept(AutogradContext *ctx) {
  auto by = ctx->saved_data["by"].toIntVector();
  return {by[0], by[1], by[2], by[3], by[4], by[5]};
}

template <class F>
void by_images(int64_t images, F f) {
  at::parallel_for(0, images, 1, [&](int64_t begin, int64_t end) {
    for (int64_t image = begin; image < end; image++) f(image);
  });
}

Tensor cut(const Tensor &map, const Cutting &by) {
  auto from = map.contiguous();
  auto count = from.size(0) * by.rows() * by.columns() / (by.high * by.wide);
  auto out = at::empty({count, by.high * by.wide, from.size(3)}, from.options());
  auto maps = static_cast<char *>(from.data_ptr()), windows = static_cast<char *>(out.data_ptr());
  by_images(from.size(0), [&](int64_t image) {
    by.runs(maps, windows, image, from.size(3) * from.element_size(),
            [](const char *map, char *window, int64_t count) {
              if (map == nullptr)
                std::memset(window, 0, count);
              else
                std::memcpy(window, map, count);
            });
  });
  return out;
}

Tensor join(const Tensor &cut, const Cutting &by) {
  auto from = cut.contiguous();
  auto batch = from.size(0) * by.high * by.wide / (by.rows() * by.columns());
  auto out = at::empty({batch, by.height, by.width, from.size(2)}, from.options());
  auto maps = static_cast<char *>(out.data_ptr()), windows = static_cast<char *>(from.data_ptr());
  by_images(batch, [&](int64_t image) {
    by.runs(maps, windows, image, from.size(2) * from.element_size(),
            [](char *map, const char *window, int64_t count) {
              if (map != nullptr) std::memcpy(map, window, count);
            });
  });
  return out;
}

struct Cut : Function<Cut> {
  static Tensor forward(AutogradContext *ctx, const Tensor &map, const Cutting &by) {
    at::AutoDispatchBelowADInplaceOrView guard;
    keep(ctx, by);
    return cut(map, by);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    return {join(grads[0], kept(ctx)), {}};
  }
};

struct Join : Function<Join> {
  static Tensor forward(AutogradContext *ctx, const Tensor &windows, const Cutting &by) {
    at::AutoDispatchBelowADInplaceOrView guard;
    keep(ctx, by);
    return join(windows, by);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    return {cut(grads[0], kept(ctx)), {}};
  }
};

void check_extents(Extents size, Extents shift) {
  TORCH_CHECK(size[0] > 0 && size[1] > 0 && shift[0] >= 0 && shift[1] >= 0,
              "windows: expected extents of 1 or more and shifts of 0 or more");
}

}  // namespace

bool moves_windows(const Tensor &in) {
  return !traced() && in.is_cpu() && in.numel() > 0;
}

Owned cut_windows(const Tensor &in, Extents size, Extents shift) {
  TORCH_CHECK(in.dim() == 4, "cut_windows: expected [batch, height, width, dim], found ",
              in.sizes());
  check_extents(size, shift);
  return owned(Cut::apply(
      in, Cutting{in.size(1), in.size(2), size[0], size[1], shift[0], shift[1]}));
}

Owned join_windows(const Tensor &windows, Extents resolution, Extents size, Extents shift) {
  check_extents(size, shift);
  check_extents(resolution, shift);
  auto across = [&](int axis) { return (resolution[axis] + size[axis] - 1) / size[axis]; };
  TORCH_CHECK(windows.dim() == 3 && windows.size(1) == size[0] * size[1] &&
                  windows.size(0) % (across(0) * across(1)) == 0,
              "join_windows: expected windows [batch * ", across(0) * across(1), ", ",
              size[0] * size[1], ", dim], found ", windows.sizes());
  return owned(Join::apply(windows, Cutting{resolution[0], resolution[1], size[0], size[1],
                                            shift[0], shift[1]}));
}

}  // namespace polyptych
