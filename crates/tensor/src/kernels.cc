#include "polyptych-tensor/src/kernels.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/jit/frontend/tracer.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cmath>
#include <cstring>
#include <initializer_list>
#include <algorithm>
#include <limits>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

// One copy of a loop for each width of vectors, chosen when the program starts.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#define POLYPTYCH_WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define POLYPTYCH_WIDE
#endif

namespace polyptych {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr int64_t GRAIN = 1 << 15;

const Tensor &tensor(Address address) {
  static const Tensor none;
  return address == 0 ? none : *reinterpret_cast<const Tensor *>(address);
}

Address owned(Tensor tensor) { return reinterpret_cast<Address>(new Tensor(std::move(tensor))); }

bool learns(std::initializer_list<const Tensor *> tensors) {
  if (!at::GradMode::is_enabled()) return false;
  for (auto t : tensors)
    if (t->defined() && t->requires_grad()) return true;
  return false;
}

// ---- matrix products by oneDNN ----------------------------------------------------------------

std::optional<Tensor> some(const Tensor &t) { return t.defined() ? std::make_optional(t) : std::nullopt; }

using Pointwise = Tensor(const Tensor &, const Tensor &, const std::optional<Tensor> &,
                         std::string_view, c10::List<std::optional<at::Scalar>>,
                         std::optional<std::string_view>);
using Binary = Tensor(const Tensor &, const Tensor &, const Tensor &, const std::optional<Tensor> &,
                      std::string_view);

template <class Signature>
std::optional<c10::TypedOperatorHandle<Signature>> find(const char *overload) {
  auto op = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", overload});
  if (!op) return std::nullopt;
  return op->typed<Signature>();
}

const auto &pointwise() {
  static const auto op = find<Pointwise>("");
  return op;
}

const auto &binary() {
  static const auto op = find<Binary>("binary");
  return op;
}

// LibTorch sends float32 products to MKL, which does not use the whole width of every maker's
// processors; oneDNN does. Traces must hold operations that every reader knows.
bool fits(const Tensor &x, const Tensor &weight, std::initializer_list<at::ScalarType> types) {
  auto type = std::find(types.begin(), types.end(), x.scalar_type());
  return type != types.end() && weight.scalar_type() == x.scalar_type() && x.is_cpu() &&
         weight.is_cpu() && weight.dim() == 2 && x.dim() >= 2 && x.numel() > 0 &&
         weight.numel() > 0 && at::globalContext().userEnabledMkldnn() && pointwise() && binary() &&
         !torch::jit::tracer::isTracing();
}

// x W^T + b over rows.
Tensor product(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias = {}) {
  return pointwise()->call(x, weight, bias, "none",
                           c10::List<std::optional<at::Scalar>>(), "");
}

// other + x W^T over rows.
Tensor product_onto(const Tensor &other, const Tensor &x, const Tensor &weight) {
  return binary()->call(x, other, weight, std::nullopt, "add");
}

// g^T x of rows: the gradient of a weight. Of the two orders the one is faster whose result is the
// longer way round; in bfloat16 LibTorch itself asks oneDNN, and blocks the rows better.
Tensor weight_gradient(const Tensor &g, const Tensor &x) {
  bool straight = x.size(1) >= g.size(1);
  if (x.scalar_type() == at::kBFloat16) return straight ? g.t().mm(x) : x.t().mm(g).t();
  return straight ? product(g.t(), x.t()) : product(x.t(), g.t()).t();
}

// Nothing is recorded where nothing changes.
Tensor as_type(const Tensor &x, at::ScalarType type) {
  return x.scalar_type() == type ? x : x.to(type);
}

Tensor rows(const Tensor &x) { return x.reshape({-1, x.size(-1)}); }

struct Linear : Function<Linear> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight,
                        const std::optional<Tensor> &bias) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({weight.requires_grad() ? x : Tensor(), weight});
    ctx->saved_data["bias"] = bias.has_value();
    return product(x, weight, bias);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto g = rows(grads[0]);
    Tensor dx, dw, db;
    if (ctx->needs_input_grad(0)) {
      auto shape = grads[0].sizes().vec();
      shape.back() = saved[1].size(1);
      dx = product(g, saved[1].t()).view(shape);
    }
    if (ctx->needs_input_grad(1)) dw = weight_gradient(g, rows(saved[0]));
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2)) db = g.sum(0);
    return {dx, dw, db};
  }
};

