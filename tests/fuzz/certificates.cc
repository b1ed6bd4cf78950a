// certificates: a chain to its verdict. Certificates of any names and extensions, signed by a CA
// that is trusted; whatever is believed has to keep the rules, which are read here once more, off
// the bytes alone.
//
// The script chooses each field; where it is at its end the rest is that of a good leaf. Times are
// fixed, keys are not, and have no part in a verdict.
#include <openssl/bytestring.h>
#include <openssl/nid.h>
#include <openssl/obj.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/fuzz/targets.h"
#include "tests/unit/mint.h"
#include "tls/boringssl.h"

namespace mooring::fuzz {
namespace {

using Der = std::vector<std::uint8_t>;

constexpr const char* kDomain = "td.consul";
constexpr const char* kUri = "spiffe://td.consul/ns/default/dc/dc1/svc/web";
constexpr const char* kNow = "20300615000000Z";
constexpr std::int64_t kNowSeconds = 1907712000;  // the same, since 1970

// ---- the CA, once -----------------------------------------------------------------------------

struct Authority {
  static mint::Minted Made(const char* name) {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(
        std::chrono::system_clock::now().time_since_epoch());
    mint::Recipe recipe = mint::Ca(name);
    recipe.from = std::chrono::seconds(kNowSeconds - 1'000'000) - now;
    recipe.until = std::chrono::seconds(kNowSeconds + 1'000'000) - now;
    return mint::Mint(recipe);
  }
  mint::Minted root = Made("root");
  mint::Minted stranger = Made("root");  // of the same name, and in no list
  mint::Minted other = Made("other");    // for the keys of an intermediate and of a leaf
  mint::Minted leaf_keys = Made("leaf");
  std::shared_ptr<const tls::TrustBundle> trusted = mint::Roots(kDomain, {&root});
  const tls::WallTime now{std::chrono::seconds(kNowSeconds)};
};

const Authority& Mesh() {
  static const Authority& mesh = *new Authority;
  return mesh;
}

// ---- certificates of choices --------------------------------------------------------------------

class Builder final {
 public:
  Builder() { CBB_init(cbb_.get(), 512); }
  CBB* operator->() { return cbb_.get(); }
  CBB* get() { return cbb_.get(); }
  Der Take() {
    std::uint8_t* data = nullptr;
    std::size_t size = 0;
    FUZZ_REQUIRE(CBB_finish(cbb_.get(), &data, &size) == 1, "DER is built");
    const bssl::UniquePtr<std::uint8_t> owner(data);
    return {data, data + size};
  }

