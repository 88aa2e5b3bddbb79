// Attention of one head among few tokens, from its queries, keys and values to its output and back
// within the first caches.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Rows in whole tiles, and keys in whole vectors.
POLYPTYCH_INLINE int64_t rows_of(const Head &head) { return up_to(head.tokens, TILE); }
POLYPTYCH_INLINE int64_t keys_of(const Head &head) { return up_to(rows_of(head), ACROSS); }

// Room for one head. Lines behind the tokens hold zeros.
template <class Cell>
struct Room {
  using Kept = typename Cell::Kept;

  std::vector<float> scores, slopes, bias, bias_gradient;
  std::vector<Kept> probabilities, gradient;
  std::vector<uint32_t> q, q_stacked, k, k_stacked, v, v_stacked, g, g_stacked, stacked;

  Room(const Head &head, bool backward) {
    auto square = rows_of(head) * keys_of(head), tile = TILE * keys_of(head);
    auto cells = head.width * keys_of(head);
    bias.resize(square), scores.resize(tile), probabilities.resize(square);
    for (auto matrix : {&q, &k, &v_stacked}) matrix->resize(cells);
    if (!backward) return;
    bias_gradient.resize(square), slopes.resize(tile), gradient.resize(square);
    for (auto matrix : {&v, &g, &q_stacked, &k_stacked, &g_stacked}) matrix->resize(cells);
    stacked.resize(square);
  }
};

template <class Cell>
POLYPTYCH_INLINE int64_t cells_of(int64_t numbers) {
  return (numbers + Cell::COUNT - 1) / Cell::COUNT;
}

// TILE rows of q k^T.
template <class Cell>
POLYPTYCH_INLINE void scores_of(const uint32_t *q, const uint32_t *k, const Head &head, float *to) {
  auto cells = cells_of<Cell>(head.width), keys = keys_of(head);
  for (int64_t j = 0; j < keys; j += ACROSS) {
    Vec tile[TILE][2];
    clear(tile);
    multiply<Cell>({q, cells, 1}, k + j, keys, cells, tile);
#pragma GCC unroll 8
    for (int64_t r = 0; r < TILE; r++) {
      store_vec(tile[r][0], to + r * keys + j);
      store_vec(tile[r][1], to + r * keys + j + VEC);
    }
  }
}

// Rows `first` and following of left right, times a factor each, to lines of numbers.
template <class Cell>
POLYPTYCH_INLINE void mixed_of(Left left, const uint32_t *right, const Head &head, int64_t first,
                               const float *factors, typename Cell::Number *to, int64_t line) {
  for (int64_t j = 0; j < head.width; j += ACROSS) {
    Vec tile[TILE][2];
    clear(tile);
    multiply<Cell>(left, right + j, head.width, cells_of<Cell>(head.tokens), tile);
#pragma GCC unroll 8
    for (int64_t r = 0; r < TILE; r++)
      if (first + r < head.tokens) {
        auto row = to + (first + r) * line + j;
        Cell::store(tile[r][0] * factors[r], row);
        Cell::store(tile[r][1] * factors[r], row + VEC);
      }
  }
}

template <int APART, int... LANE>
POLYPTYCH_INLINE Vec turned(Vec x, std::integer_sequence<int, LANE...>) {
  return __builtin_shufflevector(x, x, (LANE ^ APART)...);
}

template <int APART>
POLYPTYCH_INLINE Vec turned(Vec x) {
  return turned<APART>(x, std::make_integer_sequence<int, VEC>());
}

POLYPTYCH_INLINE Vec larger(Vec a, Vec b) { return a < b ? b : a; }

// In every lane what all lanes have.
POLYPTYCH_INLINE Vec all_larger(Vec x) {
  if constexpr (VEC > 8) x = larger(x, turned<8>(x));
  if constexpr (VEC > 4) x = larger(x, turned<4>(x));
  x = larger(x, turned<2>(x));
  return larger(x, turned<1>(x));
}
POLYPTYCH_INLINE Vec all_sum(Vec x) {
  if constexpr (VEC > 8) x += turned<8>(x);
  if constexpr (VEC > 4) x += turned<4>(x);
  x += turned<2>(x);
  return x + turned<1>(x);
}

// A tile's rows go side by side: each waits for its own last step, not for the others.
#define POLYPTYCH_ROWS _Pragma("GCC unroll 8") for (int64_t r = 0; r < TILE; r++)

// A tile of scores to e^(scale score + bias - top).
template <class Cell>
POLYPTYCH_INLINE void raise(float *scores, const float *bias, int64_t bias_line, float scale,
                            int64_t keys, typename Cell::Kept *to, Top (&kept)[TILE]) {
  Vec tops[TILE], sums[TILE];
  POLYPTYCH_ROWS tops[r] = splat(-std::numeric_limits<float>::max()), sums[r] = Vec{};
  for (int64_t j = 0; j < keys; j += VEC) POLYPTYCH_ROWS {
      Vec x = load_vec(scores + r * keys + j) * scale + load_vec(bias + r * bias_line + j);
      store_vec(x, scores + r * keys + j);
      tops[r] = larger(tops[r], x);
    }
  POLYPTYCH_ROWS tops[r] = all_larger(tops[r]);
  for (int64_t j = 0; j < keys; j += VEC) POLYPTYCH_ROWS {
      Vec e = exp(load_vec(scores + r * keys + j) - tops[r]);
      sums[r] += e;
      Cell::store(e, to + r * keys + j);
    }
  POLYPTYCH_ROWS kept[r] = {tops[r][0], 1.0f / all_sum(sums[r])[0]};
}

