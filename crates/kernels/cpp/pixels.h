// Losses of maps, [batch, channels, height, width], pixel by pixel.
#pragma once

#include "polyptych-kernels/cpp/arguments.h"

namespace polyptych {

inline int64_t patches(int64_t plane) { return (plane + PATCH - 1) / PATCH; }

// Whether both maps can be read by such loops. A few pixels are not worth them.
inline bool fits_pixels(const Tensor &prediction, const Tensor &target) {
  auto fits = [](const Tensor &x) {
    return x.is_cpu() && x.scalar_type() == at::kFloat && x.dim() == 4 && x.numel() > 0;
  };
  return fits(prediction) && fits(target) && prediction.size(2) * prediction.size(3) >= PIXELS &&
         !traced();
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
