// What an engine in C++ has in its other files: the declarations alone, linked with implementation.c.
#include <cstdio>
#include <cstring>
#include <vector>

#include "../larder.h"

int main() {
  larder_client *client = nullptr;
  larder_status status = larder_connect("/nonexistent/larder.sock", "c++", 10, &client);
  bool is_right = status == LARDER_CONNECTION_FAILED && std::strlen(larder_message(client)) > 0;
  larder_close(client);
  const std::vector<uint32_t> tokens{1, 2, 3, 4, 5};
  std::vector<larder_key> keys(larder_prefix_keys(tokens.data(), tokens.size(), 2, nullptr, 0, nullptr, nullptr));
  larder_prefix_keys(tokens.data(), tokens.size(), 2, nullptr, 0, nullptr, keys.data());
  is_right = is_right && keys.size() == 2 && std::memcmp(&keys[0], &keys[1], sizeof keys[0]) != 0;
  std::printf("C++: %s\n", is_right ? larder_status_name(LARDER_OK) : "wrong");
  return is_right ? 0 : 1;
}