 private:
  bssl::ScopedCBB cbb_;
};

void Put(CBB* to, Input bytes) { CBB_add_bytes(to, bytes.data(), bytes.size()); }

Der SubjectOf(const X509* certificate) {
  std::uint8_t* data = nullptr;
  const int size = i2d_X509_NAME(X509_get_subject_name(certificate), &data);
  FUZZ_REQUIRE(size > 0, "a name");
  const bssl::UniquePtr<std::uint8_t> owner(data);
  return {data, data + size};
}

Der KeyOf(const X509* certificate) {
  std::uint8_t* data = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &data);
  FUZZ_REQUIRE(size > 0, "a key");
  const bssl::UniquePtr<std::uint8_t> owner(data);
  return {data, data + size};
}

// The algorithm ecdsa-with-SHA256.
constexpr std::uint8_t kEcdsa[] = {0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2};

Der Sequence(Input content) {
  Builder der;
  CBB body;
  CBB_add_asn1(der.get(), &body, CBS_ASN1_SEQUENCE);
  Put(&body, content);
  return der.Take();
}

void PutName(CBB* names, unsigned type, Input value) {
  CBB name;
  CBB_add_asn1(names, &name, CBS_ASN1_CONTEXT_SPECIFIC | type);
  Put(&name, value);
  CBB_flush(names);
}

Der Names(Script* script, bool chosen) {
  Builder der;
  CBB names;
  CBB_add_asn1(der.get(), &names, CBS_ASN1_SEQUENCE);
  if (!chosen) PutName(&names, 6, BytesOf(kUri));
  for (std::size_t left = chosen ? script->Below(4) : 0; left > 0; --left) {
    static constexpr std::array<unsigned, 5> kTypes = {6, 2, 7, 1, 4};
    static constexpr std::array<const char*, 8> kUris = {
        kUri,
        "spiffe://td.consul/ns/default/dc/dc1/svc/db",
        "spiffe://other.consul/ns/default/dc/dc1/svc/web",
        "spiffe://td.consul",
        "https://td.consul/",
        "spiffe://TD.consul/ns/default/dc/dc1/svc/web",
        "spiffe://td.consul/ns/default/dc/dc1/svc/web/",
        "spiffe://td.consul/ns/default/dc/dc1/svc/w%65b"};
    const unsigned type = script->OneOf(kTypes);
    const std::size_t which = script->Below(kUris.size() + 1);
    PutName(&names, type, which < kUris.size() ? BytesOf(kUris[which]) : script->Piece());
  }
  return der.Take();
}

Der Bits(unsigned first) {
  Builder der;
  CBB bits;
  CBB_add_asn1(der.get(), &bits, CBS_ASN1_BITSTRING);
  std::uint8_t unused = 0;  // DER has no trailing zero bits (X.690 11.2.2)
  while (unused < 8 && (first >> unused & 1U) == 0) ++unused;
  CBB_add_u8(&bits, unused == 8 ? 0 : unused);
  if (unused < 8) CBB_add_u8(&bits, static_cast<std::uint8_t>(first));
  return der.Take();
}

Der Purposes(unsigned which) {
  static constexpr std::array kNids = {NID_client_auth, NID_server_auth, NID_code_sign,
                                       NID_anyExtendedKeyUsage};
  Builder der;
  CBB purposes;
  CBB_add_asn1(der.get(), &purposes, CBS_ASN1_SEQUENCE);
  for (std::size_t i = 0; i < kNids.size(); ++i)
    if ((which >> i & 1U) != 0) OBJ_nid2cbb(&purposes, kNids[i]);
  return der.Take();
}

Der Constraints(unsigned how) {
  Builder der;
  CBB constraints;
  CBB_add_asn1(der.get(), &constraints, CBS_ASN1_SEQUENCE);
  if ((how & 1U) != 0) CBB_add_asn1_bool(&constraints, (how & 2U) == 0 ? 1 : 0);
  if ((how & 4U) != 0) CBB_add_asn1_uint64(&constraints, how >> 4U);
  return der.Take();
}

void PutExtension(CBB* list, int nid, bool critical, const Der& value) {
  CBB one, wrapped;
  CBB_add_asn1(list, &one, CBS_ASN1_SEQUENCE);
  OBJ_nid2cbb(&one, nid);
  if (critical) CBB_add_asn1_bool(&one, 1);
  CBB_add_asn1(&one, &wrapped, CBS_ASN1_OCTETSTRING);
  Put(&wrapped, value);
  CBB_flush(list);
}

void PutGoodExtensions(Script* script, CBB* list, bool ca) {
  PutExtension(list, NID_basic_constraints, true, Constraints(ca ? 1 : 0));
  PutExtension(list, NID_key_usage, true, Bits(ca ? 6 : 0xb8));
  if (ca) return;
  PutExtension(list, NID_ext_key_usage, false, Purposes(3));
  PutExtension(list, NID_subject_alt_name, false, Names(script, false));
}

void PutChosenExtension(Script* script, CBB* list) {
  const std::uint8_t what = script->Byte();
  const bool critical = (what & 128U) != 0;
  switch (what % 10) {
    case 0: return PutExtension(list, NID_subject_alt_name, critical, Names(script, false));
    case 1: return PutExtension(list, NID_subject_alt_name, critical, Names(script, true));
    case 2: return PutExtension(list, NID_key_usage, critical, Bits(0xb8));
    case 3: return PutExtension(list, NID_key_usage, critical, Bits(script->Byte()));
    case 4: return PutExtension(list, NID_ext_key_usage, critical, Purposes(3));
    case 5: return PutExtension(list, NID_ext_key_usage, critical, Purposes(script->Byte()));
    case 6: return PutExtension(list, NID_basic_constraints, critical, Constraints(0));
    case 7: return PutExtension(list, NID_basic_constraints, critical, Constraints(script->Byte()));
    case 8: {
      static constexpr std::array kKnown = {NID_subject_alt_name,
                                            NID_key_usage,
                                            NID_ext_key_usage,
                                            NID_basic_constraints,
                                            NID_name_constraints,
                                            NID_subject_key_identifier,
                                            NID_authority_key_identifier,
                                            NID_certificate_policies,
                                            NID_policy_constraints};
      const int nid = script->OneOf(kKnown);
      const Input value = script->Piece();
      return PutExtension(list, nid, critical, {value.begin(), value.end()});
    }
    default: {
      CBB one, oid;
      CBB_add_asn1(list, &one, CBS_ASN1_SEQUENCE);
      CBB_add_asn1(&one, &oid, CBS_ASN1_OBJECT);
      static constexpr std::uint8_t kOurs[] = {0x2b, 6, 1, 4, 1, 0x83, 0xb2, 3};
      const Input chosen = script->Piece();
      Put(&oid, chosen.empty() ? Input(kOurs) : chosen);
      if (critical) CBB_add_asn1_bool(&one, 1);
      CBB value;
      CBB_add_asn1(&one, &value, CBS_ASN1_OCTETSTRING);
      Put(&value, script->Piece());
      CBB_flush(list);
    }
  }
}

// Signed is a certificate for the keys of `subject`, by `issuer`.
Der Signed(Script* script, const mint::Minted& issuer, const mint::Minted& subject, bool ca) {
  const std::uint8_t odd = script->Byte();  // which fields are chosen, and not those of a good one
  Builder der;
  CBB body;
  CBB_add_asn1(der.get(), &body, CBS_ASN1_SEQUENCE);
  CBB version;
  CBB_add_asn1(&body, &version, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0);
  CBB_add_asn1_uint64(&version, (odd & 1U) != 0 ? script->Below(4) : 2);
  CBB_add_asn1_uint64(&body, (odd & 2U) != 0 ? script->Number16() : 77);
  const auto field = [&](unsigned bit, Input good) {
    if ((odd & bit) == 0) return Put(&body, good);
    // Inside what it has to be, or in its place.
    const bool wrapped = script->Flag();
    const Input chosen = script->Piece();
    const Der sequence = Sequence(chosen);
    Put(&body, wrapped ? Input(sequence) : chosen);
  };
  field(4U, kEcdsa);
  field(8U, SubjectOf(issuer.certificate.get()));
  CBB validity;
  CBB_add_asn1(&body, &validity, CBS_ASN1_SEQUENCE);
  for (const char* good : {"300601000000Z", "300701000000Z"}) {
    static constexpr std::array<unsigned, 2> kTags = {CBS_ASN1_UTCTIME, CBS_ASN1_GENERALIZEDTIME};
    static constexpr std::array<const char*, 7> kTimes = {
        "300601000000Z",   "300615000001Z",   "300615000000Z", "300614235959Z",
        "20300601000000Z", "20300701000000Z", "500601000000Z"};
    const bool chosen = (odd & 16U) != 0;
    CBB time;
    CBB_add_asn1(&validity, &time, chosen ? script->OneOf(kTags) : CBS_ASN1_UTCTIME);
    const std::size_t which = chosen ? script->Below(kTimes.size() + 1) : 0;
    Put(&time, !chosen                 ? BytesOf(good)
               : which < kTimes.size() ? BytesOf(kTimes[which])
                                       : script->Piece());
    CBB_flush(&validity);
  }
  field(32U, SubjectOf(subject.certificate.get()));
  field(64U, KeyOf(subject.certificate.get()));
  CBB wrapped, list;
  CBB_add_asn1(&body, &wrapped, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 3);
  CBB_add_asn1(&wrapped, &list, CBS_ASN1_SEQUENCE);
  const std::uint8_t extensions = script->Byte();
  if (extensions % 2 == 0) PutGoodExtensions(script, &list, ca);
  for (std::size_t left = extensions / 2 % 8; left > 0; --left) PutChosenExtension(script, &list);
  if ((odd & 128U) != 0) {
    CBB_flush(&body);
    Put(&body, script->Piece());
  }
  Der tbs = der.Take();
  // One byte of it may be another one in the end.
  if (script->Flag()) {
    const std::size_t at = script->Number16() % tbs.size();
    tbs[at] = script->Byte();
  }

  bssl::ScopedEVP_MD_CTX digest;
  std::size_t size = 256;
  Der signature(size);
  FUZZ_REQUIRE(
      EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, issuer.key.get()) == 1 &&
          EVP_DigestSign(digest.get(), signature.data(), &size, tbs.data(), tbs.size()) == 1,
      "a signature");
  Builder whole;
  CBB outer, bits;
  CBB_add_asn1(whole.get(), &outer, CBS_ASN1_SEQUENCE);
  Put(&outer, tbs);
  Put(&outer, kEcdsa);
  CBB_add_asn1(&outer, &bits, CBS_ASN1_BITSTRING);
  CBB_add_u8(&bits, 0);
  Put(&bits, Input(signature).first(size));
  return whole.Take();
}

