"""sslyze (a Python package, in a folder of its own): versions, cipher suites, curves, known holes."""

import json
import subprocess

from lib import check
from suites import lists, packages
from suites.server import Server

VERSION = "6.3.1"
SCANS = ("--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--compression", "--early_data",
         "--openssl_ccs", "--fallback", "--heartbleed", "--robot", "--reneg", "--resum", "--elliptic_curves", "--ems")
OLD = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")


def strong(version, suite):
    """strong: an ephemeral key and authenticated encryption."""
    return version == "tls_1_3" or "_ECDHE_" in suite and ("_GCM_" in suite or "_CHACHA20_POLY1305_" in suite)


def run(case):
    results = lists.Results("sslyze")
    sslyze = packages.installed("sslyze", VERSION, "bin/sslyze", "--only-binary",
                                "nassl,cryptography,pydantic-core") / "bin/sslyze"
    for key in ("ec", "rsa2048"):
        server = Server(case, key)
        out = case.directory / f"sslyze-{key}.json"
        subprocess.run([sslyze, "--quiet", "--mozilla_config=disable", *SCANS, "--json_out", out,
                        "--cert", server.certificate, "--key", server.key, f"{server.host}:{server.port}"],
                       check=True, timeout=900, stdout=subprocess.DEVNULL)
        server.lives()
        scan = json.loads(out.read_text())["server_scan_results"][0]
        check.equal(scan["connectivity_status"], "COMPLETED", f"sslyze reached it: {scan['connectivity_error_trace']}")
        done = {name: one["result"] for name, one in scan["scan_result"].items()
                if one and one["status"] == "COMPLETED"}
        broken = [name for name, one in scan["scan_result"].items() if one and one["status"] == "ERROR"]
        check.equal(broken, [], "scans that did not end")

        for version in (*OLD, "tls_1_2", "tls_1_3"):
            suites = done[f"{version}_cipher_suites"]["accepted_cipher_suites"]
            accepted = [one["cipher_suite"]["name"] for one in suites]
            if version in OLD:
                results.add(f"{key}: {version}", f"accepts {accepted}", not accepted)
            for suite in accepted if version not in OLD else ():
                results.add(f"{key}: {version} {suite}", "accepted", strong(version, suite))
            check.true(accepted or version in OLD, f"{version} is spoken")
        for name, wanted in (
                ("heartbleed", {"is_vulnerable_to_heartbleed": False}),
                ("openssl_ccs_injection", {"is_vulnerable_to_ccs_injection": False}),
                ("tls_compression", {"supports_compression": False}),
                ("tls_1_3_early_data", {"supports_early_data": False}),
                ("tls_fallback_scsv", {"supports_fallback_scsv": True}),
                ("tls_extended_master_secret", {"supports_ems_extension": True}),
                ("session_renegotiation", {"supports_secure_renegotiation": True,
                                           "is_vulnerable_to_client_renegotiation_dos": False}),
                ("robot", {"robot_result": "NOT_VULNERABLE_RSA_NOT_SUPPORTED"})):
            for what, value in wanted.items():
                seen = done.get(name, {}).get(what)
                results.add(f"{key}: {name} {what}", str(seen), seen == value)
        for curve in done["elliptic_curves"]["supported_curves"] or []:
            results.add(f"{key}: curve {curve['name']}", "supported",
                        curve["name"] in ("X25519", "secp256r1", "prime256v1"))
        resumption = done["session_resumption"]
        results.add(f"{key}: resumption by session ID", resumption["session_id_resumption_result"],
                    resumption["session_id_resumption_result"] == "FULLY_SUPPORTED")
        results.add(f"{key}: resumption by ticket", resumption["tls_ticket_resumption_result"],
                    resumption["tls_ticket_resumption_result"] == "FULLY_SUPPORTED")
    return results
