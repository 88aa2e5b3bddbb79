// NCCL's C interface, declared here: its header needs CUDA's, and neither is where this is compiled.
#include "polyptych-kernels/cpp/nccl.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

namespace polyptych {
namespace {

using Clock = std::chrono::steady_clock;

// ncclResult_t, ncclComm_t and ncclUniqueId of nccl.h, versions 2.4 and later.
using NcclResult = int;
using NcclComm = void *;
struct NcclUniqueId {
  char internal[128];
};
constexpr NcclResult SUCCESS = 0;
constexpr NcclResult IN_PROGRESS = 7;
constexpr int SUM = 0;

int nccl_type(at::ScalarType type) {
  switch (type) {
    case at::kHalf:
      return 6;
    case at::kFloat:
      return 7;
    case at::kDouble:
      return 8;
    case at::kBFloat16:
      return 9;
    default:
      throw std::runtime_error(std::string("expected numbers with a point, found ") +
                               c10::toString(type));
  }
}

// The functions of `libnccl.so.2`, which LibTorch's GPU part brings.
struct Library {
  NcclResult (*get_unique_id)(NcclUniqueId *);
  NcclResult (*init_rank)(NcclComm *, int, NcclUniqueId, int);
  NcclResult (*all_reduce)(const void *, void *, std::size_t, int, int, NcclComm, void *);
  NcclResult (*async_error)(NcclComm, NcclResult *);
  NcclResult (*abort)(NcclComm);
  const char *(*error_string)(NcclResult);

  static const Library &only() {
    static const Library library;
    return library;
  }

  void check(NcclResult result, const char *what) const {
    if (result != SUCCESS && result != IN_PROGRESS)
      throw std::runtime_error(std::string(what) + ": " + error_string(result));
  }

 private:
  Library() {
    void *handle = dlopen("libnccl.so.2", RTLD_NOW | RTLD_GLOBAL);
    if (handle == nullptr)
      throw std::runtime_error(std::string("libnccl.so.2 cannot be opened: ") + dlerror());
    find(handle, "ncclGetUniqueId", get_unique_id);
    find(handle, "ncclCommInitRank", init_rank);
    find(handle, "ncclAllReduce", all_reduce);
    find(handle, "ncclCommGetAsyncError", async_error);
    find(handle, "ncclCommAbort", abort);
    find(handle, "ncclGetErrorString", error_string);
  }

  template <class F>
  static void find(void *handle, const char *name, F &function) {
    void *found = dlsym(handle, name);
    if (found == nullptr)
      throw std::runtime_error(std::string("libnccl.so.2 has no function ") + name);
    function = reinterpret_cast<F>(found);
  }
};

// The communicator of this process, and the stream that its sums run on beside the backward pass.
class Communicator {
 public:
  Communicator(const NcclUniqueId &id, int rank, int size, c10::Device device,
               std::chrono::milliseconds timeout)
      : device_(device), timeout_(timeout), guard_(device.type()), stream_(new_stream()) {
    c10::DeviceGuard here(device_);
    const Library &nccl = Library::only();
    nccl.check(nccl.init_rank(&comm_, size, id, rank), "ncclCommInitRank");
  }

  // Sums of ranks that are gone never end.
  ~Communicator() {
    if (comm_ != nullptr) Library::only().abort(comm_);
  }

  // Begins behind what the current stream does now; the event is that of its end.
  c10::Event begin_sum(const at::Tensor &tensor) const {
    c10::DeviceGuard here(device_);
    c10::Event ready(device_.type()), done(device_.type());
    ready.record(guard_.getStream(device_));
    ready.block(stream_);
    const Library &nccl = Library::only();
    const NcclResult result =
        nccl.all_reduce(tensor.data_ptr(), tensor.data_ptr(), tensor.numel(),
                        nccl_type(tensor.scalar_type()), SUM, comm_,
                        guard_.getStreamNativeHandle(stream_));
    nccl.check(result, "ncclAllReduce");
    done.record(stream_);
    return done;
  }

  void wait(const c10::Event &done) const {
    const Library &nccl = Library::only();
    const auto end = Clock::now() + timeout_;
    while (!done.query()) {
      NcclResult state = SUCCESS;
      nccl.check(nccl.async_error(comm_, &state), "ncclCommGetAsyncError");
      nccl.check(state, "ncclAllReduce");
      if (Clock::now() > end) throw std::runtime_error("Timed out in ncclAllReduce");
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }

 private:
  c10::Stream new_stream() const {
    c10::DeviceGuard here(device_);
    return guard_.getStreamFromGlobalPool(device_, true);
  }

  c10::Device device_;
  std::chrono::milliseconds timeout_;
  c10::impl::VirtualGuardImpl guard_;
  c10::Stream stream_;
  NcclComm comm_ = nullptr;
};

class PendingSum final : public PendingReduction {
 public:
  PendingSum(const Communicator &communicator, c10::Event done)
      : communicator_(communicator), done_(std::move(done)) {}
  void wait() override { communicator_.wait(done_); }

 private:
  const Communicator &communicator_;
  c10::Event done_;
};

class NcclGroup final : public SumGroup {
 public:
  NcclGroup(const NcclUniqueId &id, int rank, int size, c10::Device device,
            std::chrono::milliseconds timeout)
      : device_(device), communicator_(id, rank, size, device, timeout) {}

  bool takes(const at::Tensor &tensor) const override { return tensor.device() == device_; }

  std::unique_ptr<PendingReduction> begin_sum(const at::Tensor &tensor) const override {
    return std::make_unique<PendingSum>(communicator_, communicator_.begin_sum(tensor));
  }

 private:
  c10::Device device_;
  Communicator communicator_;
};

}  // namespace

rust::Vec<std::uint8_t> nccl_unique_id() {
  const Library &nccl = Library::only();
  NcclUniqueId id;
  nccl.check(nccl.get_unique_id(&id), "ncclGetUniqueId");
  rust::Vec<std::uint8_t> bytes;
  for (const char byte : id.internal) bytes.push_back(static_cast<std::uint8_t>(byte));
  return bytes;
}

std::unique_ptr<SumGroup> open_nccl(rust::Slice<const std::uint8_t> unique_id, std::int32_t rank,
                                    std::int32_t size, std::int32_t device,
                                    std::int64_t timeout_ms) {
  NcclUniqueId id;
  if (unique_id.size() != sizeof id.internal)
    throw std::runtime_error("expected a unique id of 128 bytes");
  std::memcpy(id.internal, unique_id.data(), sizeof id.internal);
  const c10::Device gpu(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device));
  return std::make_unique<NcclGroup>(id, rank, size, gpu, std::chrono::milliseconds(timeout_ms));
}

}  // namespace polyptych