// ---- dropout from a counter -------------------------------------------------------------------

// MurmurHash3's finaliser over a counter: one number per element, without state.
inline uint32_t mixed(uint32_t x) {
  x ^= x >> 16;
  x *= 0x85ebca6bU;
  x ^= x >> 13;
  x *= 0xc2b2ae35U;
  return x ^ (x >> 16);
}

struct Mask {
  uint32_t key, step, threshold;
  float scale;

  Mask(uint64_t seed, double p)
      : key(static_cast<uint32_t>(seed)),
        step(static_cast<uint32_t>(seed >> 32) | 1U),
        threshold(static_cast<uint32_t>(p * 4294967296.0)),
        scale(static_cast<float>(1.0 / (1.0 - p))) {}

  inline float at(uint32_t index) const {
    return mixed(index * step + key) < threshold ? 0.0f : scale;
  }
};

inline float wide(float x) { return x; }
inline float wide(uint16_t x) {
  uint32_t bits = static_cast<uint32_t>(x) << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}
inline void narrow(float x, float &out) { out = x; }
inline void narrow(float x, uint16_t &out) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  out = static_cast<uint16_t>(x == x ? rounded : 0x7fc0U);
}

// out = x * mask.
#define POLYPTYCH_MASKED(NAME, T)                                                        \
  POLYPTYCH_WIDE void NAME(const T *x, T *out, int64_t begin, int64_t end, Mask mask) {  \
    for (int64_t i = begin; i < end; i++)                                                \
      narrow(wide(x[i]) * mask.at(static_cast<uint32_t>(i)), out[i]);                    \
  }
// out += x * mask.
#define POLYPTYCH_ADD_MASKED(NAME, T)                                                    \
  POLYPTYCH_WIDE void NAME(const T *x, T *out, int64_t begin, int64_t end, Mask mask) {  \
    for (int64_t i = begin; i < end; i++)                                                \
      narrow(wide(out[i]) + wide(x[i]) * mask.at(static_cast<uint32_t>(i)), out[i]);     \
  }
POLYPTYCH_MASKED(masked, float)
POLYPTYCH_MASKED(masked_bf16, uint16_t)
POLYPTYCH_ADD_MASKED(add_masked, float)
POLYPTYCH_ADD_MASKED(add_masked_bf16, uint16_t)

template <class F>
void in_parallel(int64_t count, F f) {
  at::parallel_for(0, count, GRAIN, f);
}

Tensor dropped(const Tensor &x, const Mask &mask) {
  auto from = x.contiguous();
  auto out = at::empty_like(from);
  in_parallel(from.numel(), [&](int64_t begin, int64_t end) {
    if (from.scalar_type() == at::kFloat)
      masked(from.const_data_ptr<float>(), out.data_ptr<float>(), begin, end, mask);
    else
      masked_bf16(reinterpret_cast<const uint16_t *>(from.const_data_ptr()),
                  reinterpret_cast<uint16_t *>(out.data_ptr()), begin, end, mask);
  });
  return out;
}

void add_dropped(const Tensor &x, Tensor &onto, const Mask &mask) {
  in_parallel(x.numel(), [&](int64_t begin, int64_t end) {
    if (x.scalar_type() == at::kFloat)
      add_masked(x.const_data_ptr<float>(), onto.data_ptr<float>(), begin, end, mask);
    else
      add_masked_bf16(reinterpret_cast<const uint16_t *>(x.const_data_ptr()),
                      reinterpret_cast<uint16_t *>(onto.data_ptr()), begin, end, mask);
  });
}

// The next number of LibTorch's generator, which seeds govern.
uint64_t draw() {
  auto generator = at::get_generator_or_default<at::CPUGeneratorImpl>(
      std::nullopt, at::detail::getDefaultCPUGenerator());
  std::lock_guard<std::mutex> lock(generator->mutex_);
  return generator->random64();
}

bool has_mask(const Tensor &x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
         x.numel() <= std::numeric_limits<uint32_t>::max();
}

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

// ---- GELU, whose output is not worth keeping ----------------------------------------------------

struct Gelu : Function<Gelu> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x) {
    at::AutoDispatchBelowADInplaceOrView guard;
    ctx->save_for_backward({x});
    return at::gelu(x);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    return {at::gelu_backward(grads[0], ctx->get_saved_variables()[0])};
  }
};

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

