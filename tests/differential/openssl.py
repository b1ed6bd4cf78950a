"""The questions that verdicts.cc answers, by the OpenSSL that Python itself has loaded.

X509_verify_cert in this process: `openssl verify` would be one process a chain. OpenSSL knows no SPIFFE: it says
`accept` or `refuse WHY`, of RFC 5280 alone.
"""

import base64
import ctypes
import ctypes.util

from lib import check

PURPOSES = {"client": 1, "server": 2}  # X509_PURPOSE_SSL_CLIENT, X509_PURPOSE_SSL_SERVER
PARTIAL_CHAIN = 0x80000  # every root is an anchor, self-signed or not, as with us
SECURITY_LEVEL = 2  # 112 bits, what Debian sets for TLS: no RSA below 2048, no SHA-1


class OpenSsl:
    def __init__(self):
        name = ctypes.util.find_library("crypto")
        if not name or not name.startswith("libcrypto.so.3"):
            raise check.Skip(f"OpenSSL 3 is wanted for the comparison of chains; the machine has {name}")
        self.library = ctypes.CDLL(name)
        pointer, number, long = ctypes.c_void_p, ctypes.c_int, ctypes.c_long
        for function, result, arguments in (
                ("d2i_X509", pointer, [pointer, ctypes.POINTER(ctypes.c_char_p), long]), ("X509_free", None, [pointer]),
                ("X509_STORE_new", pointer, []), ("X509_STORE_free", None, [pointer]),
                ("X509_STORE_add_cert", number, [pointer, pointer]),
                ("X509_STORE_CTX_new", pointer, []), ("X509_STORE_CTX_free", None, [pointer]),
                ("X509_STORE_CTX_init", number, [pointer] * 4), ("X509_STORE_CTX_get0_param", pointer, [pointer]),
                ("X509_VERIFY_PARAM_set_flags", number, [pointer, ctypes.c_ulong]),
                ("X509_VERIFY_PARAM_set_purpose", number, [pointer, number]),
                ("X509_VERIFY_PARAM_set_time", None, [pointer, ctypes.c_int64]),
                ("X509_VERIFY_PARAM_set_depth", None, [pointer, number]),
                ("X509_VERIFY_PARAM_set_auth_level", None, [pointer, number]),
                ("X509_verify_cert", number, [pointer]), ("X509_STORE_CTX_get_error", number, [pointer]),
                ("X509_verify_cert_error_string", ctypes.c_char_p, [long]),
                ("OPENSSL_sk_new_null", pointer, []), ("OPENSSL_sk_push", number, [pointer, pointer]),
                ("OPENSSL_sk_free", None, [pointer]), ("ERR_clear_error", None, []),
                ("OpenSSL_version", ctypes.c_char_p, [number])):
            found = getattr(self.library, function)
            found.restype, found.argtypes = result, arguments

    def version(self):
        return self.library.OpenSSL_version(0).decode()

    def certificate(self, text):
        der = base64.b64decode(text)
        start = ctypes.c_char_p(der)
        address = ctypes.cast(start, ctypes.c_void_p).value
        made = self.library.d2i_X509(None, ctypes.byref(start), len(der))
        if made and ctypes.cast(start, ctypes.c_void_p).value != address + len(der):
            self.library.X509_free(made)
            made = None  # bytes after it: libssl refuses them as we do
        return made

    def answer(self, question):
        own, crypto = [], self.library
        try:
            roots = [self.certificate(text) for text in question["roots"]]
            chain = [self.certificate(text) for text in question["chain"]]
            own = [one for one in roots + chain if one]
            if not all(roots):
                return "refuse a root does not parse"
            if not all(chain):
                return "refuse a certificate does not parse"
            return self.verify(roots, chain, question)
        finally:
            for one in own:
                crypto.X509_free(one)
            crypto.ERR_clear_error()

    def verify(self, roots, chain, question):
        crypto = self.library
        store, context, hints = crypto.X509_STORE_new(), crypto.X509_STORE_CTX_new(), crypto.OPENSSL_sk_new_null()
        try:
            for root in roots:
                crypto.X509_STORE_add_cert(store, root)
            for hint in chain[1:]:
                crypto.OPENSSL_sk_push(hints, hint)
            if crypto.X509_STORE_CTX_init(context, store, chain[0], hints) != 1:
                raise MemoryError("X509_STORE_CTX_init")
            settings = crypto.X509_STORE_CTX_get0_param(context)
            crypto.X509_VERIFY_PARAM_set_flags(settings, PARTIAL_CHAIN)
            crypto.X509_VERIFY_PARAM_set_purpose(settings, PURPOSES[question["role"]])
            crypto.X509_VERIFY_PARAM_set_time(settings, question["now"])
            crypto.X509_VERIFY_PARAM_set_depth(settings, 100)
            crypto.X509_VERIFY_PARAM_set_auth_level(settings, SECURITY_LEVEL)
            if crypto.X509_verify_cert(context) == 1:
                return "accept"
            return "refuse " + crypto.X509_verify_cert_error_string(crypto.X509_STORE_CTX_get_error(context)).decode()
        finally:
            crypto.X509_STORE_CTX_free(context)
            crypto.OPENSSL_sk_free(hints)
            crypto.X509_STORE_free(store)
