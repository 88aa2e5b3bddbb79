// Planes filtered along their rows and columns.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// out[i] = the sum of taps[t] from[i + t stride], for `width` numbers; the last vectors overlap
// those before.
template <int N, class U>
POLYPTYCH_INLINE void filter_row(const std::vector<float> &taps, const float *from, int64_t stride,
                                 int64_t width, U *out) {
  for (int64_t x = 0; x < width; x += N * VEC) {
    auto at = std::min(x, width - N * VEC);
    Vec sum[N] = {};
    add_rows<N>(taps, from + at, stride, sum);
    for (int n = 0; n < N; n++) store_vec(sum[n], out + at + n * VEC);
  }
}

template <class U>
void filter_best(const std::vector<float> &taps, const float *from, int64_t stride, int64_t width,
                 U *out) {
  if (width >= MIXED_VECS * VEC)
    filter_row<MIXED_VECS>(taps, from, stride, width, out);
  else
    filter_row<1>(taps, from, stride, width, out);
}

// A plane first along its rows, then down. `row` and `lines` begin and end with zeros, as many
// numbers and rows as half of the taps.
template <class T>
void filter_plane(const T *plane, int64_t height, int64_t width, const std::vector<float> &taps,
                  float *row, float *lines, T *out) {
  auto half = static_cast<int64_t>(taps.size()) / 2;
  for (int64_t y = 0; y < height; y++) {
    for (int64_t x = 0; x < width; x++) row[half + x] = wide(plane[y * width + x]);
    filter_best(taps, row, 1, width, lines + (half + y) * width);
  }
  for (int64_t y = 0; y < height; y++)
    filter_best(taps, lines + y * width, width, width, out + y * width);
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
