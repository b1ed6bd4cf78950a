#include <doctest/doctest.h>
#include <openssl/nid.h>
#include <openssl/pem.h>

#include <array>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/mint.h"
#include "tls/boringssl.h"
#include "tls/credentials_impl.h"
#include "tls/identity.h"
#include "tls/issuer.h"

namespace mooring::tls {
namespace {

using mint::KeyKind;
using mint::Mint;
using mint::Minted;
using mint::Recipe;
using std::chrono::hours;

constexpr const char* kDomain = "11111111-2222-3333-4444-555555555555.consul";
const std::string kPrefix = std::string("spiffe://") + kDomain;
const std::string kWeb = kPrefix + "/ns/default/dc/dc1/svc/web";

constexpr std::array kBoth = {Purpose::kPeerIsClient, Purpose::kPeerIsServer};

const Minted& Root() {
  static const Minted root = Mint(mint::Ca("Test CA"));
  return root;
}

Recipe With(const std::function<void(Recipe&)>& change) {
  Recipe recipe = mint::Leaf(kWeb);
  change(recipe);
  return recipe;
}

// Line is a chain of `count` intermediates below Root(), the one nearest the root first.
std::vector<Minted> Line(int count) {
  std::vector<Minted> line;
  for (int i = 0; i < count; ++i) {
    line.push_back(
        Mint(mint::Ca("Intermediate " + std::to_string(i)), i == 0 ? &Root() : &line.back()));
  }
  return line;
}

}  // namespace

TEST_CASE("trust bundle: what is no list of roots is refused with a reason") {
  const std::vector<std::string> none;
  const std::vector<std::string> good = {Root().pem};
  CHECK(!TrustBundle::Make(kDomain, none));
  CHECK(!TrustBundle::Make("", good));
  CHECK(!TrustBundle::Make("UPPER.consul", good));
  const std::vector<std::string> junk = {Root().pem, "junk"};
  auto refused = TrustBundle::Make(kDomain, junk);
  REQUIRE(!refused);
  CHECK(refused.error().message == "root number 2: there is no certificate in PEM form");
  const Minted leaf = Mint(mint::Leaf(kWeb), &Root());
  const std::vector<std::string> not_ca = {leaf.pem};
  refused = TrustBundle::Make(kDomain, not_ca);
  REQUIRE(!refused);
  CHECK(refused.error().message == "root number 1, CN=leaf, is not a CA certificate");
  std::string damaged = Root().pem;
  damaged.replace(damaged.size() / 2, 1, "!");
  const std::vector<std::string> broken = {damaged};
  CHECK(!TrustBundle::Make(kDomain, broken));
}

TEST_CASE("trust bundle: several roots in one text, one root twice") {
  const Minted other = Mint(mint::Ca("Other CA"));
  const std::vector<std::string> texts = {"# ours\n" + Root().pem + "# theirs\n" + other.pem,
                                          Root().pem};
  auto bundle = TrustBundle::Make(kDomain, texts);
  REQUIRE(bundle);
  CHECK((*bundle)->size() == 2);
  CHECK((*bundle)->trust_domain() == kDomain);
}

TEST_CASE("credentials: a leaf, its key and its chain") {
  const std::vector<Minted> line = Line(1);
  const Minted leaf = Mint(mint::Leaf(kWeb), &line[0]);
  auto made = Credentials::Make(leaf.pem + line[0].pem + line[0].pem + leaf.pem, leaf.key_pem);
  REQUIRE(made);
  CHECK((*made)->id().Uri() == kWeb);
  CHECK((*made)->chain_length() == 2);  // what came twice is dropped
  const WallTime now = std::chrono::system_clock::now();
  CHECK((*made)->not_before() < now);
  CHECK((*made)->not_after() > now);
  const std::string& serial = (*made)->serial();
  CHECK(!serial.empty());
  CHECK(serial.size() % 3 == 2);
  CHECK(serial.find_first_not_of("0123456789abcdef:") == std::string::npos);
}

TEST_CASE("pem: what editors and copies do to a file loses no block") {
  const std::vector<Minted> line = Line(1);
  const Minted leaf = Mint(mint::Leaf(kWeb), &line[0]);
  const auto replaced = [](std::string text, const std::string& what, const std::string& by) {
    for (std::size_t at = text.find(what); at != std::string::npos;
         at = text.find(what, at + by.size())) {
      text.replace(at, what.size(), by);
    }
    return text;
  };
  const std::string chain = leaf.pem + line[0].pem;
  const auto length = [](const std::string& certificates, const std::string& key) {
    auto made = Credentials::Make(certificates, key);
    REQUIRE_MESSAGE(made, (made ? std::string() : made.error().message));
    return (*made)->chain_length();
  };
  CHECK(length("\xef\xbb\xbf" + chain, "\xef\xbb\xbf" + leaf.key_pem) == 2);
  CHECK(length(leaf.pem + "\xef\xbb\xbf" + line[0].pem, leaf.key_pem) == 2);
  CHECK(length(replaced("\n" + chain, "\n", "\n  \t"),
               replaced("\n" + leaf.key_pem, "\n", "\n    ")) == 2);
  CHECK(length(replaced(chain, "\n", "\r"), replaced(leaf.key_pem, "\n", "\r")) == 2);
  CHECK(length(replaced(chain, "\n", "\r\n"), replaced(leaf.key_pem, "\n", "\r\n")) == 2);
  std::string joined = leaf.pem;
  while (joined.ends_with('\n')) joined.pop_back();
  const auto refused = Credentials::Make(joined + line[0].pem, leaf.key_pem);
  REQUIRE(!refused);
  CHECK(refused.error().message.find("BEGIN line") != std::string::npos);
}

TEST_CASE("credentials: of a whole bundle, what no path passes is dropped before it is counted") {
  const std::vector<Minted> line = Line(8);
  const Minted leaf = Mint(mint::Leaf(kWeb), &line.back());
  std::string bundle = leaf.pem;
  for (int i = 0; i < 12; ++i) bundle += Mint(mint::Ca("Somebody Else " + std::to_string(i))).pem;
  for (const Minted& one : line) bundle += one.pem;
  auto made = Credentials::Make(bundle, leaf.key_pem);
  REQUIRE(made);
  CHECK((*made)->chain_length() <= tls::kMaxChain);
  const std::vector<Minted> long_line = Line(12);
  const Minted far = Mint(mint::Leaf(kWeb), &long_line.back());
  bundle = far.pem;
  for (const Minted& one : long_line) bundle += one.pem;
  CHECK(!Credentials::Make(bundle, far.key_pem));
}

TEST_CASE("credentials: the second that a leaf names as its end is still its own") {
  const Minted leaf = Mint(mint::Leaf(kWeb), &Root());
  auto made = Credentials::Make(leaf.pem, leaf.key_pem);
  REQUIRE(made);
  const WallTime last = (*made)->not_after();
  CHECK(!(*made)->ExpiredAt(last));
  CHECK(!(*made)->ExpiredAt(last + std::chrono::milliseconds(999)));
  CHECK((*made)->ExpiredAt(last + std::chrono::seconds(1)));
  const auto roots = mint::Roots(kDomain, {&Root()});
  CHECK(mint::Judge(*roots, {&leaf}, tls::Purpose::kPeerIsServer, last).refusal ==
        tls::Refusal::kNone);
  CHECK(mint::Judge(*roots, {&leaf}, tls::Purpose::kPeerIsServer, last + std::chrono::seconds(1))
            .refusal == tls::Refusal::kExpired);
}

TEST_CASE("credentials: SEC1, PKCS#1 and PKCS#8 keys, with EC parameters in front") {
  const auto text = [](BIO* bio) {
    const std::uint8_t* data = nullptr;
    std::size_t length = 0;
    REQUIRE(BIO_mem_contents(bio, &data, &length) == 1);
    return std::string(data, data + length);
  };
  const Minted ec = Mint(mint::Leaf(kWeb), &Root());
  const bssl::UniquePtr<BIO> sec1(BIO_new(BIO_s_mem()));
  REQUIRE(PEM_write_bio_ECPrivateKey(sec1.get(), EVP_PKEY_get0_EC_KEY(ec.key.get()), nullptr,
                                     nullptr, 0, nullptr, nullptr) == 1);
  CHECK(Credentials::Make(ec.pem, text(sec1.get())));
  CHECK(Credentials::Make(ec.pem, ec.key_pem));
  CHECK(Credentials::Make(ec.pem,
                          "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
                          "-----END EC PARAMETERS-----\n" +
                              text(sec1.get())));
  const Minted rsa = Mint(With([](Recipe& r) { r.key = KeyKind::kRsa2048; }), &Root());
  const bssl::UniquePtr<BIO> pkcs1(BIO_new(BIO_s_mem()));
  REQUIRE(PEM_write_bio_RSAPrivateKey(pkcs1.get(), EVP_PKEY_get0_RSA(rsa.key.get()), nullptr,
                                      nullptr, 0, nullptr, nullptr) == 1);
  CHECK(Credentials::Make(rsa.pem, text(pkcs1.get())));
  const Minted ed = Mint(With([](Recipe& r) { r.key = KeyKind::kEd25519; }), &Root());
  CHECK(Credentials::Make(ed.pem, ed.key_pem));
}

TEST_CASE("credentials: what cannot work is refused with a reason that holds no key") {
  const Minted leaf = Mint(mint::Leaf(kWeb), &Root());
  const Minted other = Mint(mint::Leaf(kWeb), &Root());
  const auto why = [](const std::string& certificate, const std::string& key) {
    auto made = Credentials::Make(certificate, key);
    REQUIRE(!made);
    CHECK(made.error().code == ErrorCode::kInvalid);
    const std::string body = key.size() > 120 ? key.substr(60, 40) : "PRIVATE KEY-----";
    CHECK(made.error().message.find(body) == std::string::npos);
    return made.error().message;
  };
  const auto has = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  };
  has(why("", leaf.key_pem), "leaf certificate: there is no certificate");
  has(why(leaf.pem, ""), "leaf private key: there is no private key");
  has(why(leaf.pem, other.key_pem), "does not match");
  has(why(Root().pem + leaf.pem, leaf.key_pem), "does not match");
  has(why(leaf.pem, leaf.key_pem + other.key_pem), "more than one private key");
  std::string cut = leaf.key_pem;
  cut.resize(cut.size() / 2);
  has(why(leaf.pem, cut), "damaged");
  const bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  std::string password = "secret";
  REQUIRE(PEM_write_bio_PKCS8PrivateKey(bio.get(), leaf.key.get(), EVP_aes_128_cbc(),
                                        password.data(), 6, nullptr, nullptr) == 1);
  const std::uint8_t* data = nullptr;
  std::size_t length = 0;
  REQUIRE(BIO_mem_contents(bio.get(), &data, &length) == 1);
  has(why(leaf.pem, std::string(data, data + length)), "encrypted");

