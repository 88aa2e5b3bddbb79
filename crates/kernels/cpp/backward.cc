#include "polyptych-kernels/cpp/tensors.h"

#include <torch/csrc/autograd/autograd.h>

namespace polyptych {

void backward(const Tensors &outputs, const Tensors &gradients) {
  torch::autograd::backward(outputs, gradients);
}

}  // namespace polyptych
