#include "polyptych-kernels/cpp/shim.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/GradMode.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace polyptych {

namespace {

std::vector<at::Tensor> tensors(Addresses addresses) {
  std::vector<at::Tensor> out;
  out.reserve(addresses.size());
  for (auto address : addresses) out.push_back(*reinterpret_cast<const at::Tensor *>(address));
  return out;
}

}  // namespace

void open_library(rust::Str path) {
  const std::string name(path.data(), path.size());
  // RTLD_GLOBAL, so that the registrations of the CUDA library meet those of the CPU library.
  if (dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) throw std::runtime_error(dlerror());
}

rust::String torch_version() { return TORCH_VERSION; }

void adamw_step(Addresses params, Addresses grads, Addresses exp_avgs, Addresses exp_avg_sqs,
                Addresses steps, double lr, double beta1, double beta2, double weight_decay,
                double eps) {
  c10::AutoGradMode no_grad(false);
  auto counted = tensors(steps);
  at::_foreach_add_(counted, 1);
  at::_fused_adamw_(tensors(params), tensors(grads), tensors(exp_avgs), tensors(exp_avg_sqs), {},
                    counted, lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false,
                    /*maximize=*/false);
}

void sgd_step(Addresses params, Addresses grads, Addresses momentum_buffers, double lr,
              double momentum, double weight_decay, bool nesterov, bool first_step) {
  c10::AutoGradMode no_grad(false);
  at::_fused_sgd_(tensors(params), tensors(grads), tensors(momentum_buffers), weight_decay,
                  momentum, lr, /*dampening=*/0.0, nesterov, /*maximize=*/false, first_step);
}

}  // namespace polyptych
