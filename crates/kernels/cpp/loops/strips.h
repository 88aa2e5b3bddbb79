// Products of rows with narrow matrices, strip by strip.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// The first `count` numbers of a strip, and zeros.
template <class T>
POLYPTYCH_INLINE void load(const T *from, int64_t count, float *to) {
  if (count == STRIP) {
    for (int64_t j = 0; j < STRIP; j++) to[j] = wide(from[j]);
  } else {
    for (int64_t j = 0; j < STRIP; j++) to[j] = 0.0f;
    for (int64_t j = 0; j < count; j++) to[j] = wide(from[j]);
  }
}

template <class T>
POLYPTYCH_INLINE void store(const float *from, int64_t count, T *to) {
  if (count == STRIP)
    for (int64_t j = 0; j < STRIP; j++) narrow(from[j], to[j]);
  else
    for (int64_t j = 0; j < count; j++) narrow(from[j], to[j]);
}

// onto += factor x.
POLYPTYCH_INLINE void add_scaled(float factor, const float *x, float *onto) {
  for (int64_t j = 0; j < STRIP; j++) onto[j] += factor * x[j];
}

// out = base + low up, by rows; base may be null. low: [rows, r], up: [r, padded].
template <class T>
void rank_update(const T *base, const T *low, const float *up, T *out, int64_t begin, int64_t end,
                 int64_t rank, int64_t width) {
  for (int64_t row = begin; row < end; row++)
    for (int64_t first = 0; first < width; first += STRIP) {
      int64_t count = std::min(STRIP, width - first), at = row * width + first;
      float sum[STRIP] = {0};
      if (base != nullptr) load(base + at, count, sum);
      for (int64_t r = 0; r < rank; r++)
        add_scaled(wide(low[row * rank + r]), up + r * padded(width) + first, sum);
      store(sum, count, out + at);
    }
}

// Gradients of base + low_t up_t for rows in [begin, end), TASK_ROWS of them at most: those of base
// and low are written, those of up added to, and what is null is left out. g: [tasks, rows, width],
// low: [tasks, rows, r], up: [tasks, r, padded]. N: the rank, or the most that it can be.
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

template <class T>
void rank_gradient(const T *g, const float *low, const float *up, T *dbase, float *dlow, float *dup,
                   int64_t begin, int64_t end, Update of, float *sums) {
  if (of.rank == RANK_OF_TASK)
    gradient_of_block<RANK_OF_TASK>(g, low, up, dbase, dlow, dup, begin, end, of, sums);
  else if (of.rank == NARROW)
    gradient_of_block<NARROW>(g, low, up, dbase, dlow, dup, begin, end, of, sums);
  else
    gradient_of_block<NARROW_OF_TASKS>(g, low, up, dbase, dlow, dup, begin, end, of, sums);
}

// out = sum_t x_t of numbers in [begin, end). x: [tasks, count].
template <class T>
void task_sum(const T *x, T *out, int64_t begin, int64_t end, int64_t tasks, int64_t count) {
  for (int64_t first = begin; first < end; first += STRIP) {
    int64_t here = std::min(STRIP, end - first);
    float sum[STRIP] = {0}, own[STRIP];
    for (int64_t task = 0; task < tasks; task++) {
      load(x + task * count + first, here, own);
      add_scaled(1.0f, own, sum);
    }
    store(sum, here, out + first);
  }
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
