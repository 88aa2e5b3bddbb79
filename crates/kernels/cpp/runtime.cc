// LibTorch's libraries, and lists of tensors.
#include "polyptych-kernels/cpp/kernels.h"

#include <dlfcn.h>
#include <torch/version.h>

#include <stdexcept>
#include <string>

namespace polyptych {

std::unique_ptr<Tensors> no_tensors() { return std::make_unique<Tensors>(); }
void push(Tensors &tensors, const at::Tensor &tensor) { tensors.push_back(tensor); }

void open_library(rust::Str path) {
  const std::string name(path.data(), path.size());
  // RTLD_GLOBAL, so that the registrations of the CUDA library meet those of the CPU library.
  if (dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) throw std::runtime_error(dlerror());
}

rust::String torch_version() { return TORCH_VERSION; }

}  // namespace polyptych
