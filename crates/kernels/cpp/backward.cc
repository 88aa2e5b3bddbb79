#include "polyptych-kernels/cpp/tensors.h"

#include <torch/csrc/autograd/autograd.h>

namespace polyptych {

void backward(rust::Slice<const std::size_t> outputs, rust::Slice<const std::size_t> gradients) {
  variable_list from, given;
  for (auto address : outputs) from.push_back(tensor(address));
  for (auto address : gradients) given.push_back(tensor(address));
  torch::autograd::backward(from, given);
}

}  // namespace polyptych
