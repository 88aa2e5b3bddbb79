// The last layers of a head, of maps whose channels come last: two linear layers with a batch
// normalisation and a ReLU between them, of which the first also reads resized coarse maps. The
// hidden layer is never in memory: forward, it is made once for its moments and once for the output;
// back, once for sums and once for gradients.
#include "polyptych-kernels/cpp/checks.h"
#include "polyptych-kernels/cpp/cpu.h"
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/prepared_head.h"

namespace polyptych {

namespace {

// Mean and variance of the hidden layer without its bias, in float32: those of parts joined (Chan et
// al., 1979), which stay exact far from 0.
template <class T>
std::pair<Tensor, Tensor> head_moments_of(const Prepared<T> &from, int64_t images) {
  auto &all = from.all;
  auto centres = at::zeros({images, all.line}, at::kFloat);
  auto sums = at::zeros({images, all.blocks(), 2, all.block}, at::kDouble);
  from.by_parts(images, from.lines(), [&](HeadPart part, int64_t i, float *room) {
    POLYPTYCH_BEST(head_moments<T>(all, part, room, floats_of(centres) + i * all.block,
                                   doubles_of(sums) + 2 * i * all.block));
  });
  auto count = static_cast<double>(all.pixels());
  auto apart = sums.select(2, 0).reshape({images, all.line}) / count;
  auto squares = sums.select(2, 1).reshape({images, all.line}) - apart * apart * count;
  auto means = centres.to(at::kDouble) + apart;
  auto mean = means.mean(0);
  auto var = squares.sum(0) / (count * images) + (means - mean).square().mean(0);
  auto own = [&](const Tensor &t) { return t.narrow(0, 0, all.hidden).to(at::kFloat); };
  return {own(mean), own(var.clamp_min(0))};
}

// [batch, height, width, out] in the type of x.
template <class T>
Tensor head_output_of(const Prepared<T> &from, const Tensor &x, const Tensor &bias) {
  auto &all = from.all;
  auto images = x.size(0), line = whole(all.out);
  auto parts = at::empty({images, all.blocks(), all.pixels(), line}, at::kFloat);
  auto room = all.strip_numbers() + from.lines();
  from.by_parts(images, room, [&](HeadPart part, int64_t i, float *own) {
    POLYPTYCH_BEST(head_output<T>(all, part, own, floats_of(parts) + i * all.pixels() * line));
  });
  auto sum = parts.sum(1).narrow(2, 0, all.out) + bias.to(at::kFloat);
  return sum.to(x.scalar_type()).view({images, all.height, all.width, all.out});
}

struct NormGradients {
  Tensor weight, bias, second;
};

// Gradients by the normalisation's scale and shift, and by the second layer's weight.
template <class T>
NormGradients norm_gradients(const Prepared<T> &from, const Tensor &g, const Tensor &inverse) {
  auto &all = from.all;
  auto images = g.size(0);
  auto sums = at::zeros({images, all.blocks(), 2, all.block}, at::kDouble);
  auto second = at::zeros({images, all.blocks(), all.out, all.block}, at::kFloat);
  auto room = 2 * all.strip_numbers() + from.lines();
  from.by_parts(images, room, [&](HeadPart part, int64_t i, float *own) {
    POLYPTYCH_BEST(head_sums<T>(all, part, floats(g), own,
                                doubles_of(sums) + 2 * i * all.block,
                                floats_of(second) + i * all.out * all.block));
  });
  auto both = sums.sum(0).transpose(0, 1).reshape({2, all.line}).narrow(1, 0, all.hidden);
  auto by_rows = second.sum(0).transpose(0, 1).reshape({all.out, all.line});
  return {(both[1] * inverse).to(at::kFloat), both[0].to(at::kFloat),
          by_rows.narrow(1, 0, all.hidden)};
}

struct FirstGradients {
  Tensor x, weight;
};

// Gradients by x and by the first layer's weight; those of coarse maps are written to `out`.
template <class T>
FirstGradients first_gradients(const Prepared<T> &from, const Tensor &g, const Tensor &flat,
                               const Tensor &slope, const variable_list &out) {
  auto &all = from.all;
  auto images = g.size(0), line = whole(all.in);
  auto x = at::empty({images, all.blocks(), all.pixels(), line}, at::kFloat);
  auto weight = at::zeros({images, all.blocks(), all.in, all.block}, at::kFloat);
  std::vector<Coarse<T>> sides;
  int64_t positions = 0;
  for (auto &map : out) {
    if (!map.defined()) continue;
    sides.push_back({numbers_of<T>(map), map.size(1), map.size(2),
                     resizing(map.size(1), all.height), resizing_back(map.size(2), all.width)});
    positions += 2 * map.size(2);
  }
  auto flats = filled(flat, all.line), slopes = filled(slope, all.line);
  auto room = all.strip_numbers() + from.lines();
  from.by_parts(images, room + positions * all.block, [&](HeadPart part, int64_t i, float *own) {
    HeadGradients<T> to{floats(g), floats(flats), floats(slopes), sides,
                        floats_of(x) + i * all.pixels() * line,
                        floats_of(weight) + i * all.in * all.block};
    POLYPTYCH_BEST(head_gradients<T>(all, part, to, own, own + room));
  });
  auto by_rows = weight.sum(0).transpose(0, 1).reshape({all.in, all.line});
  return {x.sum(1).narrow(2, 0, all.in), by_rows.narrow(1, 0, all.hidden).t()};
}

struct FusedHeadLayers : Function<FusedHeadLayers> {
  // mean: of the hidden layer without its bias.
  static Tensor forward(AutogradContext *ctx, at::TensorList coarse, const Tensor &x,
                        const Tensor &weight, const std::optional<Tensor> &bias,
                        const Tensor &norm_weight, const Tensor &norm_bias, const Tensor &second,
                        const Tensor &second_bias, const Tensor &mean, const Tensor &inverse) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto gain = norm_weight * inverse;
    HeadWeights weights{weight, second, gain, norm_bias - mean * gain, mean};
    variable_list kept{x, weight, second, gain, weights.shift, mean, inverse};
    kept.insert(kept.end(), coarse.begin(), coarse.end());
    ctx->save_for_backward(kept);
    ctx->saved_data["bias"] = bias.has_value();
    Tensor out;
    by_type(x, [&](auto type) {
      Prepared<decltype(type)> from(x, coarse.vec(), weights);
      out = head_output_of(from, x, second_bias);
    });
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    auto saved = ctx->get_saved_variables();
    auto &x = saved[0], &gain = saved[3], &inverse = saved[6];
    HeadWeights weights{saved[1], saved[2], gain, saved[4], saved[5]};
    variable_list coarse(saved.begin() + 7, saved.end()), out(coarse.size());
    for (size_t l = 0; l < coarse.size(); l++)
      if (ctx->needs_input_grad(l)) out[l] = at::empty_like(coarse[l]);
    auto g = grads[0].to(at::kFloat).contiguous();
    auto count = static_cast<double>(x.numel() / x.size(3));
    NormGradients norm;
    FirstGradients first;
    by_type(x, [&](auto type) {
      using T = decltype(type);
      Prepared<T> from(x, coarse, weights);
      norm = norm_gradients(from, g, inverse);
      auto flat = gain * norm.bias / count, slope = gain * inverse * norm.weight / count;
      first = first_gradients(from, g, flat, slope, out);
    });
    // What is added to all pixels leaves with their mean.
    auto bias = ctx->saved_data["bias"].toBool() ? at::zeros_like(gain) : Tensor();
    out.insert(out.end(), {first.x.reshape(x.sizes()).to(x.scalar_type()),
                           first.weight.to(x.scalar_type()), as(bias, x), norm.weight, norm.bias,
                           norm.second.to(x.scalar_type()), g.sum({0, 1, 2}, false, at::kDouble).to(x.scalar_type()),
                           Tensor(), Tensor()});
    return out;
  }

