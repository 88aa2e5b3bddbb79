// Products of rows with narrow matrices, one for each task.
#pragma once

#include "polyptych-kernels/cpp/arguments.h"
#include "polyptych-kernels/cpp/product.h"

namespace polyptych {

// Rows whose gradients are summed in one place.
constexpr int64_t STRETCH = 256;

// x as [tasks, rows, width].
inline Tensor by_task(const Tensor &x) { return x.reshape({x.size(0), -1, x.size(-1)}); }

inline Tensor in_floats(const Tensor &x) { return x.to(at::kFloat).contiguous(); }

// x in float32, its lines padded with zeros to whole strips.
inline Tensor lines(const Tensor &x) {
  return at::constant_pad_nd(x.to(at::kFloat), {0, padded(x.size(2)) - x.size(2)}).contiguous();
}

template <class F>
void by_stretches(int64_t count, F f) {
  at::parallel_for(0, (count + STRETCH - 1) / STRETCH, 1, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; s++) f(s, s * STRETCH, std::min(count, (s + 1) * STRETCH));
  });
}

// f(stretch, begin, end, room) for all blocks, with room for `sums` vectors for each row of one.
template <class F>
void by_blocks(int64_t count, int64_t sums, F f) {
  at::parallel_for(0, (count + STRETCH - 1) / STRETCH, 1, [&](int64_t first, int64_t last) {
    std::vector<float> room(TASK_ROWS * sums * WIDEST);
    for (int64_t s = first; s < last; s++)
      for (int64_t row = s * STRETCH; row < std::min(count, (s + 1) * STRETCH); row += TASK_ROWS)
        f(s, row, std::min({count, (s + 1) * STRETCH, row + TASK_ROWS}), room.data());
  });
}

// x in rows that end with a whole vector, the rest of it zeros.
inline Tensor in_vectors(const Tensor &x) {
  auto over = x.size(-1) % WIDEST;
  return over == 0 ? x.contiguous() : at::constant_pad_nd(x, {0, WIDEST - over}).contiguous();
}

// The first columns of what has rows like the above.
inline Tensor first(const Tensor &x, int64_t width) {
  return x.size(-1) == width ? x : x.narrow(-1, 0, width).contiguous();
}

// Room for what each stretch of rows sums for [tasks, r, width].
inline Tensor sums_of(int64_t rows, const Tensor &lines) {
  return at::zeros({(rows + STRETCH - 1) / STRETCH, lines.size(0), lines.size(1), lines.size(2)},
                   lines.options());
}

// Sum over the leading axis, in float32.
Tensor over_tasks(const Tensor &x);

// base + low_t up_t for every task. low: [tasks, rows, r], up: [tasks, r, width]; base: [rows,
// width] or none.
Tensor updated(const Tensor &base, const Tensor &low, const Tensor &up);

// Gradients of the above by base, low and up; those that nobody asks for are not defined.
struct UpdateGradients {
  Tensor base, low, up;
};
UpdateGradients update_gradients(const Tensor &g, const Tensor &low, const Tensor &up,
                                 bool wants_base = true);

// onto += low up, where r is NARROW at most. onto: [rows, width], low: [rows, r], up: [r, width].
void add_narrow(Tensor &onto, const Tensor &low, const Tensor &up);

// low^T x, where r is NARROW at most. low: [rows, r], x: [rows, width].
Tensor narrow_gradient(const Tensor &low, const Tensor &x);

// x_t w_t^T for every task, by oneDNN where it can. x: [tasks, rows, in], w: [tasks, out, in].
Tensor by_tasks(const Tensor &x, const Tensor &w);

// g_t^T x_t for every task.
Tensor gradients_by_tasks(const Tensor &g, const Tensor &x);

// base + x_t A_t^T B_t^T for every task, in LibTorch's operations.
Tensor plain_task_low_rank(const Tensor &x, const Tensor &base, const Tensor &a, const Tensor &b);

}  // namespace polyptych