// qkv, out: those of a head's first token; kept: one for each token.
template <class Cell>
POLYPTYCH_INLINE void attend(const typename Cell::Number *qkv, const Head &head, Room<Cell> &room,
                             int64_t bias_line, typename Cell::Number *out, Top *kept) {
  auto cells = cells_of<Cell>(head.width), keys = keys_of(head);
  copy_lines<Cell>(qkv, head.line, head.tokens, cells, room.q.data());
  copy_columns<Cell>(qkv + head.part, head.line, head.tokens, cells, keys, room.k.data());
  copy_stacked<Cell>(qkv + 2 * head.part, head.line, head.tokens, head.width,
                     room.v_stacked.data());
  auto probabilities = reinterpret_cast<const uint32_t *>(room.probabilities.data());
  for (int64_t first = 0; first < head.tokens; first += TILE) {
    Top tops[TILE];
    float factors[TILE];
    scores_of<Cell>(room.q.data() + first * cells, room.k.data(), head, room.scores.data());
    raise<Cell>(room.scores.data(), room.bias.data() + first * bias_line, bias_line, head.scale(),
                keys, room.probabilities.data(), tops);
    POLYPTYCH_ROWS factors[r] = tops[r].inverse;
    std::copy(tops, tops + std::min(TILE, head.tokens - first), kept + first);
    mixed_of<Cell>({probabilities, cells_of<Cell>(keys), 1}, room.v_stacked.data(), head, first,
                   factors, out, head.out_line);
  }
}

// Tiles of scores and of the gradients by probabilities to probabilities and the gradients by what
// the softmax reads, which are added to that of the bias.
template <class Cell>
POLYPTYCH_INLINE void lower(float *scores, const float *slopes, const float *bias,
                            int64_t bias_line, float scale, int64_t keys, const Top (&kept)[TILE],
                            typename Cell::Kept *probabilities, typename Cell::Kept *gradient,
                            float *bias_gradient) {
  Vec means[TILE];
  POLYPTYCH_ROWS means[r] = Vec{};
  for (int64_t j = 0; j < keys; j += VEC) POLYPTYCH_ROWS {
      auto at = r * keys + j;
      Vec x = load_vec(scores + at) * scale + load_vec(bias + r * bias_line + j);
      Vec p = exp(x - kept[r].top) * kept[r].inverse;
      means[r] += p * load_vec(slopes + at);
      store_vec(p, scores + at);
      Cell::store(p, probabilities + at);
    }
  POLYPTYCH_ROWS means[r] = all_sum(means[r]);
  for (int64_t j = 0; j < keys; j += VEC) POLYPTYCH_ROWS {
      auto at = r * keys + j;
      Vec by = load_vec(scores + at) * (load_vec(slopes + at) - means[r]);
      Cell::store(by, gradient + at);
      if (bias_line > 0) store_vec(load_vec(bias_gradient + at) + by, bias_gradient + at);
    }
}

// left^T right over tokens, for every key.
template <class Cell>
POLYPTYCH_INLINE void gathered(typename Cell::Kept *left, const uint32_t *right, const Head &head,
                               float factor, Room<Cell> &room, typename Cell::Number *to) {
  auto keys = keys_of(head);
  auto cells = reinterpret_cast<const uint32_t *>(left);
  if constexpr (Cell::COUNT > 1) {
    copy_stacked<Cell>(left, keys, head.tokens, keys, room.stacked.data());
    cells = room.stacked.data();
  }
  float factors[TILE];
  for (auto &f : factors) f = factor;
  for (int64_t first = 0; first < head.tokens; first += TILE)
    mixed_of<Cell>({cells + first, 1, keys}, right, head, first, factors, to, head.line);
}

