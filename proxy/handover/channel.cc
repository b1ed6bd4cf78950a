#include "proxy/handover/channel.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace mooring::handover {
namespace {

constexpr std::size_t kPrefix = 4;
constexpr std::size_t kReadAtOnce = std::size_t{64} << 10U;
constexpr char kDescriptors[] = "descriptors";  // the field that says how many there are
constexpr std::size_t kMaxWaiting = 2 * kMaxDescriptors;

std::string Prefix(std::size_t length) {
  std::string bytes(kPrefix, '\0');
  for (std::size_t i = 0; i < kPrefix; ++i)
    bytes[i] = static_cast<char>((length >> (8 * (kPrefix - 1 - i))) & 0xffU);
  return bytes;
}

std::size_t LengthOf(std::string_view prefix) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < kPrefix; ++i)
    length = length << 8U | static_cast<unsigned char>(prefix[i]);
  return length;
}

// Control has room for the descriptors of one message.
union Control {
  cmsghdr aligned;
  std::array<char, CMSG_SPACE(sizeof(int) * kMaxDescriptors)> bytes;
};

}  // namespace

std::string Message::Text(const char* name) const {
  const auto found = fields.find(name);
  return found != fields.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::int64_t Message::Number(const char* name, std::int64_t otherwise) const {
  const auto found = fields.find(name);
  return found != fields.end() && found->is_number_integer() ? found->get<std::int64_t>()
                                                             : otherwise;
}

bool Message::Flag(const char* name) const {
  const auto found = fields.find(name);
  return found != fields.end() && found->is_boolean() && found->get<bool>();
}

std::vector<std::string> Message::Texts(const char* name) const {
  std::vector<std::string> texts;
  const auto found = fields.find(name);
  if (found == fields.end() || !found->is_array()) return texts;
  for (const auto& one : *found) {
    if (one.is_string()) texts.push_back(one.get<std::string>());
  }
  return texts;
}

Result<Message> Parse(std::string_view text) {
  Message message;
  message.fields = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!message.fields.is_object()) return Invalid("a message that is no JSON object");
  message.kind = message.Text("kind");
  if (message.kind.empty()) return Invalid("a message without a kind");
  return message;
}

Channel::Channel(net::Loop& loop, net::UniqueFd fd, Callbacks callbacks)
    : loop_(loop), fd_(std::move(fd)), callbacks_(std::move(callbacks)) {
  poller_.emplace(loop_, fd_.get(), [this](net::Poller::Ready ready) { OnReady(ready); });
  poller_->Set(net::Poller::kRead);
}

void Channel::Send(Message message) {
  if (ended_) return;
  message.fields["kind"] = message.kind;
  if (!message.descriptors.empty()) message.fields[kDescriptors] = message.descriptors.size();
  std::string text = message.fields.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  out_.push_back({Prefix(text.size()) + text, 0, std::move(message.descriptors)});
  // At once, if it can be: this process may be about to end. What does not work is found out by the
  // poller, and not inside this call.
  (void)Flush();
  if (!out_.empty()) poller_->Set(net::Poller::kRead | net::Poller::kWrite);
}

std::optional<net::UniqueFd> Channel::Release() {
  if (ended_ || !in_.empty() || !out_.empty() || !descriptors_.empty()) return std::nullopt;
  poller_.reset();
  ended_ = true;
  return std::move(fd_);
}

void Channel::OnReady(net::Poller::Ready ready) {
  const std::weak_ptr<bool> alive = alive_;
  if (ready.error) {
    // Nothing more is heard of this socket, so all that it holds is read now: its other end may
    // have said something before it went, with words of ours unread (a reset), and one read takes
    // no more than the descriptors of one message.
    while (!alive.expired() && !ended_ && Read()) {
    }
    if (!alive.expired() && !ended_)
      End(std::strerror(ready.refused != 0 ? ready.refused : ECONNRESET));
    return;
  }
  if (ready.read || ready.other) Read();
  if (!alive.expired() && !ended_ && ready.write) Write();
}

