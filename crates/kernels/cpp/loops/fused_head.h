// Two layers of a head with a batch normalisation and a ReLU between them: the hidden layer is made
// block by block in the caches, each time that it is read.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// A matrix of floats, `line` numbers from row to row.
template <class Number>
struct Lying {
  Number *numbers;
  int64_t line;

  POLYPTYCH_INLINE Number *at(int64_t row, int64_t column) const {
    return numbers + row * line + column;
  }
};

template <int M, int N>
POLYPTYCH_INLINE void near_tile(Left a, int64_t depth, Lying<const float> b, bool onto,
                                Lying<float> out) {
  Vec sums[M][N];
  clear(sums);
  if (onto)
    for (int m = 0; m < M; m++)
      for (int n = 0; n < N; n++) sums[m][n] = load_vec(out.at(m, n * VEC));
  multiply<Single>(a, reinterpret_cast<const uint32_t *>(b.numbers), b.line, depth, sums);
  for (int m = 0; m < M; m++)
    for (int n = 0; n < N; n++) store_vec(sums[m][n], out.at(m, n * VEC));
}

// As many rows at once as registers have sums for, then half of them and so on.
template <int M, int N>
void near_rows(Left a, int64_t count, int64_t depth, Lying<const float> b, bool onto,
               Lying<float> out) {
  int64_t row = 0;
  for (; row + M <= count; row += M)
    near_tile<M, N>({static_cast<const float *>(a.cells) + row * a.row, a.row, a.step}, depth, b,
                    onto, {out.at(row, 0), out.line});
  if constexpr (M > 1)
    if (row < count)
      near_rows<M / 2, N>({static_cast<const float *>(a.cells) + row * a.row, a.row, a.step},
                          count - row, depth, b, onto, {out.at(row, 0), out.line});
}

// out = a b, or added to it. a: [count, depth], b: [depth, columns], whole vectors of columns.
void near_product(Left a, int64_t count, int64_t depth, Lying<const float> b, int64_t columns,
                  bool onto, Lying<float> out) {
  int64_t c = 0;
  auto pass = [&](auto vectors) {
    constexpr int N = decltype(vectors)::value;
    for (; c + N * VEC <= columns; c += N * VEC)
      near_rows<tile_rows(N), N>(a, count, depth, {b.numbers + c, b.line}, onto,
                                 {out.numbers + c, out.line});
  };
  pass(std::integral_constant<int, TILE_VECTORS>());
  pass(std::integral_constant<int, 2>());
  pass(std::integral_constant<int, 1>());
}

// Channels [at, at + STRIP) of a block that the layer has, if any, for maps of all its channels.
template <class T>
POLYPTYCH_INLINE int64_t known(const FusedHead<T> &all, HeadPart part, int64_t at) {
  return std::min(STRIP, all.hidden - part.first - at);
}

// `count` channels of rows of `from`, `stride` apart, by their weights; zeros up to a strip. The row
// behind them is fetched, which no processor expects.
template <class T>
POLYPTYCH_INLINE void blend_strip(const std::vector<float> &weights, const T *from, int64_t stride,
                                  int64_t count, float *out) {
  auto next = from + static_cast<int64_t>(weights.size()) * stride;
  for (int64_t c = 0; c < STRIP; c += 64 / static_cast<int64_t>(sizeof(T)))
    __builtin_prefetch(next + c, 0, 2);
  if (count >= STRIP) return blend<MIXED_VECS>(weights, from, stride, STRIP, out);
  for (int64_t c = 0; c < STRIP; c += VEC) {
    Vec sum{};
    if (c < count)
      for (size_t t = 0; t < weights.size(); t++)
        sum += splat(weights[t]) * load_part(from + c + static_cast<int64_t>(t) * stride, count - c);
    store_vec(sum, out + c);
  }
}

// What all positions of the sides are at the height of row `y`, from channel `at` of the block on:
// [positions, STRIP].
template <class T>
void blend_lines(const FusedHead<T> &all, HeadPart part, int64_t y, int64_t at, float *line) {
  for (auto &side : all.sides) {
    auto row = side.width * all.hidden, first = part.first + at;
    auto from = side.map + (part.image * side.height + side.down.first[y]) * row + first;
    for (int64_t x = 0; x < side.width; x++, from += all.hidden, line += STRIP)
      blend_strip(side.down.weights[y], from, row, known(all, part, at), line);
  }
}

