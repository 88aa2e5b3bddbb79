// The residual sum at the end of a branch.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// out = x + factor branch.
template <class T>
void add_scaled_rows(const T *x, const T *branch, float factor, T *out, int64_t count) {
  for (int64_t i = 0; i < count; i++) narrow(wide(x[i]) + factor * wide(branch[i]), out[i]);
}

template <class T>
void scaled_rows(const T *x, float factor, T *out, int64_t count) {
  for (int64_t i = 0; i < count; i++) narrow(factor * wide(x[i]), out[i]);
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
