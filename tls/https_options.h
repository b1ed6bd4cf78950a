// HttpsOptions: how to reach an agent over https.
#pragma once

#include <string>

namespace mooring::tls {

// The files are read by Context::ForHttps.
struct HttpsOptions {
  std::string ca_file;  // PEM file
  // A PEM file, or a directory whose files are all PEM; not read if ca_file is set. With neither,
  // the system's roots: SSL_CERT_FILE, SSL_CERT_DIR, else where distributions keep them.
  std::string ca_path;
  std::string client_cert;  // PEM file; both or none
  std::string client_key;
  bool verify = true;  // CONSUL_HTTP_SSL_VERIFY=false turns it off, as it does for consul
};

}  // namespace mooring::tls
