// Folder in real directories: what it opens, what it refuses, and how it replaces a file.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "proxy/state/folder.h"
#include "tests/unit/state_fixture.h"

namespace {

using namespace mooring;
using state::Folder;
using test::Content;
using test::TempDir;

constexpr std::size_t kLimit = 1000;

Folder Opened(const std::string& directory) {
  Result<Folder> folder = Folder::Open(directory, "service.web");
  if (!folder) FAIL(folder.error().message);
  return std::move(*folder);
}

std::string Refusal(const std::string& directory) {
  const Result<Folder> folder = Folder::Open(directory, "service.web");
  return folder ? "" : folder.error().message;
}

std::string Unread(const Folder& folder) {
  const Result<std::string> content = folder.Read("state", kLimit);
  return content ? "" : content.error().message;
}

Status Replace(const Folder& folder, const std::vector<std::string_view>& parts) {
  return folder.Replace("state", parts);
}

}  // namespace

TEST_CASE("a subdirectory's name is one harmless path component, different for different ids") {
  CHECK(Folder::SubdirectoryName("service", "web") == "service.web");
  CHECK(Folder::SubdirectoryName("proxy", "web-1_A.b") == "proxy.web-1_A.b");
  CHECK(Folder::SubdirectoryName("proxy", "a/b") == "proxy.a%2Fb");
  CHECK(Folder::SubdirectoryName("proxy", "a%2Fb") == "proxy.a%252Fb");
  CHECK(Folder::SubdirectoryName("proxy", "\xc3\xa9 \n") == "proxy.%C3%A9%20%0A");
  CHECK(Folder::SubdirectoryName("proxy", std::string(1, '\0')) == "proxy.%00");
  CHECK(Folder::SubdirectoryName("", "..") == "%2E.");
  CHECK(Folder::SubdirectoryName("", ".") == "%2E");
  const std::string longest(192, 'a');
  CHECK(Folder::SubdirectoryName("service", longest) == "service." + longest);
  std::set<std::string> names;
  for (const std::string& id : {longest + "a", longest + "b", std::string(4000, 'a'), longest,
                                std::string(), std::string("."), std::string("..")}) {
    for (const std::string& kind : {std::string("service"), std::string()}) {
      const std::string name = Folder::SubdirectoryName(kind, id);
      CAPTURE(name);
      CHECK(name.size() <= 200);
      CHECK(name != ".");
      CHECK(name != "..");
      CHECK_FALSE(name.empty());
      CHECK(names.insert(name).second);
    }
  }
}

TEST_CASE("a missing state directory is made, for this user alone") {
  const TempDir dir;
  const Folder folder = Opened(dir / "state/");
  CHECK(test::ModeOf(dir / "state") == 0700);
  CHECK(test::ModeOf(dir / "state/service.web") == 0700);
  CHECK(folder.PathOf("x") == dir / "state/service.web/x");
  CHECK(Refusal(dir / "a/b") == "state directory " + (dir / "a/b") +
                                    ": its parent directory does not exist (mkdir -p -m 0700 " +
                                    (dir / "a/b") + ")");
}

TEST_CASE("a state directory may be reached through a link, its subdirectory may not") {
  const TempDir dir;
  REQUIRE(mkdir((dir / "real").c_str(), 0700) == 0);
  REQUIRE(symlink("real", (dir / "link").c_str()) == 0);
  { const Folder folder = Opened(dir / "link"); }
  CHECK(test::Exists(dir / "real/service.web"));
  REQUIRE(rmdir((dir / "real/service.web").c_str()) == 0);
  REQUIRE(mkdir((dir / "elsewhere").c_str(), 0700) == 0);
  REQUIRE(symlink("../elsewhere", (dir / "real/service.web").c_str()) == 0);
  CHECK(Refusal(dir / "real").find("it is a symbolic link, it must be a directory") !=
        std::string::npos);
  REQUIRE(symlink("nowhere", (dir / "dangling").c_str()) == 0);
  CHECK(Refusal(dir / "dangling").find("a symbolic link that does not lead to a directory") !=
        std::string::npos);
}