  std::vector<std::uint8_t> longer = leaf.der;
  longer.push_back(0);
  const bssl::UniquePtr<BIO> trailing(BIO_new(BIO_s_mem()));
  REQUIRE(PEM_write_bio(trailing.get(), "CERTIFICATE", "", longer.data(),
                        static_cast<long>(longer.size())) > 0);
  REQUIRE(BIO_mem_contents(trailing.get(), &data, &length) == 1);
  has(why(std::string(data, data + length), leaf.key_pem), "bytes after its end");

  const auto bad = [&](const std::function<void(Recipe&)>& change) {
    const Minted wrong = Mint(With(change), &Root());
    return why(wrong.pem, wrong.key_pem);
  };
  has(bad([](Recipe& r) { r.sans = {{GEN_URI, kPrefix + "/agent/client/dc/dc1/id/n"}}; }), "agent");
  has(bad([](Recipe& r) { r.sans.clear(); }), "0 URI SANs");
  has(bad([](Recipe& r) { r.ca = true; }), "CA certificate");
  has(bad([](Recipe& r) { r.key_usage.clear(); }), "key usage");
  has(bad([](Recipe& r) { r.key = KeyKind::kRsa1024; }), "2048");
  has(bad([](Recipe& r) { r.extended = {NID_code_sign}; }), "neither");

