// What c10d's header of ProcessGroupGloo names of Gloo. LibTorch holds Gloo's code and not its
// headers; objects of these classes cross our code by pointer alone, and LibTorch makes them.
#pragma once

#include <chrono>

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
  std::chrono::milliseconds getTimeout() const;
};

namespace transport {
class Device;
class UnboundBuffer {
 public:
  virtual ~UnboundBuffer();
};
}  // namespace transport

}  // namespace gloo
