// What Rust calls. Tensors go in by reference, undefined where there is none, and come out as new
// ones, which belong to the caller.
#pragma once

#include "polyptych-kernels/cpp/process_group.h"
#include "rust/cxx.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace polyptych {

using Owned = std::unique_ptr<at::Tensor>;
using Tensors = std::vector<at::Tensor>;
using Extents = rust::Slice<const std::int64_t>;
struct Repeat;

std::unique_ptr<Tensors> no_tensors();
void push(Tensors &tensors, const at::Tensor &tensor);

Owned linear(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias);
Owned linear_gelu(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias);
Owned low_rank_linear(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
                      const at::Tensor &a, const at::Tensor &b, double scale, double dropout);
Owned dropout(const at::Tensor &x, double p);
Owned batch_norm_relu(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
                      const at::Tensor &running_mean, const at::Tensor &running_var,
                      double momentum, double eps, bool train);
Owned layer_norm(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias, double eps);
Owned gelu(const at::Tensor &x);
Owned task_low_rank(const at::Tensor &x, const at::Tensor &base, const at::Tensor &a,
                    const at::Tensor &b);
Owned task_up(const at::Tensor &low, const at::Tensor &base, const at::Tensor &b);
Owned task_hidden(const at::Tensor &x, const at::Tensor &base, const at::Tensor &a,
                  const at::Tensor &b, const at::Tensor &next);
Owned attention(const at::Tensor &qkv, const at::Tensor &bias, std::int64_t heads);
Owned add_branch(const at::Tensor &x, const at::Tensor &branch, const at::Tensor &factors);
bool moves_windows(const at::Tensor &x);
Owned cut_windows(const at::Tensor &map, Extents size, Extents shift);
Owned join_windows(const at::Tensor &windows, Extents resolution, Extents size, Extents shift);
Owned upsample(const Tensors &levels, const at::Tensor &onto, std::int64_t height,
               std::int64_t width);
// Null where it takes other operations; `labelled` becomes the number of pixels with a label.
Owned cross_entropy(const at::Tensor &prediction, const at::Tensor &target, double smoothing,
                    double background_weight, std::int64_t &labelled);
// As above.
Owned normals_l1(const at::Tensor &prediction, const at::Tensor &target, std::int64_t &labelled);

// The first run of a part of a network, from now until this goes; on one thread.
class FirstRun {
 public:
  virtual ~FirstRun() = default;
};
// Null where nothing is recorded, and within another.
std::unique_ptr<FirstRun> begin_first_run(rust::Box<Repeat> repeat, const at::Tensor &x);

void backward(const Tensors &outputs, const Tensors &gradients);
double joint_norm(const Tensors &gradients);
void scale_all(const Tensors &gradients, double factor);
void set_gradient(const at::Tensor &parameter, const at::Tensor &gradient);
void forget_gradients(const Tensors &parameters);
void adamw_step(const Tensors &params, const Tensors &grads, const Tensors &exp_avgs,
                const Tensors &exp_avg_sqs, const Tensors &steps, double lr, double beta1,
                double beta2, double weight_decay, double eps);
void sgd_step(const Tensors &params, const Tensors &grads, const Tensors &momentum_buffers,
              double lr, double momentum, double weight_decay, bool nesterov, bool first_step);

bool keep_memory();
std::int64_t live_storages();
void open_library(rust::Str path);
rust::String torch_version();

}  // namespace polyptych
