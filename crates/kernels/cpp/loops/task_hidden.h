// The hidden layer of a perceptron as the tasks see it, which is never held as a whole.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Rows that are treated together: a step of one waits for its last one, not for the others.
constexpr int ROWS_FORWARD = 4, ROWS_BACK = 2;

// base + low_t up_t of M rows.
template <int M, int64_t N, class T>
POLYPTYCH_INLINE Vecs<M> hidden_of(const T *base, int64_t width, const float *low, int64_t in,
                                   const Lines<N> &ups) {
  auto x = Vecs<M>::of(POLYPTYCH_EACH(load_vec(base + n * width)));
  for (int64_t r = 0; r < in; r++)
    x = Vecs<M>::of(POLYPTYCH_EACH(x.at[n] + low[n * in + r] * ups.at[r]));
  return x;
}

// f(row, how many) for all rows, M at a time while there are as many.
template <int M, class F>
POLYPTYCH_INLINE void by_some(int64_t count, F f) {
  int64_t row = 0;
  for (; row + M <= count; row += M) f(row, std::integral_constant<int, M>());
  for (; row < count; row++) f(row, std::integral_constant<int, 1>());
}

// out_t = gelu(base + low_t up_t) down_t^T for rows in [begin, end), TASK_ROWS of them at most.
// base: [rows, width], low: [tasks, rows, in], up: [tasks, in, padded], down: [tasks, out, padded],
// out: [tasks, rows, out]. N: the ranks, or the most that they can be.
template <int64_t N, class T>
POLYPTYCH_INLINE void hidden_block(const T *base, const float *low, const float *up,
                                   const float *down, float *out, int64_t begin, int64_t end,
                                   Hidden of, float *sums) {
  int64_t in = N == RANK_OF_TASK ? N : of.in, width = N == RANK_OF_TASK ? N : of.out;
  int64_t count = end - begin;
  std::fill_n(sums, of.tasks * count * width * VEC, 0.0f);
  for (int64_t first = 0; first < of.width; first += VEC)
    for (int64_t task = 0; task < of.tasks; task++) {
      Lines<N> ups, downs;
      ups.read(up + task * in * of.line() + first, in, of.line());
      downs.read(down + task * width * of.line() + first, width, of.line());
      by_some<ROWS_FORWARD>(count, [&](int64_t row, auto some) POLYPTYCH_WITHIN {
        int64_t at = task * of.rows + begin + row;
        auto x = hidden_of<some()>(base + (begin + row) * of.width + first, of.width, low + at * in,
                                   in, ups);
        auto y = x * normal_cdf(x);
#pragma GCC unroll 4
        for (int m = 0; m < some(); m++)
          downs.dots(y.at[m], sums + (task * count + row + m) * width * VEC, width);
      });
    }
  for (int64_t task = 0; task < of.tasks; task++)
    for (int64_t j = 0; j < count * width; j++)
      out[(task * of.rows + begin) * width + j] = sum_of(sums + (task * count * width + j) * VEC);
}

// Gradients of the above: dbase and dlow of these rows are written, dup and ddown added to.
template <int64_t N, class T>
POLYPTYCH_INLINE void gradient_block(const T *base, const float *low, const float *up,
                                     const float *down, const float *g, T *dbase, float *dlow,
                                     float *dup, float *ddown, int64_t begin, int64_t end,
                                     Hidden of, float *sums) {
  int64_t in = N == RANK_OF_TASK ? N : of.in, out = N == RANK_OF_TASK ? N : of.out;
  int64_t count = end - begin;
  std::fill_n(sums, of.tasks * count * in * VEC, 0.0f);
  for (int64_t first = 0; first < of.width; first += VEC) {
    Vec shared[TASK_ROWS] = {};
    for (int64_t task = 0; task < of.tasks; task++) {
      int64_t to_up = task * in * of.line() + first, to_down = task * out * of.line() + first;
      Lines<N> ups, downs, up_sums, down_sums;
      ups.read(up + to_up, in, of.line());
      downs.read(down + to_down, out, of.line());
      up_sums.clear(in);
      down_sums.clear(out);
      by_some<ROWS_BACK>(count, [&](int64_t row, auto some) POLYPTYCH_WITHIN {
        using Some = Vecs<some()>;
        int64_t at = task * of.rows + begin + row;
        auto slopes = g + at * out;
        auto x = hidden_of<some()>(base + (begin + row) * of.width + first, of.width, low + at * in,
                                   in, ups);
        Normal<Some> normal(x);
        auto y = x * normal.cdf;
        auto dy = Some::of(POLYPTYCH_EACH(downs.onto(Vec{}, slopes + n * out, out)));
        auto dx = dy * (normal.cdf + x * normal.pdf);
#pragma GCC unroll 4
        for (int m = 0; m < some(); m++) {
          down_sums.add(slopes + m * out, y.at[m], out);
          shared[row + m] += dx.at[m];
          up_sums.add(low + (at + m) * in, dx.at[m], in);
          ups.dots(dx.at[m], sums + (task * count + row + m) * in * VEC, in);
        }
      });
      up_sums.add_to(dup + to_up, in, of.line());
      down_sums.add_to(ddown + to_down, out, of.line());
    }
    for (int64_t row = 0; row < count; row++)
      store_vec(shared[row], dbase + (begin + row) * of.width + first);
  }
  for (int64_t task = 0; task < of.tasks; task++)
    for (int64_t j = 0; j < count * in; j++)
      dlow[(task * of.rows + begin) * in + j] = sum_of(sums + (task * count * in + j) * VEC);
}

template <class T>
void hidden(const T *base, const float *low, const float *up, const float *down, float *out,
            int64_t begin, int64_t end, Hidden of, float *sums) {
  if (of.in == RANK_OF_TASK && of.out == RANK_OF_TASK)
    hidden_block<RANK_OF_TASK>(base, low, up, down, out, begin, end, of, sums);
  else
    hidden_block<NARROW_OF_TASKS>(base, low, up, down, out, begin, end, of, sums);
}

template <class T>
void hidden_gradient(const T *base, const float *low, const float *up, const float *down,
                     const float *g, T *dbase, float *dlow, float *dup, float *ddown, int64_t begin,
                     int64_t end, Hidden of, float *sums) {
  if (of.in == RANK_OF_TASK && of.out == RANK_OF_TASK)
    gradient_block<RANK_OF_TASK>(base, low, up, down, g, dbase, dlow, dup, ddown, begin, end, of,
                                 sums);
  else
    gradient_block<NARROW_OF_TASKS>(base, low, up, down, g, dbase, dlow, dup, ddown, begin, end, of,
                                    sums);
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
