// Products of matrices that lie in the caches as rows.
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

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
