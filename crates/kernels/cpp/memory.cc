#include "polyptych-kernels/cpp/kernels.h"

#include <c10/core/CPUAllocator.h>

#include <atomic>

#ifdef __GLIBC__
#include <malloc.h>

#include <limits>
#endif

#if defined(__GNUC__) && defined(__ELF__)
// jemalloc's, where the program was linked with it.
extern "C" __attribute__((weak)) int mallctl(const char *name, void *old, std::size_t *old_size,
                                             void *now, std::size_t now_size);

// Read by jemalloc when the process starts. Freed pages that are kept must serve every later
// request: by default jemalloc cuts none from an extent that is more than 2^6 times larger, and
// takes new pages beside large free ones without end. This one of jemalloc's two variables leaves
// `malloc_conf` to the program.
extern "C" const char *malloc_conf_2_conf_harder = "lg_extent_max_active_fit:63";
#endif

namespace polyptych {

namespace {

#if defined(__GNUC__) && defined(__ELF__)
// Whether freed extents serve requests of any size: not so in a jemalloc that did not read the
// variable above, such as one that was put before the program by the loader.
bool reuses_all() {
  std::size_t fit = 0, size = sizeof fit;
  return mallctl("opt.lg_extent_max_active_fit", &fit, &size, nullptr, 0) == 0 && fit >= 20;
}

bool keep_in_jemalloc() {
  if (!reuses_all()) return false;
  bool kept = true;
  // Arenas to come, and the one that is there at the start.
  for (auto name : {"arenas.dirty_decay_ms", "arena.0.dirty_decay_ms"}) {
    std::ptrdiff_t never = -1;
    kept &= mallctl(name, nullptr, nullptr, &never, sizeof never) == 0;
  }
  return kept;
}

bool has_jemalloc() { return mallctl != nullptr; }
#else
bool keep_in_jemalloc() { return false; }

bool has_jemalloc() { return false; }
#endif

std::atomic<std::int64_t> live{0};

// LibTorch's own allocator of the CPU, with a count of what is alive.
class Counting final : public c10::Allocator {
 public:
  explicit Counting(c10::Allocator *inner) : inner_(inner) { free_ = inner->raw_deleter(); }

  c10::DataPtr allocate(std::size_t bytes) override {
    auto data = inner_->allocate(bytes);
    if (data.get() != nullptr && data.compare_exchange_deleter(free_, &release)) ++live;
    return data;
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void *to, const void *from, std::size_t bytes) const override {
    inner_->copy_data(to, from, bytes);
  }

 private:
  static void release(void *data) {
    if (data != nullptr) --live;
    free_(data);
  }

  c10::Allocator *inner_;
  static inline c10::DeleterFnPtr free_ = nullptr;
};

}  // namespace

bool keep_memory() {
  if (has_jemalloc()) return keep_in_jemalloc();
#ifdef __GLIBC__
  // Every block comes from one heap that never shrinks: pages are cleared by the system once.
  return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max()) == 1;
#else
  return false;
#endif
}

std::int64_t live_storages() {
  static const bool counting = [] {
    auto *inner = c10::GetCPUAllocator();
    // Lives as long as the process, as storages may.
    c10::SetCPUAllocator(new Counting(inner), 1);
    return true;
  }();
  static_cast<void>(counting);
  return live;
}

}  // namespace polyptych
