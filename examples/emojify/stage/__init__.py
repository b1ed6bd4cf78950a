"""The stage of the demo: two machines, Consul, sidecars, an ingress and the shop's programs on them."""

import contextlib
import os
import signal
import ssl

from cryptography import x509

from lib import check
from lib.case import peer_binary, slowness
from stage import catalog, ingress, machines, requests
from stage.agents import SERF, SERVER, Agents
from stage.customers import Customers
from stage.envoy import Envoys
from stage.shop import Shop
from stage.sidecars import KINDS

FIRST_ADMIN = 19200  # of the cluster's Envoys


class Stage:
    """parts: what of the shop can be had. say(text) tells how it comes up. keep: it outlives the terminal."""

    def __init__(self, case, parts, proxy, say, keep=False):
        self.case, self.parts, self.say = case, parts, say
        self.consul = peer_binary("consul")
        peer_binary("envoy")
        machines.sweep("emo-")
        names = (f"emo-{os.getpid()}-{name}" for name in ("cluster", "vm"))
        self.cluster, self.vm = (machines.Machine(case, name, keep) for name in names)
        machines.join(self.cluster, self.vm, ([catalog.CLUSTER, *catalog.SERVERS], [catalog.VM]))
        self.cluster.admit([SERVER, SERF, *catalog.PUBLIC.values()], [SERF])
        self.vm.admit([SERF, *catalog.VM_PUBLIC.values()], [SERF])
        self.agents = Agents(self.cluster, self.vm, (catalog.CLUSTER, catalog.VM), catalog.SERVERS,
                             catalog.cluster_services(), catalog.vm_services())
        self.shop = Shop(self.cluster, self.vm, parts)
        self.sidecar = KINDS[proxy](self.vm, self.agents.vm)
        self.page = "http://{}:{}/".format(*catalog.INGRESS)

    def up(self):
        self.say(f"      namespaces {self.cluster.name} ({catalog.CLUSTER}) and {self.vm.name} ({catalog.VM}), "
                 "one link, nft between")
        self.agents.start()
        self.say(f"      Consul: three servers, the leader is {self.agents.leader()}; a client agent on each machine")
        self.shop.start()
        self.sidecar.start()
        self.say(f"      beside payment: {self.sidecar.payment_command()}")
        self.sidecar.wait_ready()
        self.sidecar.add_receipts()
        self.say(f"      and for receipts: {self.sidecar.receipts_command()}")
        Envoys(self.cluster, "cluster", [f"{service}-sidecar-proxy" for service in catalog.UPSTREAMS],
               FIRST_ADMIN).start()
        ingress.start(self.cluster)
        self.say(f"      in the cluster: Envoys of {', '.join(catalog.UPSTREAMS)}; nginx on {self.page}")
        check.within(self.serves, "the shop serves a page and reaches payment", 30 * slowness(), step=0.05)

    def ask(self, method, path, body=None, timeout=10.0, **headers):
        """ask is a customer's request, through the ingress."""
        return requests.ask(self.cluster, catalog.INGRESS, method, path, body, timeout, **headers)

    def serves(self):
        return self.ask("GET", "/").status == 200 and self.ask("GET", "/api/health").status == 200

    def customers(self, rate):
        return Customers(self.shop, self.parts.make_buyer, rate)

    def browser(self, machine):
        """browser is a real one on that machine, or None."""
        if not self.parts.browser:
            return None
        return self.parts.make_browser(self.case.directory / f"browser-{machine.name}", machine.launch)

    # What the story does to it.

    def start_second_payment(self):
        """start_second_payment starts another instance, with a sidecar of its own. The agent looks at both programs,
        and takes a sidecar out of the catalog whose program is gone, as if it were one by `sidecar_service`."""
        self.shop.start_second_payment()
        self.agents.vm.register(catalog.for_the_api(catalog.service("payment", catalog.SECOND_PAYMENT, "payment-2")))
        self.sidecar.start_second()
        for proxy, instance in self.sidecar.proxies():
            self.agents.vm.put("/v1/agent/check/register", {
                "ID": f"{proxy}-follows", "Name": f"as {instance}", "ServiceID": proxy, "AliasService": instance,
                "Status": catalog.AT_FIRST})

    def end_second_payment(self):
        self.sidecar.stop_second()
        self.agents.vm.deregister("payment-2")
        self.shop.payments[self.shop.SECOND].close()

    def leaf_served(self):
        """leaf_served is the serial number of the certificate that payment's sidecar shows."""
        with self.cluster:
            pem = ssl.get_server_certificate((catalog.VM, catalog.VM_PUBLIC["payment"]), timeout=5)
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    def mend(self):
        """mend puts right what a step that failed may have left behind."""
        self.agents.start()
        for entry in self.agents.cluster.get("/v1/connect/intentions") or []:
            self.agents.cluster.call("DELETE", f"/v1/connect/intentions/{entry['ID']}")

    def down(self):
        """down ends all that runs on both machines, at once."""
        for machine in (self.cluster, self.vm):
            machine.signal_all(signal.SIGTERM)
        with contextlib.suppress(AssertionError):
            check.within(lambda: not self.cluster.pids() + self.vm.pids(), "all have ended", 5, step=0.05)
