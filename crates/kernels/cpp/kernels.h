// Operations that keep only what their backward pass needs.
#pragma once
#include "rust/cxx.h"

#include <cstdint>

namespace polyptych {

// A tensor goes in as the address of an at::Tensor, 0 where there is none, and comes out as the
// address of a new one, which belongs to the caller.
using Address = std::size_t;

struct Repeat;

Address linear(Address x, Address weight, Address bias);

Address linear_gelu(Address x, Address weight, Address bias);

Address low_rank_linear(Address x, Address weight, Address bias, Address a, Address b, double scale,
                        double dropout);

Address dropout(Address x, double p);

Address batch_norm_relu(Address x, Address weight, Address bias, Address running_mean,
                        Address running_var, double momentum, double eps, bool train);

Address layer_norm(Address x, Address weight, Address bias, double eps);

Address gelu(Address x);

Address task_low_rank(Address x, Address base, Address a, Address b);

Address task_up(Address low, Address base, Address b);

Address task_hidden(Address x, Address base, Address a, Address b, Address next);

Address attention(Address qkv, Address bias, std::int64_t heads);

Address add_branch(Address x, Address branch, Address factors);

bool moves_windows(Address x);

Address cut_windows(Address map, rust::Slice<const std::int64_t> size,
                    rust::Slice<const std::int64_t> shift);

Address join_windows(Address windows, rust::Slice<const std::int64_t> resolution,
                     rust::Slice<const std::int64_t> size,
                     rust::Slice<const std::int64_t> shift);

Address upsample(rust::Slice<const std::size_t> levels, Address onto, std::int64_t height,
                 std::int64_t width);

// 0 where it takes other operations; `labelled` becomes the number of pixels with a label.
Address cross_entropy(Address prediction, Address target, double smoothing,
                      double background_weight, std::int64_t &labelled);

// As above.
Address normals_l1(Address prediction, Address target, std::int64_t &labelled);

// False where nothing is recorded, or where the thread has begun one already.
bool begin_checkpoint(rust::Box<Repeat> repeat, Address x);

void end_checkpoint();

void backward(rust::Slice<const std::size_t> outputs, rust::Slice<const std::size_t> gradients);

double joint_norm(rust::Slice<const std::size_t> gradients);

void scale_all(rust::Slice<const std::size_t> gradients, double factor);

void set_gradient(Address parameter, Address gradient);

void forget_gradients(rust::Slice<const std::size_t> parameters);

bool keep_memory();

std::int64_t live_storages();

}  // namespace polyptych
