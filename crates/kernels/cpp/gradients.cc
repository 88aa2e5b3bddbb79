// Gradients of many parameters at once.
#include "polyptych-kernels/cpp/loops.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>

namespace polyptych {

namespace {

// Numbers whose squares are summed in float32; their sums are in float64.
constexpr int64_t PIECE = 4096;

double square_of(const Tensor &x) {
  auto from = floats(x);
  auto count = x.numel();
  std::vector<float> pieces((count + PIECE - 1) / PIECE);
  at::parallel_for(0, pieces.size(), GRAIN / PIECE, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; p++)
      pieces[p] = POLYPTYCH_BEST(squares(from + p * PIECE, std::min(PIECE, count - p * PIECE)));
  });
  return std::accumulate(pieces.begin(), pieces.end(), 0.0);
}

}  // namespace

// On the device of the gradients, so that nobody waits for it.
Owned joint_norm(const Tensors &gradients) {
  c10::AutoGradMode no_grad(false);
  double sum = 0.0;
  std::vector<Tensor> others;
  for (auto &g : gradients)
    if (g.is_cpu() && g.scalar_type() == at::kFloat && g.is_non_overlapping_and_dense())
      sum += square_of(g);
    else
      others.push_back(g);
  if (others.empty()) return owned(at::scalar_tensor(std::sqrt(sum), at::kDouble));
  auto norms = at::stack(at::_foreach_norm(others, 2, at::kFloat));
  auto rest = at::linalg_vector_norm(norms).to(at::kDouble);
  return owned((rest * rest + sum).sqrt());
}

void scale_all(const Tensors &gradients, double factor) {
  c10::AutoGradMode no_grad(false);
  at::_foreach_mul_(gradients, factor);
}

void scale_all_on_device(const Tensors &gradients, const Tensor &factor) {
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
