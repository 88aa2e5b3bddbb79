// Pinned host memory for asynchronous copies, and settings and statistics of a CUDA device.
#include "polyptych-kernels/cpp/tensors.h"

#include <c10/core/CachingDeviceAllocator.h>

namespace polyptych {

Owned pinned_floats(std::int64_t count, bool pinned) {
  return owned(at::empty({count}, at::TensorOptions().dtype(at::kFloat).pinned_memory(pinned)));
}

void write_floats(const Tensor &to, std::int64_t start, rust::Slice<const float> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  TORCH_CHECK(to.is_cpu() && to.is_contiguous() && to.scalar_type() == at::kFloat && start >= 0 &&
                  count <= to.numel() - start,
              "expected room for ", count, " numbers at ", start, ", found ", to.numel());
  if (count > 0) std::memcpy(floats_of(to) + start, values.data(), count * sizeof(float));
}

Owned to_device_of(const Tensor &host, const Tensor &on_device) {
  // LibTorch keeps pinned memory until the copy is done.
  return owned(host.to(on_device.device(), host.scalar_type(), /*non_blocking=*/true));
}

void round_nothing_to_tf32() {
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
}

std::int64_t peak_device_bytes(std::int32_t cuda_index) {
  auto *memory = dynamic_cast<c10::DeviceAllocator *>(c10::GetAllocator(at::kCUDA));
  TORCH_CHECK(memory != nullptr && memory->initialized(), "expected a CUDA device in use");
  auto stats = memory->getDeviceStats(static_cast<c10::DeviceIndex>(cuda_index));
  return stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
}

}  // namespace polyptych
