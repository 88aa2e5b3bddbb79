// Gradients of many parameters at once.
#include "polyptych-kernels/cpp/vector.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>

namespace polyptych {

namespace {

// Numbers whose squares are summed in float32; their sums are in float64.
constexpr int64_t PIECE = 4096;

POLYPTYCH_WIDE float squares(const float *x, int64_t count) {
  Vec sums[4] = {};
  int64_t j = 0;
  for (; j + 4 * VEC <= count; j += 4 * VEC)
    for (int64_t k = 0; k < 4; k++) {
      Vec part = load_vec(x + j + k * VEC);
      sums[k] += part * part;
    }
  float rest = 0.0f;
  for (; j < count; j++) rest += x[j] * x[j];
  return sum_of((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

double square_of(const Tensor &x) {
  auto from = floats(x);
  auto count = x.numel();
  std::vector<float> pieces((count + PIECE - 1) / PIECE);
  at::parallel_for(0, pieces.size(), GRAIN / PIECE, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; p++)
      pieces[p] = squares(from + p * PIECE, std::min(PIECE, count - p * PIECE));
  });
  return std::accumulate(pieces.begin(), pieces.end(), 0.0);
}

}  // namespace

double joint_norm(const Tensors &gradients) {
  c10::AutoGradMode no_grad(false);
  double sum = 0.0;
  std::vector<Tensor> others;
  for (auto &g : gradients)
    if (g.is_cpu() && g.scalar_type() == at::kFloat && g.is_non_overlapping_and_dense())
      sum += square_of(g);
    else
      others.push_back(g);
  if (others.empty()) return std::sqrt(sum);
  auto norms = at::stack(at::_foreach_norm(others, 2, at::kFloat));
  auto rest = at::linalg_vector_norm(norms).item<double>();
  return std::sqrt(sum + rest * rest);
}

void scale_all(const Tensors &gradients, double factor) {
  c10::AutoGradMode no_grad(false);
  at::_foreach_mul_(gradients, factor);
}

void set_gradient(const Tensor &parameter, const Tensor &gradient) {
  c10::AutoGradMode no_grad(false);
  // A copy of its own, laid out as the parameter: steps read both as they lie in memory.
  auto own = at::empty_like(parameter);
  own.copy_(gradient);
  parameter.mutable_grad() = own;
}

void forget_gradients(const Tensors &parameters) {
  for (auto &parameter : parameters) parameter.mutable_grad().reset();
}

}  // namespace polyptych
