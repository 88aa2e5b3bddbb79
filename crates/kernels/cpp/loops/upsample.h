// Bilinear resizing of maps whose channels come last, and of planes; pixels as areas.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// sum += the rows from `from` on, by their weights.
template <int N, class T>
POLYPTYCH_INLINE void add_rows(const std::vector<float> &weights, const T *from, int64_t stride,
                               Vec *sum) {
  for (auto weight : weights) {
    auto by = splat(weight);
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) sum[n] += by * load_vec(from + n * VEC);
    from += stride;
  }
}

// Row `y` of the sum of all sides, N vectors of channels from `c` on: first what each position of a
// side has at that height, which stays in the first cache, then what each new position has of
// those.
template <int N, class T>
POLYPTYCH_INLINE void mix(const std::vector<Side<T>> &sides, int64_t map, int64_t y, const T *onto,
                          int64_t width, int64_t channels, int64_t c, float *lines, T *out) {
  constexpr int64_t STEP = N * VEC;
  float *line = lines;
  for (auto &side : sides) {
    auto from = side.map + (map * side.height + side.down.first[y]) * side.width * channels + c;
    for (int64_t x = 0; x < side.width; x++, line += STEP) {
      Vec sum[N] = {};
      add_rows<N>(side.down.weights[y], from + x * channels, side.width * channels, sum);
      for (int n = 0; n < N; n++) store_vec(sum[n], line + n * VEC);
    }
  }
  for (int64_t x = 0; x < width; x++) {
    Vec sum[N] = {};
    if (onto != nullptr)
      for (int n = 0; n < N; n++) sum[n] = load_vec(onto + x * channels + c + n * VEC);
    line = lines;
    for (auto &side : sides) {
      add_rows<N>(side.across.weights[x], line + side.across.first[x] * STEP, STEP, sum);
      line += side.width * STEP;
    }
    for (int n = 0; n < N; n++) store_vec(sum[n], out + x * channels + c + n * VEC);
  }
}

// The last vectors overlap those before.
template <int N, class T>
POLYPTYCH_INLINE void mix_all(const std::vector<Side<T>> &sides, int64_t map, int64_t y,
                              const T *onto, int64_t width, int64_t channels, float *lines,
                              T *out) {
  for (int64_t c = 0; c < channels; c += N * VEC)
    mix<N>(sides, map, y, onto, width, channels, std::min(c, channels - N * VEC), lines, out);
}

// out = rows of `from` by their weights.
template <int N, class T, class U>
POLYPTYCH_INLINE void blend(const std::vector<float> &weights, const T *from, int64_t width,
                            U *out) {
  for (int64_t c = 0; c < width; c += N * VEC) {
    auto at = std::min(c, width - N * VEC);
    Vec sum[N] = {};
    add_rows<N>(weights, from + at, width, sum);
    for (int n = 0; n < N; n++) store_vec(sum[n], out + at + n * VEC);
  }
}

template <class T>
POLYPTYCH_INLINE void mix_along(const float *row, const Across &across, T *out) {
  auto weights = across.weights.data();
  for (size_t i = 0; i < across.first.size(); i++, weights += across.each) {
    Vec sum = {};
    for (int64_t t = 0; t < across.each; t += VEC)
      sum += load_vec(row + across.first[i] + t) * load_vec(weights + t);
    narrow(sum_of(sum), out[i]);
  }
}

template <class T>
void mix_row(const std::vector<Side<T>> &sides, int64_t map, int64_t y, const T *onto,
             int64_t width, int64_t channels, float *lines, T *out) {
  if (channels >= MIXED_VECS * VEC)
    mix_all<MIXED_VECS>(sides, map, y, onto, width, channels, lines, out);
  else
    mix_all<1>(sides, map, y, onto, width, channels, lines, out);
}
// A plane first along its rows, then down.
template <class T>
void stretch(const T *plane, int64_t height, int64_t width, const Across &across, const Taps &down,
             float *row, float *lines, T *out) {
  int64_t to = across.first.size(), rows = down.first.size();
  for (int64_t y = 0; y < height; y++) {
    for (int64_t x = 0; x < width; x++) row[x] = wide(plane[y * width + x]);
    mix_along(row, across, lines + y * to);
  }
  for (int64_t y = 0; y < rows; y++) {
    auto from = lines + down.first[y] * to;
    if (to >= MIXED_VECS * VEC)
      blend<MIXED_VECS>(down.weights[y], from, to, out + y * to);
    else
      blend<1>(down.weights[y], from, to, out + y * to);
  }
}
// A plane first down, then along its rows.
template <class T>
void gather(const T *plane, int64_t width, const Across &across, const Taps &down, float *row,
            T *out) {
  int64_t to = across.first.size(), rows = down.first.size();
  for (int64_t y = 0; y < rows; y++) {
    auto from = plane + down.first[y] * width;
    if (width >= MIXED_VECS * VEC)
      blend<MIXED_VECS>(down.weights[y], from, width, row);
    else
      blend<1>(down.weights[y], from, width, row);
    mix_along(row, across, out + y * to);
  }
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