// What tiles of the hidden layer, before its normalisation and without a bias, become: each of these
// gets M pixels, from `pixel` on, of N vectors of channels, from `at` on, of a strip and a block.

// Sums of the distances to a centre and of their squares.
struct TileMoments {
  const float *centre;
  float *first, *second;

  template <int M, int N>
  POLYPTYCH_INLINE void take(int64_t, int64_t at, Vec (&tile)[M][N]) const {
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      auto own = at + n * VEC;
      auto middle = load_vec(centre + own), a = load_vec(first + own), b = load_vec(second + own);
#pragma GCC unroll 24
      for (int m = 0; m < M; m++) {
        auto apart = tile[m][n] - middle;
        a += apart;
        b += apart * apart;
      }
      store_vec(a, first + own);
      store_vec(b, second + own);
    }
  }
};

// The normalised layer.
struct TileOutput {
  Channels channels;
  float *out;

  template <int M, int N>
  POLYPTYCH_INLINE void take(int64_t pixel, int64_t at, Vec (&tile)[M][N]) const {
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      auto own = at + n * VEC;
      auto gain = load_vec(channels.gain + own), shift = load_vec(channels.shift + own);
#pragma GCC unroll 24
      for (int m = 0; m < M; m++) {
        auto v = tile[m][n] * gain + shift;
        // No number stays none.
        store_vec(v <= 0.0f ? Vec{} : v, out + (pixel + m) * channels.count + own);
      }
    }
  }
};

// The normalised layer, and sums of the gradient that passes the ReLU and of its product with the
// distance to the mean.
struct TileSums {
  Channels channels;
  const float *g;
  float *first, *second, *out;

  template <int M, int N>
  POLYPTYCH_INLINE void take(int64_t pixel, int64_t at, Vec (&tile)[M][N]) const {
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      auto own = at + n * VEC;
      auto gain = load_vec(channels.gain + own), shift = load_vec(channels.shift + own);
      auto mean = load_vec(channels.mean + own);
      auto a = load_vec(first + own), b = load_vec(second + own);
#pragma GCC unroll 24
      for (int m = 0; m < M; m++) {
        auto place = (pixel + m) * channels.count + own;
        auto v = tile[m][n] * gain + shift;
        auto passed = v > 0.0f ? load_vec(g + place) : Vec{};
        a += passed;
        b += passed * (tile[m][n] - mean);
        store_vec(v <= 0.0f ? Vec{} : v, out + place);
      }
      store_vec(a, first + own);
      store_vec(b, second + own);
    }
  }
};

// The gradient by the layer, in the place of that by the normalised one: gain passed - flat -
// slope (x - mean).
struct TileGradient {
  Channels channels;
  const float *flat, *slope;
  float *g;

  template <int M, int N>
  POLYPTYCH_INLINE void take(int64_t pixel, int64_t at, Vec (&tile)[M][N]) const {
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      auto own = at + n * VEC;
      auto gain = load_vec(channels.gain + own), shift = load_vec(channels.shift + own);
      auto mean = load_vec(channels.mean + own), along = load_vec(slope + own);
      auto level = load_vec(flat + own);
#pragma GCC unroll 24
      for (int m = 0; m < M; m++) {
        auto place = g + (pixel + m) * channels.count + own;
        auto passes = tile[m][n] * gain + shift > 0.0f;
        auto passed = passes ? gain * load_vec(place) : Vec{};
        store_vec(passed - level - along * (tile[m][n] - mean), place);
      }
    }
  }
};

// What pixels of a strip are made of beside a product: `count` numbers of `lines` each, by weights.
struct StripTaps {
  int64_t count;
  const int64_t *places;
  const float *weights;
  const float *lines;
};

template <int M, int N, class Use>
POLYPTYCH_INLINE void hidden_tile(Left x, int64_t depth, Lying<const float> weight,
                                  const StripTaps &taps, int64_t pixel, int64_t at, const Use &use) {
  Vec tile[M][N];
  clear(tile);
  multiply<Single>(x, reinterpret_cast<const uint32_t *>(weight.numbers), weight.line, depth, tile);
#pragma GCC unroll 24
  for (int m = 0; m < M; m++)
    for (int64_t t = (pixel + m) * taps.count; t < (pixel + m + 1) * taps.count; t++) {
      auto from = taps.lines + taps.places[t] + at % STRIP;
      auto by = splat(taps.weights[t]);
#pragma GCC unroll 4
      for (int n = 0; n < N; n++) tile[m][n] += by * load_vec(from + n * VEC);
    }
  use.take(pixel, at, tile);
}

