// Processes that train together: PyTorch's c10d. A unit of its own, since c10d's headers need
// declarations that no other unit should see.
#include "polyptych-kernels/cpp/process_group.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace polyptych {
namespace {

using Milliseconds = std::chrono::milliseconds;
using StorePtr = c10::intrusive_ptr<c10d::Store>;

std::string owned(rust::Str text) { return std::string(text.data(), text.size()); }

class TcpKeyStore final : public KeyStore {
 public:
  TcpKeyStore(const c10::intrusive_ptr<c10d::TCPStore> &tcp, std::string prefix)
      : port_(tcp->getPort()),
        store_(c10::make_intrusive<c10d::PrefixStore>(std::move(prefix), tcp)) {}

  std::uint16_t port() const override { return port_; }

  void set(rust::Str key, rust::Slice<const std::uint8_t> value) const override {
    store_->set(owned(key), std::vector<std::uint8_t>(value.begin(), value.end()));
  }

  rust::Vec<std::uint8_t> get(rust::Str key, std::int64_t timeout_ms) const override {
    const std::string name = owned(key);
    store_->wait({name}, Milliseconds(timeout_ms));
    rust::Vec<std::uint8_t> value;
    for (const std::uint8_t byte : store_->get(name)) value.push_back(byte);
    return value;
  }

  bool has(rust::Str key) const override { return store_->check({owned(key)}); }

  std::int64_t add(rust::Str key, std::int64_t amount) const override {
    return store_->add(owned(key), amount);
  }

  const StorePtr &store() const { return store_; }

 private:
  std::uint16_t port_;
  StorePtr store_;
};

void wait(const c10::intrusive_ptr<c10d::Work> &work) {
  if (!work->wait()) throw std::runtime_error("the operation did not end");
}

using GroupPtr = c10::intrusive_ptr<c10d::ProcessGroupGloo>;

at::Tensor sum(const at::Tensor &tensor, const GroupPtr &group) {
  std::vector<at::Tensor> tensors{tensor.detach().clone(at::MemoryFormat::Contiguous)};
  wait(group->allreduce(tensors));
  return tensors[0];
}

struct DifferentiableSum : torch::autograd::Function<DifferentiableSum> {
  static at::Tensor forward(torch::autograd::AutogradContext *ctx, const at::Tensor &tensor,
                            const GroupPtr &group) {
    ctx->saved_data["group"] = c10::IValue::make_capsule(group);
    return sum(tensor, group);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *ctx,
                                                 torch::autograd::variable_list grads) {
    auto group = ctx->saved_data["group"].toCapsule();
    return {sum(grads[0], c10::static_intrusive_pointer_cast<c10d::ProcessGroupGloo>(group)), {}};
  }
};

class PendingWork final : public PendingReduction {
 public:
  explicit PendingWork(c10::intrusive_ptr<c10d::Work> work) : work_(std::move(work)) {}
  void wait() override { polyptych::wait(work_); }

 private:
  c10::intrusive_ptr<c10d::Work> work_;
};

class GlooProcessGroup final : public ProcessGroup {
 public:
  explicit GlooProcessGroup(GroupPtr group) : group_(std::move(group)) {}

  void all_reduce(const at::Tensor &tensor, std::uint8_t op) const override {
    static const c10d::ReduceOp::RedOpType ops[] = {c10d::ReduceOp::SUM, c10d::ReduceOp::MIN,
                                                    c10d::ReduceOp::MAX};
    c10d::AllreduceOptions options;
    options.reduceOp = ops[op];
    std::vector<at::Tensor> tensors{tensor};
    wait(group_->allreduce(tensors, options));
  }

  void broadcast(const at::Tensor &tensor, std::int32_t root) const override {
    c10d::BroadcastOptions options;
    options.rootRank = root;
    std::vector<at::Tensor> tensors{tensor};
    wait(group_->broadcast(tensors, options));
  }

  void all_gather(const at::Tensor &all, const at::Tensor &own) const override {
    at::Tensor output = all, input = own;
    wait(group_->_allgather_base(output, input));
  }

  void barrier() const override { wait(group_->barrier()); }

  bool takes(const at::Tensor &tensor) const override { return tensor.is_cpu(); }

  std::unique_ptr<PendingReduction> begin_sum(const at::Tensor &tensor) const override {
    std::vector<at::Tensor> tensors{tensor};
    return std::make_unique<PendingWork>(group_->allreduce(tensors));
  }

  std::unique_ptr<at::Tensor> differentiable_sum(const at::Tensor &tensor) const override {
    return std::make_unique<at::Tensor>(DifferentiableSum::apply(tensor, group_));
  }

 private:
  GroupPtr group_;
};

void add_devices(c10d::ProcessGroupGloo::Options &options, const std::string &interfaces) {
  std::istringstream names(interfaces);
  for (std::string name; std::getline(names, name, ',');) {
    options.devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(name));
  }
  if (options.devices.empty()) {
    options.devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
  }
  options.threads = 2 * static_cast<int>(options.devices.size());
}

}  // namespace

std::unique_ptr<KeyStore> open_key_store(rust::Str host, std::uint16_t port, bool serve,
                                         rust::Str prefix, std::int64_t connect_ms,
                                         std::int64_t timeout_ms) {
  c10d::TCPStoreOptions options;
  options.port = port;
  options.isServer = serve;
  options.waitWorkers = false;
  options.timeout = Milliseconds(connect_ms);
  auto tcp = c10::make_intrusive<c10d::TCPStore>(owned(host), options);
  tcp->setTimeout(Milliseconds(timeout_ms));
  return std::make_unique<TcpKeyStore>(tcp, owned(prefix));
}

std::unique_ptr<ProcessGroup> open_process_group(const KeyStore &store, std::int32_t rank,
                                                 std::int32_t size, rust::Str interfaces,
                                                 std::int64_t timeout_ms) {
  auto options = c10d::ProcessGroupGloo::Options::create(Milliseconds(timeout_ms));
  add_devices(*options, owned(interfaces));
  const auto &keys = dynamic_cast<const TcpKeyStore &>(store).store();
  return std::make_unique<GlooProcessGroup>(
      c10::make_intrusive<c10d::ProcessGroupGloo>(keys, rank, size, options));
}

}  // namespace polyptych
