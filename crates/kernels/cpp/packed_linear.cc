#include "polyptych-kernels/cpp/checks.h"
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/panels.h"
#include "polyptych-kernels/cpp/tiled_product.h"

namespace polyptych {

namespace {

int64_t cell_of(const Tensor &panels) {
  return panels.scalar_type() == at::kBFloat16 ? 2 : 1;
}

Tensor unpacked(const Packed &weight) {
  return from_panels(weight.panels, weight.out, weight.in, POLYPTYCH_BEST(TILE_COLUMNS),
                     cell_of(weight.panels), weight.in);
}

void check_panels(const char *op, const Packed &weight) {
  auto &panels = weight.panels;
  TORCH_CHECK(panels.dim() == 1 && panels.numel() == whole(weight.out) * weight.in, op,
              ": expected a weight [", weight.out, ", ", weight.in, "] in panels, found ",
              panels.sizes());
}

}  // namespace

Owned pack_linear(const Tensor &weight) {
  auto cell = packed_cell(weight);
  if (cell == 0) return nullptr;
  return owned(to_panels(weight.detach(), POLYPTYCH_BEST(TILE_COLUMNS), cell, weight.size(1)));
}

Owned unpack_linear(const Tensor &panels, int64_t out, int64_t in) {
  Packed weight{panels, out, in};
  check_panels("unpack_linear", weight);
  return owned(unpacked(weight));
}

Owned packed_linear(const Tensor &x, const Tensor &panels, int64_t out, int64_t in,
                    const Tensor &bias, bool gelu) {
  Packed weight{panels, out, in};
  check_panels("packed_linear", weight);
  TORCH_CHECK(x.dim() > 0 && x.size(-1) == in, "packed_linear: expected x [.., ", in, "], found ",
              x.sizes());
  TORCH_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == out),
              "packed_linear: expected bias [", out, "], found ", bias.sizes());
  bool direct = readable(x) && x.scalar_type() == panels.scalar_type() && x.numel() > 0 &&
                !traced() && !learns({&x, &bias});
  if (direct) return owned(tiled_product(x.contiguous(), weight, {bias, {}, gelu}));
  auto matrix = unpacked(weight).to(x.scalar_type());
  return gelu ? linear_gelu(x, matrix, bias) : linear(x, matrix, bias);
}

}  // namespace polyptych
