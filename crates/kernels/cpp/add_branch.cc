// The residual sum at the end of a branch.
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/tasks.h"
#include "polyptych-kernels/cpp/types.h"

namespace polyptych {

namespace {

// Entries of the leading axis of `branch`; those of x come again after the last.
template <class F>
void by_entries(const Tensor &branch, F f) {
  auto entries = branch.size(0), each = branch.numel() / entries;
  at::parallel_for(0, entries, std::max<int64_t>(1, GRAIN / each), [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e++) f(e, each);
  });
}

// x + factors branch. x: [entries / n, ..], branch: [entries, ..], factors: [entries] or none.
struct AddBranch : Function<AddBranch> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &branch,
                        const std::optional<Tensor> &factors) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto from = x.contiguous(), other = branch.contiguous();
    auto out = at::empty_like(other);
    by_entries(other, [&](int64_t e, int64_t each) {
      auto factor = factors.has_value() ? floats(*factors)[e] : 1.0f;
      auto at = e * each, again = e % from.size(0) * each;
      by_type(other, [&](auto type) {
        using T = decltype(type);
        POLYPTYCH_BEST(add_scaled_rows<T>(numbers<T>(from) + again, numbers<T>(other) + at, factor,
                                          numbers_of<T>(out) + at, each));
      });
    });
    ctx->save_for_backward({factors.value_or(Tensor())});
    ctx->saved_data["shape"] = x.sizes().vec();
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto factors = ctx->get_saved_variables()[0];
    auto shape = ctx->saved_data["shape"].toIntVector();
    auto g = grads[0].contiguous();
    Tensor dx, dbranch;
    if (ctx->needs_input_grad(0)) dx = shape[0] == g.size(0) ? g : summed(g, shape);
    if (ctx->needs_input_grad(1)) dbranch = factors.defined() ? scaled(g, factors) : g;
    return {dx, dbranch, {}};
  }

  static Tensor scaled(const Tensor &g, const Tensor &factors) {
    auto out = at::empty_like(g);
    by_entries(g, [&](int64_t e, int64_t each) {
      auto factor = floats(factors)[e];
      by_type(g, [&](auto type) {
        using T = decltype(type);
        POLYPTYCH_BEST(scaled_rows<T>(numbers<T>(g) + e * each, factor,
                                      numbers_of<T>(out) + e * each, each));
      });
    });
    return out;
  }

  static Tensor summed(const Tensor &g, const std::vector<int64_t> &shape) {
    return over_tasks(g.view({g.size(0) / shape[0], -1})).view(shape);
  }
};

}  // namespace

Owned add_branch(const Tensor &in, const Tensor &other, const Tensor &scale) {
  TORCH_CHECK(in.dim() > 0 && in.dim() == other.dim() &&
                  in.sizes().slice(1) == other.sizes().slice(1) &&
                  (in.size(0) == 0 ? other.size(0) == 0 : other.size(0) % in.size(0) == 0),
              "add_branch: expected x [entries, ..] and branch [n entries, ..], found ",
              in.sizes(), " and ", other.sizes());
  TORCH_CHECK(!scale.defined() || (scale.dim() == 1 && scale.size(0) == other.size(0)),
              "add_branch: expected factors [", other.size(0), "], found ", scale.sizes());
  if (!traced() && readable(other) && in.scalar_type() == other.scalar_type() && other.numel() > 0)
    return owned(AddBranch::apply(in, other, some(scale)));
  auto shape = other.sizes().vec();
  shape[0] = -1;
  shape.insert(shape.begin() + 1, in.size(0));
  auto sized = scale;
  if (sized.defined()) {
    std::vector<int64_t> ones(other.dim(), 1);
    ones[0] = other.size(0);
    sized = scale.view(ones).to(other.scalar_type());
  }
  auto scaled = sized.defined() ? other * sized : other;
  return owned((in + scaled.view(shape)).view(other.sizes()));
}

}  // namespace polyptych
