#include "polyptych-kernels/cpp/tiled_product.h"

#include "polyptych-kernels/cpp/cells.h"
#include "polyptych-kernels/cpp/normal.h"
#include "polyptych-kernels/cpp/types.h"

#ifdef POLYPTYCH_TILES
#include <immintrin.h>

namespace polyptych {

namespace {

// Of these only conversions and products of bfloat16 ask for more than AVX-512's F, BW and VL.
#define POLYPTYCH_TILED __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

// Sums of a tile: each waits for its own last step, not for the others. Columns of one at most, and
// rows of one that has so many vectors.
constexpr int64_t SUMS = 24, TILE_COLUMNS = 4 * VEC;
constexpr int tile_rows(int vectors) { return SUMS / vectors; }
// Bytes of rows that stay in the last cache while all columns pass.
constexpr int64_t NEAR = 1 << 24;
// Depths and widths for which this is quicker than oneDNN; a shallower product in float32 does little
// but write.
constexpr int64_t DEEP = 16, DEEP_IN_FLOATS = 32, DEEPEST = 4096, BROAD = 17;

// The same for each vector n of each row m of a tile, M rows of N vectors.
#define POLYPTYCH_TILE_LOOP(...)                                                             \
  {                                                                                          \
    _Pragma("GCC unroll 24") for (int m = 0; m < M; m++)                                     \
      _Pragma("GCC unroll 4") for (int n = 0; n < N; n++) { __VA_ARGS__; }                   \
  }

inline __mmask16 lanes(int64_t count) {
  return static_cast<__mmask16>(count >= VEC ? 0xffffU : (1U << count) - 1U);
}

// The first numbers of 16, as many as there are, and zeros; the same to memory.
POLYPTYCH_TILED inline Vec some(const float *from, int64_t count) {
  return (Vec)_mm512_maskz_loadu_ps(lanes(count), from);
}
POLYPTYCH_TILED inline Vec some(const uint16_t *from, int64_t count) {
  auto numbers = _mm256_maskz_loadu_epi16(lanes(count), from);
  return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(numbers), 16);
}
POLYPTYCH_TILED inline void put_some(Vec x, float *to, int64_t count) {
  _mm512_mask_storeu_ps(to, lanes(count), (__m512)x);
}
POLYPTYCH_TILED inline void put_some(Vec x, uint16_t *to, int64_t count) {
  _mm256_mask_storeu_epi16(to, lanes(count), (__m256i)_mm512_cvtneps_pbh((__m512)x));
}

// Columns of W^T out of its rows, cells of numbers that are summed over together side by side:
// [rows / COUNT, line]. What is missing of the last row and the last vector is zero.
template <class Cell>
POLYPTYCH_TILED void pack_rows(const typename Cell::Number *w, int64_t stride, int64_t rows,
                               int64_t columns, uint32_t *out, int64_t line) {
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
POLYPTYCH_TILED void pack_columns(const typename Cell::Number *w, int64_t depth, int64_t count,
                                  uint32_t *out) {
  int64_t line = up_to(count, VEC), cells = depth / Cell::COUNT, squares = cells / VEC * VEC;
  copy_columns<Cell>(w, depth, count, squares, line, out);
  for (int64_t c = squares; c < cells; c++) {
    std::memset(out + c * line, 0, 4 * line);
    for (int64_t n = 0; n < count; n++)
      std::memcpy(out + c * line + n, w + n * depth + c * Cell::COUNT, 4);
  }
}

// Rows that a product sums over.
template <class Number>
struct Operand {
  const Number *rows;
  int64_t depth;

  Left from(int64_t row, int64_t cells) const { return {rows + row * depth, cells, 1}; }
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
  POLYPTYCH_TILED inline void drop(int64_t row, Vec (&sums)[M][N]) const {
    int64_t at = row * out + first;
    POLYPTYCH_TILE_LOOP(sums[m][n] *= mask->from(static_cast<uint32_t>(at + m * out + n * VEC)))
  }

  // Steps run over the whole tile one after the other, so that sums stay in registers.
  template <int M, int N>
  POLYPTYCH_TILED inline void epilogue(int64_t row, Vec (&sums)[M][N]) const {
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

// Columns of W [out, depth] that are packed next: `lines` lines of `numbers` numbers, `apart` from
// one another. They are fetched while the rows of the panel before them pass, some with each tile.
template <class Number>
class Prefetch {
 public:
  Prefetch(const Tensor &w, int64_t first, int64_t tiles) {
    if (first >= w.size(0)) return;
    int64_t width = std::min(TILE_COLUMNS, w.size(0) - first);
    bool columns = w.is_contiguous();
    from_ = numbers<Number>(w) + first * w.stride(0);
    lines_ = columns ? width : w.size(1);
    numbers_ = columns ? w.size(1) : width;
    apart_ = columns ? w.size(1) : w.size(0);
    auto all = lines_ * ((numbers_ + CACHE_LINE - 1) / CACHE_LINE);
    each_ = (all + tiles - 1) / tiles;
  }

  void fetch() {
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
template <class Cell, int M, int N, class Number = typename Cell::Number>
POLYPTYCH_TILED inline void tile(Operand<Number> x, Operand<Number> low, const uint32_t *panel,
                                 int64_t row, const Panel<Number> &of) {
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

template <class Cell, int N, class Number = typename Cell::Number>
POLYPTYCH_TILED void tiles(Operand<Number> x, Operand<Number> low, const uint32_t *panel,
                           int64_t begin, int64_t end, const Panel<Number> &of,
                           Prefetch<Number> &prefetch) {
  constexpr int ROWS = tile_rows(N);
  int64_t row = begin;
  for (; row + ROWS <= end; row += ROWS, prefetch.fetch())
    tile<Cell, ROWS, N>(x, low, panel, row, of);
  // The last rows are computed together with some before them, which costs less than one by one.
  if (row < end && end - begin >= ROWS) return tile<Cell, ROWS, N>(x, low, panel, end - ROWS, of);
  for (; row < end; row++) tile<Cell, 1, N>(x, low, panel, row, of);
}

template <class Cell, class Number = typename Cell::Number>
void panel_rows(Operand<Number> x, Operand<Number> low, const uint32_t *panel, int64_t begin,
                int64_t end, const Panel<Number> &of, Prefetch<Number> prefetch) {
  switch (of.vectors()) {
    case 1: return tiles<Cell, 1>(x, low, panel, begin, end, of, prefetch);
    case 2: return tiles<Cell, 2>(x, low, panel, begin, end, of, prefetch);
    case 3: return tiles<Cell, 3>(x, low, panel, begin, end, of, prefetch);
    default: return tiles<Cell, 4>(x, low, panel, begin, end, of, prefetch);
  }
}

// Columns of a panel out of W [out, depth], which may lie as columns.
template <class Cell, class Number = typename Cell::Number>
void pack(const Tensor &w, const Panel<Number> &of, uint32_t *out) {
  int64_t depth = w.size(1);
  if (w.is_contiguous())
    pack_columns<Cell>(numbers<Number>(w) + of.first * depth, depth, of.width, out);
  else
    pack_rows<Cell>(numbers<Number>(w) + of.first, of.out, depth, of.width, out,
                    of.vectors() * VEC);
}

bool as_rows_or_columns(const Tensor &t) { return t.is_contiguous() || t.t().is_contiguous(); }

// Rows of one block: whole tiles, and so few that each thread has work.
int64_t rows_of_block(int64_t count, int64_t bytes, int64_t panels) {
  int64_t near = std::max<int64_t>(1, NEAR / bytes), threads = at::get_num_threads();
  auto shared = count / ((threads + panels - 1) / panels);
  return up_to(std::max<int64_t>(1, std::min(near, shared)), SUMS);
}

template <class Cell, class Number = typename Cell::Number>
Tensor product_of(const Tensor &x, const Tensor &weight, const Epilogue &epilogue) {
  int64_t out = weight.size(0), in = weight.size(1), count = x.numel() / in;
  auto shape = x.sizes().vec();
  shape.back() = out;
  auto to = at::empty(shape, x.options());
  auto bias = at::zeros({up_to(out, VEC)}, x.options().dtype(at::kFloat));
  if (epilogue.bias.defined()) bias.narrow(0, 0, out).copy_(epilogue.bias);
  auto other = epilogue.other.defined() ? epilogue.other.contiguous() : Tensor();
  auto up = epilogue.up;
  if (up.defined() && !as_rows_or_columns(up)) up = up.contiguous();
  Operand<Number> wide{numbers<Number>(x), in}, narrow{nullptr, 0};
  if (epilogue.low.defined()) narrow = {numbers<Number>(epilogue.low), up.size(1)};
  auto panels = (out + TILE_COLUMNS - 1) / TILE_COLUMNS;
  auto block = rows_of_block(count, in * static_cast<int64_t>(sizeof(Number)), panels);
  at::parallel_for(0, (count + block - 1) / block * panels, 1, [&](int64_t begin, int64_t end) {
    // A panel is packed again for each block of rows, and stays in the second cache.
    std::vector<uint32_t> panel((in + narrow.depth) / Cell::COUNT * TILE_COLUMNS);
    for (int64_t part = begin; part < end; part++) {
      int64_t first = part % panels * TILE_COLUMNS, row = part / panels * block;
      Panel<Number> of{first, std::min(TILE_COLUMNS, out - first), out, floats(bias),
                       other.defined() ? numbers<Number>(other) : nullptr, epilogue.gelu,
                       epilogue.mask, numbers_of<Number>(to)};
      pack<Cell>(weight, of, panel.data());
      auto behind = panel.data() + in / Cell::COUNT * of.vectors() * VEC;
      if (narrow.depth > 0) pack<Cell>(up, of, behind);
      auto stop = std::min(count, row + block);
      auto next = part + 1 < end ? (part + 1) % panels * TILE_COLUMNS : out;
      Prefetch<Number> prefetch(weight, next, std::max<int64_t>(1, (stop - row) * of.vectors() / SUMS));
      panel_rows<Cell>(wide, narrow, panel.data(), row, stop, of, prefetch);
    }
  });
  return to;
}

bool multiplies(at::ScalarType type) {
  static const bool wide = __builtin_cpu_supports("avx512f") &&
                           __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512vl");
  static const bool pairs = wide && __builtin_cpu_supports("avx512bf16");
  return type == at::kFloat ? wide : pairs;
}

}  // namespace

bool tiles_fit(const Tensor &x, const Tensor &weight, const Tensor &low) {
  auto readable_rows = [&](const Tensor &t) {
    return readable(t) && t.scalar_type() == x.scalar_type() && t.numel() > 0;
  };
  if (!readable_rows(x) || !multiplies(x.scalar_type()) || traced()) return false;
  if (!readable_rows(weight) || weight.dim() != 2 || weight.size(0) < BROAD) return false;
  if (low.defined() && (!readable_rows(low) || !low.is_contiguous())) return false;
  int64_t in = weight.size(1), rank = low.defined() ? low.size(-1) : 0;
  bool single = x.scalar_type() == at::kFloat;
  int64_t cell = single ? Single::COUNT : Pair::COUNT, deep = single ? DEEP_IN_FLOATS : DEEP;
  return in >= deep && in <= DEEPEST && in % cell == 0 && rank % cell == 0 && x.is_contiguous() &&
         as_rows_or_columns(weight);
}

Tensor tiled_product(const Tensor &x, const Tensor &weight, const Epilogue &epilogue) {
  return x.scalar_type() == at::kFloat ? product_of<Single>(x, weight, epilogue)
                                       : product_of<Pair>(x, weight, epilogue);
}

}  // namespace polyptych

#else

namespace polyptych {

bool tiles_fit(const Tensor &, const Tensor &, const Tensor &) { return false; }
Tensor tiled_product(const Tensor &x, const Tensor &weight, const Epilogue &) {
  return x.matmul(weight.t());
}

}  // namespace polyptych

#endif