// ---- the rules, read once more ------------------------------------------------------------------

struct Facts {
  bool readable = false;
  std::vector<std::string> oids;
  bool repeats = false;           // an extension twice
  bool foreign_critical = false;  // a critical one that nobody here knows
  bool ca = false;
  int usage = -1;  // its first byte; -1: no such extension
  bool purposes = false, client = false, server = false;
  std::vector<std::string> uris;
  std::string from, until;  // YYYYMMDDHHMMSSZ
};

std::string TextIn(const CBS& cbs) {
  return {reinterpret_cast<const char*>(CBS_data(&cbs)), CBS_len(&cbs)};
}

bool ReadTimeInto(CBS* validity, std::string* text) {
  CBS time;
  CBS_ASN1_TAG tag = 0;
  if (CBS_get_any_asn1(validity, &time, &tag) != 1) return false;
  *text = TextIn(time);
  if (tag == CBS_ASN1_UTCTIME && text->size() == 13)
    *text = ((*text)[0] < '5' ? "20" : "19") + *text;
  return text->size() == 15 && text->back() == 'Z';
}

const char* OidName(const CBS& oid) {
  const std::string text = TextIn(oid);
  if (text == std::string("\x55\x1d\x11", 3)) return "san";
  if (text == std::string("\x55\x1d\x0f", 3)) return "usage";
  if (text == std::string("\x55\x1d\x25", 3)) return "purposes";
  if (text == std::string("\x55\x1d\x13", 3)) return "constraints";
  // id-ce, whatever else of it: BoringSSL says which of these it handles.
  return text.starts_with("\x55\x1d") ? "known" : "foreign";
}