template <int M, class Use>
void hidden_tiles(const float *x, int64_t depth, Lying<const float> weight, const StripTaps &taps,
                  int64_t pixel, int64_t pixels, int64_t at, const Use &use) {
  for (; pixel + M <= pixels; pixel += M)
    hidden_tile<M, TILE_VECTORS>({x + pixel * depth, depth, 1}, depth, weight, taps, pixel, at, use);
  if constexpr (M > 1)
    if (pixel < pixels)
      hidden_tiles<M / 2>(x, depth, weight, taps, pixel, pixels, at, use);
}

// The parts of a strip that are not tiles' business, for the whole map.
template <class T>
class Strips {
 public:
  Strips(const FusedHead<T> &all, HeadPart part, float *lines)
      : all_(all), part_(part), lines_(lines) {
    for (auto &side : all.sides) {
      size_t most = 0;
      for (auto &own : side.across.weights) most = std::max(most, own.size());
      count_ += most;
      positions_ += side.width;
    }
    for (int64_t row = 0; row < all.strip; row++)
      for (int64_t x = 0; x < all.width; x++) add_pixel(row * positions_, x);
  }

  // f(y, end, pixels, tiles) for all strips of rows, with tiles(use) to make their hidden layer.
  template <class F>
  POLYPTYCH_INLINE void each(F f) {
    for (int64_t y = 0; y < all_.height; y += all_.strip) {
      auto end = std::min(all_.height, y + all_.strip);
      f(y, end, (end - y) * all_.width, [&](const auto &use) { make(y, end, use); });
    }
  }

 private:
  // Fewer taps than others have: the last one again, by 0.
  void add_pixel(int64_t position, int64_t x) {
    auto first = places_.size();
    for (auto &side : all_.sides) {
      auto &own = side.across.weights[x];
      for (size_t t = 0; t < own.size(); t++) {
        places_.push_back((position + side.across.first[x] + static_cast<int64_t>(t)) * STRIP);
        weights_.push_back(own[t]);
      }
      position += side.width;
    }
    places_.resize(first + count_, places_.empty() ? 0 : places_.back());
    weights_.resize(first + count_, 0.0f);
  }

  template <class Use>
  void make(int64_t y, int64_t end, const Use &use) {
    auto x = all_.x + (part_.image * all_.height + y) * all_.width * all_.in;
    StripTaps taps{static_cast<int64_t>(count_), places_.data(), weights_.data(), lines_};
    for (int64_t at = 0; at < all_.block; at += TILE_COLUMNS) {
      if (at % STRIP == 0)
        for (int64_t row = y; row < end; row++)
          blend_lines(all_, part_, row, at, lines_ + (row - y) * positions_ * STRIP);
      hidden_tiles<tile_rows(TILE_VECTORS)>(x, all_.in, {all_.weight + part_.first + at, all_.line},
                                            taps, 0, (end - y) * all_.width, at, use);
    }
  }

  const FusedHead<T> &all_;
  HeadPart part_;
  float *lines_;
  size_t count_ = 0;
  int64_t positions_ = 0;
  std::vector<int64_t> places_;
  std::vector<float> weights_;
};

// Means of a first strip, then the sums of the distances to them and of their squares over all
// pixels: `centre` [block], `sums` [2, block].
template <class T>
void head_moments(const FusedHead<T> &all, HeadPart part, float *lines, float *centre,
                  double *sums) {
  std::vector<float> own(2 * all.block);
  auto first = own.data(), second = first + all.block;
  std::fill_n(centre, all.block, 0.0f);
  Strips<T>(all, part, lines).each([&](int64_t y, int64_t, int64_t pixels, auto tiles) {
    TileMoments use{centre, first, second};
    if (y == 0) {
      tiles(use);
      for (int64_t c = 0; c < all.block; c++) centre[c] = first[c] / static_cast<float>(pixels);
      std::fill(own.begin(), own.end(), 0.0f);
    }
    tiles(use);
    for (int64_t c = 0; c < 2 * all.block; c++) sums[c] += own[c];
    std::fill(own.begin(), own.end(), 0.0f);
  });
}

// What a block of hidden channels adds to the output: [pixels, whole(out)]. `room` has a strip, and
// lines behind it.
template <class T>
void head_output(const FusedHead<T> &all, HeadPart part, float *room, float *out) {
  auto line = whole(all.out);
  Strips<T> strips(all, part, room + all.strip_numbers());
  strips.each([&](int64_t y, int64_t, int64_t pixels, auto tiles) {
    tiles(TileOutput{all.channels(part.first), room});
    near_product({room, all.block, 1}, pixels, all.block, {all.out_weight + part.first * line, line},
                 line, false, {out + y * all.width * line, line});
  });
}

