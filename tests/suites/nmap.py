"""nmap's scripts on TLS (Debian: nmap): versions, cipher suites by grade, known holes."""

import shutil
import subprocess
import xml.etree.ElementTree as xml

from lib import check
from suites import lists
from suites.server import Server

SCRIPTS = ("ssl-enum-ciphers", "ssl-cert", "ssl-dh-params", "ssl-heartbleed", "ssl-poodle", "ssl-ccs-injection",
           "sslv2", "sslv2-drown", "tls-ticketbleed", "tls-nextprotoneg", "tls-alpn", "ssl-known-key")
SEEN = ("ssl-enum-ciphers", "ssl-cert")  # what is spoken, whoever asks


def run(case):
    if not shutil.which("nmap"):
        raise check.Skip("no nmap here (Debian: nmap)")
    results = lists.Results("nmap")
    for key in ("ec", "rsa2048"):
        server = Server(case, key)
        out = case.directory / f"nmap-{key}.xml"
        subprocess.run(["nmap", "-Pn", "-n", "-p", str(server.port), "--script", ",".join(f"+{one}" for one in SCRIPTS),
                        "-oX", out, server.host], check=True, stdout=subprocess.DEVNULL, timeout=600)
        server.lives()
        scripts = {one.get("id"): one for one in xml.parse(out).getroot().iter("script")}
        ciphers = scripts.get("ssl-enum-ciphers")
        check.true(ciphers is not None, f"ssl-enum-ciphers has seen TLS ({sorted(scripts)})")
        for version in ciphers.findall("table"):
            for entry in version.findall("table[@key='ciphers']/table"):
                name, grade = (entry.find(f"elem[@key='{what}']").text for what in ("name", "strength"))
                results.add(f"{key}: {version.get('key')} {name}", f"grade {grade}",
                            grade == "A" and version.get("key") in ("TLSv1.2", "TLSv1.3"))
            for warning in version.findall("table[@key='warnings']/elem"):
                results.add(f"{key}: {version.get('key')} warning", warning.text, False)
        # The others speak of what they have found, but for one that says what it has not.
        for name in SCRIPTS:
            text = " ".join(scripts[name].get("output").split()) if name in scripts else ""
            if name not in SEEN:
                good = not text or text.count("VULNERABLE") == text.count("NOT VULNERABLE") > 0
                results.add(f"{key}: {name}", text[:150] or "nothing", good)
    return results
