// What Rust calls. Tensors go in by reference, undefined where there is none, and come out as new
// ones, which belong to the caller.
#pragma once

#include "polyptych-kernels/cpp/gradient_buckets.h"
#include "polyptych-kernels/cpp/nccl.h"
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

// The rules of `cpu.h`, for kinds of instructions by their number.
std::uint8_t best_instructions();
std::uint8_t instructions_in_use();
std::uint8_t product_by(std::uint8_t level, bool bf16, std::int64_t depth, std::int64_t width,
                        std::int64_t rank);
std::uint8_t low_rank_plan(std::int64_t rows, std::int64_t in, std::int64_t out, std::int64_t rank,
                           bool forms, bool input_learns, bool weight_learns);
bool attention_in_tiles(std::uint8_t level, bool bf16, std::int64_t tokens, std::int64_t width);
bool tiles_of_pairs(std::uint8_t level);
std::uint8_t bytes_by(std::uint8_t level);

std::unique_ptr<Tensors> no_tensors();
void push(Tensors &tensors, const at::Tensor &tensor);

Owned linear(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias);
Owned linear_gelu(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias);
Owned low_rank_linear(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
                      const at::Tensor &a, const at::Tensor &b, double scale, double dropout);
// The same without dropout, computed as a plan of `low_rank_plan` says.
Owned low_rank_linear_by(std::uint8_t plan, const at::Tensor &x, const at::Tensor &weight,
                         const at::Tensor &bias, const at::Tensor &a, const at::Tensor &b,
                         double scale);
// W [out, in] as `packed_linear` reads it here; nothing where products read it as it is.
Owned pack_linear(const at::Tensor &weight);
// W of that again.
Owned unpack_linear(const at::Tensor &panels, std::int64_t out, std::int64_t in);
// x W^T + b of a packed W, or GELU of it.
Owned packed_linear(const at::Tensor &x, const at::Tensor &panels, std::int64_t out, std::int64_t in,
                    const at::Tensor &bias, bool gelu);
// W [out, in] of int8 as `int8_linear` reads it here; nothing where no instructions multiply bytes.
Owned pack_int8(const at::Tensor &weight);
// W of that again.
Owned unpack_int8(const at::Tensor &packed, std::int64_t out, std::int64_t in);
// x W^T s + b with x as bytes, by the range of each row or by `input_scale` and `input_zero_point`.
// The matrix W [out, in] is plain or packed.
Owned int8_linear(const at::Tensor &x, const at::Tensor &matrix, std::int64_t in,
                  const at::Tensor &weight_scale, const at::Tensor &bias, double input_scale,
                  std::int64_t input_zero_point, bool per_token, bool gelu);
Owned dropout(const at::Tensor &x, double p);
Owned batch_norm_relu(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
                      const at::Tensor &running_mean, const at::Tensor &running_var,
                      double momentum, double eps, bool train);
// second relu(batch_norm(x weight^T + bias + coarse maps at the size of x)) + second_bias; `always`
// without a hidden layer in memory, or by the rule. layers: weight, bias, second and second_bias;
// norm: weight, bias, running_mean and running_var.
Owned fused_head(const at::Tensor &x, const Tensors &coarse, const Tensors &layers,
                 const Tensors &norm, double momentum, double eps, bool train, bool always);
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
Owned filter_planes(const at::Tensor &planes, rust::Slice<const double> taps);
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
Owned joint_norm(const Tensors &gradients);
void scale_all(const Tensors &gradients, double factor);
void scale_all_on_device(const Tensors &gradients, const at::Tensor &factor);
void set_gradient(const at::Tensor &parameter, const at::Tensor &gradient);
void forget_gradients(const Tensors &parameters);
void adamw_step(const Tensors &params, const Tensors &grads, const Tensors &exp_avgs,
                const Tensors &exp_avg_sqs, const Tensors &steps, double lr, double beta1,
                double beta2, double weight_decay, double eps);
void sgd_step(const Tensors &params, const Tensors &grads, const Tensors &momentum_buffers,
              double lr, double momentum, double weight_decay, bool nesterov, bool first_step);

Owned pinned_floats(std::int64_t count, bool pinned);
void write_floats(const at::Tensor &to, std::int64_t start, rust::Slice<const float> values);
Owned to_device_of(const at::Tensor &host, const at::Tensor &on_device);
void round_nothing_to_tf32();
std::int64_t peak_device_bytes(std::int32_t cuda_index);

void open_counting_device();
rust::Vec<rust::String> take_transfers();

bool keep_memory();
std::int64_t live_storages();
void open_library(rust::Str path);
rust::String torch_version();

}  // namespace polyptych