// out and kept as `attend` had them, g by its output; gradient: that of qkv.
template <class Cell>
POLYPTYCH_INLINE void attend_back(const typename Cell::Number *qkv, const typename Cell::Number *g,
                                  const Head &head, Room<Cell> &room, int64_t bias_line,
                                  const Top *kept, typename Cell::Number *gradient) {
  auto cells = cells_of<Cell>(head.width), keys = keys_of(head), tokens = head.tokens;
  auto k = qkv + head.part, v = k + head.part;
  copy_lines<Cell>(qkv, head.line, tokens, cells, room.q.data());
  copy_stacked<Cell>(qkv, head.line, tokens, head.width, room.q_stacked.data());
  copy_columns<Cell>(k, head.line, tokens, cells, keys, room.k.data());
  copy_stacked<Cell>(k, head.line, tokens, head.width, room.k_stacked.data());
  copy_columns<Cell>(v, head.line, tokens, cells, keys, room.v.data());
  copy_lines<Cell>(g, head.out_line, tokens, cells, room.g.data());
  copy_stacked<Cell>(g, head.out_line, tokens, head.width, room.g_stacked.data());
  float factors[TILE];
  for (auto &f : factors) f = head.scale();
  for (int64_t first = 0; first < tokens; first += TILE) {
    Top tops[TILE] = {};
    std::copy(kept + first, kept + std::min(first + TILE, tokens), tops);
    auto at = first * keys;
    scores_of<Cell>(room.q.data() + first * cells, room.k.data(), head, room.scores.data());
    scores_of<Cell>(room.g.data() + first * cells, room.v.data(), head, room.slopes.data());
    lower<Cell>(room.scores.data(), room.slopes.data(), room.bias.data() + first * bias_line,
                bias_line, head.scale(), keys, tops, room.probabilities.data() + at,
                room.gradient.data() + at, room.bias_gradient.data() + at);
    auto left = reinterpret_cast<const uint32_t *>(room.gradient.data() + at);
    mixed_of<Cell>({left, cells_of<Cell>(keys), 1}, room.k_stacked.data(), head, first, factors,
                   gradient, head.line);
  }
  gathered<Cell>(room.gradient.data(), room.q_stacked.data(), head, head.scale(), room,
                 gradient + head.part);
  gathered<Cell>(room.probabilities.data(), room.g_stacked.data(), head, 1.0f, room,
                 gradient + 2 * head.part);
}

POLYPTYCH_INLINE int64_t bias_line(const Heads &batch) {
  return batch.has_bias ? keys_of(batch.head) : 0;
}

// What is behind the tokens has probability 0.
template <class T>
POLYPTYCH_INLINE void take_bias(const T *bias, const Heads &batch, float *to) {
  auto tokens = batch.head.tokens, keys = keys_of(batch.head);
  for (int64_t row = 0; row < (batch.has_bias ? tokens : 1); row++) {
    for (int64_t j = 0; j < tokens; j++)
      to[row * keys + j] = batch.has_bias ? wide(bias[row * tokens + j]) : 0.0f;
    for (int64_t j = tokens; j < keys; j++) to[row * keys + j] = -std::numeric_limits<float>::max();
  }
}

POLYPTYCH_INLINE void give_bias(std::vector<float> &from, const Heads &batch, float *to) {
  auto tokens = batch.head.tokens, keys = keys_of(batch.head);
  for (int64_t row = 0; row < tokens; row++)
    std::memcpy(to + row * tokens, from.data() + row * keys, tokens * sizeof(float));
  std::fill(from.begin(), from.end(), 0.0f);
}

// One task for each turn, entry of the period and head, in that order.
template <class Cell, class T>
void forward_in(const Heads &batch, const T *qkv, const T *bias, T *out, Top *kept, int64_t begin,
                int64_t end) {
  Room<Cell> room(batch.head, false);
  for (int64_t task = begin; task < end; task++) {
    auto [h, from, first, last] = batch.task(task);
    take_bias(bias + from, batch, room.bias.data());
    for (int64_t n = first; n < last; n += batch.period)
      attend<Cell>(qkv + batch.at(n, h, batch.head.line), batch.head, room, bias_line(batch),
                   out + batch.at(n, h, batch.head.out_line),
                   kept + (n * batch.heads + h) * batch.head.tokens);
  }
}

template <class T>
void forward_tasks(const Heads &batch, const T *qkv, const T *bias, T *out, Top *kept,
                   int64_t begin, int64_t end) {
  in_cells<T>(batch.pairs, [&](auto cell) {
    forward_in<decltype(cell)>(batch, qkv, bias, out, kept, begin, end);
  });
}

template <class Cell, class T>
void backward_in(const Heads &batch, const T *qkv, const T *bias, const Top *kept, const T *g,
                 T *gradient, float *bias_gradient, int64_t begin, int64_t end) {
  Room<Cell> room(batch.head, true);
  for (int64_t task = begin; task < end; task++) {
    auto [h, from, first, last] = batch.task(task);
    take_bias(bias + from, batch, room.bias.data());
    for (int64_t n = first; n < last; n += batch.period)
      attend_back<Cell>(qkv + batch.at(n, h, batch.head.line),
                        g + batch.at(n, h, batch.head.out_line), batch.head, room,
                        bias_line(batch), kept + (n * batch.heads + h) * batch.head.tokens,
                        gradient + batch.at(n, h, batch.head.line));
    if (bias_gradient != nullptr)
      give_bias(room.bias_gradient, batch, bias_gradient + task * batch.head.square());
  }
}

template <class T>
void backward_tasks(const Heads &batch, const T *qkv, const T *bias, const Top *kept, const T *g,
                    T *gradient, float *bias_gradient, int64_t begin, int64_t end) {
  in_cells<T>(batch.pairs, [&](auto cell) {
    backward_in<decltype(cell)>(batch, qkv, bias, kept, g, gradient, bias_gradient, begin, end);
  });
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
