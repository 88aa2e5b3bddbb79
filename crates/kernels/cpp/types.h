// The two types of numbers that loops read and write: float32, and bfloat16 as bits.
#pragma once

#include "polyptych-kernels/cpp/tensors.h"

namespace polyptych {

// LibTorch's name of the type; it refuses a pointer to numbers of another.
template <class T>
using Scalar = std::conditional_t<std::is_same_v<T, float>, float, at::BFloat16>;

template <class T>
const T *numbers(const Tensor &t) {
  return reinterpret_cast<const T *>(t.const_data_ptr<Scalar<T>>());
}

template <class T>
T *numbers_of(const Tensor &t) {
  return reinterpret_cast<T *>(t.data_ptr<Scalar<T>>());
}

// Calls f with a number of the type of x.
template <class F>
void by_type(const Tensor &x, F f) {
  if (x.scalar_type() == at::kFloat)
    f(float{});
  else
    f(uint16_t{});
}

}  // namespace polyptych
