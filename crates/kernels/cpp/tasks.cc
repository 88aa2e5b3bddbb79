#include "polyptych-kernels/cpp/tasks.h"

#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/types.h"

namespace polyptych {

namespace {

// Runs `rank_gradient` on rows of whole vectors; returns the gradient by up.
Tensor gradients(const Tensor &g, const Tensor &low, const Tensor &ups, Tensor dlow, Tensor dbase,
                 Update of) {
  auto line = padded(of.width);
  auto dup = at::zeros({(of.rows + STRETCH - 1) / STRETCH, of.tasks, of.rank, line}, low.options());
  auto factors = ups.defined() ? floats(ups) : nullptr;
  auto to_low = dlow.defined() ? floats_of(dlow) : nullptr;
  by_type(g, [&](auto type) {
    using T = decltype(type);
    auto to_base = dbase.defined() ? numbers_of<T>(dbase) : nullptr;
    by_blocks(of.rows, of.tasks * of.rank,
              [&](int64_t stretch, int64_t begin, int64_t end, float *room) {
                auto sums = floats_of(dup) + stretch * dup.stride(0);
                POLYPTYCH_BEST(rank_gradient<T>(numbers<T>(g), floats(low), factors, to_base,
                                                to_low, sums, begin, end, of, room));
              });
  });
  return dup.sum(0);
}

}  // namespace

Tensor over_tasks(const Tensor &x) {
  auto from = x.contiguous();
  auto tasks = from.size(0), count = from.numel() / tasks;
  auto out = at::empty(from.sizes().slice(1), from.options());
  in_parallel(count, [&](int64_t begin, int64_t end) {
    by_type(from, [&](auto type) {
      using T = decltype(type);
      POLYPTYCH_BEST(task_sum<T>(numbers<T>(from), numbers_of<T>(out), begin, end, tasks, count));
    });
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
    by_type(onto, [&](auto type) {
      using T = decltype(type);
      POLYPTYCH_BEST(rank_update<T>(numbers<T>(onto), numbers<T>(read), floats(factors),
                                    numbers_of<T>(onto), begin, end, of.rank, of.width));
    });
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
    if (!base.defined()) return batched(low, up);
    if (in_floats_alone(low)) return batched(low, up) + base.unsqueeze(0);
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
      by_type(low, [&](auto type) {
        using T = decltype(type);
        auto under = from.defined() ? numbers<T>(from) : nullptr;
        POLYPTYCH_BEST(rank_update<T>(under, numbers<T>(l), u, numbers_of<T>(o), begin, end, rank,
                                      width));
      });
    });
  }
  return out;
}

Tensor by_tasks(const Tensor &x, const Tensor &w) {
  if (!fits(x[0], w[0], {at::kFloat, at::kBFloat16})) return batched(x, w.transpose(1, 2));
  std::vector<Tensor> parts;
  for (int64_t task = 0; task < x.size(0); task++) parts.push_back(product(x[task], w[task]));
  return at::stack(parts);
}

Tensor gradients_by_tasks(const Tensor &g, const Tensor &x) {
  if (!fits(x[0], x[0], {at::kFloat, at::kBFloat16})) return batched(g.transpose(1, 2), x);
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
