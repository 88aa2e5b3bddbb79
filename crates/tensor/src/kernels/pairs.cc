#include "polyptych-tensor/src/kernels/pairs.h"

#include "polyptych-tensor/src/kernels/cells.h"
#include "polyptych-tensor/src/kernels/normal.h"

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#include <immintrin.h>

namespace polyptych {

namespace {

#define POLYPTYCH_PAIRS __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

// Vectors of a tile at most, and rows of one that has N: it keeps 24 sums in registers, of which
// each waits for its own last step.
constexpr int64_t ACROSS_TILE = 4, TILE_COLUMNS = ACROSS_TILE * VEC, SUMS = 24;
constexpr int tile_rows(int vectors) { return SUMS / vectors; }
// Bytes of rows that stay in the last cache while all columns pass.
constexpr int64_t NEAR = 1 << 24;
// Depths and widths for which this is quicker than oneDNN.
constexpr int64_t DEEP = 16, DEEPEST = 4096, BROAD = 17;

bool readable_pairs(const Tensor &t) {
  return t.is_cpu() && t.scalar_type() == at::kBFloat16 && t.numel() > 0;
}

// sums += a b: M rows of pairs, `row` apart and each `step` from the last, and vectors of pairs.
template <int M, int N>
POLYPTYCH_PAIRS inline void multiply(const uint16_t *a, int64_t row, int64_t step,
                                     const uint16_t *b, int64_t pairs, __m512 (&sums)[M][N]) {
  for (int64_t p = 0; p < pairs; p++) {
    __m512bh right[N];
    for (int n = 0; n < N; n++)
      right[n] = (__m512bh)_mm512_loadu_si512(b + (p * N + n) * 2 * VEC);
    for (int m = 0; m < M; m++) {
      int32_t pair;
      std::memcpy(&pair, a + 2 * (m * row + p * step), sizeof pair);
      auto left = (__m512bh)_mm512_set1_epi32(pair);
      for (int n = 0; n < N; n++) sums[m][n] = _mm512_dpbf16_ps(sums[m][n], left, right[n]);
    }
  }
}

inline __mmask16 lanes(int64_t count) {
  return static_cast<__mmask16>(count >= VEC ? 0xffffU : (1U << count) - 1U);
}

// The first numbers of 16, as many as there are.
POLYPTYCH_PAIRS inline __m256i some(const uint16_t *from, int64_t count) {
  return _mm256_maskz_loadu_epi16(lanes(count), from);
}

POLYPTYCH_PAIRS inline __m512 widened(__m256i halves) {
  return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
}

POLYPTYCH_PAIRS inline __m256i rounded(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }

// The same for each vector n of each row m of a tile, M rows of N vectors.
#define POLYPTYCH_TILE_LOOP(...)                                                             \
  {                                                                                          \
    _Pragma("GCC unroll 24") for (int m = 0; m < M; m++)                                      \
      _Pragma("GCC unroll 4") for (int n = 0; n < N; n++) { __VA_ARGS__; }                   \
  }

// Numbers of rows 2p and 2p + 1 side by side in whole vectors, the pairs `line` apart. What is
// missing of the last row and the last vector is zero.
POLYPTYCH_PAIRS void pair_rows(const uint16_t *x, int64_t stride, int64_t rows, int64_t columns,
                               uint16_t *out, int64_t line) {
  for (int64_t first = 0; first < rows; first += 2, out += 2 * line)
    for (int64_t j = 0; j < columns; j += VEC) {
      auto from = x + first * stride + j;
      auto pair = _mm512_cvtepu16_epi32(some(from, columns - j));
      if (first + 1 < rows) {
        auto odd = _mm512_cvtepu16_epi32(some(from + stride, columns - j));
        pair = _mm512_or_si512(pair, _mm512_slli_epi32(odd, 16));
      }
      _mm512_storeu_si512(out + 2 * j, pair);
    }
}

// Pairs of neighbours in `count` rows of W, the rows side by side: [depth / 2, vectors of pairs].
POLYPTYCH_PAIRS void pair_columns(const uint16_t *w, int64_t depth, int64_t count, uint16_t *out) {
  int64_t line = up_to(count, VEC), pairs = depth / 2, squares = pairs / VEC * VEC;
  copy_columns<Pair>(w, depth, count, squares, line, reinterpret_cast<uint32_t *>(out));
  for (int64_t p = squares; p < pairs; p++) {
    std::memset(out + 2 * p * line, 0, 4 * line);
    for (int64_t n = 0; n < count; n++)
      std::memcpy(out + 2 * (p * line + n), w + n * depth + 2 * p, 4);
  }
}

// Rows of pairs that a product sums over.
struct Operand {
  const uint16_t *rows;
  int64_t depth;
};

// A panel of a product: its first column, and what its rows become.
struct Panel {
  int64_t first, width, out;
  const float *bias;
  const uint16_t *other;
  bool gelu;
  const Mask *mask;
  uint16_t *to;

