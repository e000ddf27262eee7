#include "files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "edgetune/edgetune.hpp"
#include "json.hpp"
#include "utf8.hpp"

namespace edgetune::detail {
namespace {

constexpr std::int64_t kMaxOwnBytes = std::int64_t{8} << 30;  // of a file of the caller's

constexpr std::size_t kBlock = 512;

// An open file, closed at the end.
class Handle {
 public:
  Handle(const std::string& path, int flags) : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags)) {}
  ~Handle() {
    if (number_ >= 0) ::close(number_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  int number() const noexcept { return number_; }

  // How many bytes were read, fewer than `size` at the file's end only; -1 for an error.
  ::ssize_t read_at(void* to, std::size_t size, std::uint64_t offset) const {
    std::size_t done = 0;
    while (done < size) {
      const ::ssize_t count = ::pread(number_, static_cast<char*>(to) + done, size - done,
                                      static_cast<::off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return -1;
      if (count == 0) break;
      done += static_cast<std::size_t>(count);
    }
    return static_cast<::ssize_t>(done);
  }

 private:
  int number_;
};

std::string reason() { return std::strerror(errno); }

Bytes read_span(const Handle& file, std::uint64_t offset, std::uint64_t size, const std::string& name) {
  Bytes result(static_cast<std::size_t>(size));
  const ::ssize_t count = file.read_at(result.data(), result.size(), offset);
  if (count < 0) throw BundleError(name + " of the bundle cannot be read: " + reason());
  if (static_cast<std::uint64_t>(count) != size) throw BundleError(name + " of the bundle is cut: copy it again");
  return result;
}

void check_limit(std::uint64_t size, std::uint64_t limit, const std::string& name) {
  if (size > limit) {
    throw BundleError(name + " has " + std::to_string(size) + " bytes instead of at most " + std::to_string(limit) +
                      ": copy the bundle again");
  }
}

// No link anywhere between the folder and the file.
void refuse_links(const std::string& folder, const std::string& name) {
  for (std::size_t end = name.find('/');; end = name.find('/', end + 1)) {
    struct ::stat facts {};
    if (::lstat((folder + '/' + name.substr(0, end)).c_str(), &facts) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) throw BundleError("the bundle lacks " + name + ": copy it again");
      throw BundleError(name + " of the bundle cannot be read: " + reason());
    }
    if (S_ISLNK(facts.st_mode)) throw BundleError(name + " of the bundle is a link: refused");
    if (end == std::string::npos) return;
  }
}

using Header = std::array<char, kBlock>;

std::string field(const Header& header, std::size_t offset, std::size_t size) {
  const char* begin = header.data() + offset;
  return std::string(begin, std::find(begin, begin + size, '\0'));
}

// An octal number of a tar's header; false where it is none.
bool octal(const Header& header, std::size_t offset, std::size_t size, std::uint64_t& value) {
  const std::string text = field(header, offset, size);
  const std::size_t begin = text.find_first_not_of(' '), end = text.find_last_not_of(' ');
  value = 0;
  if (begin == std::string::npos) return false;
  for (std::size_t i = begin; i <= end; ++i) {
    if (text[i] < '0' || text[i] > '7') return false;
    value = value * 8 + static_cast<std::uint64_t>(text[i] - '0');
  }
  return true;
}

bool has_right_checksum(const Header& header) {
  std::uint64_t wanted = 0, sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    sum += i >= 148 && i < 156 ? std::uint64_t{' '} : std::uint64_t{static_cast<unsigned char>(header[i])};
  }
  return octal(header, 148, 8, wanted) && wanted == sum;
}

}  // namespace

Files::Files(std::string path) : path_(std::move(path)) {
  struct ::stat facts {};
  if (path_.find('\0') != std::string::npos || ::stat(path_.c_str(), &facts) != 0) {
    throw BundleError("there is no bundle " + path_);
  }
  folder_ = S_ISDIR(facts.st_mode);
  if (folder_) return;
  if (!S_ISREG(facts.st_mode)) throw BundleError(path_ + " is neither a folder nor a .tar");
  index_tar();
}