TEST_CASE("a state directory of another mode, kind or owner is refused with the cure") {
  const TempDir dir;
  const std::string path = dir / "state";
  const std::string begin = "state directory " + path + ": ";
  REQUIRE(mkdir(path.c_str(), 0700) == 0);
  for (const mode_t mode : {0755u, 0770u, 0701u, 0500u}) {
    REQUIRE(chmod(path.c_str(), mode) == 0);
    char octal[8];
    std::snprintf(octal, sizeof octal, "%04o", mode);
    CHECK(Refusal(path) ==
          begin + "mode is " + octal + ", it must be 0700 (chmod 0700 " + path + ")");
  }
  REQUIRE(chmod(path.c_str(), 0700) == 0);
  if (geteuid() == 0) {
    REQUIRE(chown(path.c_str(), 65534, 65534) == 0);
    CHECK(Refusal(path) ==
          begin +
              "it belongs to user 65534, it must belong to user 0, which this process "
              "runs as (chown 0 " +
              path + ")");
    REQUIRE(chown(path.c_str(), 0, 0) == 0);
  }
  REQUIRE(rmdir(path.c_str()) == 0);
  test::WriteFile(path, "");
  CHECK(Refusal(path) == begin + "it is not a directory (name another, or remove it)");
  REQUIRE(unlink(path.c_str()) == 0);
  REQUIRE(mkfifo(path.c_str(), 0700) == 0);
  CHECK(Refusal(path) == begin + "it is not a directory (name another, or remove it)");
  REQUIRE(unlink(path.c_str()) == 0);

  { const Folder folder = Opened(path); }
  REQUIRE(chmod((path + "/service.web").c_str(), 0750) == 0);
  CHECK(Refusal(path) == "state directory " + path +
                             "/service.web: mode is 0750, it must be 0700 (chmod 0700 " + path +
                             "/service.web)");
}

TEST_CASE("a lock has one holder, until that one is gone or the file is") {
  const TempDir dir;
  Folder other = Opened(dir.path());
  {
    Folder first = Opened(dir.path());
    CHECK(*first.Lock());
    CHECK(*first.Lock());
    CHECK(test::ModeOf(dir / "service.web/lock") == 0600);
    CHECK_FALSE(*other.Lock());
    REQUIRE(unlink((dir / "service.web/lock").c_str()) == 0);
    CHECK(*other.Lock());
    CHECK_FALSE(*first.Lock());
  }
  Folder third = Opened(dir.path());
  CHECK_FALSE(*third.Lock());
  REQUIRE(unlink((dir / "service.web/lock").c_str()) == 0);
  REQUIRE(symlink("/etc/hostname", (dir / "service.web/lock").c_str()) == 0);
  CHECK_FALSE(third.Lock());
}

