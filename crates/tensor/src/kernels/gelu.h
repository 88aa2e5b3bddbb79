// GELU, whose output is not worth keeping.
#pragma once

#include "polyptych-tensor/src/kernels/tensors.h"

namespace polyptych {

// x Phi(x), and g times its slope.
Tensor gelu_values(const Tensor &x);
Tensor gelu_gradient(const Tensor &g, const Tensor &x);

struct Gelu : Function<Gelu> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({x});
    return gelu_values(x);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    return {gelu_gradient(grads[0], ctx->get_saved_variables()[0])};
  }
};

// With a gradient where one is asked for.
inline Tensor gelu_of(const Tensor &x) {
  return learns({&x}) && !traced() ? Gelu::apply(x) : gelu_values(x);
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
    return is_gelu ? gelu_values(source) : source;
  }
};

}  // namespace polyptych
