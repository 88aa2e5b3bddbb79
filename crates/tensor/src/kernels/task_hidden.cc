// The hidden layer of a perceptron as the tasks see it, which is never held as a whole.
#include "polyptych-tensor/src/kernels/normal.h"
#include "polyptych-tensor/src/kernels/tasks.h"

namespace polyptych {

namespace {

// Lines of matrices are padded with zeros to whole strips.
struct Hidden {
  int64_t tasks, rows, in, width, out;
  int64_t line() const { return padded(width); }
};

// x of one row in one strip: base + low up. low: [in], up: [in, padded].
POLYPTYCH_INLINE void strip_of(const float *base, const float *low, const float *up, Hidden shape,
                               float *x) {
  for (int64_t j = 0; j < STRIP; j++) x[j] = base[j];
  for (int64_t r = 0; r < shape.in; r++) add_scaled(low[r], up + r * shape.line(), x);
}

// out_t = gelu(base + low_t up_t) down_t^T for rows in [begin, end).
// base: [rows, width], low: [tasks, rows, in], up: [tasks, in, padded], down: [tasks, out, padded],
// out: [tasks, rows, out], zeros at first.
#define POLYPTYCH_HIDDEN(NAME, T)                                                            \
  POLYPTYCH_WIDE void NAME(const T *base, const float *low, const float *up,                 \
                           const float *down, float *out, int64_t begin, int64_t end,        \
                           Hidden shape) {                                                   \
    for (int64_t first = 0; first < shape.width; first += STRIP)                             \
      for (int64_t row = begin; row < end; row++) {                                          \
        float shared[STRIP], x[STRIP];                                                       \
        load(base + row * shape.width + first, std::min(STRIP, shape.width - first), shared);\
        for (int64_t task = 0; task < shape.tasks; task++) {                                 \
          int64_t at = task * shape.rows + row;                                              \
          strip_of(shared, low + at * shape.in,                                              \
                   up + task * shape.in * shape.line() + first, shape, x);                   \
          for (int64_t j = 0; j < STRIP; j++) x[j] *= normal(x[j], bell(x[j]));              \
          for (int64_t s = 0; s < shape.out; s++)                                            \
            out[at * shape.out + s] +=                                                       \
                dot(x, down + (task * shape.out + s) * shape.line() + first);                \
        }                                                                                    \
      }                                                                                      \
  }
POLYPTYCH_HIDDEN(hidden, float)
POLYPTYCH_HIDDEN(hidden_bf16, uint16_t)

// Gradients of the above for rows in [begin, end): dbase and dlow of these rows are written and
// added to, dup and ddown are added to.
#define POLYPTYCH_HIDDEN_GRADIENT(NAME, T)                                                   \
  POLYPTYCH_WIDE void NAME(const T *base, const float *low, const float *up,                 \
                           const float *down, const float *g, T *dbase, float *dlow,         \
                           float *dup, float *ddown, int64_t begin, int64_t end,             \
                           Hidden shape) {                                                   \
    for (int64_t first = 0; first < shape.width; first += STRIP)                             \
      for (int64_t row = begin; row < end; row++) {                                          \
        int64_t count = std::min(STRIP, shape.width - first);                                \
        float shared[STRIP], sum[STRIP] = {0}, x[STRIP], act[STRIP], dx[STRIP];              \
        load(base + row * shape.width + first, count, shared);                               \
        for (int64_t task = 0; task < shape.tasks; task++) {                                 \
          int64_t at = task * shape.rows + row;                                              \
          int64_t ups = task * shape.in * shape.line() + first;                              \
          int64_t downs = task * shape.out * shape.line() + first;                           \
          strip_of(shared, low + at * shape.in, up + ups, shape, x);                         \
          for (int64_t j = 0; j < STRIP; j++) dx[j] = 0.0f;                                  \
          for (int64_t s = 0; s < shape.out; s++)                                            \
            add_scaled(g[at * shape.out + s], down + downs + s * shape.line(), dx);          \
          for (int64_t j = 0; j < STRIP; j++) {                                              \
            float density = bell(x[j]), share = normal(x[j], density);                       \
            act[j] = x[j] * share;                                                           \
            dx[j] *= share + x[j] * density * DENSITY;                                       \
            sum[j] += dx[j];                                                                 \
          }                                                                                  \
          for (int64_t s = 0; s < shape.out; s++)                                            \
            add_scaled(g[at * shape.out + s], act, ddown + downs + s * shape.line());        \
          for (int64_t r = 0; r < shape.in; r++) {                                           \
            add_scaled(low[at * shape.in + r], dx, dup + ups + r * shape.line());            \
            dlow[at * shape.in + r] += dot(dx, up + ups + r * shape.line());                 \
          }                                                                                  \
        }                                                                                    \
        store(sum, count, dbase + row * shape.width + first);                                \
      }                                                                                      \
  }
POLYPTYCH_HIDDEN_GRADIENT(hidden_gradient, float)
POLYPTYCH_HIDDEN_GRADIENT(hidden_gradient_bf16, uint16_t)

// Kept: what goes in and the narrow image of x; neither the hidden layer nor its activation.
struct TaskHidden : Function<TaskHidden> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &base, const Tensor &a,
                        const Tensor &b, const Tensor &next) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto from = rows(base).contiguous();
    auto low = by_tasks(by_task(x), a);
    auto shape = of(from, low, next);
    auto up = lines(b.transpose(1, 2)), down = lines(next), read = in_floats(low);
    auto out = at::zeros({shape.tasks, shape.rows, shape.out}, read.options());
    by_stretches(shape.rows, [&](int64_t, int64_t begin, int64_t end) {
      if (from.scalar_type() == at::kFloat)
        hidden(floats(from), floats(read), floats(up), floats(down), floats_of(out), begin, end,
               shape);
      else
        hidden_bf16(halves(from), floats(read), floats(up), floats(down), floats_of(out), begin,
                    end, shape);
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
    auto dbase = at::empty_like(base), dlow = at::zeros_like(read);
    auto dup = sums_of(shape.rows, up), ddown = sums_of(shape.rows, down);
    by_stretches(shape.rows, [&](int64_t stretch, int64_t begin, int64_t end) {
      auto ups = floats_of(dup) + stretch * dup.stride(0);
      auto downs = floats_of(ddown) + stretch * ddown.stride(0);
      if (base.scalar_type() == at::kFloat)
        hidden_gradient(floats(base), floats(read), floats(up), floats(down), floats(g),
                        floats_of(dbase), floats_of(dlow), ups, downs, begin, end, shape);
      else
        hidden_gradient_bf16(halves(base), floats(read), floats(up), floats(down), floats(g),
                             halves_of(dbase), floats_of(dlow), ups, downs, begin, end, shape);
    });
    auto kind = x.scalar_type();
    auto to_low = dlow.to(kind);
    auto whole = [&](const Tensor &t) { return t.sum(0).narrow(2, 0, shape.width).to(kind); };
    Tensor dx, da;
    if (ctx->needs_input_grad(0)) dx = updated({}, to_low, a).view(x.sizes());
    if (ctx->needs_input_grad(2)) da = gradients_by_tasks(to_low, by_task(x));
    return {dx, dbase.view(ctx->saved_data["shape"].toIntVector()), da,
            whole(dup).transpose(1, 2), whole(ddown)};
  }

  static Hidden of(const Tensor &base, const Tensor &low, const Tensor &next) {
    return {low.size(0), low.size(1), low.size(2), base.size(1), next.size(1)};
  }
};

}  // namespace

Address task_hidden(Address x, Address base, Address a, Address b, Address next) {
  auto &in = tensor(x), &all = tensor(base), &down = tensor(a), &up = tensor(b),
       &reader = tensor(next);
  if (!traced() && readable(in) && in.numel() > 0)
    return owned(TaskHidden::apply(in, all, down, up, reader));
  auto hidden = at::gelu(plain_task_low_rank(in, all, down, up));
  auto size = in.sizes().vec();
  size.back() = reader.size(1);
  return owned(at::bmm(by_task(hidden), reader.transpose(1, 2)).view(size));
}

}  // namespace polyptych
