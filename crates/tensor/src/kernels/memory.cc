#include "polyptych-tensor/src/kernels.h"

#ifdef __GLIBC__
#include <malloc.h>

#include <limits>
#endif

namespace polyptych {

bool keep_memory() {
#ifdef __GLIBC__
  // Every block comes from one heap that never shrinks: pages are cleared by the system once.
  return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max()) == 1;
#else
  return false;
#endif
}

}  // namespace polyptych