 private:
  static Tensor as(const Tensor &t, const Tensor &x) {
    return t.defined() ? t.to(x.scalar_type()) : t;
  }
};

Tensor plain_head(const HeadInputs &from, const HeadNorm &norm, bool train) {
  auto hidden = linear(from.x, from.weight, from.bias);
  if (!from.coarse.empty())
    hidden = upsample(from.coarse, *hidden, from.x.size(1), from.x.size(2));
  auto normed = batch_norm_relu(hidden->flatten(0, 2), norm.weight, norm.bias, norm.running_mean,
                                norm.running_var, norm.momentum, norm.eps, train);
  return *linear(normed->view(hidden->sizes()), from.second, from.second_bias);
}

bool head_fits(const HeadInputs &from, const HeadNorm &norm, bool train, bool always) {
  auto &x = from.x;
  bool same = readable(x) && x.numel() > 0 && !traced();
  for (auto t : {&from.weight, &from.second, &from.second_bias})
    same = same && t->scalar_type() == x.scalar_type() && t->is_cpu();
  bool learn = learns({&x, &from.weight, &from.second, &norm.weight, &norm.bias});
  for (auto &map : from.coarse) {
    same = same && map.scalar_type() == x.scalar_type() && map.is_cpu() && map.numel() > 0;
    learn = learn || learns({&map});
  }
  for (auto t : {&norm.weight, &norm.bias, &norm.running_mean, &norm.running_var})
    same = same && t->scalar_type() == at::kFloat;
  // With known statistics the layers hand gradients on one by one.
  return same && (train || !learn) &&
         (always || fused_head_rule({x.numel() / x.size(3), x.size(3), from.weight.size(0)}));
}

// Mean of the hidden layer without its bias and inverse deviation; in training those of the batch,
// which move the running ones.
std::pair<Tensor, Tensor> statistics(const HeadInputs &from, const HeadNorm &norm, bool train) {
  at::NoGradGuard guard;
  auto bias = from.bias.defined() ? from.bias.to(at::kFloat) : at::zeros_like(norm.running_mean);
  if (!train) return {norm.running_mean - bias, (norm.running_var + norm.eps).rsqrt_()};
  auto zeros = at::zeros_like(norm.weight);
  HeadWeights weights{from.weight, from.second, zeros, zeros, zeros};
  Tensor mean, var;
  by_type(from.x, [&](auto type) {
    Prepared<decltype(type)> prepared(from.x, from.coarse, weights);
    std::tie(mean, var) = head_moments_of(prepared, from.x.size(0));
  });
  auto count = static_cast<double>(from.x.numel() / from.x.size(3));
  Tensor(norm.running_mean).mul_(1 - norm.momentum).add_(mean + bias, norm.momentum);
  Tensor(norm.running_var).mul_(1 - norm.momentum).add_(var, norm.momentum * count / (count - 1));
  return {mean, (var + norm.eps).rsqrt_()};
}

void check(const HeadInputs &from, const HeadNorm &norm) {
  auto &x = from.x;
  TORCH_CHECK(x.dim() == 4, "fused_head: expected x [batch, height, width, in], found ", x.sizes());
  check_linear("fused_head", x, from.weight, from.bias);
  auto hidden = from.weight.size(0);
  for (auto &map : from.coarse)
    TORCH_CHECK(map.dim() == 4 && map.size(0) == x.size(0) && map.size(3) == hidden,
                "fused_head: expected maps [", x.size(0), ", h, w, ", hidden, "], found ",
                map.sizes());
  for (auto t : {&norm.weight, &norm.bias, &norm.running_mean, &norm.running_var})
    TORCH_CHECK(t->dim() == 1 && t->size(0) == hidden, "fused_head: expected parameters [", hidden,
                "], found ", t->sizes());
  TORCH_CHECK(from.second.size(1) == hidden, "fused_head: expected a second weight [out, ",
              hidden, "], found ", from.second.sizes());
  TORCH_CHECK(from.second_bias.dim() == 1 && from.second_bias.size(0) == from.second.size(0),
              "fused_head: expected a second bias [", from.second.size(0), "], found ",
              from.second_bias.sizes());
}

}  // namespace

