// What the loops of a head read, and how its work is cut.
#pragma once

#include "polyptych-kernels/cpp/resizing.h"
#include "polyptych-kernels/cpp/types.h"

#include <ATen/ops/constant_pad_nd.h>

namespace polyptych {

// Numbers of hidden channels that stay in the second cache with all that they are made of, and
// pixels below which tiles of products have too few rows.
constexpr int64_t NEAR_NUMBERS = 3 << 13, FEW_PIXELS = 48;

// bias: [hidden] or none.
struct HeadInputs {
  Tensor x;
  std::vector<Tensor> coarse;
  Tensor weight, bias, second, second_bias;
};

struct HeadNorm {
  Tensor weight, bias, running_mean, running_var;
  double momentum, eps;
};

struct HeadWeights {
  Tensor first, second;
  // Scale, shift and mean of hidden channels without the first layer's bias, in float32.
  Tensor gain, shift, mean;
};

// Numbers in float32, with zeros up to the sizes given.
inline Tensor filled(const Tensor &t, int64_t rows, int64_t columns) {
  auto wide = t.to(at::kFloat);
  return at::constant_pad_nd(wide, {0, columns - t.size(-1), 0, rows - t.size(0)}).contiguous();
}
inline Tensor filled(const Tensor &t, int64_t count) {
  return at::constant_pad_nd(t.to(at::kFloat), {0, count - t.size(0)}).contiguous();
}

// What the loops read, and the tensors that hold it.
template <class T>
struct Prepared {
  FusedHead<T> all;
  std::vector<Tensor> held;

  Prepared(const Tensor &x, const variable_list &coarse, const HeadWeights &weights) {
    all.height = x.size(1), all.width = x.size(2), all.in = x.size(3);
    all.hidden = weights.first.size(0), all.out = weights.second.size(0);
    cut();
    all.x = held_floats(x.to(at::kFloat).contiguous());
    all.weight = held_floats(filled(weights.first.t(), all.in, all.line));
    all.weight_by_rows = held_floats(filled(weights.first, all.line, whole(all.in)));
    all.out_weight = held_floats(filled(weights.second.t(), all.line, whole(all.out)));
    all.out_weight_by_rows = held_floats(filled(weights.second, all.out, all.line));
    all.gain = held_floats(filled(weights.gain, all.line));
    all.shift = held_floats(filled(weights.shift, all.line));
    all.mean = held_floats(filled(weights.mean, all.line));
    for (auto &map : coarse)
      all.sides.push_back({numbers<T>(map), map.size(1), map.size(2),
                           resizing(map.size(1), all.height), resizing(map.size(2), all.width)});
  }

  // Numbers that positions of sides take in a strip.
  int64_t lines() const {
    int64_t positions = 0;
    for (auto &side : all.sides) positions += side.width;
    return all.strip * positions * STRIP;
  }

  // f(part, index) for all blocks of all images, with `room` floats of its own, zeros at first.
  template <class F>
  void by_parts(int64_t images, int64_t room, F f) const {
    at::parallel_for(0, images * all.blocks(), 1, [&](int64_t begin, int64_t end) {
      std::vector<float> own(room);
      for (int64_t i = begin; i < end; i++)
        f(HeadPart{i / all.blocks(), i % all.blocks() * all.block}, i, own.data());
    });
  }

 private:
  // The same for any number of threads.
  void cut() {
    all.strip = std::clamp<int64_t>(FEW_PIXELS / all.width, 1, all.height);
    auto most = std::max<int64_t>(1, NEAR_NUMBERS / (all.strip * all.width * STRIP)) * STRIP;
    auto blocks = (all.hidden + most - 1) / most;
    all.block = up_to((all.hidden + blocks - 1) / blocks, STRIP);
    all.line = up_to(all.hidden, all.block);
  }

  const float *held_floats(Tensor t) {
    held.push_back(std::move(t));
    return floats(held.back());
  }
};

}  // namespace polyptych
