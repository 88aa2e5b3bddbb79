// Products of rows of bytes with columns of bytes, in tiles of sums of 32 bits that stay in
// registers. Only vectors of 512 bits have the instruction (VNNI).
#if POLYPTYCH_LANES == 16
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Four numbers of 8 bits, unsigned on the left and signed on the right. Sums are integers, in the
// registers of floats.
struct Quad {
  static constexpr int64_t COUNT = 4;

  static POLYPTYCH_INLINE Vec add(Vec sum, Bits a, Bits b) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
};

// Smallest and largest number of a row, with 0 among them, as bytes 0 and 255.
template <class Number>
POLYPTYCH_INLINE Int8Row range_of(const Number *x, int64_t count) {
  Vec low{}, high{};
  for (int64_t j = 0; j < count; j += VEC) {
    Vec each = some(x + j, count - j);
    low = each < low ? each : low;
    high = each > high ? each : high;
  }
  float least = _mm512_reduce_min_ps((__m512)low), most = _mm512_reduce_max_ps((__m512)high);
  float scale = (most - least) / 255.0f;
  if (!std::isfinite(scale)) return {scale, 0};
  if (scale == 0.0f) return {1.0f, 0};
  return {scale, static_cast<int32_t>(std::nearbyint(std::min(255.0f, -least / scale)))};
}

// Bytes of a row; those up to a whole cell meet zeros. Gives its scale, and NaN where a number is not
// finite, which bytes would hide.
template <class Number>
POLYPTYCH_INLINE float quantize_row(const Number *x, int64_t count, int64_t depth, Int8Row by,
                                    uint8_t *to) {
  auto zero = _mm512_set1_epi32(by.zero_point), nothing = _mm512_setzero_si512();
  Vec inverse = splat(1.0f / by.scale), faults{};
  for (int64_t j = 0; j < count; j += VEC) {
    Vec each = some(x + j, count - j);
    faults += each - each;
    auto shifted = _mm512_add_epi32(_mm512_cvtps_epi32((__m512)(each * inverse)), zero);
    auto bytes = _mm512_cvtusepi32_epi8(_mm512_max_epi32(shifted, nothing));
    _mm_mask_storeu_epi8(to + j, lanes(depth - j), bytes);
  }
  return by.scale + sum_of(faults);
}

// Rows [begin, end) as bytes, each by its own range unless `all.input` says otherwise.
template <class Number>
void quantize_rows(const Int8Product<Number> &all, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    auto x = all.x + row * all.in;
    Int8Row by = all.per_token ? range_of(x, all.in) : all.input;
    all.scales[row] = quantize_row(x, all.in, all.depth, by, all.rows + row * all.depth);
    all.zero_points[row] = by.zero_point;
  }
}

// The sums of M rows of N vectors from `first` on as numbers, with bias and GELU.
template <int M, int N, class Number>
POLYPTYCH_INLINE void finish(const Int8Product<Number> &all, int64_t row, int64_t first,
                             Vec (&sums)[M][N]) {
#pragma GCC unroll 24
  for (int m = 0; m < M; m++) {
    auto zero = _mm512_set1_epi32(all.zero_points[row + m]);
    Vec scale = splat(all.scales[row + m]);
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      auto at = first + n * VEC;
      auto shift = _mm512_mullo_epi32(zero, _mm512_loadu_si512(all.column_sums + at));
      auto sum = _mm512_sub_epi32((__m512i)sums[m][n], shift);
      sums[m][n] = (Vec)_mm512_cvtepi32_ps(sum) * (scale * load_vec(all.weight_scales + at)) +
                   load_vec(all.bias + at);
    }
  }
  if (all.gelu) {
#pragma GCC unroll 24
    for (int m = 0; m < M; m++)
#pragma GCC unroll 4
      for (int n = 0; n < N; n++) sums[m][n] *= normal_cdf(sums[m][n]);
  }
#pragma GCC unroll 24
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int n = 0; n < N; n++)
      store_part(sums[m][n], all.out - first - n * VEC,
                 all.to + (row + m) * all.out + first + n * VEC);
}

template <int M, int N, class Number>
POLYPTYCH_INLINE void int8_tile(const Int8Product<Number> &all, int64_t row, int64_t first) {
  Vec sums[M][N];
  clear(sums);
  int64_t cells = all.depth / Quad::COUNT;
  Left left{all.rows + row * all.depth, cells, 1};
  multiply<Quad>(left, all.columns + first * cells, N * VEC, cells, sums);
  finish(all, row, first, sums);
}

template <int N, class Number>
void int8_tiles(const Int8Product<Number> &all, int64_t first, int64_t begin, int64_t end) {
  constexpr int ROWS = tile_rows(N);
  int64_t row = begin;
  for (; row + ROWS <= end; row += ROWS) int8_tile<ROWS, N>(all, row, first);
  // The last rows are computed together with some before them, which costs less than one by one.
  if (row < end && end - begin >= ROWS) return int8_tile<ROWS, N>(all, end - ROWS, first);
  for (; row < end; row++) int8_tile<1, N>(all, row, first);
}

// Parts [begin, end) of a product: panels of columns within blocks of rows.
template <class Number>
void int8_parts(const Int8Product<Number> &all, int64_t begin, int64_t end) {
  int64_t panels = (all.out + TILE_COLUMNS - 1) / TILE_COLUMNS;
  for (int64_t part = begin; part < end; part++) {
    int64_t first = part % panels * TILE_COLUMNS, row = part / panels * all.block;
    int64_t stop = std::min(all.count, row + all.block);
    switch ((std::min(TILE_COLUMNS, all.out - first) + VEC - 1) / VEC) {
      case 1:
        int8_tiles<1>(all, first, row, stop);
        break;
      case 2:
        int8_tiles<2>(all, first, row, stop);
        break;
      case 3:
        int8_tiles<3>(all, first, row, stop);
        break;
      default:
        int8_tiles<4>(all, first, row, stop);
    }
  }
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
#endif
