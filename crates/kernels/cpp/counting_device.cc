// A device for tests: its tensors lie in the CPU's memory and its operations are the CPU's, but it
// is another device to LibTorch, under the key of MPS, which LibTorch for Linux lacks. Operands on
// two devices are refused as a GPU refuses them, and what a GPU would have to wait for is counted.
#include "polyptych-kernels/cpp/tensors.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <map>
#include <mutex>
#include <set>
#include <string>

namespace polyptych {

namespace {

constexpr auto KEY = c10::DispatchKey::MPS;
const at::Device DEVICE(at::kMPS, 0);

// Operations whose results the CPU needs before it can go on.
const std::set<std::string> WAITED_FOR = {
    "aten::_local_scalar_dense", "aten::equal",       "aten::nonzero",
    "aten::masked_select",       "aten::_unique2",    "aten::unique_dim",
    "aten::bincount",            "aten::unique_consecutive",
    "aten::repeat_interleave"};

// What was counted, by the names of operations.
class Transfers {
 public:
  static Transfers &all() {
    static auto *transfers = new Transfers;
    return *transfers;
  }

  void add(const std::string &name) {
    std::lock_guard<std::mutex> lock(mutex_);
    ++counts_[name];
  }

  std::map<std::string, std::int64_t> take() {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(counts_, {});
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::int64_t> counts_;
};

bool on_device(const Tensor &x) { return x.defined() && x.device().type() == at::kMPS; }

void release(void *storage) { delete static_cast<c10::Storage *>(storage); }

// A storage of the device that keeps `memory`, one of the CPU.
c10::Storage storage_of(const c10::Storage &memory) {
  auto *kept = new c10::Storage(memory);
  c10::DataPtr data(kept->mutable_data(), kept, &release, DEVICE);
  return c10::Storage(c10::Storage::use_byte_size_t(), memory.nbytes(), std::move(data), nullptr,
                      /*resizable=*/false);
}

// A tensor on the device over `storage`, laid out as `like`.
Tensor tensor_over(const c10::Storage &storage, const Tensor &like) {
  auto result = at::detail::make_tensor<c10::TensorImpl>(
      c10::Storage(storage), c10::DispatchKeySet(KEY), like.dtype());
  result.unsafeGetTensorImpl()->set_storage_offset(like.storage_offset());
  result.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides());
  return result;
}

// The CPU's view of a tensor on the device.
struct View {
  Tensor device;
  Tensor cpu;
};

// One operation, whose tensors on the device are views on the CPU while it runs.
class Call {
 public:
  Call(const c10::OperatorHandle &op, torch::jit::Stack *stack)
      : op_(op), stack_(stack), first_(stack->size() - op.schema().arguments().size()) {}

  void run() {
    for (auto i = first_; i < stack_->size(); i++) to_cpu((*stack_)[i]);
    TORCH_CHECK(views_.empty() || strangers_.empty() || may_mix(), op_.schema().name(),
                ": expected all tensors on one device, found ", strangers_);
    if (!views_.empty() && !strangers_.empty()) count_copy();
    if (WAITED_FOR.count(op_.schema().name()) > 0) Transfers::all().add(op_.schema().name());
    op_.callBoxed(stack_);
    for (auto &view : views_) adopt(view);
    const auto returned = op_.schema().returns().size();
    for (auto i = stack_->size() - returned; i < stack_->size(); i++) to_device((*stack_)[i]);
  }

 private:
  // Copies may, and what takes indices of the CPU copies them.
  bool may_mix() const {
    auto &name = op_.schema().name();
    return name == "aten::copy_" || name == "aten::_copy_from" ||
           name.rfind("aten::index", 0) == 0 || name.rfind("aten::_index_put", 0) == 0;
  }

  void count_copy() {
    auto &name = op_.schema().name();
    if (name != "aten::copy_") return Transfers::all().add(name);
    const auto waits = !(*stack_)[first_ + 2].toBool();
    Transfers::all().add(!destination_is_device_ ? "to cpu"
                         : waits                 ? "to device"
                                                 : "to device, not waited for");
  }

