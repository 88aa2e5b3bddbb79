#include "polyptych-kernels/cpp/mask.h"

#include <ATen/CPUGeneratorImpl.h>

#include <mutex>

namespace polyptych {

namespace {

// out = x * mask.
#define POLYPTYCH_MASKED(NAME, T)                                                        \
  POLYPTYCH_WIDE void NAME(const T *x, T *out, int64_t begin, int64_t end, Mask mask) {  \
    int64_t i = begin;                                                                   \
    for (; i + VEC <= end; i += VEC)                                                     \
      store_vec(load_vec(x + i) * mask.from(static_cast<uint32_t>(i)), out + i);         \
    for (; i < end; i++)                                                                 \
      narrow(wide(x[i]) * mask.at(static_cast<uint32_t>(i)), out[i]);                    \
  }
// out += x * mask.
#define POLYPTYCH_ADD_MASKED(NAME, T)                                                    \
  POLYPTYCH_WIDE void NAME(const T *x, T *out, int64_t begin, int64_t end, Mask mask) {  \
    int64_t i = begin;                                                                   \
    for (; i + VEC <= end; i += VEC) {                                                   \
      Vec term = load_vec(x + i) * mask.from(static_cast<uint32_t>(i));                  \
      store_vec(load_vec(out + i) + term, out + i);                                      \
    }                                                                                    \
    for (; i < end; i++)                                                                 \
      narrow(wide(out[i]) + wide(x[i]) * mask.at(static_cast<uint32_t>(i)), out[i]);     \
  }
POLYPTYCH_MASKED(masked, float)
POLYPTYCH_MASKED(masked_bf16, uint16_t)
POLYPTYCH_ADD_MASKED(add_masked, float)
POLYPTYCH_ADD_MASKED(add_masked_bf16, uint16_t)

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
    if (from.scalar_type() == at::kFloat)
      masked(from.const_data_ptr<float>(), out.data_ptr<float>(), begin, end, mask);
    else
      masked_bf16(bf16(from),
                  bf16_of(out), begin, end, mask);
  });
  return out;
}

void add_dropped(const Tensor &x, Tensor &onto, const Mask &mask) {
  in_parallel(x.numel(), [&](int64_t begin, int64_t end) {
    if (x.scalar_type() == at::kFloat)
      add_masked(x.const_data_ptr<float>(), onto.data_ptr<float>(), begin, end, mask);
    else
      add_masked_bf16(bf16(x),
                      bf16_of(onto), begin, end, mask);
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