void Files::index_tar() {
  const Handle file(path_, 0);
  const std::string cannot = path_ + " cannot be unpacked: ";
  if (file.number() < 0) throw BundleError(cannot + reason());
  struct ::stat facts {};
  if (::fstat(file.number(), &facts) != 0) throw BundleError(cannot + reason());
  const auto length = static_cast<std::uint64_t>(facts.st_size);
  for (std::uint64_t offset = 0; offset < length;) {
    Header header{};
    if (file.read_at(header.data(), kBlock, offset) != static_cast<::ssize_t>(kBlock)) {
      throw BundleError(cannot + "it is cut in a header, or no tar");
    }
    if (std::all_of(header.begin(), header.end(), [](char byte) { return byte == '\0'; })) break;
    std::uint64_t size = 0;
    if (!has_right_checksum(header) || !octal(header, 124, 12, size)) {
      throw BundleError(cannot + "a header is damaged, or it is compressed or no tar");
    }
    const std::string prefix = std::memcmp(header.data() + 257, "ustar", 5) == 0 ? field(header, 345, 155) : "";
    const std::string name = (prefix.empty() ? "" : prefix + '/') + field(header, 0, 100);
    if ((header[156] != '0' && header[156] != '\0') || !is_safe_name(name)) {
      throw BundleError(path_ + " holds " + quote_json(name) + ", which is no plain file of a bundle: refused");
    }
    offset += kBlock;
    if (size > length - offset) throw BundleError(cannot + name + " is cut");
    if (!members_.emplace(name, Span{offset, size}).second) throw BundleError(cannot + name + " comes twice");
    offset += (size + kBlock - 1) / kBlock * kBlock;
  }
  if (members_.empty()) throw BundleError(path_ + " is empty; copy it again");
}

bool Files::has(const std::string& name) const {
  if (!folder_) return members_.count(name) != 0;
  struct ::stat facts {};
  return ::lstat((path_ + '/' + name).c_str(), &facts) == 0;
}

Bytes Files::read(const std::string& name, std::uint64_t limit) const {
  if (folder_) {
    refuse_links(path_, name);
    const Handle file(path_ + '/' + name, O_NOFOLLOW);
    struct ::stat facts {};
    if (file.number() < 0 || ::fstat(file.number(), &facts) != 0) {
      throw BundleError(name + " of the bundle cannot be read: " + reason());
    }
    if (!S_ISREG(facts.st_mode)) throw BundleError(name + " of the bundle is no plain file: refused");
    check_limit(static_cast<std::uint64_t>(facts.st_size), limit, name);
    return read_span(file, 0, static_cast<std::uint64_t>(facts.st_size), name);
  }
  const auto found = members_.find(name);
  if (found == members_.end()) throw BundleError("the bundle lacks " + name + ": copy it again");
  check_limit(found->second.size, limit, name);
  const Handle file(path_, 0);
  if (file.number() < 0) throw BundleError(path_ + " cannot be read: " + reason());
  return read_span(file, found->second.offset, found->second.size, name);
}

Bytes read_file(const std::string& path) {
  const Handle file(path, 0);
  struct ::stat facts {};
  if (file.number() < 0 || ::fstat(file.number(), &facts) != 0) throw InputError(path + " cannot be read: " + reason());
  if (!S_ISREG(facts.st_mode)) throw InputError(path + " is no plain file: name the engine that trtexec saved");
  if (facts.st_size > kMaxOwnBytes) {
    throw InputError(path + " has " + std::to_string(facts.st_size) + " bytes, more than any engine");
  }
  try {
    return read_span(file, 0, static_cast<std::uint64_t>(facts.st_size), path);
  } catch (const BundleError&) {
    throw InputError(path + " cannot be read whole: is it being written?");
  }
}

bool is_safe_name(std::string_view name) {
  for (std::size_t position = 0; position < name.size();) {
    const std::uint32_t c = next_character(name, position);
    const bool invisible = c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0xad || (c >= 0x2000 && c <= 0x200f) ||
                           (c >= 0x2028 && c <= 0x202f) || (c >= 0x205f && c <= 0x206f) || c == 0x3000 ||
                           (c >= 0xe000 && c <= 0xf8ff) || c == 0xfeff || c >= 0xe0000;  // kNoCharacter too
    if (invisible || c == ':') return false;
  }
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find_first_of("/\\", begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

}  // namespace edgetune::detail
