#include "proxy/cli/ask_admin.h"

#include <algorithm>
#include <utility>

#include "authz/text.h"
#include "proxy/log/escape.h"
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

Result<http::Response> AskAdmin(const net::Address& address, const std::string& path,
                                net::milliseconds deadline, std::size_t max_body) {
  net::Loop loop;
  Result<http::Response> answer = Invalid("no answer");
  {
    http::Client client(loop, {address, nullptr, {}, max_body});
    http::Request request;
    request.deadline = deadline;
    request.target = path;
    client.Send(std::move(request), [&](Result<http::Response> got) {
      answer = std::move(got);
      loop.Stop();
    });
    loop.Run();
  }
  loop.Post([&loop] { loop.Stop(); });  // lets the client's handles close
  loop.Run();
  if (answer) return answer;
  // Whoever prints it begins with the address.
  const std::string begin = address.Text() + ": ";
  std::string why = answer.error().message;
  if (why.starts_with(begin)) why.erase(0, begin.size());
  return Error{answer.error().code, std::move(why)};
}

Result<std::string> AskDocument(const net::Address& address, const std::string& path) {
  const auto answer = AskAdmin(address, path);
  if (answer && answer->status == 200) return answer->body;
  const std::string where = log::Plain(address.Text());
  if (!answer) {
    return Invalid("no answer from " + where + ": " + log::Plain(answer.error().message) +
                   "\n    Is a proxy running with -admin-addr (admin.address in YAML)?");
  }
  std::string why = answer->body;
  while (why.ends_with('\n')) why.pop_back();
  std::replace(why.begin(), why.end(), '\n', ' ');
  return Invalid(where + " answered " + std::to_string(answer->status) + ": " + log::Plain(why));
}

std::string PathWith(std::string path,
                     const std::vector<std::pair<std::string, std::string>>& query) {
  char before = '?';
  for (const auto& [name, value] : query) {
    if (value.empty()) continue;
    path += std::exchange(before, '&') + name + '=' + authz::PercentEncoded(value);
  }
  return path;
}

}  // namespace mooring::cli
