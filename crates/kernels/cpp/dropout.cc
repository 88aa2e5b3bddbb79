#include "polyptych-kernels/cpp/mask.h"

#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/types.h"

#include <ATen/CPUGeneratorImpl.h>

#include <mutex>

namespace polyptych {

namespace {

struct Dropout : Function<Dropout> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, int64_t seed, double p) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->saved_data["seed"] = seed;
    ctx->saved_data["p"] = p;
    return dropped(x, Mask(static_cast<uint64_t>(seed), p));
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto seed = static_cast<uint64_t>(ctx->saved_data["seed"].toInt());
    return {dropped(grads[0], Mask(seed, ctx->saved_data["p"].toDouble())), {}, {}};
  }
};

}  // namespace

Tensor dropped(const Tensor &x, const Mask &mask) {
  auto from = x.contiguous();
  auto out = at::empty_like(from);
  in_parallel(from.numel(), [&](int64_t begin, int64_t end) {
    by_type(from, [&](auto type) {
      using T = decltype(type);
      POLYPTYCH_BEST(masked<T>(numbers<T>(from), numbers_of<T>(out), begin, end, mask));
    });
  });
  return out;
}

void add_dropped(const Tensor &x, Tensor &onto, const Mask &mask) {
  in_parallel(x.numel(), [&](int64_t begin, int64_t end) {
    by_type(x, [&](auto type) {
      using T = decltype(type);
      POLYPTYCH_BEST(add_masked<T>(numbers<T>(x), numbers_of<T>(onto), begin, end, mask));
    });
  });
}

uint64_t draw() {
  auto generator = at::get_generator_or_default<at::CPUGeneratorImpl>(
      std::nullopt, at::detail::getDefaultCPUGenerator());
  std::lock_guard<std::mutex> lock(generator->mutex_);
  return generator->random64();
}

Owned dropout(const Tensor &in, double p) {
  if (!maskable(in) || traced()) return owned(at::dropout(in, p, true));
  return owned(Dropout::apply(in, static_cast<int64_t>(draw()), p));
}

}  // namespace polyptych
