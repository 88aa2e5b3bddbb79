#include "polyptych-kernels/cpp/cpu.h"

#include "polyptych-kernels/cpp/tensors.h"

#include <ATen/cpu/Utils.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

namespace polyptych {

namespace {

// Elsewhere LibTorch has products of bfloat16 for the processor at hand.
#ifdef POLYPTYCH_X86_LEVELS
constexpr bool ON_X86 = true;
#else
constexpr bool ON_X86 = false;
#endif

constexpr std::array<const char *, 5> WORDS = {"none", "avx2", "avx512", "avx512_bf16", "amx"};

// What loops are compiled for must be there as a whole.
bool has(Level wanted) {
#ifdef POLYPTYCH_X86_LEVELS
  switch (wanted) {
    case Level::none:
      return true;
    case Level::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    case Level::avx512:
      return has(Level::avx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case Level::avx512_bf16:
      return has(Level::avx512) && __builtin_cpu_supports("avx512bf16");
    // Tiles of AMX are oneDNN's, which asks the system for them as LibTorch does.
    case Level::amx:
      return has(Level::avx512_bf16) && __builtin_cpu_supports("amx-tile") &&
             __builtin_cpu_supports("amx-bf16") && at::cpu::init_amx();
  }
#endif
  return wanted == Level::none;
}

Level decided() {
  auto best = best_level();
  auto forced = std::getenv("POLYPTYCH_CPU");
  if (forced == nullptr || *forced == 0) return best;
  for (std::size_t i = 0; i < WORDS.size(); i++) {
    if (std::string_view(forced) != WORDS[i]) continue;
    TORCH_CHECK(has(static_cast<Level>(i)), "POLYPTYCH_CPU: expected what this processor has, \"",
                WORDS[static_cast<std::size_t>(best)], "\" at most, found \"", forced, "\"");
    return static_cast<Level>(i);
  }
  TORCH_CHECK(false, "POLYPTYCH_CPU: expected none, avx2, avx512, avx512_bf16 or amx, found \"",
              forced, "\"");
}

}  // namespace

Level best_level() {
  auto best = Level::none;
  for (auto next : {Level::avx2, Level::avx512, Level::avx512_bf16, Level::amx})
    if (has(next)) best = next;
  return best;
}

Level level() {
  static const Level chosen = decided();
  return chosen;
}

namespace {

// oneDNN is as quick for few columns and, in float32, for little depth, where a product does little
// but write; deeper panels leave the caches.
bool suits_tiles(const ProductShape &shape) {
  constexpr std::int64_t DEEP = 16, DEEP_IN_FLOATS = 32, DEEPEST = 4096, BROAD = 17;
  auto deep = shape.bf16 ? DEEP : DEEP_IN_FLOATS;
  return shape.width >= BROAD && shape.depth >= deep && shape.depth <= DEEPEST;
}

}  // namespace

Product product_rule(Level level, const ProductShape &shape) {
  auto otherwise = product_rule_without_tiles(level, shape.bf16);
  if (!suits_tiles(shape)) return otherwise;
  switch (level) {
    case Level::none:
      return otherwise;
    // Ten times as fast as LibTorch in bfloat16. In float32 oneDNN is as fast, and a product is then
    // the same with a low-rank term of 0 as without one.
    case Level::avx2:
      return shape.bf16 ? Product::tiles : otherwise;
    // Tiles would widen bfloat16 as oneDNN does.
    case Level::avx512:
      return shape.bf16 ? otherwise : Product::tiles;
    // Vectors multiply whole pairs.
    case Level::avx512_bf16:
      return !shape.bf16 || (shape.depth % 2 == 0 && shape.rank % 2 == 0) ? Product::tiles
                                                                          : otherwise;
    // oneDNN's tiles of AMX multiply three times as fast as vectors.
    case Level::amx:
      return shape.bf16 ? otherwise : Product::tiles;
  }
  return otherwise;
}

Product product_rule_without_tiles(Level level, bool bf16) {
  return ON_X86 && bf16 && level < Level::avx512 ? Product::onednn_in_floats : Product::onednn;
}

// Intel's vectors take two cycles for whole pairs, in which they do twice as much with floats.
bool pairs_rule(Level level) {
#ifdef POLYPTYCH_X86_LEVELS
  return level >= Level::avx512_bf16 && !__builtin_cpu_is("intel");
#else
  static_cast<void>(level);
  return false;
#endif
}

// Vectors that multiply bytes (VNNI) are in all processors with AVX-512 but the first, and tiles of
// AMX do eight times as much at once.
Bytes int8_rule(Level level) {
#ifdef POLYPTYCH_X86_LEVELS
  if (level == Level::amx && __builtin_cpu_supports("amx-int8")) return Bytes::amx;
  if (level >= Level::avx512 && __builtin_cpu_supports("avx512vnni")) return Bytes::vectors;
#endif
  static_cast<void>(level);
  return Bytes::floats;
}

// Up to so many tokens the matrices of a head stay near. In bfloat16 tiles of narrow vectors
// compute in float32, where LibTorch's products of bfloat16 take ten times as long.
Attending attention_rule(Level level, const AttentionShape &shape) {
  constexpr std::int64_t FEW = 256;
  if (!ON_X86) return Attending::products;
  if (shape.tokens > FEW || shape.width % (2 * lanes_of(level)) != 0) return Attending::products;
  bool tiles = shape.bf16 ? level != Level::avx512 : level != Level::none;
  return tiles ? Attending::tiles : Attending::products;
}

// Multiplications and additions beside those of W itself. n: rows, i: in, o: out, r: rank.
LowRankPlan low_rank_rule(const LowRankShape &shape) {
  double n = shape.rows, i = shape.in, o = shape.out, r = shape.rank;
  // Forward n r i and n r o, by A and by B; g B, n r o, and from there to x, n r i.
  double forward = n * r * (i + o), back = n * r * o + (shape.input_learns ? n * r * i : 0);
  // g^T x, which the weight's own gradient is too; from there to both factors.
  double full = (shape.weight_learns ? 0 : n * i * o) + 2 * i * o * r;
  double beside = forward + back + n * r * (i + o);
  double full_gradient = forward + (shape.input_learns ? back : 0) + full;
  double formed = i * o * r + full;
  if (shape.forms && formed < std::min(beside, full_gradient)) return LowRankPlan::formed;
  return full_gradient < beside ? LowRankPlan::full_gradient : LowRankPlan::beside;
}

// Smaller hidden layers are read from the caches as quickly as they are made, and the more numbers
// they are made of, the more it costs to make them again.
bool fused_head_rule(const HeadShape &shape) {
  constexpr std::int64_t NARROW = 64, NEAR = 1 << 21;
  return shape.in <= NARROW && shape.hidden >= NARROW && shape.pixels * shape.hidden >= NEAR;
}

// Loops of bfloat16 are half as quick beside products that are twice as quick.
bool rank_rule(bool bf16, std::int64_t rank) { return rank <= (bf16 ? 8 : 16); }

std::uint8_t best_instructions() { return static_cast<std::uint8_t>(best_level()); }
std::uint8_t instructions_in_use() { return static_cast<std::uint8_t>(level()); }

std::uint8_t product_by(std::uint8_t level, bool bf16, std::int64_t depth, std::int64_t width,
                        std::int64_t rank) {
  ProductShape shape{bf16, depth, width, rank};
  return static_cast<std::uint8_t>(product_rule(static_cast<Level>(level), shape));
}

std::uint8_t low_rank_plan(std::int64_t rows, std::int64_t in, std::int64_t out, std::int64_t rank,
                           bool forms, bool input_learns, bool weight_learns) {
  LowRankShape shape{rows, in, out, rank, forms, input_learns, weight_learns};
  return static_cast<std::uint8_t>(low_rank_rule(shape));
}

bool attention_in_tiles(std::uint8_t level, bool bf16, std::int64_t tokens, std::int64_t width) {
  AttentionShape shape{bf16, tokens, width};
  return attention_rule(static_cast<Level>(level), shape) == Attending::tiles;
}

bool tiles_of_pairs(std::uint8_t level) { return pairs_rule(static_cast<Level>(level)); }

std::uint8_t bytes_by(std::uint8_t level) {
  return static_cast<std::uint8_t>(int8_rule(static_cast<Level>(level)));
}

}  // namespace polyptych
