#include "proxy/cli/ask_admin.h"

#include <utility>

#include "proxy/net/loop.h"

namespace mooring::cli {
namespace {

constexpr char kDefault[] = "127.0.0.1:19100";

}  // namespace

config::FlagSpec AdminFlag() {
  return {"admin-addr", "address",
          std::string("Its admin port: host:port or unix:/path. Default: ") + kDefault + '.'};
}

Result<net::Address> AdminAddress(const config::CommandLine& line) {
  const std::string* given = line.Find("admin-addr");
  Result<net::Address> address =
      net::ParseAddress(given != nullptr ? *given : kDefault, "127.0.0.1");
  if (!address) return Invalid("-admin-addr: " + address.error().message);
  return address;
}

Result<http::Response> AskAdmin(const net::Address& address, const std::string& path) {
  net::Loop loop;
  Result<http::Response> answer = Invalid("no answer");
  {
    http::Client client(loop, {address, nullptr, {}});
    http::Request request;
    request.target = path;
    client.Send(std::move(request), [&](Result<http::Response> got) {
      answer = std::move(got);
      loop.Stop();
    });
    loop.Run();
  }
  loop.Post([&loop] { loop.Stop(); });  // lets the client's handles close
  loop.Run();
  return answer;
}

}  // namespace mooring::cli
