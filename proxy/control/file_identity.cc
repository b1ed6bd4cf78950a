#include <array>
#include <utility>

#include "proxy/config/file.h"
#include "proxy/control/identity_source.h"
#include "tls/cleanse.h"

namespace mooring::control {
namespace {

constexpr net::milliseconds kLookAgain{1'000};
struct FileSet {
  std::shared_ptr<const tls::Credentials> leaf;
  std::shared_ptr<const tls::TrustBundle> roots;
};

// Load reads the three files as one set: nothing of it is used unless all of it is good together.
Result<FileSet> Load(const config::FileIdentity& files) {
  auto certificate = config::ReadFile(files.certificate);
  if (!certificate) return certificate.error();
  auto key = config::ReadFile(files.private_key);
  if (!key) return key.error();
  auto roots = config::ReadFile(files.roots);
  if (!roots) return roots.error();
  FileSet set;
  auto leaf = tls::Credentials::Make(*certificate, *key);
  tls::Cleanse(&*key);
  if (!leaf) {
    return Invalid(files.certificate + " with " + files.private_key + ": " + leaf.error().message);
  }
  set.leaf = *leaf;
  const std::array<std::string, 1> pems{*roots};
  auto bundle = tls::TrustBundle::Make(set.leaf->id().trust_domain, pems);
  if (!bundle) return Invalid(files.roots + ": " + bundle.error().message);
  set.roots = *bundle;
  const tls::Judgement own = tls::JudgeOwn(*set.leaf, *set.roots, std::chrono::system_clock::now());
  if (own.refusal != tls::Refusal::kNone && own.refusal != tls::Refusal::kExpired) {
    return Invalid(files.certificate + ": not usable under the roots of " + files.roots + " (" +
                   tls::RefusalName(own.refusal) + ": " + own.detail + ")");
  }
  return set;
}

class FileIdentitySource final : public IdentitySource {
 public:
  FileIdentitySource(net::Loop& loop, log::Log& log, config::FileIdentity files,
                     const tls::Offers& offers, OnChange on_change)
      : log_(log),
        files_(std::move(files)),
        on_change_(std::move(on_change)),
        timer_(loop, [this] { LookAgain(); }) {
    (void)pairing_.SetOffers(offers);  // with neither leaf nor roots there is nothing to fail
  }

  void Start() override { LookAgain(); }
  void SetOffers(const tls::Offers& offers) override {
    if (const Status made = pairing_.SetOffers(offers); !made) {
      log_.Warn("control", "identity files not usable as the mesh has it",
                {{"error", made.error().message}});
    }
    if (pairing_.current() == announced_) return;
    announced_ = pairing_.current();
    on_change_();
  }
  void Retire() override {}  // files cost the agent nothing
  std::shared_ptr<const data::Identity> Current() const override { return pairing_.current(); }
  std::string Missing() const override {
    return pairing_.current() ? std::string() : "identity files: " + complaint_;
  }

 private:
  void LookAgain() {
    timer_.Start(kLookAgain);
    const std::array<config::FileLook, 3> now{config::LookAt(files_.certificate),
                                              config::LookAt(files_.private_key),
                                              config::LookAt(files_.roots)};
    // A set that failed is read again even if nothing moved: a writer may have kept time and size.
    if (now == seen_ && complaint_.empty()) return;
    seen_ = now;
    auto set = Load(files_);
    Status verdict = set ? Ok() : Status(set.error());
    if (set) {
      verdict = pairing_.SetRoots(set->roots);
      verdict = pairing_.SetLeaf(set->leaf);
    }
    const std::string complaint = verdict ? std::string() : verdict.error().message;
    if (!complaint.empty() && complaint != complaint_) {
      log_.Warn("control", "identity files not taken up; will look again", {{"error", complaint}});
    }
    complaint_ = complaint;
    if (pairing_.current() == announced_ || !complaint.empty()) return;
    announced_ = pairing_.current();
    log_.Info(
        "control", "identity files taken up",
        {{"spiffe_id", announced_->leaf->id().Uri()}, {"serial", announced_->leaf->serial()}});
    on_change_();
  }

  log::Log& log_;
  const config::FileIdentity files_;
  const OnChange on_change_;
  Pairing pairing_;
  std::shared_ptr<const data::Identity> announced_;
  std::array<config::FileLook, 3> seen_{};
  std::string complaint_ = "not read yet";
  net::Timer timer_;
};

}  // namespace

Status CheckFileIdentity(const config::FileIdentity& files) {
  auto set = Load(files);
  if (!set) return set.error();
  return Ok();
}

std::unique_ptr<IdentitySource> MakeFileIdentity(net::Loop& loop, log::Log& log,
                                                 config::FileIdentity files,
                                                 const tls::Offers& offers,
                                                 IdentitySource::OnChange on_change) {
  return std::make_unique<FileIdentitySource>(loop, log, std::move(files), offers,
                                              std::move(on_change));
}

}  // namespace mooring::control
