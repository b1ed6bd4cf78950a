#include "proxy/handover/ask.h"

#include <optional>
#include <utility>

namespace mooring::handover {

Result<Message> Ask(const Place& place, Message question, net::milliseconds deadline) {
  auto fd = place.Connect(kSocket);
  if (!fd) return fd.error();
  Result<Message> answer = Invalid("no answer in time");
  net::Loop loop;
  {
    net::Timer late(loop, [&loop] { loop.Stop(); });
    Channel channel(loop, std::move(*fd),
                    {[&](Message message) {
                       answer = std::move(message);
                       loop.Stop();
                     },
                     [&](const std::string& why) {
                       answer = Invalid(why);
                       loop.Stop();
                     }});
    late.Start(deadline);
    channel.Send(std::move(question));
    loop.Run();
  }
  loop.Post([&loop] { loop.Stop(); });  // lets the handles close
  loop.Run();
  return answer;
}

}  // namespace mooring::handover
