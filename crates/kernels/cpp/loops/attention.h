// Softmax of rows of scores, forward and back.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

POLYPTYCH_INLINE float largest(const float *x, int64_t count) {
  float lanes[16];
  for (int64_t l = 0; l < 16; l++) lanes[l] = x[l];
  for (int64_t j = 16; j < count; j += 16)
    for (int64_t l = 0; l < 16; l++) lanes[l] = lanes[l] < x[j + l] ? x[j + l] : lanes[l];
  for (int64_t l = 1; l < 16; l++) lanes[0] = lanes[0] < lanes[l] ? lanes[l] : lanes[0];
  return lanes[0];
}

// Rows of scores to softmax(scale scores + bias) in place. bias repeats after `period` rows.
template <class T>
void softmax(T *scores, const T *bias, float scale, int64_t period, int64_t begin, int64_t end,
             int64_t count) {
  float x[LONGEST];
  for (int64_t j = count; j < whole(count); j++) x[j] = -std::numeric_limits<float>::max();
  for (int64_t row = begin; row < end; row++) {
    T *own = scores + row * count;
    const T *added = bias == nullptr ? nullptr : bias + row % period * count;
    if (added == nullptr)
      for (int64_t j = 0; j < count; j++) x[j] = wide(own[j]) * scale;
    else
      for (int64_t j = 0; j < count; j++) x[j] = wide(own[j]) * scale + wide(added[j]);
    float most = largest(x, whole(count));
    float e[LONGEST];
    for (int64_t j = 0; j < whole(count); j++) e[j] = exp(x[j] - most);
    for (int64_t j = count; j < whole(count); j++) e[j] = 0.0f;
    float inverse = 1.0f / total(e, whole(count));
    for (int64_t j = 0; j < count; j++) narrow(e[j] * inverse, own[j]);
  }
}

// Gradients by rows of probabilities, in place, to scale times those by what the softmax reads.
template <class T>
void softmax_gradient(T *g, const T *probabilities, float scale, int64_t begin, int64_t end,
                      int64_t count) {
  float product[LONGEST];
  for (int64_t j = count; j < whole(count); j++) product[j] = 0.0f;
  for (int64_t row = begin; row < end; row++) {
    T *own = g + row * count;
    const T *p = probabilities + row * count;
    for (int64_t j = 0; j < count; j++) product[j] = wide(own[j]) * wide(p[j]);
    float sum = total(product, whole(count));
    for (int64_t j = 0; j < count; j++) narrow(scale * (product[j] - wide(p[j]) * sum), own[j]);
  }
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
