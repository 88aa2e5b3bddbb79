// Masks of dropout.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// MurmurHash3's finaliser over a counter: one number per element, without state.
template <class U>
POLYPTYCH_INLINE U mixed(U x) {
  x ^= x >> 16;
  x *= 0x85ebca6bU;
  x ^= x >> 13;
  x *= 0xc2b2ae35U;
  return x ^ (x >> 16);
}

// What the mask has for `index`, and for it and those after it.
POLYPTYCH_INLINE float mask_at(const Mask &mask, uint32_t index) {
  return mixed(index * mask.step + mask.key) < mask.threshold ? 0.0f : mask.scale;
}
POLYPTYCH_INLINE Vec mask_of(const Mask &mask, uint32_t index) {
  Bits lanes;
  std::memcpy(&lanes, NUMBERED, sizeof lanes);
  return mixed(lanes * mask.step + (index * mask.step + mask.key)) < mask.threshold
             ? Vec{}
             : splat(mask.scale);
}

// out = x * mask.
template <class T>
void masked(const T *x, T *out, int64_t begin, int64_t end, Mask mask) {
  int64_t i = begin;
  for (; i + VEC <= end; i += VEC)
    store_vec(load_vec(x + i) * mask_of(mask, static_cast<uint32_t>(i)), out + i);
  for (; i < end; i++) narrow(wide(x[i]) * mask_at(mask, static_cast<uint32_t>(i)), out[i]);
}

// out += x * mask.
template <class T>
void add_masked(const T *x, T *out, int64_t begin, int64_t end, Mask mask) {
  int64_t i = begin;
  for (; i + VEC <= end; i += VEC) {
    Vec term = load_vec(x + i) * mask_of(mask, static_cast<uint32_t>(i));
    store_vec(load_vec(out + i) + term, out + i);
  }
  for (; i < end; i++)
    narrow(wide(out[i]) + wide(x[i]) * mask_at(mask, static_cast<uint32_t>(i)), out[i]);
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
