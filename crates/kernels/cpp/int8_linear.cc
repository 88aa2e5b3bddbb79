#include "polyptych-kernels/cpp/checks.h"
#include "polyptych-kernels/cpp/gelu.h"
#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/panels.h"
#include "polyptych-kernels/cpp/product.h"
#include "polyptych-kernels/cpp/types.h"

namespace polyptych {

namespace {

// Numbers of 8 bits in a cell of 32.
constexpr int64_t QUAD = 4;
constexpr int64_t LEAST_BYTE = -127, MOST_BYTE = 127, MOST_INPUT = 255;
// So many products of bytes a sum of 32 bits holds.
constexpr int64_t DEEPEST_INT8 = std::numeric_limits<int32_t>::max() / (255 * 128);

// A linear map whose matrix is of int8: W = matrix * weight_scale, row by row. The matrix is
// [out, in], or what `pack_int8` made of it.
struct Int8Linear {
  Tensor matrix, weight_scale, bias;
  int64_t out, in;
  Int8Row input;
  bool per_token, gelu;
};

bool is_packed(const Tensor &matrix) { return matrix.dim() == 1; }

bool in_amx() { return int8_rule(level()) == Bytes::amx; }

// Depth as products read it, in whole cells, or whole rows of a tile of AMX.
int64_t depth_of(int64_t in) {
  constexpr int64_t AMX_STEP = 64;
  return up_to(in, in_amx() ? AMX_STEP : QUAD);
}

#ifdef POLYPTYCH_X86_LEVELS

constexpr int64_t PANEL = avx512::TILE_COLUMNS;

// Panels of columns of W, and the sum of each column behind them.
Tensor pack(const Tensor &weight) {
  auto panels = to_panels(weight, PANEL, QUAD, depth_of(weight.size(1)));
  auto sums = at::zeros({whole(weight.size(0))}, at::dtype(at::kInt));
  sums.narrow(0, 0, weight.size(0)).copy_(weight.sum(1, false, at::kInt));
  return at::cat({panels, sums.view(at::kChar)});
}

// W of its panels.
Tensor unpack(const Tensor &packed, int64_t out, int64_t in) {
  return from_panels(packed, out, in, PANEL, QUAD, depth_of(in));
}

#endif

// The matrix [out, in].
Tensor matrix_of(const Int8Linear &of) {
#ifdef POLYPTYCH_X86_LEVELS
  if (is_packed(of.matrix)) return unpack(of.matrix, of.out, of.in);
#endif
  return of.matrix;
}

// Bytes of a row of input for each row of x, as floats with the zero point taken off; and scales.
std::pair<Tensor, Tensor> bytes_as_floats(const Tensor &x, const Int8Linear &of) {
  auto scale = at::full({1}, of.input.scale, x.options());
  auto zero = at::full({1}, of.input.zero_point, x.options());
  if (of.per_token) {
    auto least = x.amin(-1, true).clamp_max(0), most = x.amax(-1, true).clamp_min(0);
    scale = (most - least) / MOST_INPUT;
    scale = at::where(scale == 0, at::ones_like(scale), scale);
    zero = (-least / scale).round().clamp_max(MOST_INPUT);
  }
  return {((x * scale.reciprocal()).round() + zero).clamp(0, MOST_INPUT) - zero, scale};
}

// What products of bytes come to, in floats.
Tensor as_floats(const Tensor &x, const Int8Linear &of) {
  auto [bytes, scale] = bytes_as_floats(x.to(at::kFloat), of);
  auto weight = matrix_of(of).to(at::kFloat);
  auto sums = fits(bytes, weight, {at::kFloat}) ? product(bytes, weight) : at::linear(bytes, weight);
  auto out = sums * scale * of.weight_scale;
  if (of.bias.defined()) out = out + of.bias.to(at::kFloat);
  return (of.gelu ? at::gelu(out) : out).to(x.scalar_type());
}

// In a trace: numbers that are rounded to bytes and back, of which readers make bytes again, always
// by the range that is known before. The matrix is a constant of the trace as a whole.
Tensor in_trace(const Tensor &x, const Int8Linear &of) {
  Tensor weight, zeros;
  {
    at::tracer::impl::NoTracerDispatchMode guard;
    weight = (matrix_of(of).to(at::kFloat) * of.weight_scale.unsqueeze(1)).t().contiguous();
    zeros = at::zeros(of.weight_scale.sizes(), of.weight_scale.options().dtype(at::kInt));
  }
  auto rounded = at::fake_quantize_per_tensor_affine(x, static_cast<double>(of.input.scale),
                                                     of.input.zero_point, 0, MOST_INPUT);
  auto matrix = at::fake_quantize_per_channel_affine(weight, of.weight_scale, zeros, 1, LEAST_BYTE,
                                                     MOST_BYTE);
  auto out = at::matmul(rounded, matrix);
  if (of.bias.defined()) out = out + of.bias;
  return of.gelu ? at::gelu(out) : out;
}

bool packs(const Tensor &weight) {
  return weight.is_cpu() && int8_rule(level()) != Bytes::floats && weight.numel() > 0 &&
         weight.size(1) <= DEEPEST_INT8;
}

#ifdef POLYPTYCH_X86_LEVELS

Tensor padded_floats(const Tensor &x, int64_t count) {
  auto out = at::zeros({whole(count)}, at::dtype(at::kFloat));
  if (x.defined()) out.narrow(0, 0, count).copy_(x);
  return out;
}

// Rows of one block: so few that each thread has work, and their bytes stay near.
int64_t int8_block(int64_t count, int64_t depth, int64_t panels) {
  constexpr int64_t NEAR = 1 << 20;
  int64_t threads = at::get_num_threads(), shared = count / ((threads + panels - 1) / panels);
  auto tile = in_amx() ? 2 * avx512::AMX_ROWS : static_cast<int64_t>(avx512::SUMS);
  return up_to(std::max<int64_t>(1, std::min(NEAR / depth, shared)), tile);
}

template <class Number>
Tensor in_tiles(const Tensor &x, const Int8Linear &of) {
  int64_t out = of.out, in = of.in, count = x.numel() / in;
  int64_t depth = depth_of(in), panels = (out + PANEL - 1) / PANEL;
  auto shape = x.sizes().vec();
  shape.back() = out;
  auto to = at::empty(shape, x.options());
  auto room = at::empty({up_to(count, avx512::AMX_ROWS), depth}, at::dtype(at::kByte));
  auto scales = at::empty({count}, at::dtype(at::kFloat));
  auto zero_points = at::empty({count}, at::dtype(at::kInt));
  auto weight_scales = padded_floats(of.weight_scale, out), bias = padded_floats(of.bias, out);
  auto columns = of.matrix.const_data_ptr<int8_t>();
  Int8Product<Number> all{numbers<Number>(x),
                          count,
                          in,
                          depth,
                          out,
                          int8_block(count, depth, panels),
                          of.per_token,
                          of.input,
                          reinterpret_cast<const uint32_t *>(columns),
                          reinterpret_cast<const int32_t *>(columns + whole(out) * depth),
                          floats(weight_scales),
                          floats(bias),
                          of.gelu,
                          room.data_ptr<uint8_t>(),
                          floats_of(scales),
                          zero_points.data_ptr<int32_t>(),
                          numbers_of<Number>(to)};
  at::parallel_for(0, count, std::max<int64_t>(1, GRAIN / in), [&](int64_t begin, int64_t end) {
    avx512::quantize_rows<Number>(all, begin, end);
  });
  int64_t blocks = (count + all.block - 1) / all.block;
  at::parallel_for(0, blocks * panels, 1, [&](int64_t begin, int64_t end) {
    in_amx() ? avx512::amx_parts<Number>(all, begin, end)
             : avx512::int8_parts<Number>(all, begin, end);
  });
  return to;
}

#endif

Tensor int8_of(const Tensor &x, const Int8Linear &of) {
  if (traced()) return in_trace(x, of);
#ifdef POLYPTYCH_X86_LEVELS
  if (is_packed(of.matrix) && readable(x) && x.numel() > 0) {
    auto rows = x.contiguous();
    return x.scalar_type() == at::kFloat ? in_tiles<float>(rows, of) : in_tiles<uint16_t>(rows, of);
  }
#endif
  return as_floats(x, of);
}

// Refuses what is neither int8 [out, in] nor packed of that.
void check_matrix(const char *op, const Tensor &matrix, int64_t out, int64_t in) {
  bool fits = matrix.dim() == 2 && matrix.size(0) == out && matrix.size(1) == in;
  int64_t depth = depth_of(in) + static_cast<int64_t>(sizeof(int32_t));
  bool packed = is_packed(matrix) && matrix.numel() == whole(out) * depth;
  TORCH_CHECK(matrix.scalar_type() == at::kChar && (fits || packed), op, ": expected int8 [", out, ", ",
              in, "], plain or packed, found ", matrix.toString(), " ", matrix.sizes());
}

}  // namespace

Owned pack_int8(const Tensor &weight) {
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == at::kChar,
              "pack_int8: expected int8 [out, in], found ", weight.toString(), " ", weight.sizes());
#ifdef POLYPTYCH_X86_LEVELS
  if (packs(weight)) return owned(pack(weight));
#endif
  return nullptr;
}