// ---- a linear map with a low-rank one beside it -------------------------------------------------

// x W^T + b + s dropout(x) A^T B^T. Kept for the backward pass: x, or what it is the GELU of, and
// its low-rank image.
struct LowRankLinear : Function<LowRankLinear> {
  // What is optional comes last: the engine counts the tensors that are there.
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight,
                        const Tensor &a, const Tensor &b, const std::optional<Tensor> &bias,
                        double scale, double p, int64_t seed) {
    at::AutoDispatchBelowADInplaceOrView guard;
    Kept kept(x);
    auto flat = rows(x);
    auto kind = x.scalar_type();
    auto down = a.to(kind), up = b.to(kind);
    auto read = p > 0 ? dropped(flat, Mask(static_cast<uint64_t>(seed), p)) : flat;
    auto low = product(read, down);
    auto base = product(flat, weight, bias);
    auto out = product_onto(base, low, up * scale);
    ctx->save_for_backward({kept.source, weight, low, a, b});
    ctx->saved_data["gelu"] = kept.is_gelu;
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["p"] = p;
    ctx->saved_data["seed"] = seed;
    ctx->saved_data["bias"] = bias.has_value();
    auto shape = x.sizes().vec();
    shape.back() = weight.size(0);
    return out.view(shape);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &weight = saved[1], &low = saved[2], &a = saved[3], &b = saved[4];
    auto scale = ctx->saved_data["scale"].toDouble(), p = ctx->saved_data["p"].toDouble();
    auto bias = ctx->saved_data["bias"].toBool();
    Mask mask(static_cast<uint64_t>(ctx->saved_data["seed"].toInt()), p);
    auto g = rows(grads[0].contiguous());
    auto kind = g.scalar_type();
    auto down = a.to(kind), up = b.to(kind) * scale;
    auto to_low = product(g, up.t());
    Tensor x, dx, dw, db, da, dup;
    if (ctx->needs_input_grad(1) || ctx->needs_input_grad(2))
      x = rows(Kept::again(saved[0], ctx->saved_data["gelu"].toBool()));
    if (ctx->needs_input_grad(2)) da = weight_gradient(to_low, p > 0 ? dropped(x, mask) : x).to(a.scalar_type());
    if (ctx->needs_input_grad(3)) dup = weight_gradient(g, low).to(b.scalar_type()).mul_(scale);
    if (ctx->needs_input_grad(0)) {
      dx = product(g, weight.t());
      if (p > 0)
        add_dropped(product(to_low, down.t()), dx, mask);
      else
        dx = product_onto(dx, to_low, down.t());
      auto shape = grads[0].sizes().vec();
      shape.back() = weight.size(1);
      dx = dx.view(shape);
    }
    if (ctx->needs_input_grad(1)) dw = weight_gradient(g, x);
    if (bias && ctx->needs_input_grad(4)) db = g.sum(0);
    return {dx, dw, da, dup, db, {}, {}, {}};
  }
};

Tensor plain_low_rank(const Tensor &x, const Tensor &weight, const Tensor &bias, const Tensor &a,
                      const Tensor &b, double scale, double p) {
  auto read = p > 0 ? at::dropout(x, p, true) : x;
  auto low = at::linear(at::linear(read, as_type(a, x.scalar_type())), as_type(b, x.scalar_type()));
  return at::linear(x, weight, some(bias)) + low * scale;
}

// ---- low-rank maps of all tasks ------------------------------------------------------------------

// Ranks up to which a loop over rows, bound by memory, beats a product of matrices.
constexpr int64_t NARROW = 16;

// out = base + low up, by rows; base may be null. low: [rows, r], up: [r, width].
#define POLYPTYCH_RANK_UPDATE(NAME, T)                                                       \
  POLYPTYCH_WIDE void NAME(const T *base, const T *low, const float *up, T *out,             \
                           int64_t begin, int64_t end, int64_t rank, int64_t width) {        \
    for (int64_t row = begin; row < end; row++) {                                            \
      const T *from = base == nullptr ? nullptr : base + row * width;                        \
      for (int64_t first = 0; first < width; first += 64) {                                  \
        int64_t count = std::min<int64_t>(64, width - first);                                \
        float sum[64];                                                                       \
        for (int64_t j = 0; j < count; j++) sum[j] = from ? wide(from[first + j]) : 0.0f;    \
        for (int64_t r = 0; r < rank; r++) {                                                 \
          float factor = wide(low[row * rank + r]);                                          \
          const float *line = up + r * width + first;                                        \
          for (int64_t j = 0; j < count; j++) sum[j] += factor * line[j];                    \
        }                                                                                    \
        for (int64_t j = 0; j < count; j++) narrow(sum[j], out[row * width + first + j]);    \
      }                                                                                      \
    }                                                                                        \
  }