  int64_t vectors() const { return (width + VEC - 1) / VEC; }

  template <int M, int N>
  POLYPTYCH_PAIRS inline void drop(int64_t row, __m512 (&sums)[M][N]) const {
    int64_t at = row * out + first;
    POLYPTYCH_TILE_LOOP({
      Vec kept = mask->from(static_cast<uint32_t>(at + m * out + n * VEC));
      sums[m][n] = (__m512)((Vec)sums[m][n] * kept);
    })
  }

  // Steps run over the whole tile one after the other, so that sums stay in registers.
  template <int M, int N>
  POLYPTYCH_PAIRS inline void finish(int64_t row, __m512 (&sums)[M][N]) const {
    int64_t at = row * out + first;
    auto shift = bias + first;
    POLYPTYCH_TILE_LOOP(sums[m][n] = _mm512_add_ps(sums[m][n], _mm512_loadu_ps(shift + n * VEC)))
    if (gelu)
      POLYPTYCH_TILE_LOOP({
        Vec x = (Vec)sums[m][n];
        sums[m][n] = (__m512)(x * normal(x));
      })
    if (other != nullptr)
      POLYPTYCH_TILE_LOOP({
        auto term = some(other + at + m * out + n * VEC, width - n * VEC);
        sums[m][n] = _mm512_add_ps(sums[m][n], widened(term));
      })
    if (width == N * VEC)
      POLYPTYCH_TILE_LOOP({
        auto line = reinterpret_cast<__m256i *>(to + at + m * out + n * VEC);
        _mm256_storeu_si256(line, rounded(sums[m][n]));
      })
    else
      POLYPTYCH_TILE_LOOP({
        auto line = to + at + m * out + n * VEC;
        _mm256_mask_storeu_epi16(line, lanes(width - n * VEC), rounded(sums[m][n]));
      })
  }
};

// Columns of W [out, depth] that are packed next: `lines` lines of `numbers` numbers, `apart` from
// one another. They come near while the rows of the panel before them pass, some with each tile.
class Ahead {
 public:
  Ahead(const Tensor &w, int64_t first, int64_t tiles) {
    if (first >= w.size(0)) return;
    int64_t width = std::min(TILE_COLUMNS, w.size(0) - first);
    bool columns = w.is_contiguous();
    from_ = halves(w) + first * w.stride(0);
    lines_ = columns ? width : w.size(1);
    numbers_ = columns ? w.size(1) : width;
    apart_ = columns ? w.size(1) : w.size(0);
    auto all = lines_ * ((numbers_ + CACHE_LINE - 1) / CACHE_LINE);
    each_ = (all + tiles - 1) / tiles;
  }

  void come() {
    for (int64_t i = 0; i < each_ && line_ < lines_; i++) {
      __builtin_prefetch(from_ + line_ * apart_ + number_, 0, 2);
      number_ += CACHE_LINE;
      if (number_ >= numbers_) number_ = 0, line_++;
    }
  }

