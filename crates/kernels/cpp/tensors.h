// Tensors and loops over their numbers, for all kernels.
#pragma once

#include "polyptych-kernels/cpp/kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/jit/frontend/tracer.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

// Kinds of vectors beside those that every processor has: see `loops.h`.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#define POLYPTYCH_X86_LEVELS
#endif
#define POLYPTYCH_INLINE inline __attribute__((always_inline))

namespace polyptych {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Numbers that a thread takes at least.
constexpr int64_t GRAIN = 1 << 15;

inline Owned owned(Tensor tensor) { return std::make_unique<Tensor>(std::move(tensor)); }

// Whether a backward pass will ask for gradients of any of them.
inline bool learns(std::initializer_list<const Tensor *> tensors) {
  if (!at::GradMode::is_enabled()) return false;
  for (auto t : tensors)
    if (t->defined() && t->requires_grad()) return true;
  return false;
}

// Traces must hold operations that every reader knows.
inline bool traced() { return torch::jit::tracer::isTracing(); }

// Whether loops of ours can read x: on the CPU, in a type that they know.
inline bool readable(const Tensor &x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

inline std::optional<Tensor> some(const Tensor &t) {
  return t.defined() ? std::make_optional(t) : std::nullopt;
}

// Nothing is recorded where nothing changes.
inline Tensor as_type(const Tensor &x, at::ScalarType type) {
  return x.scalar_type() == type ? x : x.to(type);
}

inline Tensor rows(const Tensor &x) { return x.reshape({-1, x.size(-1)}); }

inline float wide(float x) { return x; }
inline float wide(uint16_t x) {
  uint32_t bits = static_cast<uint32_t>(x) << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}
inline void narrow(float x, float &out) { out = x; }
inline void narrow(float x, uint16_t &out) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  out = static_cast<uint16_t>(x == x ? rounded : 0x7fc0U);
}

inline const float *floats(const Tensor &t) { return t.const_data_ptr<float>(); }
inline float *floats_of(const Tensor &t) { return t.data_ptr<float>(); }
inline double *doubles_of(const Tensor &t) { return t.data_ptr<double>(); }
inline const uint16_t *bf16(const Tensor &t) {
  return reinterpret_cast<const uint16_t *>(t.const_data_ptr<at::BFloat16>());
}
inline uint16_t *bf16_of(const Tensor &t) {
  return reinterpret_cast<uint16_t *>(t.data_ptr<at::BFloat16>());
}

template <class F>
void in_parallel(int64_t count, F f) {
  at::parallel_for(0, count, GRAIN, f);
}

}  // namespace polyptych
