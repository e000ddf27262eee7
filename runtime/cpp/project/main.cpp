// Says what a picture shows: classify BUNDLE PICTURE.ppm
#include <cstdio>
#include <edgetune/edgetune.hpp>
#include <fstream>

int main(int count, char** words) try {
  if (count != 3) throw edgetune::InputError("usage: classify BUNDLE PICTURE.ppm");
  const edgetune::Engine engine = edgetune::Engine::open(words[1]);

  // Here your camera's frame comes in. This reads a binary PPM without comments.
  std::ifstream file(words[2], std::ios::binary);
  std::string kind;
  std::size_t width = 0, height = 0, highest = 0;
  file >> kind >> width >> height >> highest;
  file.get();
  if (!file || kind != "P6" || highest != 255 || width > 65535 || height > 65535) {
    throw edgetune::InputError("no binary PPM of 8 bits a channel: " + std::string(words[2]));
  }
  std::vector<std::uint8_t> pixels(3 * width * height);
  if (!file.read(reinterpret_cast<char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()))) {
    throw edgetune::InputError("the picture is cut: " + std::string(words[2]));
  }

  for (const edgetune::Prediction& best : engine.predict({pixels.data(), width, height}, 3)) {
    std::printf("  %5.1f%%  %s\n", 100 * best.probability, std::string(best.label).c_str());
  }
} catch (const std::exception& problem) {
  std::fprintf(stderr, "error: %s\n", problem.what());
  return 2;
}