 private:
  static constexpr int64_t CACHE_LINE = 32;
  const uint16_t *from_ = nullptr;
  int64_t lines_ = 0, numbers_ = 0, apart_ = 0, each_ = 0, line_ = 0, number_ = 0;
};

// The narrow side's part of the panel comes after that of x.
template <int M, int N>
POLYPTYCH_PAIRS inline void tile(Operand x, Operand low, const uint16_t *panel, int64_t row,
                                 const Panel &of) {
  __m512 sums[M][N];
  for (auto &line : sums)
    for (auto &sum : line) sum = _mm512_setzero_ps();
  if (low.depth > 0) {
    auto narrow = panel + x.depth * N * VEC;
    multiply<M, N>(low.rows + row * low.depth, low.depth / 2, 1, narrow, low.depth / 2, sums);
    if (of.mask != nullptr) of.drop<M, N>(row, sums);
  }
  multiply<M, N>(x.rows + row * x.depth, x.depth / 2, 1, panel, x.depth / 2, sums);
  of.finish<M, N>(row, sums);
}

template <int N>
POLYPTYCH_PAIRS void tiles(Operand x, Operand low, const uint16_t *panel, int64_t begin,
                           int64_t end, const Panel &of, Ahead &ahead) {
  constexpr int ROWS = tile_rows(N);
  int64_t row = begin;
  for (; row + ROWS <= end; row += ROWS, ahead.come())
    tile<ROWS, N>(x, low, panel, row, of);
  // The last rows are formed together with some before them, which costs less than one by one.
  if (row < end && end - begin >= ROWS) return tile<ROWS, N>(x, low, panel, end - ROWS, of);
  for (; row < end; row++) tile<1, N>(x, low, panel, row, of);
}

void panel_rows(Operand x, Operand low, const uint16_t *panel, int64_t begin, int64_t end,
                const Panel &of, Ahead ahead) {
  switch (of.vectors()) {
    case 1: return tiles<1>(x, low, panel, begin, end, of, ahead);
    case 2: return tiles<2>(x, low, panel, begin, end, of, ahead);
    case 3: return tiles<3>(x, low, panel, begin, end, of, ahead);
    default: return tiles<4>(x, low, panel, begin, end, of, ahead);
  }
}

// Columns of a panel out of W [out, depth], which may lie as columns: [depth / 2, vectors of pairs].
void pack(const Tensor &w, const Panel &of, uint16_t *out) {
  int64_t depth = w.size(1);
  if (w.is_contiguous())
    pair_columns(halves(w) + of.first * depth, depth, of.width, out);
  else
    pair_rows(halves(w) + of.first, of.out, depth, of.width, out, of.vectors() * VEC);
}

bool as_rows_or_columns(const Tensor &t) { return t.is_contiguous() || t.t().is_contiguous(); }

// Rows of one block: whole tiles, and so few that each thread has work.
int64_t rows_of_block(int64_t count, int64_t depth, int64_t panels) {
  int64_t near = std::max<int64_t>(1, NEAR / (2 * depth)), threads = at::get_num_threads();
  auto shared = count / ((threads + panels - 1) / panels);
  return up_to(std::max<int64_t>(1, std::min(near, shared)), SUMS);
}

}  // namespace

bool pairs_fit(const Tensor &x, const Tensor &weight, const Tensor &low) {
  static const bool here = __builtin_cpu_supports("avx512bf16") &&
                           __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512vl");
  if (!here || traced() || weight.dim() != 2 || weight.size(0) < BROAD) return false;
  if (!readable_pairs(x) || !readable_pairs(weight) || !x.is_contiguous()) return false;
  int64_t in = weight.size(1), rank = low.defined() ? low.size(-1) : 0;
  if (rank > 0 && (rank % 2 != 0 || !readable_pairs(low) || !low.is_contiguous())) return false;
  return in >= DEEP && in <= DEEPEST && in % 2 == 0 && as_rows_or_columns(weight);
}

Tensor pairs_product(const Tensor &x, const Tensor &weight, const Finish &finish) {
  int64_t out = weight.size(0), in = weight.size(1), count = x.numel() / in;
  auto shape = x.sizes().vec();
  shape.back() = out;
  auto to = at::empty(shape, x.options());
  auto bias = at::zeros({up_to(out, VEC)}, x.options().dtype(at::kFloat));
  if (finish.bias.defined()) bias.narrow(0, 0, out).copy_(finish.bias);
  auto other = finish.other.defined() ? finish.other.contiguous() : Tensor();
  auto up = finish.up;
  if (up.defined() && !as_rows_or_columns(up)) up = up.contiguous();
  Operand wide{halves(x), in}, narrow{nullptr, 0};
  if (finish.low.defined()) narrow = {halves(finish.low), up.size(1)};
  auto panels = (out + TILE_COLUMNS - 1) / TILE_COLUMNS;
  auto block = rows_of_block(count, in, panels);
  at::parallel_for(0, (count + block - 1) / block * panels, 1, [&](int64_t begin, int64_t end) {
    // A panel is packed again for each block of rows, and stays in the second cache.
    std::vector<uint16_t> panel((in + narrow.depth) * TILE_COLUMNS);
    for (int64_t part = begin; part < end; part++) {
      int64_t first = part % panels * TILE_COLUMNS, row = part / panels * block;
      Panel of{first, std::min(TILE_COLUMNS, out - first), out, floats(bias),
               other.defined() ? halves(other) : nullptr, finish.gelu, finish.mask, halves_of(to)};
      pack(weight, of, panel.data());
      if (narrow.depth > 0) pack(up, of, panel.data() + in * of.vectors() * VEC);
      auto stop = std::min(count, row + block);
      auto next = part + 1 < end ? (part + 1) % panels * TILE_COLUMNS : out;
      Ahead ahead(weight, next, std::max<int64_t>(1, (stop - row) * of.vectors() / SUMS));
      panel_rows(wide, narrow, panel.data(), row, stop, of, ahead);
    }
  });
  return to;
}

}  // namespace polyptych

#else

namespace polyptych {

bool pairs_fit(const Tensor &, const Tensor &, const Tensor &) { return false; }
Tensor pairs_product(const Tensor &x, const Tensor &weight, const Finish &) {
  return x.matmul(weight.t());
}

}  // namespace polyptych

#endif
