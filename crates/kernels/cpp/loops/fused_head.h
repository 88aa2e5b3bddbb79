// Two layers of a head with a batch normalisation and a ReLU between them: the hidden layer is made
// block by block in the caches, each time that it is read.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Means of a first strip, then the sums of the distances to them and of their squares over all
// pixels: `centre` [block], `sums` [2, block].
template <class T>
void head_moments(const FusedHead<T> &all, HeadPart part, float *lines, float *centre,
                  double *sums) {
  std::vector<float> own(2 * all.block);
  auto first = own.data(), second = first + all.block;
  std::fill_n(centre, all.block, 0.0f);
  Strips<T>(all, part, lines).each([&](int64_t y, int64_t, int64_t pixels, auto tiles) {
    TileMoments use{centre, first, second};
    if (y == 0) {
      tiles(use);
      for (int64_t c = 0; c < all.block; c++) centre[c] = first[c] / static_cast<float>(pixels);
      std::fill(own.begin(), own.end(), 0.0f);
    }
    tiles(use);
    for (int64_t c = 0; c < 2 * all.block; c++) sums[c] += own[c];
    std::fill(own.begin(), own.end(), 0.0f);
  });
}

// What a block of hidden channels adds to the output: [pixels, whole(out)]. `room` has a strip, and
// lines behind it.
template <class T>
void head_output(const FusedHead<T> &all, HeadPart part, float *room, float *out) {
  auto line = whole(all.out);
  Strips<T> strips(all, part, room + all.strip_numbers());
  strips.each([&](int64_t y, int64_t, int64_t pixels, auto tiles) {
    tiles(TileOutput{all.channels(part.first), room});
    near_product({room, all.block, 1}, pixels, all.block, {all.out_weight + part.first * line, line},
                 line, false, {out + y * all.width * line, line});
  });
}

// The gradient by rows of the normalised hidden layer. g: [pixels, out] of these rows.
template <class T>
void gradient_rows(const FusedHead<T> &all, HeadPart part, const float *g, int64_t pixels,
                   float *out) {
  near_product({g, all.out, 1}, pixels, all.out, {all.out_weight_by_rows + part.first, all.line},
               all.block, false, {out, all.block});
}

// Sums of the gradient that passes the ReLU and of its product with the distance to the mean,
// [2, block], and the gradient by the second layer's weight, [out, block].
template <class T>
void head_sums(const FusedHead<T> &all, HeadPart part, const float *g, float *room, double *sums,
               float *weight) {
  auto slopes = room + all.strip_numbers();
  Strips<T> strips(all, part, slopes + all.strip_numbers());
  std::vector<float> own(2 * all.block);
  strips.each([&](int64_t y, int64_t, int64_t pixels, auto tiles) {
    auto here = g + (part.image * all.height + y) * all.width * all.out;
    gradient_rows(all, part, here, pixels, slopes);
    tiles(TileSums{all.channels(part.first), slopes, own.data(), own.data() + all.block, room});
    for (int64_t c = 0; c < 2 * all.block; c++) sums[c] += own[c];
    std::fill(own.begin(), own.end(), 0.0f);
    near_product({here, 1, all.out}, all.out, pixels, {room, all.block}, all.block, true,
                 {weight, all.block});
  });
}

// A strip of channels of a row of a level from its sums, [width, STRIP], which begin anew.
template <class T>
void end_strip(const Coarse<T> &level, const FusedHead<T> &all, HeadPart part, int64_t y,
               int64_t at, float *sums) {
  auto own = sums + y % 2 * level.width * STRIP;
  auto first = part.first + at, count = known(all, part, at);
  auto to = level.map + (part.image * level.height + y) * level.width * all.hidden + first;
  for (int64_t x = 0; x < level.width; x++, to += all.hidden)
    for (int64_t c = 0; c < count; c += VEC)
      store_part(load_vec(own + x * STRIP + c), count - c, to + c);
  std::fill_n(own, level.width * STRIP, 0.0f);
}

// Hands row `y` of a gradient, [width, block], on to all sides; behind the last row, what is left.
// Strip by strip, sums are two rows of each side, which stay in the first cache.
template <class T>
void hand_on(const FusedHead<T> &all, HeadPart part, const std::vector<Coarse<T>> &sides,
             const float *row, int64_t y, float *sums) {
  for (int64_t at = 0; at < all.block; at += STRIP)
    for (auto &side : sides) {
      auto from = y > 0 ? side.down.first[y - 1] : 0;
      auto until = y < all.height ? side.down.first[y] : side.height;
      for (; from < until; from++) end_strip(side, all, part, from, at, sums);
      if (y < all.height) add_line<MIXED_VECS>(side, row + at, all.block, y, STRIP, sums);
      sums += 2 * side.width * STRIP;
    }
}

// The gradients by x, by the first layer's weight and by the sides. `room` has a strip, and lines
// behind it; `sums` zeros, two rows of each side.
template <class T>
void head_gradients(const FusedHead<T> &all, HeadPart part, const HeadGradients<T> &to, float *room,
                    float *sums) {
  Strips<T> strips(all, part, room + all.strip_numbers());
  auto line = whole(all.in);
  strips.each([&](int64_t y, int64_t end, int64_t pixels, auto tiles) {
    auto first = (part.image * all.height + y) * all.width;
    gradient_rows(all, part, to.g + first * all.out, pixels, room);
    tiles(TileGradient{all.channels(part.first), to.flat + part.first, to.slope + part.first, room});
    near_product({all.x + first * all.in, 1, all.in}, all.in, pixels, {room, all.block}, all.block,
                 true, {to.weight, all.block});
    near_product({room, all.block, 1}, pixels, all.block,
                 {all.weight_by_rows + part.first * line, line}, line, false,
                 {to.x + y * all.width * line, line});
    for (auto row = room; y < end; y++, row += all.width * all.block)
      hand_on(all, part, to.sides, row, y, sums);
  });
  hand_on<T>(all, part, to.sides, nullptr, all.height, sums);
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
