// The hidden layer of a perceptron as the tasks see it, which is never held as a whole.
#include "polyptych-kernels/cpp/checks.h"
#include "polyptych-kernels/cpp/normal.h"
#include "polyptych-kernels/cpp/tasks.h"

namespace polyptych {

namespace {

// Lines of matrices are padded with zeros to whole strips.
struct Hidden {
  int64_t tasks, rows, in, width, out;
  int64_t line() const { return padded(width); }
};

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
        auto x = hidden_of<some()>(base + (begin + row) * of.width + first, of.width,
                                   low + at * in, in, ups);
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
        auto x = hidden_of<some()>(base + (begin + row) * of.width + first, of.width,
                                   low + at * in, in, ups);
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

#define POLYPTYCH_HIDDEN(NAME, T)                                                            \
  POLYPTYCH_WIDE void NAME(const T *base, const float *low, const float *up,                 \
                           const float *down, float *out, int64_t begin, int64_t end,        \
                           Hidden of, float *sums) {                                           \
    if (of.in == RANK_OF_TASK && of.out == RANK_OF_TASK)                                     \
      hidden_block<RANK_OF_TASK>(base, low, up, down, out, begin, end, of, sums);            \
    else                                                                                     \
      hidden_block<NARROW_OF_TASKS>(base, low, up, down, out, begin, end, of, sums);         \
  }
POLYPTYCH_HIDDEN(hidden, float)
POLYPTYCH_HIDDEN(hidden_bf16, uint16_t)

#define POLYPTYCH_HIDDEN_GRADIENT(NAME, T)                                                   \
  POLYPTYCH_WIDE void NAME(const T *base, const float *low, const float *up,                 \
                           const float *down, const float *g, T *dbase, float *dlow,         \
                           float *dup, float *ddown, int64_t begin, int64_t end, Hidden of,  \
                           float *sums) {                                                      \
    if (of.in == RANK_OF_TASK && of.out == RANK_OF_TASK)                                     \
      gradient_block<RANK_OF_TASK>(base, low, up, down, g, dbase, dlow, dup, ddown, begin,   \
                                   end, of, sums);                                           \
    else                                                                                     \
      gradient_block<NARROW_OF_TASKS>(base, low, up, down, g, dbase, dlow, dup, ddown,       \
                                      begin, end, of, sums);                                 \
  }
POLYPTYCH_HIDDEN_GRADIENT(hidden_gradient, float)
POLYPTYCH_HIDDEN_GRADIENT(hidden_gradient_bf16, uint16_t)

// Kept: what goes in and the narrow image of x; neither the hidden layer nor its activation.
struct TaskHidden : Function<TaskHidden> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &base, const Tensor &a,
                        const Tensor &b, const Tensor &next) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto from = in_vectors(rows(base));
    auto low = by_tasks(by_task(x), a);
    auto shape = of(from, low, next);
    auto up = lines(b.transpose(1, 2)), down = lines(next), read = in_floats(low);
    auto out = at::empty({shape.tasks, shape.rows, shape.out}, read.options());
    by_blocks(shape.rows, shape.tasks * shape.out,
              [&](int64_t, int64_t begin, int64_t end, float *sums) {
                if (from.scalar_type() == at::kFloat)
                  hidden(floats(from), floats(read), floats(up), floats(down), floats_of(out),
                         begin, end, shape, sums);
                else
                  hidden_bf16(bf16(from), floats(read), floats(up), floats(down),
                              floats_of(out), begin, end, shape, sums);
              });
    ctx->save_for_backward({x, from, low, a, b, next});
    ctx->saved_data["shape"] = base.sizes().vec();
    auto size = x.sizes().vec();
    size.back() = shape.out;
    return out.to(x.scalar_type()).view(size);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &x = saved[0], &base = saved[1], &low = saved[2], &a = saved[3], &b = saved[4];
    auto shape = of(base, low, saved[5]);
    auto up = lines(b.transpose(1, 2)), down = lines(saved[5]);
    auto read = in_floats(low), g = in_floats(by_task(grads[0]));
    auto dbase = at::empty_like(base), dlow = at::empty_like(read);
    auto dup = sums_of(shape.rows, up), ddown = sums_of(shape.rows, down);
    by_blocks(shape.rows, shape.tasks * shape.in,
              [&](int64_t stretch, int64_t begin, int64_t end, float *sums) {
                auto ups = floats_of(dup) + stretch * dup.stride(0);
                auto downs = floats_of(ddown) + stretch * ddown.stride(0);
                if (base.scalar_type() == at::kFloat)
                  hidden_gradient(floats(base), floats(read), floats(up), floats(down), floats(g),
                                  floats_of(dbase), floats_of(dlow), ups, downs, begin, end,
                                  shape, sums);
                else
                  hidden_gradient_bf16(bf16(base), floats(read), floats(up), floats(down),
                                       floats(g), bf16_of(dbase), floats_of(dlow), ups, downs,
                                       begin, end, shape, sums);
              });
    auto kind = x.scalar_type();
    auto to_low = dlow.to(kind);
    auto width = b.size(1);
    auto whole = [&](const Tensor &t) { return t.sum(0).narrow(2, 0, width).to(kind); };
    Tensor dx, da;
    if (ctx->needs_input_grad(0)) dx = updated({}, to_low, a).view(x.sizes());
    if (ctx->needs_input_grad(2)) da = gradients_by_tasks(to_low, by_task(x));
    return {dx, first(dbase, width).view(ctx->saved_data["shape"].toIntVector()), da,
            whole(dup).transpose(1, 2), whole(ddown)};
  }

  static Hidden of(const Tensor &base, const Tensor &low, const Tensor &next) {
    return {low.size(0), low.size(1), low.size(2), base.size(1), next.size(1)};
  }
};

}  // namespace

Owned task_hidden(const Tensor &in, const Tensor &all, const Tensor &down, const Tensor &up,
                  const Tensor &reader) {
  check_down("task_hidden", in, down);
  check_up("task_hidden", in, down.size(1), up, all);
  TORCH_CHECK(reader.dim() == 3 && reader.size(0) == in.size(0) && reader.size(2) == up.size(1),
              "task_hidden: expected next [tasks, s, hidden], found ", reader.sizes());
  if (!traced() && readable(in) && in.numel() > 0)
    return owned(TaskHidden::apply(in, all, down, up, reader));
  auto hidden = at::gelu(plain_task_low_rank(in, all, down, up));
  auto size = in.sizes().vec();
  size.back() = reader.size(1);
  return owned(at::bmm(by_task(hidden), reader.transpose(1, 2)).view(size));
}

}  // namespace polyptych
