// Attention head by head where tokens are few: nothing but two numbers a row is kept, and no matrix
// of scores leaves the first caches.
#include "polyptych-kernels/cpp/attention_tiles.h"

namespace polyptych {

namespace {

#ifdef POLYPTYCH_TILES

// Tokens up to which the matrices of a head stay near.
constexpr int64_t FEW = 256;
// Entries of a batch that sum the gradient of their bias in one place.
constexpr int64_t TURNS = 8;

bool has_tiles(at::ScalarType type) {
  static const bool of_floats = __builtin_cpu_supports("avx512f") &&
                                __builtin_cpu_supports("avx512bw") &&
                                __builtin_cpu_supports("avx512dq") &&
                                __builtin_cpu_supports("avx512vl") &&
                                __builtin_cpu_supports("avx512cd");
  static const bool of_bf16 = of_floats && __builtin_cpu_supports("avx512bf16");
  return type == at::kFloat ? of_floats : of_bf16;
}

// Heads of a batch, of which every `period`-th entry has the same bias.
struct Batch {
  Head head;
  int64_t entries, heads, period;
  bool has_bias;

  Batch(const Tensor &qkv, const Tensor &bias, int64_t heads)
      : entries(qkv.size(0)), heads(heads), has_bias(bias.defined()) {
    auto dim = qkv.size(2) / 3;
    head = {qkv.size(1), dim / heads, 3 * dim, dim, dim};
    period = has_bias ? bias.size(0) : entries;
  }

  int64_t square() const { return head.tokens * head.tokens; }
  int64_t turns() const { return (entries / period + TURNS - 1) / TURNS; }
  int64_t bias_line() const { return has_bias ? head.keys() : 0; }
  // What one task is: a head in every `period`-th entry from `first` on, up to `end`.
  struct Task {
    int64_t head, bias, first, end;
  };
  Task task(int64_t index) const {
    auto entry = index / heads % period, turn = index / heads / period, step = TURNS * period;
    auto head_index = index % heads;
    return {head_index, (entry * heads + head_index) * square(), turn * step + entry,
            std::min(entries, (turn + 1) * step)};
  }

