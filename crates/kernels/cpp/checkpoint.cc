// Activation checkpointing: what operations keep for their backward pass is dropped behind the
// forward pass, and made again when the backward pass asks for it.
//
// The graph itself is recorded as ever: gradients meet in the same order, whoever asks for them.
#include "polyptych-kernels/src/operations.rs.h"
#include "polyptych-kernels/cpp/tensors.h"

#include <ATen/Context.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <memory>
#include <mutex>
#include <stdexcept>

namespace polyptych {

namespace {

// Held while a closure runs again or is freed: a backward pass has a thread for each device.
std::recursive_mutex &turn() {
  static auto *mutex = new std::recursive_mutex;
  return *mutex;
}

// The generator that operations on a device draw from.
class Draws {
 public:
  explicit Draws(at::Device device) : generator_(at::globalContext().defaultGenerator(device)) {}

  Tensor state() {
    std::lock_guard<std::mutex> lock(generator_.mutex());
    return generator_.get_state();
  }

  void go_to(const Tensor &state) {
    std::lock_guard<std::mutex> lock(generator_.mutex());
    generator_.set_state(state);
  }

 private:
  at::Generator generator_;
};

// Draws once more what was drawn behind `state`, and nothing of what is still to come.
class DrawnAgain {
 public:
  DrawnAgain(Draws &draws, const Tensor &state) : draws_(draws), now_(draws.state()) {
    draws_.go_to(state);
  }
  ~DrawnAgain() { draws_.go_to(now_); }

 private:
  Draws &draws_;
  Tensor now_;
};

// What the first run says of a tensor that an operation keeps.
struct Note {
  std::vector<int64_t> sizes;
  at::ScalarType type;
  // Of a parameter, else none.
  std::optional<int64_t> version;

  explicit Note(const Tensor &x) : sizes(x.sizes().vec()), type(x.scalar_type()) {
    if (x.is_leaf() && x.requires_grad()) version = x._version();
  }

  void check(const Note &again) const {
    if (sizes != again.sizes || type != again.type)
      throw std::runtime_error("what is run again in the backward pass keeps other tensors");
    if (version.has_value() && version != again.version)
      throw std::runtime_error("a parameter was changed between forward and backward pass");
  }
};

// One run of a closure, and what its operations keep.
class Frame : public std::enable_shared_from_this<Frame> {
 public:
  Frame(rust::Box<Repeat> repeat, at::Device device)
      : repeat_(std::move(repeat)), draws_(device), state_(draws_.state()) {}

  ~Frame() {
    std::lock_guard<std::recursive_mutex> lock(turn());
    repeat_.reset();
  }

  std::size_t take_in(const Tensor &x) {
    Note note(x);
    auto index = kept_.size();
    if (!noted_)
      notes_.push_back(note);
    else if (index < notes_.size())
      notes_[index].check(note);
    kept_.push_back(x.detach());
    return index;
  }

  // Hands out what was taken in: for good, unless the closure itself still runs.
  Tensor give(std::size_t index) {
    std::lock_guard<std::recursive_mutex> lock(turn());
    if (runs_) return kept_.at(index);
    if (kept_.empty() || !kept_.at(index).defined()) run_again();
    return std::move(kept_[index]);
  }

  void end_first_run() {
    noted_ = true;
    kept_.clear();
  }

  // The frame whose closure runs on this thread.
  static thread_local std::shared_ptr<Frame> running;

  // Makes a frame the running one.
  class Run {
   public:
    explicit Run(std::shared_ptr<Frame> frame) : before_(std::exchange(running, std::move(frame))) {
      running->runs_ = true;
    }
    ~Run() {
      running->runs_ = false;
      running = std::move(before_);
    }

   private:
    std::shared_ptr<Frame> before_;
  };

 private:
  void run_again() {
    forget_others();
    kept_.clear();
    c10::AutoGradMode recorded(true);
    DrawnAgain drawn(draws_, state_);
    Run run(shared_from_this());
    try {
      (*repeat_)->run();
      if (kept_.size() != notes_.size())
        throw std::runtime_error("what is run again in the backward pass keeps other tensors");
    } catch (...) {
      kept_.clear();
      throw;
    }
  }

  // A pass that asks for some gradients leaves what only the others need: one frame's at most.
  void forget_others() {
    static std::weak_ptr<Frame> last;
    auto before = last.lock();
    if (before && before.get() != this && !before->runs_) before->kept_.clear();
    last = weak_from_this();
  }

  std::optional<rust::Box<Repeat>> repeat_;
  Draws draws_;
  Tensor state_;
  std::vector<Note> notes_;
  std::vector<Tensor> kept_;
  bool noted_ = false;
  bool runs_ = false;
};

thread_local std::shared_ptr<Frame> Frame::running;

// Stands for one tensor that an operation within a frame keeps.
class Handle : public torch::autograd::SavedVariableHooks {
 public:
  explicit Handle(std::shared_ptr<Frame> frame) : frame_(std::move(frame)) {}

  void call_pack_hook(const Tensor &x) override { index_ = frame_->take_in(x); }
  Tensor call_unpack_hook() override { return frame_->give(index_); }

 private:
  std::shared_ptr<Frame> frame_;
  std::size_t index_ = 0;
};

// LibTorch asks its engine what stands for tensors that are kept; only Python's has an answer.
class Engine final : public torch::autograd::Engine {
 public:
  ~Engine() override { stop(); }

  std::unique_ptr<torch::autograd::SavedVariableHooks> get_default_saved_variable_hooks() override {
    return Frame::running ? std::make_unique<Handle>(Frame::running) : nullptr;
  }

  static torch::autograd::Engine &only() {
    static Engine engine;
    return engine;
  }
};

// The first run on this thread.
thread_local std::optional<Frame::Run> begun;

}  // namespace

bool begin_checkpoint(rust::Box<Repeat> repeat, Address x) {
  if (!at::GradMode::is_enabled() || traced() || Frame::running) return false;
  static std::once_flag once;
  std::call_once(once, [] { torch::autograd::set_default_engine_stub(Engine::only); });
  begun.emplace(std::make_shared<Frame>(std::move(repeat), tensor(x).device()));
  return true;
}

void end_checkpoint() {
  Frame::running->end_first_run();
  begun.reset();
}

}  // namespace polyptych
