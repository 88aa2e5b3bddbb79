// Planes filtered along their rows and columns.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// A plane first along its rows, then down. `row` and `lines` begin and end with zeros, as many
// numbers and rows as half of the taps.
template <class T>
void filter_plane(const T *plane, int64_t height, int64_t width, const std::vector<float> &taps,
                  float *row, float *lines, T *out) {
  auto half = static_cast<int64_t>(taps.size()) / 2;
  for (int64_t y = 0; y < height; y++) {
    for (int64_t x = 0; x < width; x++) row[half + x] = wide(plane[y * width + x]);
    blend_row(taps, row, 1, width, lines + (half + y) * width);
  }
  for (int64_t y = 0; y < height; y++)
    blend_row(taps, lines + y * width, width, width, out + y * width);
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