Owned fused_head(const Tensor &x, const Tensors &coarse, const Tensors &layers,
                 const Tensors &norm_tensors, double momentum, double eps, bool train, bool always) {
  TORCH_CHECK(layers.size() == 4 && norm_tensors.size() == 4,
              "fused_head: expected four tensors of layers and of a norm, found ", layers.size(),
              " and ", norm_tensors.size());
  auto &weight = layers[0], &bias = layers[1], &second = layers[2];
  TORCH_CHECK(second.dim() == 2, "fused_head: expected a second weight [out, hidden], found ",
              second.sizes());
  auto shift = layers[3].defined() ? layers[3] : at::zeros({second.size(0)}, second.options());
  HeadInputs from{x, {}, weight, bias, second, shift};
  for (auto &map : coarse) from.coarse.push_back(map.contiguous());
  HeadNorm norm{norm_tensors[0], norm_tensors[1], norm_tensors[2], norm_tensors[3], momentum, eps};
  check(from, norm);
  if (!head_fits(from, norm, train, always)) return owned(plain_head(from, norm, train));
  auto [mean, inverse] = statistics(from, norm, train);
  return owned(FusedHeadLayers::apply(at::TensorList(from.coarse), x, weight, some(bias), norm.weight,
                                      norm.bias, second, shift, mean, inverse));
}

}  // namespace polyptych