  const std::vector<Minted> line = Line(10);
  const Minted deep = Mint(mint::Leaf(kWeb), &line.back());
  std::string pem = deep.pem;
  for (auto it = line.rbegin(); it != line.rend(); ++it) pem += it->pem;
  has(why(pem, deep.key_pem), "10 intermediates");
}

TEST_CASE("credentials: JudgeOwn says what peers with these roots would say, in either role") {
  const WallTime now = std::chrono::system_clock::now();
  const auto roots = mint::Roots(kDomain, {&Root()});
  const std::vector<Minted> line = Line(1);
  const Minted leaf = Mint(mint::Leaf(kWeb), &line[0]);
  CHECK(JudgeOwn(*mint::Own(leaf, {&line[0]}), *roots, now).refusal == Refusal::kNone);
  CHECK(JudgeOwn(*mint::Own(leaf), *roots, now).refusal == Refusal::kUnknownCa);
  const auto later = now + hours(2);
  CHECK(JudgeOwn(*mint::Own(leaf, {&line[0]}), *roots, later).refusal == Refusal::kExpired);
  for (const int usage : {NID_client_auth, NID_server_auth}) {
    const Minted one_role = Mint(With([&](Recipe& r) { r.extended = {usage}; }), &Root());
    CHECK(JudgeOwn(*mint::Own(one_role), *roots, now).refusal == Refusal::kLeafRules);
  }
}

TEST_CASE("credentials: expiry is not judged") {
  const Minted leaf = Mint(With([](Recipe& r) {
                             r.from = hours(-2);
                             r.until = hours(-1);
                           }),
                           &Root());
  auto made = Credentials::Make(leaf.pem, leaf.key_pem);
  REQUIRE(made);
  CHECK((*made)->not_after() < std::chrono::system_clock::now());
}