POLYPTYCH_RANK_UPDATE(rank_update, float)
POLYPTYCH_RANK_UPDATE(rank_update_bf16, uint16_t)

// base + low_t up_t for every task. low: [tasks, rows, r], up: [tasks, r, width]; base: [rows,
// width] or none.
Tensor updated(const Tensor &base, const Tensor &low, const Tensor &up) {
  auto tasks = low.size(0), count = low.size(1), rank = low.size(2), width = up.size(2);
  if (rank > NARROW || !has_mask(low)) {
    if (!base.defined()) return at::bmm(low, up);
    return at::baddbmm(base.unsqueeze(0).expand({tasks, -1, -1}), low, up);
  }
  auto out = at::empty({tasks, count, width}, low.options());
  auto from = base.defined() ? base.contiguous() : base, narrow_low = low.contiguous();
  auto lines = up.to(at::kFloat).contiguous();
  auto grain = std::max<int64_t>(1, GRAIN / width);
  for (int64_t task = 0; task < tasks; task++) {
    auto l = narrow_low[task], o = out[task];
    auto u = lines.const_data_ptr<float>() + task * rank * width;
    at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
      if (low.scalar_type() == at::kFloat)
        rank_update(from.defined() ? from.const_data_ptr<float>() : nullptr,
                    l.const_data_ptr<float>(), u, o.data_ptr<float>(), begin, end, rank, width);
      else
        rank_update_bf16(
            from.defined() ? reinterpret_cast<const uint16_t *>(from.const_data_ptr()) : nullptr,
            reinterpret_cast<const uint16_t *>(l.const_data_ptr()), u,
            reinterpret_cast<uint16_t *>(o.data_ptr()), begin, end, rank, width);
    });
  }
  return out;
}

// x_t w_t^T for every task, by oneDNN where it can. x: [tasks, rows, in], w: [tasks, out, in].
Tensor by_tasks(const Tensor &x, const Tensor &w) {
  if (!fits(x[0], w[0], {at::kFloat, at::kBFloat16})) return at::bmm(x, w.transpose(1, 2));
  std::vector<Tensor> parts;
  for (int64_t task = 0; task < x.size(0); task++) parts.push_back(product(x[task], w[task]));
  return at::stack(parts);
}

// g_t^T x_t for every task.
Tensor gradients_by_tasks(const Tensor &g, const Tensor &x) {
  if (!fits(x[0], x[0], {at::kFloat, at::kBFloat16})) return at::bmm(g.transpose(1, 2), x);
  std::vector<Tensor> parts;
  for (int64_t task = 0; task < x.size(0); task++)
    parts.push_back(weight_gradient(g[task], x[task]));
  return at::stack(parts);
}

// base + B_t A_t x_t. x: [tasks, .., in], base: [.., out], A: [tasks, r, in], B: [tasks, out, r];
// out: [tasks, .., out]. Kept: x, or what it is the GELU of, and its low-rank image.
struct TaskLowRank : Function<TaskLowRank> {
  static Tensor by_task(const Tensor &x) { return x.reshape({x.size(0), -1, x.size(-1)}); }

  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &base, const Tensor &a,
                        const Tensor &b) {
    at::AutoDispatchBelowADInplaceOrView guard;
    Kept kept(x);
    auto low = by_tasks(by_task(x), a);
    auto out = updated(rows(base), low, b.transpose(1, 2));
    ctx->save_for_backward({kept.source, low, a, b});
    ctx->saved_data["gelu"] = kept.is_gelu;
    auto shape = base.sizes().vec();
    shape.insert(shape.begin(), x.size(0));
    return out.view(shape);
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &low = saved[1], &a = saved[2], &b = saved[3];
    auto g = by_task(grads[0].contiguous());
    auto to_low = by_tasks(g, b.transpose(1, 2));
    Tensor dx, dbase, da, db;
    if (ctx->needs_input_grad(0)) {
      auto shape = grads[0].sizes().vec();
      shape.back() = a.size(2);
      dx = updated({}, to_low, a).view(shape);
    }
    if (ctx->needs_input_grad(1)) dbase = grads[0].sum(0);
    if (ctx->needs_input_grad(2)) {
      auto x = by_task(Kept::again(saved[0], ctx->saved_data["gelu"].toBool()));
      da = gradients_by_tasks(to_low, x);
    }
    if (ctx->needs_input_grad(3)) db = gradients_by_tasks(g, low);
    return {dx, dbase, da, db};
  }
};