TEST_CASE("a file is replaced as a whole, and is this user's alone") {
  const TempDir dir;
  const Folder folder = Opened(dir.path());
  const mode_t mask = umask(0777);
  const Status replaced = Replace(folder, {"one ", "", "two"});
  umask(mask);
  REQUIRE(replaced);
  CHECK(*folder.Read("state", kLimit) == "one two");
  CHECK(test::ModeOf(dir / "service.web/state") == 0600);
  REQUIRE(Replace(folder, {}));
  CHECK(folder.Read("state", kLimit)->empty());

  // What a killed save has left is in nobody's way, whatever it is.
  REQUIRE(symlink((dir / "victim").c_str(), (dir / "service.web/state.new").c_str()) == 0);
  REQUIRE(Replace(folder, {"three"}));
  CHECK(*folder.Read("state", kLimit) == "three");
  CHECK_FALSE(test::Exists(dir / "victim"));
  CHECK_FALSE(test::Exists(dir / "service.web/state.new"));

  // A reader that has opened the old file goes on reading the old content.
  const net::UniqueFd old_file(open((dir / "service.web/state").c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(Replace(folder, {"FOUR!"}));
  char bytes[8];
  REQUIRE(read(old_file.get(), bytes, sizeof bytes) == 5);
  CHECK(std::string(bytes, 5) == "three");
}

TEST_CASE("a file that cannot be replaced keeps its content, and nothing is left beside it") {
  const TempDir dir;
  const Folder folder = Opened(dir.path());
  REQUIRE(Replace(folder, {"before"}));

  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const rlimit small{.rlim_cur = 4096, .rlim_max = limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string large(10'000, 'x');
  const Status replaced = Replace(folder, {large});
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  std::signal(SIGXFSZ, ignored);

  REQUIRE_FALSE(replaced);
  CHECK(replaced.error().message == "write: File too large");
  CHECK(*folder.Read("state", kLimit) == "before");
  CHECK_FALSE(test::Exists(dir / "service.web/state.new"));

  REQUIRE(unlink((dir / "service.web/state").c_str()) == 0);
  REQUIRE(mkdir((dir / "service.web/state").c_str(), 0700) == 0);
  CHECK(Replace(folder, {"after"}).error().message == "rename: Is a directory");
  CHECK_FALSE(test::Exists(dir / "service.web/state.new"));
}

TEST_CASE("a file that is not a plain one of ours is not read") {
  const TempDir dir;
  const Folder folder = Opened(dir.path());
  const std::string path = dir / "service.web/state";
  CHECK(folder.Read("state", kLimit).error().code == ErrorCode::kNotFound);

  test::WriteFile(path, "text", 0640);
  CHECK(Unread(folder) == "mode is 0640, it must be 0600 (chmod 0600 " + path + ")");
  REQUIRE(chmod(path.c_str(), 0600) == 0);
  CHECK(*folder.Read("state", 4) == "text");
  CHECK(folder.Read("state", 3).error().message ==
        "it has 4 bytes, more than the 3 that are taken");
  if (geteuid() == 0) {
    REQUIRE(chown(path.c_str(), 65534, 65534) == 0);
    CHECK(Unread(folder).find("it belongs to user 65534") == 0);
  }
  REQUIRE(rename(path.c_str(), (dir / "service.web/other").c_str()) == 0);
  REQUIRE(symlink("other", path.c_str()) == 0);
  CHECK(Unread(folder) == "it is a symbolic link");
  REQUIRE(unlink(path.c_str()) == 0);
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  CHECK(Unread(folder) == "it is not a regular file");
  REQUIRE(unlink(path.c_str()) == 0);
  REQUIRE(mkdir(path.c_str(), 0700) == 0);
  CHECK(Unread(folder) == "it is not a regular file");
}

TEST_CASE("a directory that was removed is made again, one that was exchanged is gone over to") {
  const TempDir dir;
  Folder folder = Opened(dir / "state");
  REQUIRE(*folder.Lock());
  REQUIRE(Replace(folder, {"one"}));
  REQUIRE(folder.Renew());
  CHECK(*folder.Read("state", kLimit) == "one");

  std::filesystem::remove_all(dir / "state");
  CHECK_FALSE(Replace(folder, {"two"}));
  REQUIRE(folder.Renew());
  REQUIRE(*folder.Lock());
  REQUIRE(Replace(folder, {"two"}));
  CHECK(Content(dir / "state/service.web/state") == "two");

  REQUIRE(rename((dir / "state").c_str(), (dir / "moved").c_str()) == 0);
  REQUIRE(folder.Renew());
  REQUIRE(*folder.Lock());
  REQUIRE(Replace(folder, {"three"}));
  CHECK(Content(dir / "state/service.web/state") == "three");
  CHECK(Content(dir / "moved/service.web/state") == "two");

  REQUIRE(chmod((dir / "state").c_str(), 0755) == 0);
  CHECK_FALSE(folder.Renew());
}