Owned unpack_int8(const Tensor &packed, int64_t out, int64_t in) {
  check_matrix("unpack_int8", packed, out, in);
#ifdef POLYPTYCH_X86_LEVELS
  if (is_packed(packed)) return owned(unpack(packed, out, in));
#endif
  return owned(packed);
}

Owned int8_linear(const Tensor &x, const Tensor &matrix, int64_t in, const Tensor &weight_scale,
                  const Tensor &bias, double input_scale, int64_t input_zero_point, bool per_token,
                  bool gelu) {
  TORCH_CHECK(weight_scale.dim() == 1 && weight_scale.scalar_type() == at::kFloat,
              "int8_linear: expected a float32 scale for each row of the weight, found ",
              weight_scale.toString(), " ", weight_scale.sizes());
  int64_t out = weight_scale.size(0);
  check_matrix("int8_linear", matrix, out, in);
  TORCH_CHECK(x.dim() > 0 && x.size(-1) == in, "int8_linear: expected x [.., in] and weight [out, in],"
              " found ", x.sizes(), " and [", out, ", ", in, "]");
  TORCH_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == out),
              "int8_linear: expected bias [", out, "], found ", bias.sizes());
  TORCH_CHECK(0 <= input_zero_point && input_zero_point <= MOST_INPUT && input_scale > 0,
              "int8_linear: expected a positive scale and a zero point from 0 to 255, found ",
              input_scale, " and ", input_zero_point);
  Int8Row input{static_cast<float>(input_scale), static_cast<int32_t>(input_zero_point)};
  return owned(int8_of(x, {matrix, weight_scale, bias, out, in, input, per_token, gelu}));
}

}  // namespace polyptych