Tensor plain_task_low_rank(const Tensor &x, const Tensor &base, const Tensor &a, const Tensor &b) {
  auto low = at::bmm(TaskLowRank::by_task(x), a.transpose(1, 2));
  auto terms = at::bmm(low, b.transpose(1, 2));
  auto shape = base.sizes().vec();
  shape.insert(shape.begin(), x.size(0));
  return terms.view(shape) + base;
}

// ---- attention -----------------------------------------------------------------------------------

// Query, key and value of every head, [3, batch * heads, tokens, head_dim], from
// [batch, tokens, 3 * dim].
Tensor heads_of(const Tensor &qkv, int64_t heads) {
  auto batch = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3 / heads;
  auto split = qkv.reshape({batch, tokens, 3, heads, width}).permute({2, 0, 3, 1, 4});
  return split.clone(at::MemoryFormat::Contiguous).view({3, batch * heads, tokens, width});
}

// softmax(q k^T / sqrt(head_dim) + bias); bias: [windows, heads, tokens, tokens], in turn.
Tensor shares(const Tensor &scaled_q, const Tensor &k, const Tensor &bias) {
  auto scores = at::bmm(scaled_q, k.transpose(1, 2));
  if (bias.defined())
    scores.view({-1, bias.size(0), bias.size(1), bias.size(2), bias.size(3)}).add_(bias);
  return at::_softmax(scores, -1, false);
}

// Kept: query, key and value side by side, and the shares.
struct Attention : Function<Attention> {
  static Tensor forward(AutogradContext *ctx, const Tensor &qkv, const std::optional<Tensor> &bias,
                        int64_t heads) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto split = heads_of(qkv, heads);
    auto q = split[0].mul_(scale(split)), mask = bias.value_or(Tensor());
    auto share = shares(q, split[1], mask);
    auto mixed = at::bmm(share, split[2]);
    ctx->save_for_backward({split, share, mask});
    ctx->saved_data["heads"] = heads;
    auto batch = qkv.size(0), tokens = qkv.size(1);
    return mixed.view({batch, heads, tokens, -1}).transpose(1, 2).reshape({batch, tokens, -1});
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &split = saved[0], &share = saved[1], &bias = saved[2];
    auto heads = ctx->saved_data["heads"].toInt();
    auto batch = grads[0].size(0), tokens = grads[0].size(1);
    auto q = split[0], k = split[1], v = split[2];
    auto g = grads[0].reshape({batch, tokens, heads, -1}).transpose(1, 2).reshape(v.sizes());
    auto out = at::empty_like(split);
    auto dscores =
        at::_softmax_backward_data(at::bmm(g, v.transpose(1, 2)), share, -1, share.scalar_type());
    out[0].copy_(at::bmm(dscores, k).mul_(scale(split)));
    out[1].copy_(at::bmm(dscores.transpose(1, 2), q));
    out[2].copy_(at::bmm(share.transpose(1, 2), g));
    Tensor dbias;
    if (bias.defined() && ctx->needs_input_grad(1)) {
      auto in_turn = dscores.view({-1, bias.size(0), bias.size(1), bias.size(2), bias.size(3)});
      dbias = in_turn.sum(0);
    }
    auto joined = out.view({3, batch, heads, tokens, -1}).permute({1, 3, 0, 2, 4});
    return {joined.reshape({batch, tokens, -1}), dbias, {}};
  }

  static double scale(const Tensor &split) { return 1.0 / std::sqrt(static_cast<double>(split.size(3))); }
};

Tensor plain_attention(const Tensor &qkv, const Tensor &bias, int64_t heads) {
  auto batch = qkv.size(0), tokens = qkv.size(1);
  auto split = qkv.reshape({batch, tokens, 3, heads, -1}).permute({2, 0, 3, 1, 4});
  auto q = split[0] * (1.0 / std::sqrt(static_cast<double>(split.size(4))));
  auto scores = q.matmul(split[1].transpose(-2, -1));
  if (bias.defined()) {
    auto in_turn = scores.view({-1, bias.size(0), bias.size(1), bias.size(2), bias.size(3)});
    scores = (in_turn + bias).view(scores.sizes());
  }
  return scores.softmax(-1).matmul(split[2]).transpose(1, 2).reshape({batch, tokens, -1});
}

