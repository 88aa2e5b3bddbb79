// The hidden layer of a head, tile by tile: a product and what coarse maps add to it.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

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

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