// ReadFlag reads a boolean that may be left out, for no. DER writes a yes as 0xff; BoringSSL takes
// any byte but 0 for one, which says the same and opens nothing.
bool ReadFlag(CBS* from, int* flag) {
  if (CBS_peek_asn1_tag(from, CBS_ASN1_BOOLEAN) == 0) return true;
  CBS value;
  if (CBS_get_asn1(from, &value, CBS_ASN1_BOOLEAN) != 1 || CBS_len(&value) != 1) return false;
  *flag = CBS_data(&value)[0];
  return true;
}

bool ReadExtension(CBS* list, Facts* facts) {
  CBS one, oid, value;
  int critical = 0;
  if (CBS_get_asn1(list, &one, CBS_ASN1_SEQUENCE) != 1 ||
      CBS_get_asn1(&one, &oid, CBS_ASN1_OBJECT) != 1 || !ReadFlag(&one, &critical) ||
      CBS_get_asn1(&one, &value, CBS_ASN1_OCTETSTRING) != 1 || CBS_len(&one) != 0)
    return false;
  for (const std::string& earlier : facts->oids) facts->repeats |= earlier == TextIn(oid);
  facts->oids.push_back(TextIn(oid));
  const std::string name = OidName(oid);
  CBS inner, item;
  CBS_ASN1_TAG tag = 0;
  if (name == "foreign") facts->foreign_critical |= critical != 0;
  if (name == "usage") {
    if (CBS_get_asn1(&value, &inner, CBS_ASN1_BITSTRING) != 1) return false;
    facts->usage = CBS_len(&inner) > 1 ? CBS_data(&inner)[1] : 0;
  } else if (name == "constraints") {
    if (CBS_get_asn1(&value, &inner, CBS_ASN1_SEQUENCE) != 1) return false;
    int ca = 0;
    if (!ReadFlag(&inner, &ca)) return false;
    facts->ca = ca != 0;
  } else if (name == "purposes") {
    if (CBS_get_asn1(&value, &inner, CBS_ASN1_SEQUENCE) != 1) return false;
    facts->purposes = true;
    while (CBS_len(&inner) > 0) {
      if (CBS_get_asn1(&inner, &item, CBS_ASN1_OBJECT) != 1) return false;
      const std::string purpose = TextIn(item);
      facts->server |= purpose == "\x2b\x06\x01\x05\x05\x07\x03\x01";
      facts->client |= purpose == "\x2b\x06\x01\x05\x05\x07\x03\x02";
    }
  } else if (name == "san") {
    if (CBS_get_asn1(&value, &inner, CBS_ASN1_SEQUENCE) != 1) return false;
    while (CBS_len(&inner) > 0) {
      if (CBS_get_any_asn1(&inner, &item, &tag) != 1) return false;
      if (tag == (CBS_ASN1_CONTEXT_SPECIFIC | 6)) facts->uris.push_back(TextIn(item));
    }
  }
  return true;
}

