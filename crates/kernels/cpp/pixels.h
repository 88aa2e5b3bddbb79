// Losses of maps, [batch, channels, height, width], pixel by pixel.
#pragma once

#include "polyptych-kernels/cpp/tensors.h"

#include <numeric>

namespace polyptych {

// Pixels that are taken side by side, plane by plane, and of which one sum is taken: whole strips.
constexpr int64_t PIXELS = 64, PATCH = 64 * PIXELS;

inline int64_t patches(int64_t plane) { return (plane + PATCH - 1) / PATCH; }

inline double pixel_sum(const float *lanes) { return std::accumulate(lanes, lanes + PIXELS, 0.0); }

// Whether both maps can be read by such loops. A few pixels are not worth them.
inline bool fits_pixels(const Tensor &prediction, const Tensor &target) {
  auto fits = [](const Tensor &x) {
    return x.is_cpu() && x.scalar_type() == at::kFloat && x.dim() == 4 && x.numel() > 0;
  };
  return fits(prediction) && fits(target) && prediction.size(2) * prediction.size(3) >= PIXELS &&
         !traced();
}

// Of functions without a name: what is not inlined has none of the copies for wide vectors.
#if defined(__GNUC__)
#define POLYPTYCH_ALWAYS __attribute__((always_inline))
#else
#define POLYPTYCH_ALWAYS
#endif

// Whole strips have a width that the compiler knows.
template <class F>
POLYPTYCH_INLINE void by_strips(int64_t begin, int64_t end, F f) {
  for (; begin + PIXELS <= end; begin += PIXELS) f(begin, PIXELS);
  if (begin < end) f(begin, end - begin);
}

// f(image, patch, begin, end) for all patches of all images.
template <class F>
void by_pixels(int64_t images, int64_t plane, F f) {
  auto each = patches(plane);
  at::parallel_for(0, images * each, 1, [&](int64_t first, int64_t last) {
    for (int64_t patch = first; patch < last; patch++) {
      auto begin = patch % each * PATCH;
      f(patch / each, patch, begin, std::min(plane, begin + PATCH));
    }
  });
}

}  // namespace polyptych
