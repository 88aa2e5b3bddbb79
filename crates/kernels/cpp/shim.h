// What a trainer needs of LibTorch and tch does not bind.
#pragma once
#include "rust/cxx.h"

#include <cstdint>

namespace polyptych {

// Tensors cross as addresses of at::Tensor, which is what tch holds.
using Addresses = rust::Slice<const std::size_t>;

void open_library(rust::Str path);

rust::String torch_version();

void adamw_step(Addresses params, Addresses grads, Addresses exp_avgs, Addresses exp_avg_sqs,
                Addresses steps, double lr, double beta1, double beta2, double weight_decay,
                double eps);

void sgd_step(Addresses params, Addresses grads, Addresses momentum_buffers, double lr,
              double momentum, double weight_decay, bool nesterov, bool first_step);

}  // namespace polyptych
