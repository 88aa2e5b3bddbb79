// Gradient checkpointing: what operations keep for their backward pass is dropped behind the
// forward pass, and made again when the backward pass asks for it.
//
// The graph itself is recorded as ever: gradients meet in the same order, whoever asks for them.
#include "polyptych-kernels/src/bridge.rs.h"
#include "polyptych-kernels/cpp/tensors.h"

#include <ATen/Context.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <unordered_map>

namespace polyptych {

namespace {

// Closures are Rust's and made for one thread: the one that made them runs and frees them. A
// backward pass has a thread for each device, which may do so too as long as the closure's own
// thread waits in a backward pass: it calls nothing of Rust meanwhile but closures, under one lock.
class Threads {
 public:
  using Lock = std::lock_guard<std::recursive_mutex>;

  // As long as the process: graphs may go at its very end.
  static Threads &all() {
    static auto *threads = new Threads;
    return *threads;
  }

  // A number of this thread that no other ever has.
  static uint64_t own() {
    static std::atomic<uint64_t> next{0};
    thread_local const uint64_t number = next++;
    return number;
  }

  // Under the lock, as long as it is held.
  bool may_call(uint64_t owner) const { return owner == own() || waiting_.count(owner) > 0; }

  void free(uint64_t owner, rust::Box<Repeat> repeat) {
    Lock lock(mutex);
    if (!may_call(owner)) return left_[owner].push_back(std::move(repeat));
    auto now = std::move(repeat);
  }

  // Frees what other threads left to this one.
  void free_left() {
    Lock lock(mutex);
    auto found = left_.find(own());
    if (found == left_.end()) return;
    auto left = std::move(found->second);
    left_.erase(found);
  }

  // This thread is in a backward pass as long as this lives.
  class Waits {
   public:
    Waits() {
      Lock lock(all().mutex);
      ++all().waiting_[own()];
    }
    ~Waits() {
      Lock lock(all().mutex);
      if (--all().waiting_[own()] == 0) all().waiting_.erase(own());
    }
  };

  std::recursive_mutex mutex;

 private:
  std::unordered_map<uint64_t, int> waiting_;
  std::unordered_map<uint64_t, std::vector<rust::Box<Repeat>>> left_;
};

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

  ~Frame() { Threads::all().free(owner_, std::move(repeat_)); }

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
    Threads::Lock lock(Threads::all().mutex);
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
    if (!Threads::all().may_call(owner_))
      throw std::runtime_error(
          "what is run again in the backward pass is of another thread; call backward on the thread "
          "that ran the model");
    forget_others();
    kept_.clear();
    c10::AutoGradMode recorded(true);
    DrawnAgain drawn(draws_, state_);
    Run run(shared_from_this());
    try {
      repeat_->run();
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

  uint64_t owner_ = Threads::own();
  rust::Box<Repeat> repeat_;
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

// LibTorch asks its engine what stands for tensors that are kept; only Python's has an answer. This
// one is LibTorch's own otherwise.
class Engine final : public torch::autograd::Engine {
 public:
  ~Engine() override { stop(); }

  variable_list execute(const torch::autograd::edge_list &roots, const variable_list &inputs,
                        bool keep_graph, bool create_graph, bool accumulate_grad,
                        const torch::autograd::edge_list &outputs) override {
    Threads::Waits waits;
    return torch::autograd::Engine::execute(roots, inputs, keep_graph, create_graph,
                                            accumulate_grad, outputs);
  }

  std::unique_ptr<torch::autograd::SavedVariableHooks> get_default_saved_variable_hooks() override {
    return Frame::running ? std::make_unique<Handle>(Frame::running) : nullptr;
  }

  static torch::autograd::Engine &only() {
    static Engine engine;
    return engine;
  }

 private:
  // LibTorch starts threads for devices once in a process, those of the engine that goes back
  // first. So its own gets them now, and this one starts those that it would lack.
  Engine() {
    get_base_engine().initialize_device_threads_pool();
    start_device_threads();
  }
};

class FirstRunOfFrame final : public FirstRun {
 public:
  explicit FirstRunOfFrame(std::shared_ptr<Frame> frame) : frame_(frame), run_(std::move(frame)) {}
  ~FirstRunOfFrame() override { frame_->end_first_run(); }

 private:
  std::shared_ptr<Frame> frame_;
  Frame::Run run_;
};

}  // namespace

std::unique_ptr<FirstRun> begin_first_run(rust::Box<Repeat> repeat, const Tensor &x) {
  if (!at::GradMode::is_enabled() || traced() || Frame::running) return nullptr;
  static std::once_flag once;
  std::call_once(once, [] { torch::autograd::set_default_engine_stub(Engine::only); });
  Threads::all().free_left();
  return std::make_unique<FirstRunOfFrame>(std::make_shared<Frame>(std::move(repeat), x.device()));
}

}  // namespace polyptych
