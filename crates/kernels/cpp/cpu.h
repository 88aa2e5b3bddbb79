// Which instructions this process uses, and what computes a product or attention with them: every
// rule by feature and shape.
#pragma once

#include <cstdint>
#include <string>

namespace polyptych {

// Kinds of instructions; each has what those before it have.
enum class Level : std::uint8_t { none, avx2, avx512, avx512_bf16, amx };

// The best that this processor has.
Level best_level();

// What POLYPTYCH_CPU says, or the best; decided once. Throws where the word is wrong or names what
// this processor lacks.
Level level();

// Numbers of float32 in a vector of `level`.
constexpr std::int64_t lanes_of(Level level) {
  return level >= Level::avx512 ? 16 : level == Level::avx2 ? 8 : 4;
}

// Who multiplies bytes: as floats, four at a time in vectors (VNNI), or in tiles of AMX.
enum class Bytes : std::uint8_t { floats, vectors, amx };
Bytes int8_rule(Level level);

// Shape of a product x W^T, or x W^T + low up^T: x [.., depth], W [width, depth], low [.., rank].
struct ProductShape {
  bool bf16;
  std::int64_t depth, width, rank;
};

// Who multiplies: tiles of ours, oneDNN with its own epilogues, or oneDNN in float32, where it has
// no bfloat16.
enum class Product : std::uint8_t { tiles, onednn, onednn_in_floats };
Product product_rule(Level level, const ProductShape &shape);
// The same of a product that tiles cannot read.
Product product_rule_without_tiles(Level level, bool bf16);

// Whether tiles multiply bfloat16 in pairs, and not as floats.
bool pairs_rule(Level level);

// Shape of attention among `tokens` in heads of `width` numbers.
struct AttentionShape {
  bool bf16;
  std::int64_t tokens, width;
};

// Who attends: tiles head by head, or products of all heads with a softmax between.
enum class Attending : std::uint8_t { tiles, products };
Attending attention_rule(Level level, const AttentionShape &shape);

// A linear map of `rows` rows with a low-rank one beside it, x W^T + x A^T B^T, forward and back.
struct LowRankShape {
  std::int64_t rows, in, out, rank;
  // Whether factors may be added to the weight in the type of x: not in bfloat16, which has no room
  // for them beside it.
  bool forms;
  // Whether gradients by x and by W are asked for.
  bool input_learns, weight_learns;
};

// How it is computed: with x A^T and everything behind it beside W; with factors beside W, and
// their gradients from g^T x of full width; or with W + B A alone, both ways.
enum class LowRankPlan : std::uint8_t { beside, full_gradient, formed };
// That of the fewest operations.
LowRankPlan low_rank_rule(const LowRankShape &shape);

// Pixels of a head's maps, numbers of each before its hidden layer, and channels of that.
struct HeadShape {
  std::int64_t pixels, in, hidden;
};

// Whether a head makes its hidden layer in the caches, as often as it is read, instead of once in
// memory.
bool fused_head_rule(const HeadShape &shape);

// Whether loops over rows beat products for terms of this rank.
bool rank_rule(bool bf16, std::int64_t rank);

}  // namespace polyptych
