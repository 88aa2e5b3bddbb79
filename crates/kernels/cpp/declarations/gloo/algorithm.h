// c10d asks for this header; what it needs of it is in `context.h`.
#pragma once

#include <gloo/context.h>
