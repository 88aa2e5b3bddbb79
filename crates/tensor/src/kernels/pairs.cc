#include "polyptych-tensor/src/kernels/pairs.h"

#include "polyptych-tensor/src/kernels/normal.h"

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#include <immintrin.h>

namespace polyptych {

namespace {

#define POLYPTYCH_PAIRS __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

// A tile of so many rows and vectors keeps 24 sums in registers, and loads ten numbers for as many
// steps.
constexpr int64_t TILE_ROWS = 6, TILE_COLUMNS = 4 * VEC;
// Bytes of rows that stay in a cache while all columns pass.
constexpr int64_t NEAR = 1 << 21;
// Depths and widths for which this is quicker than oneDNN.
constexpr int64_t DEEP = 128, DEEPEST = 2048, BROAD = 32;

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

// The first numbers of 16, as many as there are.
POLYPTYCH_PAIRS inline __m256i some(const uint16_t *from, int64_t count) {
  if (count >= VEC) return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
  return _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1U << count) - 1U), from);
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
  int64_t line = (count + VEC - 1) / VEC * VEC, pairs = depth / 2, p = 0;
  auto one = [&](int64_t pair, int64_t n) {
    std::memcpy(out + 2 * (pair * line + n), w + n * depth + 2 * pair, 4);
  };
  for (; p + 4 <= pairs; p += 4) {
    int64_t n = 0;
    for (; n + 4 <= count; n += 4) {
      auto from = reinterpret_cast<const float *>(w + n * depth + 2 * p);
      auto to = reinterpret_cast<float *>(out + 2 * (p * line + n));
      __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + pairs);
      __m128 c = _mm_loadu_ps(from + 2 * pairs), d = _mm_loadu_ps(from + 3 * pairs);
      _MM_TRANSPOSE4_PS(a, b, c, d);
      _mm_storeu_ps(to, a), _mm_storeu_ps(to + line, b);
      _mm_storeu_ps(to + 2 * line, c), _mm_storeu_ps(to + 3 * line, d);
    }
    for (; n < count; n++)
      for (int64_t pair = p; pair < p + 4; pair++) one(pair, n);
  }
  for (; p < pairs; p++)
    for (int64_t n = 0; n < count; n++) one(p, n);
  if (line > count)
    for (p = 0; p < pairs; p++) std::memset(out + 2 * (p * line + count), 0, 4 * (line - count));
}

// A panel of a product: its first column, and what its rows become.
struct Panel {
  int64_t first, width, out;
  const float *bias;
  const uint16_t *other;
  bool gelu;
  uint16_t *to;

  int64_t vectors() const { return (width + VEC - 1) / VEC; }

  template <int M, int N>
  POLYPTYCH_PAIRS inline void finish(int64_t row, __m512 (&sums)[M][N]) const {
    for (int n = 0; n < N; n++) {
      int64_t count = width - n * VEC, at = row * out + first + n * VEC;
      auto shift = (Vec)_mm512_loadu_ps(bias + first + n * VEC);
      for (int m = 0; m < M; m++, at += out) {
        Vec y = (Vec)sums[m][n] + shift;
        if (gelu) y = y * normal(y);
        if (other != nullptr)
          y += (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(some(other + at, count)), 16);
        auto rounded = (__m256i)_mm512_cvtneps_pbh((__m512)y);
        if (count >= VEC)
          _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + at), rounded);
        else
          _mm256_mask_storeu_epi16(to + at, static_cast<__mmask16>((1U << count) - 1U), rounded);
      }
    }
  }
};

template <int M, int N>
POLYPTYCH_PAIRS inline void tile(const uint16_t *x, int64_t depth, const uint16_t *panel,
                                 int64_t row, const Panel &of) {
  __m512 sums[M][N];
  for (auto &line : sums)
    for (auto &sum : line) sum = _mm512_setzero_ps();
  multiply<M, N>(x + row * depth, depth / 2, 1, panel, depth / 2, sums);
  of.finish<M, N>(row, sums);
}

template <int N>
POLYPTYCH_PAIRS void tiles(const uint16_t *x, int64_t depth, const uint16_t *panel, int64_t begin,
                           int64_t end, const Panel &of) {
  int64_t row = begin;
  for (; row + TILE_ROWS <= end; row += TILE_ROWS) tile<TILE_ROWS, N>(x, depth, panel, row, of);
  for (; row < end; row++) tile<1, N>(x, depth, panel, row, of);
}

void panel_rows(const uint16_t *x, int64_t depth, const uint16_t *panel, int64_t begin,
                int64_t end, const Panel &of) {
  switch (of.vectors()) {
    case 1: return tiles<1>(x, depth, panel, begin, end, of);
    case 2: return tiles<2>(x, depth, panel, begin, end, of);
    case 3: return tiles<3>(x, depth, panel, begin, end, of);
    default: return tiles<4>(x, depth, panel, begin, end, of);
  }
}

}  // namespace

bool pairs_fit(const Tensor &x, const Tensor &weight) {
  static const bool here = __builtin_cpu_supports("avx512bf16") &&
                           __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512vl");
  return here && !traced() && weight.dim() == 2 && weight.size(1) >= DEEP &&
         weight.size(1) <= DEEPEST && weight.size(1) % 2 == 0 && weight.size(0) >= BROAD &&
         readable_pairs(x) && readable_pairs(weight) && x.is_contiguous() &&
         (weight.is_contiguous() || weight.t().is_contiguous());
}

Tensor pairs_product(const Tensor &x, const Tensor &weight, const Finish &finish) {
  int64_t out = weight.size(0), in = weight.size(1), count = x.numel() / in;
  auto shape = x.sizes().vec();
  shape.back() = out;
  auto to = at::empty(shape, x.options());
  auto bias = at::zeros({(out + VEC - 1) / VEC * VEC}, x.options().dtype(at::kFloat));
  if (finish.bias.defined()) bias.narrow(0, 0, out).copy_(finish.bias);
  auto other = finish.other.defined() ? finish.other.contiguous() : Tensor();
  bool as_rows = !weight.is_contiguous();
  auto block = std::max<int64_t>(1, NEAR / (2 * in * TILE_ROWS)) * TILE_ROWS;
  auto panels = (out + TILE_COLUMNS - 1) / TILE_COLUMNS;
  at::parallel_for(0, (count + block - 1) / block * panels, 1, [&](int64_t begin, int64_t end) {
    // A panel is packed again for each block of rows, and stays in the second cache.
    std::vector<uint16_t> panel(in * TILE_COLUMNS);
    for (int64_t part = begin; part < end; part++) {
      int64_t first = part % panels * TILE_COLUMNS, row = part / panels * block;
      Panel of{first, std::min(TILE_COLUMNS, out - first), out, floats(bias),
               other.defined() ? halves(other) : nullptr, finish.gelu, halves_of(to)};
      if (as_rows)
        pair_rows(halves(weight) + first, out, in, of.width, panel.data(), of.vectors() * VEC);
      else
        pair_columns(halves(weight) + first * in, in, of.width, panel.data());
      panel_rows(halves(x), in, panel.data(), row, std::min(count, row + block), of);
    }
  });
  return to;
}

}  // namespace polyptych

#else

namespace polyptych {

bool pairs_fit(const Tensor &, const Tensor &) { return false; }
Tensor pairs_product(const Tensor &x, const Tensor &weight, const Finish &) {
  return x.matmul(weight.t());
}

}  // namespace polyptych

#endif