Facts Read(Input der) {
  Facts facts;
  CBS cbs, outer, tbs, field, validity, list;
  CBS_ASN1_TAG tag = 0;
  std::uint64_t version = 0;
  CBS_init(&cbs, der.data(), der.size());
  bool good =
      CBS_get_asn1(&cbs, &outer, CBS_ASN1_SEQUENCE) == 1 && CBS_len(&cbs) == 0 &&
      CBS_get_asn1(&outer, &tbs, CBS_ASN1_SEQUENCE) == 1 &&
      CBS_get_asn1(&tbs, &field, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0) == 1 &&
      CBS_get_asn1_uint64(&field, &version) == 1 && version == 2 &&
      CBS_get_any_asn1(&tbs, &field, &tag) == 1 && CBS_get_any_asn1(&tbs, &field, &tag) == 1 &&
      CBS_get_any_asn1(&tbs, &field, &tag) == 1 &&
      CBS_get_asn1(&tbs, &validity, CBS_ASN1_SEQUENCE) == 1 &&
      ReadTimeInto(&validity, &facts.from) && ReadTimeInto(&validity, &facts.until) &&
      CBS_get_any_asn1(&tbs, &field, &tag) == 1 && CBS_get_any_asn1(&tbs, &field, &tag) == 1;
  // The unique identifiers of old, which nobody uses, may stand before the extensions.
  while (good && CBS_peek_asn1_tag(&tbs, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 3) == 0)
    good = CBS_get_any_asn1(&tbs, &field, &tag) == 1;
  good = good &&
         CBS_get_asn1(&tbs, &field, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 3) == 1 &&
         CBS_get_asn1(&field, &list, CBS_ASN1_SEQUENCE) == 1 && CBS_len(&tbs) == 0;
  while (good && CBS_len(&list) > 0) good = ReadExtension(&list, &facts);
  facts.readable = good;
  return facts;
}

