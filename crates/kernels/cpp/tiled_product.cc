#include "polyptych-kernels/cpp/tiled_product.h"

#include "polyptych-kernels/cpp/loops.h"
#include "polyptych-kernels/cpp/types.h"

namespace polyptych {

namespace {

// Bytes of rows that stay in the last cache while all columns pass.
constexpr int64_t NEAR = 1 << 24;
// Where rows are widened before, bytes of them that stay in the second cache, unless these are so few
// rows that packing columns for each block takes longer.
constexpr int64_t NEAR_WIDENED = 1 << 20, FEW_WIDENED = 768;

// Rows of a block that stay near.
template <class Number>
int64_t most_rows(int64_t depth) {
  bool widens = sizeof(Number) == 2 && !pairs_rule(level());
  if (widens) return std::max<int64_t>(FEW_WIDENED, NEAR_WIDENED / (4 * depth));
  return std::max<int64_t>(1, NEAR / (static_cast<int64_t>(sizeof(Number)) * depth));
}

bool as_rows_or_columns(const Tensor &t) { return t.is_contiguous() || t.t().is_contiguous(); }

// Rows of one block: whole tiles, about `near` of them, and so few that each thread has work. Blocks
// are as long as each other: one of a few rows would cost as much packing as a whole one.
int64_t rows_of_block(int64_t count, int64_t near, int64_t panels) {
  auto blocks = std::max<int64_t>(1, count / near);
  int64_t threads = at::get_num_threads();
  auto shared = count / ((threads + panels - 1) / panels);
  auto each = std::min((count + blocks - 1) / blocks, shared);
  return up_to(std::max<int64_t>(1, each), POLYPTYCH_BEST(SUMS));
}

template <class Number>
Matrix<Number> matrix(const Tensor &t) {
  if (!t.defined()) return {nullptr, 0, 0, false};
  return {numbers<Number>(t), t.size(0), t.size(1), t.is_contiguous()};
}

const uint32_t *cells(const Tensor &panels) {
  return panels.defined() ? static_cast<const uint32_t *>(panels.const_data_ptr()) : nullptr;
}

template <class Number>
Tensor product_of(const Tensor &x, const Matrix<Number> &weight, const Tensor &packed,
                  const Epilogue &epilogue) {
  int64_t out = weight.out, in = weight.depth, count = x.numel() / in;
  auto shape = x.sizes().vec();
  shape.back() = out;
  auto to = at::empty(shape, x.options());
  auto bias = at::zeros({whole(out)}, x.options().dtype(at::kFloat));
  if (epilogue.bias.defined()) bias.narrow(0, 0, out).copy_(epilogue.bias);
  auto other = epilogue.other.defined() ? epilogue.other.contiguous() : Tensor();
  auto up = epilogue.up;
  if (up.defined() && !as_rows_or_columns(up)) up = up.contiguous();
  auto panels = (out + POLYPTYCH_BEST(TILE_COLUMNS) - 1) / POLYPTYCH_BEST(TILE_COLUMNS);
  auto block = rows_of_block(count, most_rows<Number>(in), panels);
  TiledProduct<Number> all{numbers<Number>(x),
                           epilogue.low.defined() ? numbers<Number>(epilogue.low) : nullptr,
                           weight,
                           matrix<Number>(up),
                           cells(packed),
                           floats(bias),
                           other.defined() ? numbers<Number>(other) : nullptr,
                           epilogue.gelu,
                           epilogue.mask,
                           numbers_of<Number>(to),
                           count,
                           block,
                           pairs_rule(level())};
  at::parallel_for(0, (count + block - 1) / block * panels, 1, [&](int64_t begin, int64_t end) {
    POLYPTYCH_BEST(product_parts<Number>(all, begin, end));
  });
  return to;
}

}  // namespace

bool tiles_fit(const Tensor &x, const Tensor &weight, const Tensor &low) {
  auto readable_rows = [&](const Tensor &t) {
    return readable(t) && t.scalar_type() == x.scalar_type() && t.numel() > 0;
  };
  if (!readable_rows(x) || traced() || !readable_rows(weight) || weight.dim() != 2) return false;
  if (low.defined() && (!readable_rows(low) || !low.is_contiguous())) return false;
  ProductShape shape{x.scalar_type() == at::kBFloat16, weight.size(1), weight.size(0),
                     low.defined() ? low.size(-1) : 0};
  return product_rule(level(), shape) == Product::tiles && x.is_contiguous() &&
         as_rows_or_columns(weight);
}

Tensor tiled_product(const Tensor &x, const Tensor &weight, const Epilogue &epilogue) {
  if (x.scalar_type() == at::kFloat) return product_of<float>(x, matrix<float>(weight), {}, epilogue);
  return product_of<uint16_t>(x, matrix<uint16_t>(weight), {}, epilogue);
}

Tensor tiled_product(const Tensor &x, const Packed &weight, const Epilogue &epilogue) {
  auto as_if = [&](auto number) {
    return Matrix<decltype(number)>{nullptr, weight.out, weight.in, true};
  };
  if (x.scalar_type() == at::kFloat) return product_of<float>(x, as_if(0.f), weight.panels, epilogue);
  return product_of<uint16_t>(x, as_if(uint16_t{}), weight.panels, epilogue);
}

int64_t packed_cell(const Tensor &weight) {
  if (!readable(weight) || weight.dim() != 2 || weight.numel() == 0) return 0;
  bool bf16 = weight.scalar_type() == at::kBFloat16;
  int64_t cell = bf16 ? 2 : 1;
  ProductShape shape{bf16, weight.size(1), weight.size(0), 0};
  bool tiles = product_rule(level(), shape) == Product::tiles && weight.size(1) % cell == 0;
  bool converts = bf16 && !pairs_rule(level());
  return tiles && !converts ? cell : 0;
}

}  // namespace polyptych
