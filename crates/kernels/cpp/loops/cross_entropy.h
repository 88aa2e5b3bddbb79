// Cross entropy of planes of logits, one plane a class.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// ln x of a number of at least 1, within 2 units in the last place: 2 artanh((m - 1) / (m + 1)) of
// what is left near 1 when powers of two are gone.
POLYPTYCH_INLINE float logarithm(float x) {
  constexpr uint32_t ROOT_OF_HALF = 0x3f3504f3U;
  constexpr float LN_2 = 0.693359375f, LN_2_REST = -2.12194440e-4f;
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits -= ROOT_OF_HALF;
  auto n = static_cast<float>(static_cast<int32_t>(bits) >> 23);
  bits = (bits & 0x007fffffU) + ROOT_OF_HALF;
  float m;
  std::memcpy(&m, &bits, 4);
  float t = (m - 1.0f) / (m + 1.0f), square = t * t;
  float series = 1.11111111e-1f;
  series = series * square + 1.42857143e-1f;
  series = series * square + 0.2f;
  series = series * square + 3.33333333e-1f;
  float ln = 2.0f * t + 2.0f * t * square * series;
  // No number stays none.
  return x == x ? n * LN_2 + (ln + n * LN_2_REST) : x;
}

POLYPTYCH_INLINE float weight_of(float label, Classes of) {
  return label != label ? 0.0f : static_cast<int32_t>(label) == 0 ? of.background : 1.0f;
}

// Adds what `count` pixels lose, and keeps the largest logit of each and the logarithm of the sum
// of exponentials below it.
POLYPTYCH_INLINE void add_losses(const float *z, const float *label, Classes of, int64_t count,
                                 float *top, float *log, Sums &sums) {
  float exponentials[PIXELS] = {0}, own[PIXELS] = {0}, all[PIXELS] = {0};
  for (int64_t l = 0; l < count; l++) top[l] = z[l];
  for (int64_t c = 1; c < of.count; c++)
    for (int64_t l = 0; l < count; l++) top[l] = std::max(top[l], z[c * of.plane + l]);
  for (int64_t c = 0; c < of.count; c++)
    for (int64_t l = 0; l < count; l++) {
      float below = z[c * of.plane + l] - top[l];
      exponentials[l] += exp(below);
      all[l] += below;
      own[l] = static_cast<int32_t>(label[l]) == c ? below : own[l];
    }
  auto uniform = of.spread / static_cast<float>(of.count);
  for (int64_t l = 0; l < count; l++) {
    bool known = label[l] == label[l];
    auto weight = weight_of(label[l], of);
    log[l] = logarithm(exponentials[l]);
    // Without smoothing an infinite logit is none of the pixel's business.
    float even = uniform == 0.0f ? 0.0f : uniform * all[l];
    float loss = log[l] - (1.0f - of.spread) * own[l] - even;
    auto index = static_cast<int32_t>(label[l]);
    sums.loss[l] += known ? weight * loss : 0.0f;
    sums.weight[l] += weight;
    sums.labelled[l] += known ? 1.0f : 0.0f;
    sums.outside[l] += known && (index < 0 || index >= of.count) ? 1.0f : 0.0f;
  }
}

// The gradient of `count` pixels: scale w (p - target).
POLYPTYCH_INLINE void gradients_of(const float *z, const float *label, Classes of, int64_t count,
                                   const float *top, const float *log, float scale, float *out) {
  float weight[PIXELS];
  for (int64_t l = 0; l < count; l++) weight[l] = scale * weight_of(label[l], of);
  auto uniform = of.spread / static_cast<float>(of.count);
  for (int64_t c = 0; c < of.count; c++)
    for (int64_t l = 0; l < count; l++) {
      auto at = c * of.plane + l;
      float target = static_cast<int32_t>(label[l]) == c ? 1.0f - of.spread + uniform : uniform;
      float apart = exp((z[at] - top[l]) - log[l]) - target;
      out[at] = label[l] == label[l] ? weight[l] * apart : 0.0f;
    }
}

void patch_loss(const float *z, const float *label, Classes of, int64_t begin, int64_t end,
                float *top, float *log, double *to) {
  Sums sums;
  by_strips(begin, end, [&](int64_t at, int64_t count) POLYPTYCH_WITHIN {
    add_losses(z + at, label + at, of, count, top + at, log + at, sums);
  });
  sums.store(to);
}

void patch_gradient(const float *z, const float *label, Classes of, int64_t begin, int64_t end,
                    const float *top, const float *log, float scale, float *out) {
  by_strips(begin, end, [&](int64_t at, int64_t count) POLYPTYCH_WITHIN {
    gradients_of(z + at, label + at, of, count, top + at, log + at, scale, out + at);
  });
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