// ---- batch normalisation and what follows it ----------------------------------------------------

// Channels that are treated together: a few lines of cache.
constexpr int64_t CHANNELS = 64;

template <class F>
void by_channels(int64_t channels, F f) {
  auto blocks = (channels + CHANNELS - 1) / CHANNELS;
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; block++)
      f(block * CHANNELS, std::min(CHANNELS, channels - block * CHANNELS));
  });
}

// sum += of `count` channels over rows, in stretches whose sums are short.
#define POLYPTYCH_SUMS(NAME, T)                                                              \
  POLYPTYCH_WIDE void NAME(const T *x, int64_t rows, int64_t stride, int64_t count,          \
                           const float *mean, double *sum) {                                 \
    for (int64_t first = 0; first < rows; first += 128) {                                    \
      float part[CHANNELS] = {0};                                                            \
      for (int64_t r = first; r < std::min(rows, first + 128); r++)                          \
        for (int64_t c = 0; c < count; c++) {                                                \
          float v = wide(x[r * stride + c]);                                                 \
          part[c] += mean == nullptr ? v : (v - mean[c]) * (v - mean[c]);                    \
        }                                                                                    \
      for (int64_t c = 0; c < count; c++) sum[c] += part[c];                                 \
    }                                                                                        \
  }
POLYPTYCH_SUMS(sums, float)
POLYPTYCH_SUMS(sums_bf16, uint16_t)

#define POLYPTYCH_SCALED_RELU(NAME, T)                                                       \
  POLYPTYCH_WIDE void NAME(const T *x, T *out, int64_t rows, int64_t stride, int64_t count,  \
                           const float *gain, const float *shift) {                          \
    for (int64_t r = 0; r < rows; r++)                                                       \
      for (int64_t c = 0; c < count; c++) {                                                  \
        float v = wide(x[r * stride + c]) * gain[c] + shift[c];                              \
        narrow(v > 0.0f || v != v ? v : 0.0f, out[r * stride + c]);                          \
      }                                                                                      \
  }
POLYPTYCH_SCALED_RELU(scaled_relu, float)
POLYPTYCH_SCALED_RELU(scaled_relu_bf16, uint16_t)

// Sums of the gradient that passes the ReLU, and of its product with the normalised input.
#define POLYPTYCH_GRADIENT_SUMS(NAME, T)                                                     \
  POLYPTYCH_WIDE void NAME(const T *x, const T *g, int64_t rows, int64_t stride,             \
                           int64_t count, const float *gain, const float *shift,             \
                           const float *mean, const float *inverse, double *sum,             \
                           double *product) {                                                \
    for (int64_t first = 0; first < rows; first += 128) {                                    \
      float a[CHANNELS] = {0}, b[CHANNELS] = {0};                                            \
      for (int64_t r = first; r < std::min(rows, first + 128); r++)                          \
        for (int64_t c = 0; c < count; c++) {                                                \
          float v = wide(x[r * stride + c]);                                                 \
          float passed = v * gain[c] + shift[c] > 0.0f ? wide(g[r * stride + c]) : 0.0f;     \
          a[c] += passed;                                                                    \
          b[c] += passed * (v - mean[c]) * inverse[c];                                       \
        }                                                                                    \
      for (int64_t c = 0; c < count; c++) {                                                  \
        sum[c] += a[c];                                                                      \
        product[c] += b[c];                                                                  \
      }                                                                                      \
    }                                                                                        \
  }
POLYPTYCH_GRADIENT_SUMS(gradient_sums, float)
POLYPTYCH_GRADIENT_SUMS(gradient_sums_bf16, uint16_t)

