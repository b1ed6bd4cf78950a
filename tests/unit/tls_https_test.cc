#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/tls_ends.h"
#include "tls/context.h"
#include "tls/session.h"

namespace mooring::tls {

using namespace ends;  // NOLINT: the words that these tests are written in
using mint::Mint;
using mint::Minted;
using mint::Recipe;

namespace {

// Folder is a directory for PEM files that goes with the test.
class Folder final {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "mooring-tls-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string Put(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name) << text;
    return path_ + "/" + name;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Agent answers as an agent's https port would.
struct Agent {
  Agent() : root(Mint(mint::Ca("Agent CA"))) {
    Recipe recipe;
    recipe.sans = {{GEN_DNS, "localhost"},
                   {GEN_DNS, "server.dc1.consul"},
                   {GEN_IPADD, std::string("\x7f\x00\x00\x01", 4)},
                   {GEN_IPADD, std::string(15, '\0') + '\1'}};
    recipe.common_name = "agent.example";
    leaf = Mint(recipe, &root);
  }

  // Dial gives the client's End after a handshake over `options` for `host`.
  End Dial(const HttpsOptions& options, const std::string& host, bool demand_client = false) const {
    auto context = Context::ForHttps(options);
    REQUIRE(context);
    End end;
    end.session = Session::ConnectHttps(*context, host);
    if (end.session->failure() != Failure::kNone) return end;
    Raw server(true);
    server.Show(leaf);
    if (demand_client) {
      SSL_CTX_set_custom_verify(server.ctx.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                                [](SSL*, std::uint8_t*) { return ssl_verify_ok; });
    }
    server.Start();
    end.Handshake();
    const bool done = server.ShakeWith(end);
    if (end.last == Progress::kDone) CHECK(done);
    return end;
  }

  Minted root;
  Minted leaf;
};

}  // namespace

TEST_CASE("https: host names and addresses among the SANs are believed, others not") {
  const Agent agent;
  const Folder folder;
  HttpsOptions options;
  options.ca_file = folder.Put("ca.pem", agent.root.pem);
  for (const char* host : {"localhost", "server.dc1.consul", "127.0.0.1", "::1"}) {
    CAPTURE(host);
    End end = agent.Dial(options, host);
    CHECK(end.last == Progress::kDone);
    CHECK(end.session->judgement().refusal == Refusal::kNone);
  }
  for (const char* host : {"other.example", "127.0.0.2", "::2", "agent.example"}) {
    CAPTURE(host);
    End end = agent.Dial(options, host);
    CHECK(end.last == Progress::kFailed);
    CHECK(end.session->failure() == Failure::kCertificate);
    CHECK(end.session->judgement().refusal == Refusal::kWrongIdentity);
  }
  End nameless = agent.Dial(options, "");
  CHECK(nameless.session->failure() != Failure::kNone);
}

TEST_CASE("https: an unknown CA is refused unless verification is off") {
  const Agent agent;
  const Folder folder;
  HttpsOptions options;
  options.ca_file = folder.Put("other.pem", Mint(mint::Ca("Agent CA")).pem);
  End end = agent.Dial(options, "localhost");
  CHECK(end.session->judgement().refusal == Refusal::kUnknownCa);
  options.verify = false;
  CHECK(agent.Dial(options, "localhost").last == Progress::kDone);
  CHECK(agent.Dial(options, "elsewhere").last == Progress::kDone);
}

TEST_CASE("https: roots from a folder, and a client certificate where one is demanded") {
  const Agent agent;
  const Folder folder;
  const Folder cas;
  cas.Put("a.pem", Mint(mint::Ca("Another CA")).pem);
  cas.Put("b.pem", agent.root.pem);
  HttpsOptions options;
  options.ca_path = cas.path();
  CHECK(agent.Dial(options, "localhost").last == Progress::kDone);
  Recipe recipe;
  const Minted pair = Mint(recipe, &agent.root);
  options.client_cert = folder.Put("client.pem", pair.pem);
  options.client_key = folder.Put("client.key", pair.key_pem);
  CHECK(agent.Dial(options, "localhost", true).last == Progress::kDone);
}

TEST_CASE("https: files that do not serve are errors that name them") {
  const Agent agent;
  const Folder folder;
  const auto why = [](const HttpsOptions& options) {
    auto made = Context::ForHttps(options);
    REQUIRE(!made);
    return made.error().message;
  };
  HttpsOptions options;
  options.ca_file = folder.path() + "/missing.pem";
  CHECK(why(options) == options.ca_file + ": cannot be read: No such file or directory");
  options.ca_file = folder.path();
  CHECK(why(options) == folder.path() + ": is a directory, a file is wanted");
  options.ca_file = folder.Put("junk.pem", "junk");
  CHECK(why(options) == options.ca_file + ": there is no certificate in PEM form");
  options.ca_file.clear();
  const Folder empty;
  options.ca_path = empty.path();
  CHECK(why(options) == empty.path() + ": holds no files");
  options.ca_path = folder.path();
  CHECK(why(options).find("junk.pem: ") != std::string::npos);

  options.ca_path = folder.Put("ca.pem", agent.root.pem);
  CHECK(Context::ForHttps(options));
  const Minted one = Mint(Recipe(), &agent.root);
  const Minted two = Mint(Recipe(), &agent.root);
  options.client_cert = folder.Put("client.pem", one.pem);
  CHECK(why(options).find("needs its key") != std::string::npos);
  options.client_key = folder.Put("client.key", two.key_pem);
  CHECK(why(options).find("cannot be used with") != std::string::npos);
  options.client_cert.clear();
  CHECK(why(options).find("needs its certificate") != std::string::npos);
}

}  // namespace mooring::tls
