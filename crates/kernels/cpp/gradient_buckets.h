// Gradients in flat buckets, which are summed over all ranks while the backward pass goes on.
#pragma once

#include "polyptych-kernels/cpp/process_group.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace polyptych {

class GradientBuckets {
 public:
  virtual ~GradientBuckets() = default;
  // From now on a bucket is sent once all of its gradients are there. The group stays until
  // `finish` or `cancel`.
  virtual void begin(const SumGroup &group) const = 0;
  // Sends what is left, waits, and makes the sums the gradients; the bytes that were sent.
  virtual std::int64_t finish() const = 0;
  // Waits for nothing, and leaves the gradients as they are.
  virtual void cancel() const = 0;
};

// `parameters`: in the order in which their gradients are expected; all ranks have the same ones.
std::unique_ptr<GradientBuckets> open_gradient_buckets(const std::vector<at::Tensor> &parameters,
                                                       std::int64_t bucket_bytes);

}  // namespace polyptych
