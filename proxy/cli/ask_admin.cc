#include "proxy/cli/ask_admin.h"

#include <algorithm>
#include <utility>

#include "authz/text.h"
#include "proxy/log/escape.h"
#include "proxy/net/loop.h"

namespace mooring::cli {
namespace {

constexpr char kDefault[] = "127.0.0.1:19100";

// Ask blocks until the request is answered or has failed.
Result<http::Response> Ask(const net::Address& address, http::Request request,
                           std::size_t max_body) {
  net::Loop loop;
  Result<http::Response> answer = Invalid("no answer");
  {
    http::Client client(loop, {address, nullptr, {}, max_body});
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

// Told is the body of an answer that is good, or why there is none.
Result<std::string> Told(const net::Address& address, const Result<http::Response>& answer) {
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
  http::Request request;
  request.deadline = deadline;
  request.target = path;
  return Ask(address, std::move(request), max_body);
}

Result<std::string> AskDocument(const net::Address& address, const std::string& path) {
  return Told(address, AskAdmin(address, path));
}

Result<std::string> PostDocument(const net::Address& address, const std::string& path,
                                 std::string body, const std::string& content_type) {
  http::Request request;
  request.method = "POST";
  request.target = path;
  request.headers["content-type"] = content_type;
  request.body = std::move(body);
  return Told(address, Ask(address, std::move(request), http::kMaxBody));
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
