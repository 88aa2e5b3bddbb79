// Processes that train together: PyTorch's c10d, with Gloo for tensors of the CPU.
#pragma once

#include "rust/cxx.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

namespace polyptych {

// Keys and values that all processes see, over TCP.
class KeyStore {
 public:
  virtual ~KeyStore() = default;
  virtual std::uint16_t port() const = 0;
  virtual void set(rust::Str key, rust::Slice<const std::uint8_t> value) const = 0;
  // Waits for the key.
  virtual rust::Vec<std::uint8_t> get(rust::Str key, std::int64_t timeout_ms) const = 0;
  virtual bool has(rust::Str key) const = 0;
  virtual std::int64_t add(rust::Str key, std::int64_t amount) const = 0;
};

// `serve`: whether this process keeps the values; port 0 then takes a free one. `connect_ms`: how
// long it is tried to connect.
std::unique_ptr<KeyStore> open_key_store(rust::Str host, std::uint16_t port, bool serve,
                                         rust::Str prefix, std::int64_t connect_ms,
                                         std::int64_t timeout_ms);

// A sum over all ranks that goes on beside what else is done.
class PendingReduction {
 public:
  virtual ~PendingReduction() = default;
  virtual void wait() = 0;
};

// Processes whose tensors are summed while they do something else.
class SumGroup {
 public:
  virtual ~SumGroup() = default;
  // Whether it takes tensors that lie where this one lies.
  virtual bool takes(const at::Tensor &tensor) const = 0;
  // In place; the tensor's numbers are those of the group until it was waited for.
  virtual std::unique_ptr<PendingReduction> begin_sum(const at::Tensor &tensor) const = 0;
};

// Processes that call the same functions in the same order. Every function waits for the others.
class ProcessGroup : public SumGroup {
 public:
  // In place; `op`: 0 adds, 1 takes the smallest, 2 the largest.
  virtual void all_reduce(const at::Tensor &tensor, std::uint8_t op) const = 0;
  virtual void broadcast(const at::Tensor &tensor, std::int32_t root) const = 0;
  // `all`: the tensors of every rank, one behind the other.
  virtual void all_gather(const at::Tensor &all, const at::Tensor &own) const = 0;
  virtual void barrier() const = 0;
  // The sum over all ranks; its backward pass sums the gradients of all ranks.
  virtual std::unique_ptr<at::Tensor> differentiable_sum(const at::Tensor &tensor) const = 0;
};

inline const SumGroup &as_sum_group(const ProcessGroup &group) { return group; }

// `interfaces`: of the network, parted by commas; empty for the one of the machine's name.
std::unique_ptr<ProcessGroup> open_process_group(const KeyStore &store, std::int32_t rank,
                                                 std::int32_t size, rust::Str interfaces,
                                                 std::int64_t timeout_ms);

}  // namespace polyptych
