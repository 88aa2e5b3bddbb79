// Low-rank maps of all tasks, in two steps.
#include "polyptych-kernels/cpp/checks.h"
#include "polyptych-kernels/cpp/gelu.h"
#include "polyptych-kernels/cpp/tasks.h"

namespace polyptych {

namespace {

// A_t x_t. x: [tasks, .., in], A: [tasks, r, in]; out: [tasks, .., r]. Kept: x, or what it is the
// GELU of.
struct TaskDown : Function<TaskDown> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &a) {
    at::AutoDispatchBelowADInplaceOrView guard;
    Kept kept(x);
    ctx->save_for_backward({kept.source, a});
    ctx->saved_data["gelu"] = kept.is_gelu;
    auto shape = x.sizes().vec();
    shape.back() = a.size(1);
    return by_tasks(by_task(x), a).view(shape);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto g = by_task(grads[0].contiguous());
    Tensor dx, da;
    if (ctx->needs_input_grad(0)) dx = updated({}, g, saved[1]).view(saved[0].sizes());
    if (ctx->needs_input_grad(1)) {
      auto x = by_task(Kept::again(saved[0], ctx->saved_data["gelu"].toBool()));
      da = gradients_by_tasks(g, x);
    }
    return {dx, da};
  }
};

// base + B_t l_t, or B_t l_t alone. l: [tasks, .., r], base: [.., out], B: [tasks, out, r]; out:
// [tasks, .., out].
struct TaskUp : Function<TaskUp> {
  static Tensor forward(AutogradContext *ctx, const Tensor &low, const Tensor &b,
                        const std::optional<Tensor> &base) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({low, b});
    ctx->saved_data["base"] = base.has_value();
    auto shape = low.sizes().vec();
    shape.back() = b.size(1);
    auto under = base.has_value() ? rows(*base) : Tensor();
    return updated(under, by_task(low), b.transpose(1, 2)).view(shape);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &low = saved[0], &b = saved[1];
    auto wants_base = ctx->saved_data["base"].toBool();
    auto g = by_task(grads[0].contiguous());
    auto by = update_gradients(g, by_task(low), b.transpose(1, 2), wants_base);
    auto shape = grads[0].sizes().slice(1);
    return {by.low.view(low.sizes()), by.up.transpose(1, 2),
            wants_base ? by.base.view(shape) : Tensor()};
  }
};

}  // namespace

Owned task_low_rank(const Tensor &in, const Tensor &all, const Tensor &down, const Tensor &up) {
  check_down("task_low_rank", in, down);
  check_up("task_low_rank", in, down.size(1), up, all);
  if (traced() || in.numel() == 0) return owned(plain_task_low_rank(in, all, down, up));
  return owned(TaskUp::apply(TaskDown::apply(in, down), up, some(all)));
}

Owned task_up(const Tensor &in, const Tensor &all, const Tensor &up) {
  check_up("task_up", in, in.size(-1), up, all);
  if (!traced() && in.numel() > 0) return owned(TaskUp::apply(in, up, some(all)));
  auto shape = in.sizes().vec();
  shape.back() = up.size(1);
  auto terms = at::bmm(by_task(in), up.transpose(1, 2)).view(shape);
  return owned(all.defined() ? terms + all : terms);
}

}  // namespace polyptych