bool Channel::Read() {
  std::array<char, kReadAtOnce> buffer;
  Control control;
  iovec part{buffer.data(), buffer.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  const ssize_t got = recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC);
  if (got < 0 && errno == EAGAIN) return false;
  if (got < 0 && errno == EINTR) return true;
  if (got < 0) {
    End(std::strerror(errno));
    return true;
  }
  for (cmsghdr* one = CMSG_FIRSTHDR(&header); one != nullptr; one = CMSG_NXTHDR(&header, one)) {
    if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(one) + i * sizeof fd, sizeof fd);
      descriptors_.emplace_back(fd);
    }
  }
  if (got == 0) {
    End("the other end has closed it");
    return true;
  }
  if ((header.msg_flags & MSG_CTRUNC) != 0 || descriptors_.size() > kMaxWaiting) {
    End("more descriptors than there is room for");
    return true;
  }
  in_.append(buffer.data(), static_cast<std::size_t>(got));
  const std::weak_ptr<bool> alive = alive_;
  while (!alive.expired() && !ended_) {
    auto next = Next();
    if (!next) {
      End(next.error().message);
      return true;
    }
    if (!*next) return true;
    const auto on_message = callbacks_.on_message;  // it may end this
    on_message(std::move(**next));
  }
  return true;
}

Result<std::optional<Message>> Channel::Next() {
  if (in_.size() < kPrefix) return std::optional<Message>();
  const std::size_t length = LengthOf(in_);
  if (length > kMaxMessage) return Invalid("a message that is too large");
  if (in_.size() < kPrefix + length) return std::optional<Message>();
  auto message = Parse(std::string_view(in_).substr(kPrefix, length));
  if (!message) return message.error();
  in_.erase(0, kPrefix + length);
  const auto wanted =
      static_cast<std::size_t>(std::max<std::int64_t>(message->Number(kDescriptors), 0));
  if (wanted > descriptors_.size()) return Invalid("a message without its descriptors");
  for (std::size_t i = 0; i < wanted; ++i) {
    message->descriptors.push_back(std::move(descriptors_.front()));
    descriptors_.pop_front();
  }
  return std::optional<Message>(std::move(*message));
}

void Channel::Write() {
  if (const int error = Flush(); error != 0) return End(std::strerror(error));
  if (out_.empty()) poller_->Set(net::Poller::kRead);
}

int Channel::Flush() {
  while (!out_.empty()) {
    Outgoing& next = out_.front();
    iovec part{next.bytes.data() + next.done, next.bytes.size() - next.done};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    Control control{};
    const std::size_t count = next.descriptors.size();
    if (count > kMaxDescriptors) return EMSGSIZE;
    if (count > 0) {
      header.msg_control = control.bytes.data();
      header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
      cmsghdr* one = CMSG_FIRSTHDR(&header);
      one->cmsg_level = SOL_SOCKET;
      one->cmsg_type = SCM_RIGHTS;
      one->cmsg_len = CMSG_LEN(sizeof(int) * count);
      for (std::size_t i = 0; i < count; ++i) {
        const int fd = next.descriptors[i].get();
        std::memcpy(CMSG_DATA(one) + i * sizeof fd, &fd, sizeof fd);
      }
    }
    const ssize_t sent = sendmsg(fd_.get(), &header, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? 0 : errno;
    next.descriptors.clear();  // they went with the first byte
    next.done += static_cast<std::size_t>(sent);
    if (next.done == next.bytes.size()) out_.pop_front();
  }
  return 0;
}

void Channel::End(const std::string& why) {
  if (std::exchange(ended_, true)) return;
  poller_.reset();
  fd_.Reset();
  const auto on_end = callbacks_.on_end;  // it may destroy this
  on_end(why);
}

}  // namespace mooring::handover
