#include "polyptych-kernels/cpp/tasks.h"

namespace polyptych {

namespace {

struct Update {
  int64_t tasks, rows, rank, width;
};

// out = base + low up, by rows; base may be null. low: [rows, r], up: [r, padded].
#define POLYPTYCH_RANK_UPDATE(NAME, T)                                                       \
  POLYPTYCH_WIDE void NAME(const T *base, const T *low, const float *up, T *out,             \
                           int64_t begin, int64_t end, int64_t rank, int64_t width) {        \
    for (int64_t row = begin; row < end; row++)                                              \
      for (int64_t first = 0; first < width; first += STRIP) {                               \
        int64_t count = std::min(STRIP, width - first), at = row * width + first;            \
        float sum[STRIP] = {0};                                                              \
        if (base != nullptr) load(base + at, count, sum);                                    \
        for (int64_t r = 0; r < rank; r++)                                                   \
          add_scaled(wide(low[row * rank + r]), up + r * padded(width) + first, sum);        \
        store(sum, count, out + at);                                                         \
      }                                                                                      \
  }
POLYPTYCH_RANK_UPDATE(rank_update, float)
POLYPTYCH_RANK_UPDATE(rank_update_bf16, uint16_t)

// Gradients of base + low_t up_t for rows in [begin, end), TASK_ROWS of them at most: those of base and
// low are written, those of up added to, and what is null is left out. g: [tasks, rows, width], low:
// [tasks, rows, r], up: [tasks, r, padded]. N: the rank, or the most that it can be.
template <int64_t N, class T>
POLYPTYCH_INLINE void gradient_of_block(const T *g, const float *low, const float *up, T *dbase,
                                        float *dlow, float *dup, int64_t begin, int64_t end,
                                        Update of, float *sums) {
  int64_t rank = N == NARROW_OF_TASKS ? of.rank : N, count = end - begin, line = padded(of.width);
  if (up != nullptr) std::fill_n(sums, of.tasks * count * rank * VEC, 0.0f);
  for (int64_t first = 0; first < of.width; first += VEC) {
    Vec shared[TASK_ROWS] = {};
    for (int64_t task = 0; task < of.tasks; task++) {
      int64_t from = task * rank * line + first;
      Lines<N> ups, up_sums;
      if (up != nullptr) ups.read(up + from, rank, line);
      up_sums.clear(rank);
      for (int64_t row = 0; row < count; row++) {
        int64_t at = task * of.rows + begin + row;
        Vec slope = load_vec(g + at * of.width + first);
        shared[row] += slope;
        up_sums.add(low + at * rank, slope, rank);
        if (up != nullptr) ups.dots(slope, sums + (task * count + row) * rank * VEC, rank);
      }
      up_sums.add_to(dup + from, rank, line);
    }
    if (dbase != nullptr)
      for (int64_t row = 0; row < count; row++)
        store_vec(shared[row], dbase + (begin + row) * of.width + first);
  }
  if (up == nullptr) return;
  for (int64_t task = 0; task < of.tasks; task++)
    for (int64_t j = 0; j < count * rank; j++)
      dlow[(task * of.rows + begin) * rank + j] = sum_of(sums + (task * count * rank + j) * VEC);
}

#define POLYPTYCH_RANK_GRADIENT(NAME, T)                                                     \
  POLYPTYCH_WIDE void NAME(const T *g, const float *low, const float *up, T *dbase,          \
                           float *dlow, float *dup, int64_t begin, int64_t end, Update of,   \
                           float *sums) {                                                    \
    if (of.rank == RANK_OF_TASK)                                                             \
      gradient_of_block<RANK_OF_TASK>(g, low, up, dbase, dlow, dup, begin, end, of, sums);   \
    else if (of.rank == NARROW)                                                              \
      gradient_of_block<NARROW>(g, low, up, dbase, dlow, dup, begin, end, of, sums);         \
    else                                                                                     \
      gradient_of_block<NARROW_OF_TASKS>(g, low, up, dbase, dlow, dup, begin, end, of,       \
                                         sums);                                              \
  }
POLYPTYCH_RANK_GRADIENT(rank_gradient, float)
POLYPTYCH_RANK_GRADIENT(rank_gradient_bf16, uint16_t)

// out = sum_t x_t of numbers in [begin, end). x: [tasks, count].
#define POLYPTYCH_TASK_SUM(NAME, T)                                                          \
  POLYPTYCH_WIDE void NAME(const T *x, T *out, int64_t begin, int64_t end, int64_t tasks,    \
                           int64_t count) {                                                  \
    for (int64_t first = begin; first < end; first += STRIP) {                               \
      int64_t here = std::min(STRIP, end - first);                                           \
      float sum[STRIP] = {0}, own[STRIP];                                                    \
      for (int64_t task = 0; task < tasks; task++) {                                         \
        load(x + task * count + first, here, own);                                           \
        add_scaled(1.0f, own, sum);                                                          \
      }                                                                                      \
      store(sum, here, out + first);                                                         \
    }                                                                                        \
  }
POLYPTYCH_TASK_SUM(task_sum, float)
POLYPTYCH_TASK_SUM(task_sum_bf16, uint16_t)

// Runs the loop above on rows of whole vectors; returns the gradient by up.
Tensor gradients(const Tensor &g, const Tensor &low, const Tensor &ups, Tensor dlow, Tensor dbase,
                 Update of) {
  auto line = padded(of.width);
  auto dup = at::zeros({(of.rows + STRETCH - 1) / STRETCH, of.tasks, of.rank, line}, low.options());
  auto factors = ups.defined() ? floats(ups) : nullptr;
  auto to_low = dlow.defined() ? floats_of(dlow) : nullptr;
  by_blocks(of.rows, of.tasks * of.rank,
            [&](int64_t stretch, int64_t begin, int64_t end, float *room) {
              auto sums = floats_of(dup) + stretch * dup.stride(0);
              if (g.scalar_type() == at::kFloat)
                rank_gradient(floats(g), floats(low), factors,
                              dbase.defined() ? floats_of(dbase) : nullptr, to_low, sums, begin,
                              end, of, room);
              else
                rank_gradient_bf16(bf16(g), floats(low), factors,
                                   dbase.defined() ? bf16_of(dbase) : nullptr, to_low, sums,
                                   begin, end, of, room);
            });
  return dup.sum(0);
}

}  // namespace

Tensor over_tasks(const Tensor &x) {
  auto from = x.contiguous();
  auto tasks = from.size(0), count = from.numel() / tasks;
  auto out = at::empty(from.sizes().slice(1), from.options());
  in_parallel(count, [&](int64_t begin, int64_t end) {
    if (from.scalar_type() == at::kFloat)
      task_sum(floats(from), floats_of(out), begin, end, tasks, count);
    else
      task_sum_bf16(bf16(from), bf16_of(out), begin, end, tasks, count);
  });
  return out;
}

UpdateGradients update_gradients(const Tensor &g, const Tensor &low, const Tensor &up,
                                 bool wants_base) {
  auto width = g.size(2);
  if (low.size(2) > NARROW_OF_TASKS || !readable(g))
    return {wants_base ? g.sum(0) : Tensor(), by_tasks(g, up), gradients_by_tasks(low, g)};
  auto slopes = in_vectors(g), read = in_floats(low), ups = lines(up);
  Update of{g.size(0), g.size(1), low.size(2), slopes.size(2)};
  auto dbase = wants_base ? at::empty({of.rows, of.width}, g.options()) : Tensor();
  auto dlow = at::empty_like(read), dup = gradients(slopes, read, ups, dlow, dbase, of);
  auto kind = g.scalar_type();
  return {wants_base ? first(dbase, width) : dbase, dlow.to(kind),
          dup.narrow(2, 0, width).to(kind)};
}

void add_narrow(Tensor &onto, const Tensor &low, const Tensor &up) {
  Update of{1, onto.size(0), low.size(1), onto.size(1)};
  auto factors = lines(up.unsqueeze(0)), read = low.contiguous();
  auto grain = std::max<int64_t>(1, GRAIN / of.width);
  at::parallel_for(0, of.rows, grain, [&](int64_t begin, int64_t end) {
    if (onto.scalar_type() == at::kFloat)
      rank_update(floats(onto), floats(read), floats(factors), floats_of(onto), begin, end,
                  of.rank, of.width);
    else
      rank_update_bf16(bf16(onto), bf16(read), floats(factors), bf16_of(onto), begin, end,
                       of.rank, of.width);
  });
}

Tensor narrow_gradient(const Tensor &low, const Tensor &x) {
  auto all = in_vectors(x).unsqueeze(0);
  Update of{1, x.size(0), low.size(1), all.size(2)};
  return gradients(all, in_floats(low), {}, {}, {}, of)[0].narrow(1, 0, x.size(1));
}

Tensor updated(const Tensor &base, const Tensor &low, const Tensor &up) {
  auto tasks = low.size(0), count = low.size(1), rank = low.size(2), width = up.size(2);
  if (rank > NARROW_OF_TASKS || !readable(low)) {
    if (!base.defined()) return at::bmm(low, up);
    return at::baddbmm(base.unsqueeze(0).expand({tasks, -1, -1}), low, up);
  }
  auto out = at::empty({tasks, count, width}, low.options());
  auto from = base.defined() ? base.contiguous() : base, narrow_low = low.contiguous();
  auto factors = lines(up);
  auto grain = std::max<int64_t>(1, GRAIN / width);
  for (int64_t task = 0; task < tasks; task++) {
    auto l = narrow_low[task], o = out[task];
    auto u = floats(factors) + task * factors.stride(0);
    at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
      if (low.scalar_type() == at::kFloat)
        rank_update(from.defined() ? from.const_data_ptr<float>() : nullptr,
                    l.const_data_ptr<float>(), u, o.data_ptr<float>(), begin, end, rank, width);
      else
        rank_update_bf16(
            from.defined() ? bf16(from) : nullptr,
            bf16(l), u,
            bf16_of(o), begin, end, rank, width);
    });
  }
  return out;
}

Tensor by_tasks(const Tensor &x, const Tensor &w) {
  if (!fits(x[0], w[0], {at::kFloat, at::kBFloat16})) return at::bmm(x, w.transpose(1, 2));
  std::vector<Tensor> parts;
  for (int64_t task = 0; task < x.size(0); task++) parts.push_back(product(x[task], w[task]));
  return at::stack(parts);
}

Tensor gradients_by_tasks(const Tensor &g, const Tensor &x) {
  if (!fits(x[0], x[0], {at::kFloat, at::kBFloat16})) return at::bmm(g.transpose(1, 2), x);
  std::vector<Tensor> parts;
  for (int64_t task = 0; task < x.size(0); task++)
    parts.push_back(weight_gradient(g[task], x[task]));
  return at::stack(parts);
}

Tensor plain_task_low_rank(const Tensor &x, const Tensor &base, const Tensor &a, const Tensor &b) {
  auto low = at::bmm(by_task(x), a.transpose(1, 2));
  auto terms = at::bmm(low, b.transpose(1, 2));
  auto shape = base.sizes().vec();
  shape.insert(shape.begin(), x.size(0));
  return terms.view(shape) + base;
}

}  // namespace polyptych
