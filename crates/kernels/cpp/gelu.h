// GELU, whose output is not worth keeping.
#pragma once

#include "polyptych-kernels/cpp/tensors.h"

namespace polyptych {

// g times the slope of x Phi(x).
Tensor gelu_gradient(const Tensor &g, const Tensor &x);

struct Gelu : Function<Gelu> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({x});
    return at::gelu(x);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    return {gelu_gradient(grads[0], ctx->get_saved_variables()[0])};
  }
};

// With a gradient where one is asked for.
inline Tensor gelu_of(const Tensor &x) {
  return learns({&x}) && !traced() ? Gelu::apply(x) : at::gelu(x);
}

// What an operation keeps of an input that it needs again: where the input is a GELU, what went
// into that, which is kept anyway.
struct Kept {
  Tensor source;
  bool is_gelu;

  explicit Kept(const Tensor &x) : source(x), is_gelu(false) {
    auto node = std::dynamic_pointer_cast<torch::autograd::CppNode<Gelu>>(
        x.requires_grad() ? x.grad_fn() : nullptr);
    if (node) {
      source = node->ctx_.get_saved_variables()[0];
      is_gelu = true;
    }
  }

  static Tensor again(const Tensor &source, bool is_gelu) {
    return is_gelu ? at::gelu(source) : source;
  }
};

}  // namespace polyptych