  // The first number of a head in lines of `line`.
  int64_t at(int64_t entry, int64_t h, int64_t line) const {
    return entry * head.tokens * line + h * head.width;
  }
};

// What is behind the tokens has probability 0.
template <class T>
POLYPTYCH_INLINE void take_bias(const T *bias, const Batch &batch, float *to) {
  auto tokens = batch.head.tokens, keys = batch.head.keys();
  for (int64_t row = 0; row < (batch.has_bias ? tokens : 1); row++) {
    for (int64_t j = 0; j < tokens; j++)
      to[row * keys + j] = batch.has_bias ? wide(bias[row * tokens + j]) : 0.0f;
    for (int64_t j = tokens; j < keys; j++) to[row * keys + j] = -std::numeric_limits<float>::max();
  }
}

POLYPTYCH_INLINE void give_bias(std::vector<float> &from, const Batch &batch, float *to) {
  auto tokens = batch.head.tokens, keys = batch.head.keys();
  for (int64_t row = 0; row < tokens; row++)
    std::memcpy(to + row * tokens, from.data() + row * keys, tokens * sizeof(float));
  std::fill(from.begin(), from.end(), 0.0f);
}

// One task for each turn, entry of the period and head, in that order.
template <class Cell, class T = typename Cell::Number>
POLYPTYCH_INLINE void forward_tasks(const Batch &batch, const T *qkv, const T *bias, T *out,
                                    Top *kept, int64_t begin, int64_t end) {
  Room<Cell> room(batch.head, false);
  for (int64_t task = begin; task < end; task++) {
    auto [h, from, first, last] = batch.task(task);
    take_bias(bias + from, batch, room.bias.data());
    for (int64_t n = first; n < last; n += batch.period)
      attend<Cell>(qkv + batch.at(n, h, batch.head.line), batch.head, room, batch.bias_line(),
                   out + batch.at(n, h, batch.head.out_line),
                   kept + (n * batch.heads + h) * batch.head.tokens);
  }
}

template <class Cell, class T = typename Cell::Number>
POLYPTYCH_INLINE void backward_tasks(const Batch &batch, const T *qkv, const T *bias,
                                     const Top *kept, const T *g, T *gradient,
                                     float *bias_gradient, int64_t begin, int64_t end) {
  Room<Cell> room(batch.head, true);
  for (int64_t task = begin; task < end; task++) {
    auto [h, from, first, last] = batch.task(task);
    take_bias(bias + from, batch, room.bias.data());
    for (int64_t n = first; n < last; n += batch.period)
      attend_back<Cell>(qkv + batch.at(n, h, batch.head.line),
                        g + batch.at(n, h, batch.head.out_line), batch.head, room,
                        batch.bias_line(), kept + (n * batch.heads + h) * batch.head.tokens,
                        gradient + batch.at(n, h, batch.head.line));
    if (bias_gradient != nullptr)
      give_bias(room.bias_gradient, batch, bias_gradient + task * batch.square());
  }
}

POLYPTYCH_TILES_OF_FLOATS void forward_floats(const Batch &batch, const float *qkv,
                                              const float *bias, float *out, Top *kept,
                                              int64_t begin, int64_t end) {
  forward_tasks<Single>(batch, qkv, bias, out, kept, begin, end);
}
POLYPTYCH_TILES_OF_BF16 void forward_bf16(const Batch &batch, const uint16_t *qkv,
                                              const uint16_t *bias, uint16_t *out, Top *kept,
                                              int64_t begin, int64_t end) {
  forward_tasks<Pair>(batch, qkv, bias, out, kept, begin, end);
}
POLYPTYCH_TILES_OF_FLOATS void backward_floats(const Batch &batch, const float *qkv,
                                               const float *bias, const Top *kept,
                                               const float *g, float *gradient,
                                               float *bias_gradient, int64_t begin, int64_t end) {
  backward_tasks<Single>(batch, qkv, bias, kept, g, gradient, bias_gradient, begin, end);
}
POLYPTYCH_TILES_OF_BF16 void backward_bf16(const Batch &batch, const uint16_t *qkv,
                                               const uint16_t *bias, const Top *kept,
                                               const uint16_t *g, uint16_t *gradient,
                                               float *bias_gradient, int64_t begin, int64_t end) {
  backward_tasks<Pair>(batch, qkv, bias, kept, g, gradient, bias_gradient, begin, end);
}

Top *tops_of(const Tensor &kept) { return reinterpret_cast<Top *>(kept.data_ptr()); }

template <class F>
void by_tasks_of(const Batch &batch, F f) {
  at::parallel_for(0, batch.turns() * batch.period * batch.heads, 1, f);
}

// Kept: query, key and value as they came, and two numbers for each row of probabilities.
struct TileAttention : Function<TileAttention> {
  static Tensor forward(AutogradContext *ctx, const Tensor &qkv, const std::optional<Tensor> &bias,
                        int64_t heads) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto from = qkv.contiguous(), mask = bias.has_value() ? bias->contiguous() : Tensor();
    Batch batch(from, mask, heads);
    auto out = at::empty({batch.entries, batch.head.tokens, batch.head.out_line}, from.options());
    auto kept = at::empty({batch.entries, heads, batch.head.tokens, 2},
                          from.options().dtype(at::kFloat));
    by_tasks_of(batch, [&](int64_t begin, int64_t end) {
      if (from.scalar_type() == at::kFloat)
        forward_floats(batch, floats(from), batch.has_bias ? floats(mask) : nullptr, floats_of(out),
                       tops_of(kept), begin, end);
      else
        forward_bf16(batch, bf16(from), batch.has_bias ? bf16(mask) : nullptr, bf16_of(out),
                       tops_of(kept), begin, end);
    });
    ctx->save_for_backward({from, kept, mask});
    ctx->saved_data["heads"] = heads;
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &qkv = saved[0], &kept = saved[1], &bias = saved[2];
    Batch batch(qkv, bias, ctx->saved_data["heads"].toInt());
    auto g = grads[0].contiguous(), gradient = at::empty_like(qkv);
    Tensor sums;
    if (batch.has_bias && ctx->needs_input_grad(1))
      sums = at::empty({batch.turns(), bias.size(0), bias.size(1), bias.size(2), bias.size(3)},
                       kept.options());
    auto sum = sums.defined() ? floats_of(sums) : nullptr;
    by_tasks_of(batch, [&](int64_t begin, int64_t end) {
      if (qkv.scalar_type() == at::kFloat)
        backward_floats(batch, floats(qkv), batch.has_bias ? floats(bias) : nullptr, tops_of(kept),
                        floats(g), floats_of(gradient), sum, begin, end);
      else
        backward_bf16(batch, bf16(qkv), batch.has_bias ? bf16(bias) : nullptr, tops_of(kept),
                        bf16(g), bf16_of(gradient), sum, begin, end);
    });
    return {gradient, sum == nullptr ? Tensor() : sums.sum(0).to(bias.scalar_type()), {}};
  }
};

#endif

// Whether tiles can hold the heads of qkv.
bool fits_tiles(const Tensor &qkv, const Tensor &bias, int64_t heads) {
#ifdef POLYPTYCH_TILES
  return qkv.size(1) <= FEW && qkv.size(2) % (3 * heads * ACROSS) == 0 &&
         has_tiles(qkv.scalar_type()) &&
         (!bias.defined() || bias.scalar_type() == qkv.scalar_type());
#else
  return false;
#endif
}

Tensor tile_attention(const Tensor &qkv, const Tensor &bias, int64_t heads) {
#ifdef POLYPTYCH_TILES
  return TileAttention::apply(qkv, some(bias), heads);
#else
  return {};
#endif
}

}  // namespace

}  // namespace polyptych