TEST_CASE("issuer: its leaves are good credentials and are believed in both roles") {
  auto issuer = Issuer::Make(kDomain);
  REQUIRE(issuer);
  CHECK((*issuer)->trust_domain() == kDomain);
  CHECK((*issuer)->root_id().size() == 32 * 3 - 1);
  const authz::ServiceId id = {kDomain, "", "default", "dc1", std::string(100, 'w')};
  const WallTime before = std::chrono::system_clock::now();
  auto leaf = (*issuer)->Issue(id, hours(72));
  REQUIRE(leaf);
  auto credentials = Credentials::Make(leaf->certificate_pem, leaf->private_key_pem);
  REQUIRE(credentials);
  CHECK((*credentials)->id() == id);
  CHECK((*credentials)->serial() == leaf->serial);
  CHECK((*credentials)->not_after() == leaf->not_after);
  CHECK(leaf->not_before < before);
  CHECK(leaf->not_after - before > hours(71));
  const std::vector<std::string> roots = {(*issuer)->root_pem()};
  auto bundle = TrustBundle::Make(kDomain, roots);
  REQUIRE(bundle);
  const auto& der = (*credentials)->impl().chain.front();
  const std::vector<std::span<const std::uint8_t>> chain = {
      {CRYPTO_BUFFER_data(der.get()), CRYPTO_BUFFER_len(der.get())}};
  for (const Purpose purpose : kBoth) {
    const Judgement judgement = (*bundle)->Judge(chain, purpose, std::chrono::system_clock::now());
    CHECK(judgement.refusal == Refusal::kNone);
    CHECK(judgement.id == id);
  }
  auto other = Issuer::Make(kDomain);
  REQUIRE(other);
  const std::vector<std::string> other_roots = {(*other)->root_pem()};
  auto other_bundle = TrustBundle::Make(kDomain, other_roots);
  REQUIRE(other_bundle);
  CHECK((*other_bundle)->Judge(chain, Purpose::kPeerIsClient, before).refusal ==
        Refusal::kUnknownCa);
}

TEST_CASE("issuer: a leaf whose only name is the SAN has it critical, and is believed as well") {
  auto issuer = Issuer::Make(kDomain);
  REQUIRE(issuer);
  const authz::ServiceId id = {kDomain, "", "default", "dc1", "web"};
  for (const LeafName name : {LeafName::kSanOnly, LeafName::kCommonName}) {
    auto leaf = (*issuer)->Issue(id, hours(72), name);
    REQUIRE(leaf);
    auto credentials = Credentials::Make(leaf->certificate_pem, leaf->private_key_pem);
    REQUIRE(credentials);
    CHECK((*credentials)->id() == id);
    const auto& der = (*credentials)->impl().chain.front();
    const bssl::UniquePtr<X509> parsed(X509_parse_from_buffer(der.get()));
    REQUIRE(parsed);
    const bool bare = X509_NAME_entry_count(X509_get_subject_name(parsed.get())) == 0;
    const int at = X509_get_ext_by_NID(parsed.get(), NID_subject_alt_name, -1);
    REQUIRE(at >= 0);
    CHECK(bare == (name == LeafName::kSanOnly));
    CHECK((X509_EXTENSION_get_critical(X509_get_ext(parsed.get(), at)) == 1) == bare);
    const std::vector<std::string> roots = {(*issuer)->root_pem()};
    auto bundle = TrustBundle::Make(kDomain, roots);
    REQUIRE(bundle);
    const std::vector<std::span<const std::uint8_t>> chain = {
        {CRYPTO_BUFFER_data(der.get()), CRYPTO_BUFFER_len(der.get())}};
    for (const Purpose purpose : kBoth) {
      CHECK((*bundle)->Judge(chain, purpose, std::chrono::system_clock::now()).refusal ==
            Refusal::kNone);
    }
  }
}

TEST_CASE("issuer: refuses what is not its to sign") {
  CHECK(!Issuer::Make("Not A Domain"));
  auto issuer = Issuer::Make(kDomain);
  REQUIRE(issuer);
  CHECK(!(*issuer)->Issue({"other.consul", "", "default", "dc1", "web"}, hours(1)));
  CHECK(!(*issuer)->Issue({kDomain, "", "default", "dc1", "we/b"}, hours(1)));
  CHECK(!(*issuer)->Issue({kDomain, "", "default", "dc1", "web"}, hours(0)));
  auto long_lived = (*issuer)->Issue({kDomain, "", "default", "dc1", "web"}, hours(24 * 365 * 50));
  REQUIRE(long_lived);
  CHECK(long_lived->not_after < std::chrono::system_clock::now() + hours(24 * 365 * 11));
}

TEST_CASE("issuer: two roots of one trust domain differ in name and ID") {
  auto first = Issuer::Make(kDomain);
  auto second = Issuer::Make(kDomain);
  REQUIRE(first);
  REQUIRE(second);
  CHECK((*first)->root_id() != (*second)->root_id());
  CHECK((*first)->root_pem() != (*second)->root_pem());
}

}  // namespace mooring::tls
