// The files of a bundle, in a folder or in a plain .tar, which is never unpacked to disk.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace edgetune::detail {

using Bytes = std::vector<std::uint8_t>;

class Files {
 public:
  // Throws BundleError: nothing there; of a tar: links, folders, unsafe names, names that come twice, truncation.
  explicit Files(std::string path);

  // All bytes of one file. Throws BundleError: missing, a link or behind one, no plain file, larger than `limit`.
  Bytes read(const std::string& name, std::uint64_t limit) const;

  // Whether there is something of that name.
  bool has(const std::string& name) const;

  const std::string& path() const noexcept { return path_; }

 private:
  struct Span {
    std::uint64_t offset = 0, size = 0;
  };

  void index_tar();

  std::string path_;
  bool folder_ = false;
  std::map<std::string, Span> members_;  // of a tar
};

// All bytes of a file of the caller's. Throws InputError.
Bytes read_file(const std::string& path);

// Whether a relative name stays inside the folder it is joined to, on every system, and can be shown in one line.
bool is_safe_name(std::string_view name);

}  // namespace edgetune::detail
