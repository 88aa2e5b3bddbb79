// Sums of squares.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

float squares(const float *x, int64_t count) {
  Vec sums[4] = {};
  int64_t j = 0;
  for (; j + 4 * VEC <= count; j += 4 * VEC)
    for (int64_t k = 0; k < 4; k++) {
      Vec part = load_vec(x + j + k * VEC);
      sums[k] += part * part;
    }
  float rest = 0.0f;
  for (; j < count; j++) rest += x[j] * x[j];
  return sum_of((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