  void to_cpu(c10::IValue &value) {
    if (value.isTensor()) {
      value = view_of(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> views;
      for (const Tensor &x : value.toTensorList()) views.push_back(view_of(x));
      value = views;
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<Tensor>> views;
      for (const std::optional<Tensor> &x : value.toOptionalTensorList())
        views.push_back(x.has_value() ? std::make_optional(view_of(*x)) : std::nullopt);
      value = views;
    } else if (value.isDevice()) {
      value = at::Device(at::kCPU);
    }
  }

  Tensor view_of(const Tensor &x) {
    if (!x.defined()) return x;
    if (!on_device(x)) {
      // A number alone goes along with a launch.
      if (x.dim() > 0 || op_.schema().name() == "aten::copy_") strangers_.push_back(x.toString());
      return x;
    }
    if (views_.empty() && strangers_.empty()) destination_is_device_ = true;
    for (auto &view : views_)
      if (view.device.is_same(x)) return view.cpu;
    views_.push_back({x, over_memory(x)});
    return views_.back().cpu;
  }

  Tensor over_memory(const Tensor &x) {
    auto *key = x.storage().unsafeGetStorageImpl();
    auto found = memory_.find(key);
    if (found == memory_.end()) {
      c10::DataPtr data(x.storage().mutable_data(), at::kCPU);
      c10::Storage memory(c10::Storage::use_byte_size_t(), x.storage().nbytes(), std::move(data),
                          c10::GetCPUAllocator(), /*resizable=*/true);
      found = memory_.emplace(key, Known{x.storage(), memory}).first;
    }
    auto view = at::detail::make_tensor<c10::TensorImpl>(
        c10::Storage(found->second.memory), c10::DispatchKeySet(c10::DispatchKey::CPU), x.dtype());
    view.unsafeGetTensorImpl()->set_storage_offset(x.storage_offset());
    view.unsafeGetTensorImpl()->set_sizes_and_strides(x.sizes(), x.strides());
    return view;
  }

  // What the operation changed of the view itself: other sizes, or other memory.
  void adopt(View &view) {
    auto *impl = view.device.unsafeGetTensorImpl();
    if (view.cpu.storage().data() != view.device.storage().data())
      impl->set_storage_keep_dtype(storage_of(view.cpu.storage()));
    if (view.cpu.sizes() != view.device.sizes() || view.cpu.strides() != view.device.strides() ||
        view.cpu.storage_offset() != view.device.storage_offset()) {
      impl->set_storage_offset(view.cpu.storage_offset());
      impl->set_sizes_and_strides(view.cpu.sizes(), view.cpu.strides());
    }
  }

  void to_device(c10::IValue &value) {
    if (value.isTensor()) {
      value = device_of(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> result;
      for (const Tensor &x : value.toTensorList()) result.push_back(device_of(x));
      value = result;
    }
  }

  Tensor device_of(const Tensor &x) {
    if (!x.defined() || !x.has_storage()) return x;
    for (auto &view : views_)
      if (view.cpu.is_same(x)) return view.device;
    for (auto &[key, known] : memory_)
      if (known.memory.unsafeGetStorageImpl() == x.storage().unsafeGetStorageImpl())
        return tensor_over(known.device, x);
    // A copy to the CPU gives back where it went.
    if (!strangers_.empty() && op_.schema().name() == "aten::copy_") return x;
    return tensor_over(storage_of(x.storage()), x);
  }

  struct Known {
    c10::Storage device, memory;
  };

  const c10::OperatorHandle &op_;
  torch::jit::Stack *stack_;
  size_t first_;
  std::vector<View> views_;
  std::map<c10::StorageImpl *, Known> memory_;
  std::vector<std::string> strangers_;
  bool destination_is_device_ = false;
};

void run_on_cpu(const c10::OperatorHandle &op, torch::jit::Stack *stack) {
  at::AutoDispatchBelowADInplaceOrView below;
  Call(op, stack).run();
}

// One device with one stream, behind whose work nothing ever waits.
class Guard final : public c10::impl::NoOpDeviceGuardImpl<at::kMPS> {
 public:
  at::Device exchangeDevice(at::Device) const override { return DEVICE; }
  at::Device getDevice() const override { return DEVICE; }
  c10::Stream getStream(at::Device) const noexcept override { return stream(); }
  c10::Stream getNewStream(at::Device, int) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  void record(void **, const c10::Stream &, const c10::DeviceIndex,
              const c10::EventFlag) const override {}
  void block(void *, const c10::Stream &) const override {}
  bool queryEvent(void *) const override { return true; }

 private:
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, DEVICE); }
};

// The CPU's generator is the device's.
class Hooks final : public at::MPSHooksInterface {
 public:
  void init() const override {}
  bool hasMPS() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  at::Allocator *getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
  const at::Generator &getDefaultGenerator(c10::DeviceIndex) const override {
    return at::globalContext().defaultGenerator(at::kCPU);
  }
};

// Operations that have a form for all devices in terms of others, but one of their own on a GPU.
constexpr const char *OWN[] = {
    "copy_",          "convolution",          "convolution_backward",    "convolution_overrideable",
    "embedding",      "native_layer_norm",    "native_layer_norm_backward",
    "native_batch_norm", "native_group_norm", "_softmax", "native_dropout", "native_dropout_backward"};

// LibTorch chooses among the fused forms of devices that it knows.
Tensor attention_in_pieces(const Tensor &query, const Tensor &key, const Tensor &value,
                           const std::optional<Tensor> &mask, double dropout, bool is_causal,
                           std::optional<double> scale, bool enable_gqa) {
  return std::get<0>(at::_scaled_dot_product_attention_math(query, key, value, mask, dropout,
                                                            is_causal, {}, scale, enable_gqa));
}

// They stay as long as the process.
void add_operations() {
  using torch::CppFunction;
  auto of = [](const char *space, c10::DispatchKey key) {
    return new torch::Library(torch::Library::IMPL, space, key, __FILE__, __LINE__);
  };
  of("_", KEY)->fallback(CppFunction::makeFromBoxedFunction<&run_on_cpu>());
  auto *own = of("aten", KEY);
  for (auto name : OWN) own->impl(name, CppFunction::makeFromBoxedFunction<&run_on_cpu>());
  for (auto key : {KEY, c10::DispatchKey::AutogradMPS})
    of("aten", key)->impl("scaled_dot_product_attention", &attention_in_pieces);
}

}  // namespace

void open_counting_device() {
  static std::once_flag once;
  std::call_once(once, [] {
    TORCH_CHECK(!c10::impl::hasDeviceGuardImpl(at::kMPS), "expected a LibTorch without MPS");
    at::MPSHooksRegistry()->Register("MPSHooks", [](at::MPSHooksArgs) {
      return std::make_unique<Hooks>();
    });
    c10::impl::registerDeviceGuard(at::kMPS, new Guard);
    add_operations();
  });
}

rust::Vec<rust::String> take_transfers() {
  rust::Vec<rust::String> names;
  for (auto &[name, count] : Transfers::all().take())
    for (std::int64_t i = 0; i < count; i++) names.push_back(name);
  return names;
}

}  // namespace polyptych
