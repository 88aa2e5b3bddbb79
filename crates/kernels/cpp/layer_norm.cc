// Normalisation of rows, with statistics and parameters in float32.
#include "polyptych-kernels/cpp/rows.h"
#include "polyptych-kernels/cpp/tasks.h"

namespace polyptych {

namespace {

// Rows that take turns, so that none waits for its sums. Lines of floats end with whole vectors.
constexpr int64_t NORMED_ROWS = 4;

// out = (x - mean) rstd weight + bias for N rows; mean and rstd of each are written too.
template <int64_t N, bool WHOLE, class T>
POLYPTYCH_INLINE void norm_rows(const T *x, const float *weight, const float *bias, float eps,
                                T *out, float *means, float *rstds, int64_t count) {
  Vec sums[N];
  float inverse = 1.0f / static_cast<float>(count);
  for (int64_t r = 0; r < N; r++) sums[r] = Vec{};
  for (int64_t j = 0; j < count; j += VEC)
    for (int64_t r = 0; r < N; r++) sums[r] += load_part<WHOLE>(x + r * count + j, count - j);
  for (int64_t r = 0; r < N; r++) means[r] = sum_of(sums[r]) * inverse, sums[r] = Vec{};
  for (int64_t j = 0; j < count; j += VEC)
    for (int64_t r = 0; r < N; r++) {
      Vec v = load_part<WHOLE>(x + r * count + j, count - j);
      Vec apart = part_of<WHOLE>(v - means[r], count - j);
      sums[r] += apart * apart;
    }
  for (int64_t r = 0; r < N; r++) rstds[r] = 1.0f / std::sqrt(sum_of(sums[r]) * inverse + eps);
  for (int64_t j = 0; j < count; j += VEC) {
    Vec by = load_vec(weight + j), onto = load_vec(bias + j);
    for (int64_t r = 0; r < N; r++) {
      Vec normed = (load_part<WHOLE>(x + r * count + j, count - j) - means[r]) * rstds[r];
      store_part<WHOLE>(normed * by + onto, count - j, out + r * count + j);
    }
  }
}

// Gradients by N rows: that of x is written, those of weight and bias are added to.
template <int64_t N, bool WHOLE, class T>
POLYPTYCH_INLINE void norm_rows_back(const T *x, const T *g, const float *weight,
                                     const float *means, const float *rstds, T *dx,
                                     float *dweight, float *dbias, int64_t count) {
  Vec slopes[N], products[N];
  for (int64_t r = 0; r < N; r++) slopes[r] = products[r] = Vec{};
  for (int64_t j = 0; j < count; j += VEC) {
    Vec by_weight = load_vec(dweight + j), by_bias = load_vec(dbias + j);
    for (int64_t r = 0; r < N; r++) {
      Vec slope = load_part<WHOLE>(g + r * count + j, count - j);
      Vec normed = (load_part<WHOLE>(x + r * count + j, count - j) - means[r]) * rstds[r];
      Vec scaled = slope * load_vec(weight + j);
      slopes[r] += scaled, products[r] += scaled * normed;
      by_weight += slope * normed, by_bias += slope;
    }
    store_vec(by_weight, dweight + j), store_vec(by_bias, dbias + j);
  }
  float inverse = 1.0f / static_cast<float>(count), of_slope[N], of_product[N];
  for (int64_t r = 0; r < N; r++)
    of_slope[r] = sum_of(slopes[r]) * inverse, of_product[r] = sum_of(products[r]) * inverse;
  for (int64_t j = 0; j < count; j += VEC)
    for (int64_t r = 0; r < N; r++) {
      Vec normed = (load_part<WHOLE>(x + r * count + j, count - j) - means[r]) * rstds[r];
      Vec scaled = load_part<WHOLE>(g + r * count + j, count - j) * load_vec(weight + j);
      store_part<WHOLE>(rstds[r] * (scaled - of_slope[r] - normed * of_product[r]), count - j,
                 dx + r * count + j);
    }
}

template <bool WHOLE, class T>
POLYPTYCH_INLINE void norm(const T *x, const float *weight, const float *bias, float eps, T *out,
                           float *means, float *rstds, int64_t begin, int64_t end, int64_t count) {
  int64_t row = begin;
  for (; row + NORMED_ROWS <= end; row += NORMED_ROWS)
    norm_rows<NORMED_ROWS, WHOLE>(x + row * count, weight, bias, eps, out + row * count, means + row,
                               rstds + row, count);
  for (; row < end; row++)
    norm_rows<1, WHOLE>(x + row * count, weight, bias, eps, out + row * count, means + row,
                        rstds + row, count);
}

template <bool WHOLE, class T>
POLYPTYCH_INLINE void norm_back(const T *x, const T *g, const float *weight, const float *means,
                                const float *rstds, T *dx, float *dweight, float *dbias,
                                int64_t begin, int64_t end, int64_t count) {
  int64_t row = begin;
  for (; row + NORMED_ROWS <= end; row += NORMED_ROWS)
    norm_rows_back<NORMED_ROWS, WHOLE>(x + row * count, g + row * count, weight, means + row,
                                    rstds + row, dx + row * count, dweight, dbias, count);
  for (; row < end; row++)
    norm_rows_back<1, WHOLE>(x + row * count, g + row * count, weight, means + row, rstds + row,
                             dx + row * count, dweight, dbias, count);
}

#define POLYPTYCH_LAYER_NORM(NAME, T)                                                        \
  POLYPTYCH_WIDE void NAME(const T *x, const float *weight, const float *bias, float eps,    \
                           T *out, float *means, float *rstds, int64_t begin, int64_t end,   \
                           int64_t count) {                                                  \
    if (count % VEC == 0)                                                                    \
      norm<true>(x, weight, bias, eps, out, means, rstds, begin, end, count);                \
    else                                                                                     \
      norm<false>(x, weight, bias, eps, out, means, rstds, begin, end, count);               \
  }
POLYPTYCH_LAYER_NORM(layer_norm_floats, float)
POLYPTYCH_LAYER_NORM(layer_norm_bf16, uint16_t)

#define POLYPTYCH_LAYER_NORM_GRADIENT(NAME, T)                                               \
  POLYPTYCH_WIDE void NAME(const T *x, const T *g, const float *weight, const float *means,  \
                           const float *rstds, T *dx, float *dweight, float *dbias,          \
                           int64_t begin, int64_t end, int64_t count) {                      \
    if (count % VEC == 0)                                                                    \
      norm_back<true>(x, g, weight, means, rstds, dx, dweight, dbias, begin, end, count);    \
    else                                                                                     \
      norm_back<false>(x, g, weight, means, rstds, dx, dweight, dbias, begin, end, count);   \
  }
POLYPTYCH_LAYER_NORM_GRADIENT(layer_norm_gradient, float)
POLYPTYCH_LAYER_NORM_GRADIENT(layer_norm_gradient_bf16, uint16_t)

// In float32, with zeros up to whole vectors.
Tensor whole_line(const Tensor &x) {
  auto line = in_floats(x);
  auto rest = whole(line.numel()) - line.numel();
  return rest == 0 ? line : at::constant_pad_nd(line, {0, rest});
}

// Kept: x and the statistics of its rows.
struct LayerNorm : Function<LayerNorm> {
  static Tensor forward(AutogradContext *ctx, const Tensor &x, const Tensor &weight,
                        const Tensor &bias, double eps) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto from = x.contiguous(), gain = whole_line(weight), shift = whole_line(bias);
    auto count = from.size(-1);
    auto out = at::empty_like(from);
    auto means = at::empty({from.numel() / count}, gain.options()), rstds = at::empty_like(means);
    by_rows(from, [&](int64_t begin, int64_t end) {
      auto least = static_cast<float>(eps);
      if (from.scalar_type() == at::kFloat)
        layer_norm_floats(floats(from), floats(gain), floats(shift), least, floats_of(out),
                          floats_of(means), floats_of(rstds), begin, end, count);
      else
        layer_norm_bf16(bf16(from), floats(gain), floats(shift), least, bf16_of(out),
                        floats_of(means), floats_of(rstds), begin, end, count);
    });
    ctx->save_for_backward({from, weight, means, rstds});
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &x = saved[0], &weight = saved[1], &means = saved[2], &rstds = saved[3];
    auto count = x.size(-1), number = x.numel() / count;
    auto g = grads[0].contiguous(), gain = whole_line(weight), dx = at::empty_like(x);
    auto line = gain.numel();
    auto sums = at::zeros({(number + STRETCH - 1) / STRETCH, 2, line}, gain.options());
    by_stretches(number, [&](int64_t stretch, int64_t begin, int64_t end) {
      auto dweight = floats_of(sums) + stretch * 2 * line, dbias = dweight + line;
      if (x.scalar_type() == at::kFloat)
        layer_norm_gradient(floats(x), floats(g), floats(gain), floats(means), floats(rstds),
                            floats_of(dx), dweight, dbias, begin, end, count);
      else
        layer_norm_gradient_bf16(bf16(x), bf16(g), floats(gain), floats(means), floats(rstds),
                                 bf16_of(dx), dweight, dbias, begin, end, count);
    });
    auto both = sums.sum(0).narrow(1, 0, count).to(weight.scalar_type());
    return {dx, both[0], both[1], {}};
  }
};

}  // namespace

Owned layer_norm(const Tensor &in, const Tensor &gain, const Tensor &shift, double eps) {
  for (auto t : {&gain, &shift})
    TORCH_CHECK(in.dim() > 0 && t->dim() == 1 && t->size(0) == in.size(-1), "layer_norm: expected parameters for x ",
                in.sizes(), ", found ", t->sizes());
  if (traced() || !readable(in) || in.numel() == 0 || in.size(-1) > LONGEST)
    return owned(at::layer_norm(in, {in.size(-1)}, as_type(gain, in.scalar_type()),
                                as_type(shift, in.scalar_type()), eps, false));
  return owned(LayerNorm::apply(in, gain, shift, eps));
}

}  // namespace polyptych