// The gradient by rows of the normalised hidden layer. g: [pixels, out] of these rows.
template <class T>
void gradient_rows(const FusedHead<T> &all, HeadPart part, const float *g, int64_t pixels,
                   float *out) {
  near_product({g, all.out, 1}, pixels, all.out, {all.out_weight_by_rows + part.first, all.line},
               all.block, false, {out, all.block});
}

// Sums of the gradient that passes the ReLU and of its product with the distance to the mean,
// [2, block], and the gradient by the second layer's weight, [out, block].
template <class T>
void head_sums(const FusedHead<T> &all, HeadPart part, const float *g, float *room, double *sums,
               float *weight) {
  auto slopes = room + all.strip_numbers();
  Strips<T> strips(all, part, slopes + all.strip_numbers());
  std::vector<float> own(2 * all.block);
  strips.each([&](int64_t y, int64_t, int64_t pixels, auto tiles) {
    auto here = g + (part.image * all.height + y) * all.width * all.out;
    gradient_rows(all, part, here, pixels, slopes);
    tiles(TileSums{all.channels(part.first), slopes, own.data(), own.data() + all.block, room});
    for (int64_t c = 0; c < 2 * all.block; c++) sums[c] += own[c];
    std::fill(own.begin(), own.end(), 0.0f);
    near_product({here, 1, all.out}, all.out, pixels, {room, all.block}, all.block, true,
                 {weight, all.block});
  });
}

// A strip of channels of a row of a level from its sums, [width, STRIP], which begin anew.
template <class T>
void end_strip(const Coarse<T> &level, const FusedHead<T> &all, HeadPart part, int64_t y,
               int64_t at, float *sums) {
  auto own = sums + y % 2 * level.width * STRIP;
  auto first = part.first + at, count = known(all, part, at);
  auto to = level.map + (part.image * level.height + y) * level.width * all.hidden + first;
  for (int64_t x = 0; x < level.width; x++, to += all.hidden)
    for (int64_t c = 0; c < count; c += VEC)
      store_part(load_vec(own + x * STRIP + c), count - c, to + c);
  std::fill_n(own, level.width * STRIP, 0.0f);
}

// Hands row `y` of a gradient, [width, block], on to all sides; behind the last row, what is left.
// Strip by strip, sums are two rows of each side, which stay in the first cache.
template <class T>
void hand_on(const FusedHead<T> &all, HeadPart part, const std::vector<Coarse<T>> &sides,
             const float *row, int64_t y, float *sums) {
  for (int64_t at = 0; at < all.block; at += STRIP)
    for (auto &side : sides) {
      auto from = y > 0 ? side.down.first[y - 1] : 0;
      auto until = y < all.height ? side.down.first[y] : side.height;
      for (; from < until; from++) end_strip(side, all, part, from, at, sums);
      if (y < all.height) add_line<MIXED_VECS>(side, row + at, all.block, y, STRIP, sums);
      sums += 2 * side.width * STRIP;
    }
}

// The gradients by x, by the first layer's weight and by the sides. `room` has a strip, and lines
// behind it; `sums` zeros, two rows of each side.
template <class T>
void head_gradients(const FusedHead<T> &all, HeadPart part, const HeadGradients<T> &to, float *room,
                    float *sums) {
  Strips<T> strips(all, part, room + all.strip_numbers());
  auto line = whole(all.in);
  strips.each([&](int64_t y, int64_t end, int64_t pixels, auto tiles) {
    auto first = (part.image * all.height + y) * all.width;
    gradient_rows(all, part, to.g + first * all.out, pixels, room);
    tiles(TileGradient{all.channels(part.first), to.flat + part.first, to.slope + part.first, room});
    near_product({all.x + first * all.in, 1, all.in}, all.in, pixels, {room, all.block}, all.block,
                 true, {to.weight, all.block});
    near_product({room, all.block, 1}, pixels, all.block,
                 {all.weight_by_rows + part.first * line, line}, line, false,
                 {to.x + y * all.width * line, line});
    for (auto row = room; y < end; y++, row += all.width * all.block)
      hand_on(all, part, to.sides, row, y, sums);
  });
  hand_on<T>(all, part, to.sides, nullptr, all.height, sums);
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