// gain (passed - of_sum - normalised of_product).
#define POLYPTYCH_GRADIENT(NAME, T)                                                          \
  POLYPTYCH_WIDE void NAME(const T *x, const T *g, T *out, int64_t rows, int64_t stride,     \
                           int64_t count, const float *gain, const float *shift,             \
                           const float *mean, const float *inverse, const float *of_sum,     \
                           const float *of_product) {                                        \
    for (int64_t r = 0; r < rows; r++)                                                       \
      for (int64_t c = 0; c < count; c++) {                                                  \
        float v = wide(x[r * stride + c]);                                                   \
        float passed = v * gain[c] + shift[c] > 0.0f ? wide(g[r * stride + c]) : 0.0f;       \
        float normalised = (v - mean[c]) * inverse[c];                                       \
        narrow(gain[c] * (passed - of_sum[c] - normalised * of_product[c]),                  \
               out[r * stride + c]);                                                         \
      }                                                                                      \
  }
POLYPTYCH_GRADIENT(gradient, float)
POLYPTYCH_GRADIENT(gradient_bf16, uint16_t)

const uint16_t *halves(const Tensor &t) { return reinterpret_cast<const uint16_t *>(t.const_data_ptr()); }
uint16_t *halves_of(Tensor &t) { return reinterpret_cast<uint16_t *>(t.data_ptr()); }

// Mean over rows of x, or of the squared distance to `mean`, in float32.
Tensor over_rows(const Tensor &x, const Tensor &mean) {
  auto count = x.size(0), channels = x.size(1);
  auto out = at::empty({channels}, x.options().dtype(at::kFloat));
  auto centre = mean.defined() ? mean.const_data_ptr<float>() : nullptr;
  by_channels(channels, [&](int64_t first, int64_t width) {
    double sum[CHANNELS] = {0};
    auto from = centre == nullptr ? nullptr : centre + first;
    if (x.scalar_type() == at::kFloat)
      sums(x.const_data_ptr<float>() + first, count, channels, width, from, sum);
    else
      sums_bf16(halves(x) + first, count, channels, width, from, sum);
    for (int64_t c = 0; c < width; c++)
      out.data_ptr<float>()[first + c] = static_cast<float>(sum[c] / static_cast<double>(count));
  });
  return out;
}

struct BatchNormRelu : Function<BatchNormRelu> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight,
                        const Tensor &bias, Tensor mean, Tensor inverse) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto gain = weight * inverse, shift = bias - mean * gain;
    auto out = at::empty_like(x);
    auto count = x.size(0), channels = x.size(1);
    by_channels(channels, [&](int64_t first, int64_t width) {
      auto g = gain.const_data_ptr<float>() + first, s = shift.const_data_ptr<float>() + first;
      if (x.scalar_type() == at::kFloat)
        scaled_relu(x.const_data_ptr<float>() + first, out.data_ptr<float>() + first, count,
                    channels, width, g, s);
      else
        scaled_relu_bf16(halves(x) + first, halves_of(out) + first, count, channels, width, g, s);
    });
    ctx->save_for_backward({x, gain, shift, mean, inverse});
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &x = saved[0], &gain = saved[1], &shift = saved[2], &mean = saved[3], &inverse = saved[4];
    auto g = grads[0].contiguous();
    auto out = at::empty_like(x);
    auto dweight = at::empty_like(gain), dbias = at::empty_like(gain);
    auto count = x.size(0), channels = x.size(1);
    by_channels(channels, [&](int64_t first, int64_t width) {
      auto at = [&](const Tensor &t) { return t.const_data_ptr<float>() + first; };
      double sum[CHANNELS] = {0}, with[CHANNELS] = {0};
      bool floats = x.scalar_type() == at::kFloat;
      if (floats)
        gradient_sums(at(x), at(g), count, channels, width, at(gain), at(shift), at(mean),
                      at(inverse), sum, with);
      else
        gradient_sums_bf16(halves(x) + first, halves(g) + first, count, channels, width, at(gain),
                           at(shift), at(mean), at(inverse), sum, with);
      float of_sum[CHANNELS], of_product[CHANNELS];
      for (int64_t c = 0; c < width; c++) {
        dbias.data_ptr<float>()[first + c] = static_cast<float>(sum[c]);
        dweight.data_ptr<float>()[first + c] = static_cast<float>(with[c]);
        of_sum[c] = static_cast<float>(sum[c] / static_cast<double>(count));
        of_product[c] = static_cast<float>(with[c] / static_cast<double>(count));
      }
      if (floats)
        gradient(at(x), at(g), out.data_ptr<float>() + first, count, channels, width, at(gain),
                 at(shift), at(mean), at(inverse), of_sum, of_product);
      else
        gradient_bf16(halves(x) + first, halves(g) + first, halves_of(out) + first, count, channels,
                      width, at(gain), at(shift), at(mean), at(inverse), of_sum, of_product);
    });
    return {out, dweight, dbias, {}, {}};
  }
};

}  // namespace

