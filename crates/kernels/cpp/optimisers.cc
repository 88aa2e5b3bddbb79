// Steps of optimisers, of all parameters at once.
#include "polyptych-kernels/cpp/tensors.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>

namespace polyptych {

namespace {

// LibTorch's loops go over the numbers of `params` in memory and look at nothing else.
void check_lists(const Tensors &params, std::initializer_list<const Tensors *> others) {
  for (auto all : others) {
    TORCH_CHECK(all->size() == params.size(), "expected one tensor for each of ", params.size(),
                " parameters, found ", all->size());
    for (size_t i = 0; i < params.size(); i++) {
      auto &param = params[i], &other = (*all)[i];
      TORCH_CHECK(param.is_non_overlapping_and_dense() && other.is_non_overlapping_and_dense() &&
                      other.sizes() == param.sizes() &&
                      other.scalar_type() == param.scalar_type() &&
                      other.device() == param.device(),
                  "expected ", param.toString(), param.sizes(), ", found ", other.toString(),
                  other.sizes());
    }
  }
}

}  // namespace

void adamw_step(const Tensors &params, const Tensors &grads, const Tensors &exp_avgs,
                const Tensors &exp_avg_sqs, const Tensors &steps, double lr, double beta1,
                double beta2, double weight_decay, double eps) {
  check_lists(params, {&grads, &exp_avgs, &exp_avg_sqs});
  TORCH_CHECK(steps.size() == params.size(), "expected a count of steps for each parameter");
  for (auto &step : steps) TORCH_CHECK(step.numel() == 1, "expected one number of steps");
  c10::AutoGradMode no_grad(false);
  at::_foreach_add_(steps, 1);
  at::_fused_adamw_(params, grads, exp_avgs, exp_avg_sqs, {}, steps, lr, beta1, beta2, weight_decay,
                    eps, /*amsgrad=*/false, /*maximize=*/false);
}

void sgd_step(const Tensors &params, const Tensors &grads, const Tensors &momentum_buffers,
              double lr, double momentum, double weight_decay, bool nesterov, bool first_step) {
  check_lists(params, {&grads});
  if (!momentum_buffers.empty()) check_lists(params, {&momentum_buffers});
  c10::AutoGradMode no_grad(false);
  at::_fused_sgd_(params, grads, momentum_buffers, weight_decay, momentum, lr, /*dampening=*/0.0,
                  nesterov, /*maximize=*/false, first_step);
}

}  // namespace polyptych
