// Products in tiles of sums that stay in registers.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Sums of a tile: each waits for its own last step, not for the others. Columns of one at most, and
// rows of one that has so many vectors.
constexpr int64_t SUMS = POLYPTYCH_SUMS;
constexpr int64_t TILE_VECTORS = POLYPTYCH_LANES == 16 ? 4 : 2, TILE_COLUMNS = TILE_VECTORS * VEC;
constexpr int tile_rows(int vectors) { return SUMS / vectors; }

// The same for each vector n of each row m of a tile, M rows of N vectors.
#define POLYPTYCH_TILE_LOOP(...)                              \
  {                                                           \
    _Pragma("GCC unroll 24") for (int m = 0; m < M; m++)      \
        _Pragma("GCC unroll 4") for (int n = 0; n < N; n++) { \
      __VA_ARGS__;                                            \
    }                                                         \
  }

// The first numbers of a vector, as many as there are, and zeros; the same to memory.
#if POLYPTYCH_LANES == 16
POLYPTYCH_INLINE __mmask16 lanes(int64_t count) {
  return static_cast<__mmask16>(count >= VEC ? 0xffffU : (1U << count) - 1U);
}
POLYPTYCH_INLINE Vec some(const float *from, int64_t count) {
  return (Vec)_mm512_maskz_loadu_ps(lanes(count), from);
}
POLYPTYCH_INLINE Vec some(const uint16_t *from, int64_t count) {
  auto numbers = _mm256_maskz_loadu_epi16(lanes(count), from);
  return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(numbers), 16);
}
POLYPTYCH_INLINE void put_some(Vec x, float *to, int64_t count) {
  _mm512_mask_storeu_ps(to, lanes(count), (__m512)x);
}
POLYPTYCH_INLINE void put_some(Vec x, uint16_t *to, int64_t count) {
  uint16_t rounded[VEC];
  Pair::store(x, rounded);
  _mm256_mask_storeu_epi16(to, lanes(count), _mm256_loadu_si256((const __m256i *)rounded));
}
#else
template <class T>
POLYPTYCH_INLINE Vec some(const T *from, int64_t count) {
  return load_part(from, count);
}
template <class T>
POLYPTYCH_INLINE void put_some(Vec x, T *to, int64_t count) {
  store_part(x, count, to);
}
#endif

// Columns of W^T out of its rows, cells of numbers that are summed over together side by side:
// [rows / COUNT, line]. What is missing of the last row and the last vector is zero.
template <class Cell>
void pack_rows(const typename Cell::Number *w, int64_t stride, int64_t rows, int64_t columns,
               uint32_t *out, int64_t line) {
  for (int64_t first = 0; first < rows; first += Cell::COUNT, out += line)
    for (int64_t j = 0; j < columns; j += VEC) {
      auto from = w + first * stride + j;
      Bits cells = bits(some(from, columns - j));
      if (Cell::COUNT == 2) {
        cells >>= 16;
        if (first + 1 < rows) cells |= bits(some(from + stride, columns - j));
      }
      store_bits(cells, out + j);
    }
}

// The same out of `count` rows of W, which become columns: [depth / COUNT, whole vectors].
template <class Cell>
void pack_columns(const typename Cell::Number *w, int64_t depth, int64_t count, uint32_t *out) {
  int64_t line = up_to(count, VEC), cells = depth / Cell::COUNT, squares = cells / VEC * VEC;
  copy_columns<Cell>(w, depth, count, squares, line, out);
  for (int64_t c = squares; c < cells; c++) {
    std::memset(out + c * line, 0, 4 * line);
    for (int64_t n = 0; n < count; n++) {
      auto from = w + n * depth + c * Cell::COUNT;
      if constexpr (Cell::COUNT == 1 && sizeof(*from) == 2) {
        auto number = wide(*from);
        std::memcpy(out + c * line + n, &number, 4);
      } else {
        std::memcpy(out + c * line + n, from, 4);
      }
    }
  }
}

// Rows that a product sums over, from `first` on.
template <class Kept>
struct Operand {
  const Kept *rows;
  int64_t depth, first;

  POLYPTYCH_INLINE Left from(int64_t row, int64_t cells) const {
    return {rows + (row - first) * depth, cells, 1};
  }
};

// The rows of a block at a time, as tiles read them: where vectors cannot multiply their numbers,
// these are widened into room that stays in the second cache.
template <class Cell, class Number = typename Cell::Number, class Kept = typename Cell::Kept>
class BlockRows {
 public:
  BlockRows(const Number *rows, int64_t depth) : rows_(rows), depth_(depth) {}

