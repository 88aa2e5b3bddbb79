// Distance of vectors of a map, at unit length, from those of a target.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Keeps a zero vector from 0 / 0.
constexpr float SHORTEST = 1e-12f;

POLYPTYCH_INLINE float length_of(const float *z, int64_t plane, int64_t l) {
  float x = z[l], y = z[plane + l], last = z[2 * plane + l];
  return std::sqrt(x * x + y * y + last * last);
}

void distances(const float *z, const float *target, int64_t plane, int64_t begin, int64_t end,
               double *to) {
  float sum[PIXELS] = {0}, labelled[PIXELS] = {0};
  by_strips(begin, end, [&](int64_t at, int64_t count) POLYPTYCH_WITHIN {
    for (int64_t l = 0; l < count; l++) {
      float unit = 1.0f / (length_of(z + at, plane, l) + SHORTEST);
      for (int64_t c = 0; c < 3; c++) {
        auto from = c * plane + at + l;
        bool known = target[from] == target[from];
        sum[l] += known ? std::fabs(z[from] * unit - target[from]) : 0.0f;
        labelled[l] += known ? 1.0f : 0.0f;
      }
    }
  });
  to[0] = pixel_sum(sum);
  to[1] = pixel_sum(labelled);
}

// By a vector: of what a sign says of each component, the part across the vector.
void distance_gradients(const float *z, const float *target, int64_t plane, int64_t begin,
                        int64_t end, float scale, float *out) {
  by_strips(begin, end, [&](int64_t at, int64_t count) POLYPTYCH_WITHIN {
    float along[PIXELS], unit[PIXELS], known[PIXELS];
    for (int64_t l = 0; l < count; l++) {
      float length = length_of(z + at, plane, l);
      unit[l] = 1.0f / (length + SHORTEST);
      along[l] = known[l] = 0.0f;
      for (int64_t c = 0; c < 3; c++) {
        auto from = c * plane + at + l;
        float apart = z[from] * unit[l] - target[from];
        float sign = apart > 0.0f ? scale : apart < 0.0f ? -scale : 0.0f;
        // No number has no sign, and neither has what is compared with one.
        out[from] = sign;
        along[l] += sign * z[from];
        known[l] += target[from] == target[from] ? 1.0f : 0.0f;
      }
      // A zero vector has no direction.
      along[l] = length == 0.0f ? 0.0f : along[l] * unit[l] / length;
    }
    for (int64_t c = 0; c < 3; c++)
      for (int64_t l = 0; l < count; l++) {
        auto from = c * plane + at + l;
        out[from] = known[l] == 0.0f ? 0.0f : (out[from] - along[l] * z[from]) * unit[l];
      }
  });
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
