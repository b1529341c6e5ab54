/* What an engine has in one of its files; compiled as C and as C++. */
#define LARDER_IMPLEMENTATION
#include "../larder.h"
