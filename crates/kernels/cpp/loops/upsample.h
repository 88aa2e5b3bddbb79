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

// out = the rows of `from`, `stride` apart, by their weights; the last vectors overlap those before.
template <int N, class T, class U>
POLYPTYCH_INLINE void blend(const std::vector<float> &weights, const T *from, int64_t stride,
                            int64_t width, U *out) {
  for (int64_t c = 0; c < width; c += N * VEC) {
    auto at = std::min(c, width - N * VEC);
    Vec sum[N] = {};
    add_rows<N>(weights, from + at, stride, sum);
    for (int n = 0; n < N; n++) store_vec(sum[n], out + at + n * VEC);
  }
}

// The same with as many vectors at once as a row has.
template <class T, class U>
POLYPTYCH_INLINE void blend_row(const std::vector<float> &weights, const T *from, int64_t stride,
                                int64_t width, U *out) {
  if (width >= MIXED_VECS * VEC)
    blend<MIXED_VECS>(weights, from, stride, width, out);
  else
    blend<1>(weights, from, stride, width, out);
}

// Vectors of `channels` in blocks of N, of which the last begins where it ends with them: f(at, slot)
// with a slot for each block.
template <int N, class F>
POLYPTYCH_INLINE void in_blocks(int64_t channels, F f) {
  for (int64_t c = 0; c < channels; c += N * VEC) f(std::min(c, channels - N * VEC), c);
}

// Row `y` of the sum of all sides: first what each position of a side has at that height, then what
// each new position has of those.
template <int N, class T>
POLYPTYCH_INLINE void mix(const std::vector<Side<T>> &sides, int64_t map, int64_t y, const T *onto,
                          int64_t width, int64_t channels, float *lines, T *out) {
  float *line = lines;
  for (auto &side : sides) {
    auto row = side.width * channels;
    auto from = side.map + (map * side.height + side.down.first[y]) * row;
    blend<N>(side.down.weights[y], from, row, row, line);
    line += row;
  }
  for (int64_t x = 0; x < width; x++) {
    in_blocks<N>(channels, [&](int64_t at, int64_t) POLYPTYCH_WITHIN {
      Vec sum[N] = {};
      if (onto != nullptr)
        for (int n = 0; n < N; n++) sum[n] = load_vec(onto + x * channels + at + n * VEC);
      const float *line = lines;
      for (auto &side : sides) {
        add_rows<N>(side.across.weights[x], line + side.across.first[x] * channels + at, channels,
                    sum);
        line += side.width * channels;
      }
      for (int n = 0; n < N; n++) store_vec(sum[n], out + x * channels + at + n * VEC);
    });
  }
}

template <class T>
void mix_row(const std::vector<Side<T>> &sides, int64_t map, int64_t y, const T *onto,
             int64_t width, int64_t channels, float *lines, T *out) {
  if (channels >= MIXED_VECS * VEC)
    mix<MIXED_VECS>(sides, map, y, onto, width, channels, lines, out);
  else
    mix<1>(sides, map, y, onto, width, channels, lines, out);
}

// What row `y` of a gradient gives to the rows of a level that it was made of.
template <int N, class T, class U>
POLYPTYCH_INLINE void add_line(const Coarse<T> &level, const U *row, int64_t line, int64_t y,
                               int64_t channels, float *sums) {
  auto first = level.down.first[y];
  auto &weights = level.down.weights[y];
  auto slots = up_to(channels, N * VEC), row_slots = level.width * slots;
  for (int64_t x = 0; x < level.width; x++) {
    auto from = row + level.across.first[x] * line;
    in_blocks<N>(channels, [&](int64_t at, int64_t slot) POLYPTYCH_WITHIN {
      Vec sum[N] = {};
      add_rows<N>(level.across.weights[x], from + at, line, sum);
      for (size_t t = 0; t < weights.size(); t++) {
        auto own = sums + (first + t) % 2 * row_slots + x * slots + slot;
        for (int n = 0; n < N; n++)
          store_vec(load_vec(own + n * VEC) + sum[n] * splat(weights[t]), own + n * VEC);
      }
    });
  }
}

// A row of a level from its sums, which begin anew.
template <int N, class T>
POLYPTYCH_INLINE void end_row(const Coarse<T> &level, int64_t y, int64_t line, int64_t channels,
                              float *sums, T *to) {
  auto slots = up_to(channels, N * VEC);
  auto own = sums + y % 2 * level.width * slots;
  for (int64_t x = 0; x < level.width; x++, own += slots)
    in_blocks<N>(channels, [&](int64_t at, int64_t slot) POLYPTYCH_WITHIN {
      for (int n = 0; n < N; n++) {
        auto out = to + (y * level.width + x) * line + at + n * VEC;
        store_vec(load_vec(own + slot + n * VEC), out);
      }
    });
  std::fill(own - level.width * slots, own, 0.0f);
}

// The gradients by all levels of `channels` of a map, whose rows are read once.
template <int N, class T>
POLYPTYCH_INLINE void unmix(const std::vector<Coarse<T>> &levels, const T *g, int64_t map,
                            int64_t height, int64_t width, int64_t line, int64_t first,
                            int64_t channels, float *room) {
  auto slots = up_to(channels, N * VEC);
  std::vector<int64_t> ended(levels.size());
  for (int64_t y = 0; y <= height; y++) {
    auto sums = room;
    for (size_t l = 0; l < levels.size(); l++) {
      auto &level = levels[l];
      auto to = level.map + map * level.height * level.width * line + first;
      auto until = y < height ? level.down.first[y] : level.height;
      for (; ended[l] < until; ended[l]++) end_row<N>(level, ended[l], line, channels, sums, to);
      auto row = g + (map * height + y) * width * line + first;
      if (y < height) add_line<N>(level, row, line, y, channels, sums);
      sums += 2 * level.width * slots;
    }
  }
}

// room: zeros, two rows of each level in whole blocks.
template <class T>
void unmix_map(const std::vector<Coarse<T>> &levels, const T *g, int64_t map, int64_t height,
               int64_t width, int64_t line, int64_t first, int64_t channels, float *room) {
  if (channels >= MIXED_VECS * VEC)
    unmix<MIXED_VECS>(levels, g, map, height, width, line, first, channels, room);
  else
    unmix<1>(levels, g, map, height, width, line, first, channels, room);
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
    blend_row(down.weights[y], from, to, to, out + y * to);
  }
}
// A plane first down, then along its rows.
template <class T>
void gather(const T *plane, int64_t width, const Across &across, const Taps &down, float *row,
            T *out) {
  int64_t to = across.first.size(), rows = down.first.size();
  for (int64_t y = 0; y < rows; y++) {
    auto from = plane + down.first[y] * width;
    blend_row(down.weights[y], from, width, width, row);
    mix_along(row, across, out + y * to);
  }
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
