// Sums over the GPUs of several processes by NCCL, whose library is opened when it is asked for.
#pragma once

#include "polyptych-kernels/cpp/process_group.h"
#include "rust/cxx.h"

#include <cstdint>
#include <memory>

namespace polyptych {

// The bytes by which the ranks of a communicator find each other; one rank makes them for all.
rust::Vec<std::uint8_t> nccl_unique_id();

// `device`: the GPU of this process.
std::unique_ptr<SumGroup> open_nccl(rust::Slice<const std::uint8_t> unique_id, std::int32_t rank,
                                    std::int32_t size, std::int32_t device,
                                    std::int64_t timeout_ms);

}  // namespace polyptych
