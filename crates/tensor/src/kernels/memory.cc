#include "polyptych-tensor/src/kernels.h"

#ifdef __GLIBC__
#include <malloc.h>

#include <limits>
#endif

#if defined(__GNUC__) && defined(__ELF__)
// jemalloc's, where the program was linked with it.
extern "C" __attribute__((weak)) int mallctl(const char *name, void *old, std::size_t *old_size,
                                             void *now, std::size_t now_size);
#endif

namespace polyptych {

namespace {

#if defined(__GNUC__) && defined(__ELF__)
bool keep_in_jemalloc() {
  if (mallctl == nullptr) return false;
  bool kept = true;
  // Arenas to come, and the one that is there at the start.
  for (auto name : {"arenas.dirty_decay_ms", "arena.0.dirty_decay_ms"}) {
    std::ptrdiff_t never = -1;
    kept &= mallctl(name, nullptr, nullptr, &never, sizeof never) == 0;
  }
  return kept;
}
#else
bool keep_in_jemalloc() { return false; }
#endif

}  // namespace

bool keep_memory() {
  if (keep_in_jemalloc()) return true;
#ifdef __GLIBC__
  // Every block comes from one heap that never shrinks: pages are cleared by the system once.
  return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max()) == 1;
#else
  return false;
#endif
}

}  // namespace polyptych
