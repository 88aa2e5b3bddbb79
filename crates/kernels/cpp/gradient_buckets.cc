// Gradients in flat buckets, as PyTorch's DistributedDataParallel has them (Li et al., PyTorch
// Distributed, VLDB 2020, section 4.2). Each parameter has a hook behind the sum of its gradients.
#include "polyptych-kernels/cpp/gradient_buckets.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <mutex>
#include <utility>

namespace polyptych {
namespace {

using at::Tensor;

struct Parameter {
  Tensor value;
  std::size_t bucket = 0;
  // Where its gradient stands in the bucket, laid out as the parameter.
  Tensor place;
  // Gradients that have arrived in this pass, and the most that a pass has brought: heads that
  // share a parameter go back one after the other, and nothing may depend on one at all.
  std::int64_t arrived = 0;
  std::int64_t expected = 1;
};

struct Bucket {
  std::vector<std::size_t> members;
  // All gradients; for each of them 1 where this rank has it, else 0; 1 where one of them came
  // after its bucket was sent.
  Tensor flat;
  // What is sent: `flat`, or its copy where the group takes tensors of the CPU alone.
  Tensor sent;
  std::size_t missing = 0;
  std::unique_ptr<PendingReduction> pending;
};

class BucketsOfParameters;

class Hook final : public torch::autograd::PostAccumulateGradHook {
 public:
  Hook(const BucketsOfParameters *buckets, std::size_t index) : buckets_(buckets), index_(index) {}
  void operator()(const torch::autograd::Variable &) override;

 private:
  const BucketsOfParameters *buckets_;
  std::size_t index_;
};

class BucketsOfParameters final : public GradientBuckets {
 public:
  BucketsOfParameters(const std::vector<Tensor> &parameters, std::int64_t bucket_bytes) {
    for (const Tensor &value : parameters) add(value, bucket_bytes);
    for (Bucket &bucket : buckets_) lay_out(bucket);
    for (std::size_t i = 0; i < parameters_.size(); i++)
      torch::autograd::impl::set_post_acc_grad_hooks(parameters_[i].value,
                                                     std::make_unique<Hook>(this, i));
  }

  ~BucketsOfParameters() override {
    for (Parameter &parameter : parameters_)
      torch::autograd::impl::set_post_acc_grad_hooks(parameter.value, nullptr);
  }

  void begin(const SumGroup &group) const override {
    std::lock_guard<std::mutex> lock(mutex_);
    group_ = &group;
    next_ = 0;
    late_ = false;
    for (Parameter &parameter : parameters_) parameter.arrived = 0;
    for (Bucket &bucket : buckets_) {
      bucket.missing = std::count_if(
          bucket.members.begin(), bucket.members.end(),
          [&](std::size_t member) { return parameters_[member].expected > 0; });
      bucket.pending = nullptr;
    }
  }

  // Devices have threads of their own in a backward pass.
  void arrived(std::size_t index) const {
    std::lock_guard<std::mutex> lock(mutex_);
    if (group_ == nullptr) return;
    Parameter &parameter = parameters_[index];
    parameter.arrived++;
    if (parameter.bucket < next_) {
      late_ = true;
      return;
    }
    if (parameter.arrived < parameter.expected) return;
    c10::AutoGradMode no_grad(false);
    parameter.place.copy_(parameter.value.grad());
    if (parameter.arrived > parameter.expected) return;
    buckets_[parameter.bucket].missing--;
    // The last bucket waits for `finish`, which knows whether something came late.
    while (next_ + 1 < buckets_.size() && buckets_[next_].missing == 0) send();
  }

  std::int64_t finish() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    c10::AutoGradMode no_grad(false);
    std::int64_t bytes = all();
    for (Parameter &parameter : parameters_)
      parameter.expected =
          passed_ ? std::max(parameter.expected, parameter.arrived) : parameter.arrived;
    passed_ = true;
    if (some_were_late()) bytes += again();
    for (Bucket &bucket : buckets_) hand_out(bucket);
    group_ = nullptr;
    return bytes;
  }

  void cancel() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    group_ = nullptr;
    for (Bucket &bucket : buckets_) bucket.pending = nullptr;
  }

 private:
  void add(const Tensor &value, std::int64_t bucket_bytes) {
    const auto fits = [&](const Bucket &bucket) {
      const Tensor &first = parameters_[bucket.members[0]].value;
      std::int64_t bytes = value.nbytes();
      for (std::size_t member : bucket.members) bytes += parameters_[member].value.nbytes();
      return first.scalar_type() == value.scalar_type() && first.device() == value.device() &&
             bytes <= bucket_bytes;
    };
    if (buckets_.empty() || !fits(buckets_.back())) buckets_.emplace_back();
    buckets_.back().members.push_back(parameters_.size());
    Parameter parameter;
    parameter.value = value;
    parameter.bucket = buckets_.size() - 1;
    parameters_.push_back(std::move(parameter));
  }