  Operand<Kept> from(int64_t first, int64_t end) {
    if constexpr (std::is_same_v<Number, Kept>) {
      return {rows_, depth_, 0};
    } else {
      if (first != first_) widen(first, end);
      return {room_.data(), depth_, first};
    }
  }

 private:
  void widen(int64_t first, int64_t end) {
    first_ = first;
    auto count = (end - first) * depth_;
    room_.resize(up_to(count, VEC));
    for (int64_t i = 0; i < count; i += VEC)
      store_vec(load_part(rows_ + first * depth_ + i, count - i), room_.data() + i);
  }

  const Number *rows_;
  int64_t depth_, first_ = -1;
  std::vector<Kept> room_;
};

// A panel of a product: its first column, and what its rows become.
template <class Number>
struct Panel {
  int64_t first, width, out;
  const float *bias;
  const Number *other;
  bool gelu;
  const Mask *mask;
  Number *to;

  int64_t vectors() const { return (width + VEC - 1) / VEC; }

  template <int M, int N>
  POLYPTYCH_INLINE void drop(int64_t row, Vec (&sums)[M][N]) const {
    int64_t at = row * out + first;
    POLYPTYCH_TILE_LOOP(sums[m][n] *= mask_of(*mask, static_cast<uint32_t>(at + m * out + n * VEC)))
  }

  // Steps run over the whole tile one after the other, so that sums stay in registers.
  template <int M, int N>
  POLYPTYCH_INLINE void epilogue(int64_t row, Vec (&sums)[M][N]) const {
    int64_t at = row * out + first;
    auto shift = bias + first;
    POLYPTYCH_TILE_LOOP(sums[m][n] += load_vec(shift + n * VEC))
    if (gelu) POLYPTYCH_TILE_LOOP(sums[m][n] *= normal_cdf(sums[m][n]))
    if (other != nullptr)
      POLYPTYCH_TILE_LOOP(sums[m][n] += some(other + at + m * out + n * VEC, width - n * VEC))
    if (width == N * VEC)
      POLYPTYCH_TILE_LOOP(put_some(sums[m][n], to + at + m * out + n * VEC, VEC))
    else
      POLYPTYCH_TILE_LOOP(put_some(sums[m][n], to + at + m * out + n * VEC, width - n * VEC))
  }
};

// Columns of W [out, depth] that come next: `lines` lines of `numbers` numbers, `apart` from one
// another. They are fetched while the rows of the panel before them pass, some with each tile.
template <class Number>
class Prefetch {
 public:
  Prefetch(const Matrix<Number> &w, const uint32_t *packed, int64_t first, int64_t tiles) {
    if (first >= w.out) return;
    int64_t width = std::min(TILE_COLUMNS, w.out - first);
    if (packed != nullptr) {
      from_ = reinterpret_cast<const Number *>(packed);
      lines_ = 1, numbers_ = w.depth * up_to(width, VEC);
    } else {
      from_ = w.numbers + first * (w.by_rows ? w.depth : 1);
      lines_ = w.by_rows ? width : w.depth;
      numbers_ = w.by_rows ? w.depth : width;
      apart_ = w.by_rows ? w.depth : w.out;
    }
    auto all = lines_ * ((numbers_ + CACHE_LINE - 1) / CACHE_LINE);
    each_ = (all + tiles - 1) / tiles;
  }

  POLYPTYCH_INLINE void fetch() {
    for (int64_t i = 0; i < each_ && line_ < lines_; i++) {
      __builtin_prefetch(from_ + line_ * apart_ + number_, 0, 2);
      number_ += CACHE_LINE;
      if (number_ >= numbers_) number_ = 0, line_++;
    }
  }

 private:
  static constexpr int64_t CACHE_LINE = 64 / sizeof(Number);
  const Number *from_ = nullptr;
  int64_t lines_ = 0, numbers_ = 0, apart_ = 0, each_ = 0, line_ = 0, number_ = 0;
};

// The narrow side's part of the panel comes after that of x.
template <class Cell, int M, int N, class Kept = typename Cell::Kept>
POLYPTYCH_INLINE void tile(Operand<Kept> x, Operand<Kept> low, const uint32_t *panel, int64_t row,
                           const Panel<typename Cell::Number> &of) {
  Vec sums[M][N];
  clear(sums);
  int64_t cells = x.depth / Cell::COUNT, narrow = low.depth / Cell::COUNT;
  if (narrow > 0) {
    multiply<Cell>(low.from(row, narrow), panel + cells * N * VEC, N * VEC, narrow, sums);
    if (of.mask != nullptr) of.drop(row, sums);
  }
  multiply<Cell>(x.from(row, cells), panel, N * VEC, cells, sums);
  of.epilogue(row, sums);
}

