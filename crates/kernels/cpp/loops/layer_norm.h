// Normalisation of rows, with statistics and parameters in float32.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Rows that take turns, so that none waits for its sums. Lines of floats end with whole vectors.
constexpr int64_t NORMED_ROWS = 4;

// out = (x - mean) rstd weight + bias for N rows; mean and rstd of each are written too.
template <int64_t N, bool WHOLE, class T>
POLYPTYCH_INLINE void norm_rows(const T *x, const float *weight, const float *bias, float eps,
                                T *out, float *means, float *rstds, int64_t count) {
  Vec sums[N];
  float inverse = 1.0f / static_cast<float>(count);
  for (int64_t r = 0; r < N; r++) sums[r] = Vec{};
  for (int64_t j = 0; j < count; j += VEC)
    for (int64_t r = 0; r < N; r++) sums[r] += load_part<WHOLE>(x + r * count + j, count - j);
  for (int64_t r = 0; r < N; r++) means[r] = sum_of(sums[r]) * inverse, sums[r] = Vec{};
  for (int64_t j = 0; j < count; j += VEC)
    for (int64_t r = 0; r < N; r++) {
      Vec v = load_part<WHOLE>(x + r * count + j, count - j);
      Vec apart = part_of<WHOLE>(v - means[r], count - j);
      sums[r] += apart * apart;
    }
  for (int64_t r = 0; r < N; r++) rstds[r] = 1.0f / std::sqrt(sum_of(sums[r]) * inverse + eps);
  for (int64_t j = 0; j < count; j += VEC) {
    Vec by = load_vec(weight + j), onto = load_vec(bias + j);
    for (int64_t r = 0; r < N; r++) {
      Vec normed = (load_part<WHOLE>(x + r * count + j, count - j) - means[r]) * rstds[r];
      store_part<WHOLE>(normed * by + onto, count - j, out + r * count + j);
    }
  }
}

// Gradients by N rows: that of x is written, those of weight and bias are added to.
template <int64_t N, bool WHOLE, class T>
POLYPTYCH_INLINE void norm_rows_back(const T *x, const T *g, const float *weight,
                                     const float *means, const float *rstds, T *dx, float *dweight,
                                     float *dbias, int64_t count) {
  Vec slopes[N], products[N];
  for (int64_t r = 0; r < N; r++) slopes[r] = products[r] = Vec{};
  for (int64_t j = 0; j < count; j += VEC) {
    Vec by_weight = load_vec(dweight + j), by_bias = load_vec(dbias + j);
    for (int64_t r = 0; r < N; r++) {
      Vec slope = load_part<WHOLE>(g + r * count + j, count - j);
      Vec normed = (load_part<WHOLE>(x + r * count + j, count - j) - means[r]) * rstds[r];
      Vec scaled = slope * load_vec(weight + j);
      slopes[r] += scaled, products[r] += scaled * normed;
      by_weight += slope * normed, by_bias += slope;
    }
    store_vec(by_weight, dweight + j), store_vec(by_bias, dbias + j);
  }
  float inverse = 1.0f / static_cast<float>(count), of_slope[N], of_product[N];
  for (int64_t r = 0; r < N; r++)
    of_slope[r] = sum_of(slopes[r]) * inverse, of_product[r] = sum_of(products[r]) * inverse;
  for (int64_t j = 0; j < count; j += VEC)
    for (int64_t r = 0; r < N; r++) {
      Vec normed = (load_part<WHOLE>(x + r * count + j, count - j) - means[r]) * rstds[r];
      Vec scaled = load_part<WHOLE>(g + r * count + j, count - j) * load_vec(weight + j);
      store_part<WHOLE>(rstds[r] * (scaled - of_slope[r] - normed * of_product[r]), count - j,
                        dx + r * count + j);
    }
}

template <bool WHOLE, class T>
POLYPTYCH_INLINE void norm(const T *x, const float *weight, const float *bias, float eps, T *out,
                           float *means, float *rstds, int64_t begin, int64_t end, int64_t count) {
  int64_t row = begin;
  for (; row + NORMED_ROWS <= end; row += NORMED_ROWS)
    norm_rows<NORMED_ROWS, WHOLE>(x + row * count, weight, bias, eps, out + row * count,
                                  means + row, rstds + row, count);
  for (; row < end; row++)
    norm_rows<1, WHOLE>(x + row * count, weight, bias, eps, out + row * count, means + row,
                        rstds + row, count);
}

template <bool WHOLE, class T>
POLYPTYCH_INLINE void norm_back(const T *x, const T *g, const float *weight, const float *means,
                                const float *rstds, T *dx, float *dweight, float *dbias,
                                int64_t begin, int64_t end, int64_t count) {
  int64_t row = begin;
  for (; row + NORMED_ROWS <= end; row += NORMED_ROWS)
    norm_rows_back<NORMED_ROWS, WHOLE>(x + row * count, g + row * count, weight, means + row,
                                       rstds + row, dx + row * count, dweight, dbias, count);
  for (; row < end; row++)
    norm_rows_back<1, WHOLE>(x + row * count, g + row * count, weight, means + row, rstds + row,
                             dx + row * count, dweight, dbias, count);
}

template <class T>
void layer_norm(const T *x, const float *weight, const float *bias, float eps, T *out, float *means,
                float *rstds, int64_t begin, int64_t end, int64_t count) {
  if (count % VEC == 0)
    norm<true>(x, weight, bias, eps, out, means, rstds, begin, end, count);
  else
    norm<false>(x, weight, bias, eps, out, means, rstds, begin, end, count);
}

template <class T>
void layer_norm_gradient(const T *x, const T *g, const float *weight, const float *means,
                         const float *rstds, T *dx, float *dweight, float *dbias, int64_t begin,
                         int64_t end, int64_t count) {
  if (count % VEC == 0)
    norm_back<true>(x, g, weight, means, rstds, dx, dweight, dbias, begin, end, count);
  else
    norm_back<false>(x, g, weight, means, rstds, dx, dweight, dbias, begin, end, count);
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