  void lay_out(Bucket &bucket) {
    std::int64_t numbers = bucket.members.size() + 1;
    for (std::size_t member : bucket.members) numbers += parameters_[member].value.numel();
    const Tensor &first = parameters_[bucket.members[0]].value;
    bucket.flat = at::zeros({numbers}, first.options().requires_grad(false));
    std::int64_t start = 0;
    for (std::size_t member : bucket.members) {
      Parameter &parameter = parameters_[member];
      const Tensor &value = parameter.value;
      parameter.place = value.is_non_overlapping_and_dense()
                            ? bucket.flat.as_strided(value.sizes(), value.strides(), start)
                            : bucket.flat.narrow(0, start, value.numel()).view(value.sizes());
      start += value.numel();
    }
  }

  // One for each gradient and one for what came late.
  static Tensor flags(const Bucket &bucket) {
    const auto count = static_cast<std::int64_t>(bucket.members.size()) + 1;
    return bucket.flat.narrow(0, bucket.flat.numel() - count, count);
  }

  // Sends the next bucket.
  void send() const {
    c10::AutoGradMode no_grad(false);
    Bucket &bucket = buckets_[next_++];
    std::vector<float> known;
    for (std::size_t member : bucket.members) {
      Parameter &parameter = parameters_[member];
      const Tensor &grad = parameter.value.grad();
      known.push_back(grad.defined() ? 1.0f : 0.0f);
      if (parameter.arrived > 0 && parameter.arrived >= parameter.expected) continue;
      // Nothing has arrived in this pass, or not all.
      if (grad.defined())
        parameter.place.copy_(grad);
      else
        parameter.place.zero_();
    }
    known.push_back(late_ ? 1.0f : 0.0f);
    flags(bucket).copy_(at::tensor(known));
    const bool here = group_->takes(bucket.flat);
    bucket.sent = here ? bucket.flat : bucket.flat.to(at::kCPU);
    bucket.pending = group_->begin_sum(bucket.sent);
  }

  // Sends all that was not sent, and waits; the bytes of all buckets.
  std::int64_t all() const {
    while (next_ < buckets_.size()) send();
    std::int64_t bytes = 0;
    for (Bucket &bucket : buckets_) {
      bucket.pending->wait();
      bucket.pending = nullptr;
      if (!bucket.sent.is_same(bucket.flat)) bucket.flat.copy_(bucket.sent);
      bytes += bucket.flat.nbytes();
    }
    return bytes;
  }

  // Whether any rank got a gradient behind its bucket.
  bool some_were_late() const {
    return !buckets_.empty() && flags(buckets_.back())[-1].item<float>() > 0.0f;
  }

  std::int64_t again() const {
    next_ = 0;
    late_ = false;
    // No place holds what it should: all gradients are copied anew.
    for (Parameter &parameter : parameters_) parameter.arrived = parameter.expected - 1;
    return all();
  }

  // Makes the sums the gradients; one that no rank has stays undefined.
  void hand_out(Bucket &bucket) const {
    const Tensor known = flags(bucket).to(at::kCPU, at::kFloat);
    const float *count = known.const_data_ptr<float>();
    for (std::size_t member : bucket.members) {
      Parameter &parameter = parameters_[member];
      if (*count++ > 0.0f)
        parameter.value.mutable_grad() = parameter.place;
      else
        parameter.value.mutable_grad().reset();
    }
  }

  mutable std::mutex mutex_;
  mutable std::vector<Parameter> parameters_;
  mutable std::vector<Bucket> buckets_;
  mutable const SumGroup *group_ = nullptr;
  // The next bucket that is sent: all ranks send them in this order.
  mutable std::size_t next_ = 0;
  mutable bool late_ = false;
  // Whether a pass has said what to expect of the next.
  mutable bool passed_ = false;
};

void Hook::operator()(const torch::autograd::Variable &) { buckets_->arrived(index_); }

}  // namespace

std::unique_ptr<GradientBuckets> open_gradient_buckets(const std::vector<Tensor> &parameters,
                                                       std::int64_t bucket_bytes) {
  return std::make_unique<BucketsOfParameters>(parameters, bucket_bytes);
}

}  // namespace polyptych