template <class Cell, int N, class Kept = typename Cell::Kept>
void tiles(Operand<Kept> x, Operand<Kept> low, const uint32_t *panel, int64_t begin, int64_t end,
           const Panel<typename Cell::Number> &of, Prefetch<typename Cell::Number> &prefetch) {
  constexpr int ROWS = tile_rows(N);
  int64_t row = begin;
  for (; row + ROWS <= end; row += ROWS, prefetch.fetch())
    tile<Cell, ROWS, N>(x, low, panel, row, of);
  // The last rows are computed together with some before them, which costs less than one by one.
  if (row < end && end - begin >= ROWS) return tile<Cell, ROWS, N>(x, low, panel, end - ROWS, of);
  for (; row < end; row++) tile<Cell, 1, N>(x, low, panel, row, of);
}

template <class Cell, class Kept = typename Cell::Kept>
void panel_rows(Operand<Kept> x, Operand<Kept> low, const uint32_t *panel, int64_t begin,
                int64_t end, const Panel<typename Cell::Number> &of,
                Prefetch<typename Cell::Number> prefetch) {
  switch (of.vectors()) {
    case 1:
      return tiles<Cell, 1>(x, low, panel, begin, end, of, prefetch);
    case 2:
      return tiles<Cell, 2>(x, low, panel, begin, end, of, prefetch);
#if POLYPTYCH_LANES == 16
    case 3:
      return tiles<Cell, 3>(x, low, panel, begin, end, of, prefetch);
    default:
      return tiles<Cell, 4>(x, low, panel, begin, end, of, prefetch);
#endif
  }
}

// Columns of a panel out of W, which may lie as columns.
template <class Cell, class Number = typename Cell::Number>
void pack(const Matrix<Number> &w, const Panel<Number> &of, uint32_t *out) {
  if (w.by_rows)
    pack_columns<Cell>(w.numbers + of.first * w.depth, w.depth, of.width, out);
  else
    pack_rows<Cell>(w.numbers + of.first, of.out, w.depth, of.width, out, of.vectors() * VEC);
}

// Parts [begin, end) of a product: panels of columns within blocks of rows. A panel is packed again
// for each block, and stays in the second cache.
template <class Cell, class Number>
void product_parts_in(const TiledProduct<Number> &all, int64_t begin, int64_t end) {
  auto &w = all.weight;
  int64_t panels = (w.out + TILE_COLUMNS - 1) / TILE_COLUMNS;
  int64_t narrow = all.low == nullptr ? 0 : all.up.depth;
  BlockRows<Cell> x(all.x, w.depth), low(all.low, narrow);
  std::vector<uint32_t> room(all.packed == nullptr ? (w.depth + narrow) / Cell::COUNT * TILE_COLUMNS : 0);
  for (int64_t part = begin; part < end; part++) {
    int64_t first = part % panels * TILE_COLUMNS, row = part / panels * all.block;
    Panel<Number> of{first,     std::min(TILE_COLUMNS, w.out - first),
                     w.out,     all.bias,
                     all.other, all.gelu,
                     all.mask,  all.to};
    auto panel_at = [&](int64_t column) { return all.packed + column * (w.depth / Cell::COUNT); };
    if (all.packed == nullptr) pack<Cell>(w, of, room.data());
    if (narrow > 0)
      pack<Cell>(all.up, of, room.data() + w.depth / Cell::COUNT * of.vectors() * VEC);
    auto panel = all.packed == nullptr ? room.data() : panel_at(first);
    auto stop = std::min(all.count, row + all.block);
    auto next = part + 1 < end ? (part + 1) % panels * TILE_COLUMNS : w.out;
    auto ahead = all.packed == nullptr ? nullptr : panel_at(next);
    Prefetch<Number> prefetch(w, ahead, next, std::max<int64_t>(1, (stop - row) * of.vectors() / SUMS));
    panel_rows<Cell>(x.from(row, stop), low.from(row, stop), panel, row, stop, of, prefetch);
  }
}

template <class Number>
void product_parts(const TiledProduct<Number> &all, int64_t begin, int64_t end) {
  in_cells<Number>(all.pairs, [&](auto cell) {
    product_parts_in<decltype(cell)>(all, begin, end);
  });
}

#undef POLYPTYCH_TILE_LOOP

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