// CheckBelieved holds a leaf that was believed against the rules of X509-SVID (2, 4, 5.2) and RFC
// 5280, and its judgement against what it says.
void CheckBelieved(const Facts& leaf, tls::Purpose purpose, const tls::Judgement& judged) {
  FUZZ_REQUIRE(leaf.readable, "what is believed can be read");
  FUZZ_REQUIRE(!leaf.repeats && !leaf.foreign_critical, "no extension twice, none unknown");
  FUZZ_REQUIRE(!leaf.ca, "a leaf is no CA");
  FUZZ_REQUIRE(leaf.usage >= 0 && (leaf.usage & 0x80) != 0, "digitalSignature");
  FUZZ_REQUIRE((leaf.usage & 0x06) == 0, "neither keyCertSign nor cRLSign");
  FUZZ_REQUIRE(
      !leaf.purposes || (purpose == tls::Purpose::kPeerIsClient ? leaf.client : leaf.server),
      "the purpose");
  FUZZ_REQUIRE(leaf.from <= kNow && leaf.until >= kNow, leaf.from + " " + leaf.until);
  FUZZ_REQUIRE(leaf.uris.size() == 1, "one URI");
  FUZZ_REQUIRE(judged.id.Uri() == leaf.uris[0], leaf.uris[0]);
  FUZZ_REQUIRE(judged.id.trust_domain == kDomain, leaf.uris[0]);
}

}  // namespace

void certificates(Input input) {
  const Authority& mesh = Mesh();
  Script script(input);
  const std::uint8_t how = script.Byte();
  const auto purpose = (how & 1U) != 0 ? tls::Purpose::kPeerIsServer : tls::Purpose::kPeerIsClient;
  const bool between = (how & 2U) != 0;     // an intermediate stands between
  const bool foreign = (how & 28U) == 28U;  // the root is not the one that is trusted
  const bool broken = (how & 224U) == 224U;
  const mint::Minted& top = foreign ? mesh.stranger : mesh.root;
  std::vector<Der> chain;
  Der above;
  if (between) above = Signed(&script, top, mesh.other, true);
  chain.push_back(Signed(&script, between ? mesh.other : top, mesh.leaf_keys, false));
  if (broken) chain[0].back() ^= 1U;
  if (between) chain.push_back(above);
  std::vector<Input> sent(chain.begin(), chain.end());
  // The root itself and a stranger's may be sent, too, and mean nothing.
  if (script.Flag()) sent.emplace_back(mesh.stranger.der);
  if (script.Flag()) sent.emplace_back(mesh.root.der);

  const tls::Judgement judged = mesh.trusted->Judge(sent, purpose, mesh.now);
  const tls::Judgement again = mesh.trusted->Judge(sent, purpose, mesh.now);
  FUZZ_REQUIRE(judged.refusal == again.refusal && judged.id == again.id, judged.detail);
  FUZZ_REQUIRE(judged.detail.empty() == (judged.refusal == tls::Refusal::kNone), judged.detail);
  FUZZ_REQUIRE(judged.detail.size() < 2000, judged.detail);
  FUZZ_REQUIRE(ERR_peek_error() == 0, tls::TakeErrors());
  if (input.empty())
    FUZZ_REQUIRE(judged.refusal == tls::Refusal::kNone, "the good one: " + judged.detail);
  if (judged.refusal != tls::Refusal::kNone) return;
  FUZZ_REQUIRE(!foreign && !broken, "a chain of somebody else's");
  CheckBelieved(Read(chain[0]), purpose, judged);
  if (!between) return;
  const Facts ca = Read(above);
  FUZZ_REQUIRE(ca.readable && ca.ca && !ca.repeats && !ca.foreign_critical, "an issuer is a CA");
  FUZZ_REQUIRE(ca.usage < 0 || (ca.usage & 0x04) != 0, "keyCertSign");
  FUZZ_REQUIRE(ca.from <= kNow && ca.until >= kNow, ca.from + " " + ca.until);
}

}  // namespace mooring::fuzz