Address linear(Address x, Address weight, Address bias) {
  auto &in = tensor(x), &w = tensor(weight), &b = tensor(bias);
  if (!fits(in, w, {at::kFloat})) return owned(at::linear(in, w, some(b)));
  if (!learns({&in, &w, &b})) return owned(product(in, w, some(b)));
  return owned(Linear::apply(in, w, some(b)));
}

Address low_rank_linear(Address x, Address weight, Address bias, Address a, Address b, double scale,
                        double dropout) {
  auto &in = tensor(x), &w = tensor(weight), &c = tensor(bias), &down = tensor(a), &up = tensor(b);
  if (!fits(in, w, {at::kFloat, at::kBFloat16}) || !has_mask(in))
    return owned(plain_low_rank(in, w, c, down, up, scale, dropout));
  auto seed = dropout > 0 ? static_cast<int64_t>(draw()) : 0;
  return owned(LowRankLinear::apply(in, w, down, up, some(c), scale, dropout, seed));
}

Address dropout(Address x, double p) {
  auto &in = tensor(x);
  if (!has_mask(in) || torch::jit::tracer::isTracing()) return owned(at::dropout(in, p, true));
  return owned(Dropout::apply(in, static_cast<int64_t>(draw()), p));
}

Address batch_norm_relu(Address x, Address weight, Address bias, Address running_mean,
                        Address running_var, double momentum, double eps, bool train) {
  auto &in = tensor(x);
  auto &mean = tensor(running_mean), &var = tensor(running_var);
  auto &w = tensor(weight), &b = tensor(bias);
  bool known = !train && learns({&in, &w, &b});
  if (known || !has_mask(in) || torch::jit::tracer::isTracing()) {
    auto from = as_type(in, at::kFloat);
    auto normed = at::batch_norm(from, w, b, mean, var, train, momentum, eps, false);
    return owned(as_type(normed.relu(), in.scalar_type()));
  }
  auto flat = in.contiguous();
  Tensor centre = mean, spread = var;
  {
    at::NoGradGuard guard;
    if (train) {
      auto values = flat.detach();
      centre = over_rows(values, {});
      spread = over_rows(values, centre);
      auto count = static_cast<double>(flat.size(0));
      Tensor(mean).mul_(1 - momentum).add_(centre, momentum);
      Tensor(var).mul_(1 - momentum).add_(spread, momentum * count / (count - 1));
    }
    spread = (spread + eps).rsqrt_();
  }
  return owned(BatchNormRelu::apply(flat, w, b, centre, spread));
}

Address gelu(Address x) {
  auto &in = tensor(x);
  if (!learns({&in}) || torch::jit::tracer::isTracing()) return owned(at::gelu(in));
  return owned(Gelu::apply(in));
}

Address task_low_rank(Address x, Address base, Address a, Address b) {
  auto &in = tensor(x), &all = tensor(base), &down = tensor(a), &up = tensor(b);
  if (torch::jit::tracer::isTracing() || in.numel() == 0)
    return owned(plain_task_low_rank(in, all, down, up));
  return owned(TaskLowRank::apply(in, all, down, up));
}

Address attention(Address qkv, Address bias, std::int64_t heads) {
  auto &in = tensor(qkv), &mask = tensor(bias);
  if (torch::jit::tracer::isTracing() || in.numel() == 0 || !in.is_cpu())
    return owned(plain_attention(in, mask, heads));
  if (!mask.defined() && in.scalar_type() == at::kFloat && !learns({&in})) {
    // The one case in which LibTorch's own kernel is faster.
    auto batch = in.size(0), tokens = in.size(1);
    auto split = in.reshape({batch, tokens, 3, heads, -1}).permute({2, 0, 3, 1, 4});
    auto mixed = at::scaled_dot_product_attention(split[0], split[1], split[2]);
    return owned(mixed.transpose(1, 2).reshape({batch, tokens, -1}));
  }
  return owned(Attention::apply(in, some(mask), heads));
}

bool keep_memory() {
#ifdef __GLIBC__
  // Every block comes from one heap that never shrinks: pages are cleared by the system once.
  return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max()) == 1;
#else
  return false;
#endif
}

}  // namespace polyptych
