#include "polyptych-tensor/src/kernels/gelu.h"

namespace polyptych {

Address gelu(Address x) { return owned(gelu_of(tensor(x))); }

}  // namespace polyptych
