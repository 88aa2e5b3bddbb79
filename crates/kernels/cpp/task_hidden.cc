// The hidden layer of a perceptron as the tasks see it, which is never held as a whole.
#include "polyptych-kernels/cpp/checks.h"
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/tasks.h"
#include "polyptych-kernels/cpp/types.h"

namespace polyptych {

namespace {

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
    by_type(from, [&](auto type) {
      using T = decltype(type);
      by_blocks(shape.rows, shape.tasks * shape.out,
                [&](int64_t, int64_t begin, int64_t end, float *sums) {
                  POLYPTYCH_BEST(hidden<T>(numbers<T>(from), floats(read), floats(up), floats(down),
                                           floats_of(out), begin, end, shape, sums));
                });
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
    by_type(base, [&](auto type) {
      using T = decltype(type);
      by_blocks(shape.rows, shape.tasks * shape.in,
                [&](int64_t stretch, int64_t begin, int64_t end, float *sums) {
                  auto ups = floats_of(dup) + stretch * dup.stride(0);
                  auto downs = floats_of(ddown) + stretch * ddown.stride(0);
                  POLYPTYCH_BEST(hidden_gradient<T>(
                      numbers<T>(base), floats(read), floats(up), floats(down), floats(g),
                      numbers_of<T>(dbase), floats_of(dlow), ups, downs, begin, end, shape, sums));
                });
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
