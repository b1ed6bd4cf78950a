"""What the agents are told of the shop: services and their sidecars, as an operator writes them into a file."""

CLUSTER, VM = "10.77.0.1", "10.77.0.2"
SERVERS = ("10.77.0.11", "10.77.0.12", "10.77.0.13")

INGRESS = ("127.0.0.1", 8080)
WEBSITE, API, FACEBOX = ("127.0.0.1", 9000), ("127.0.0.1", 9001), ("127.0.0.1", 9002)
PAYMENT, RECEIPTS, SECOND_PAYMENT = ("127.0.0.1", 9090), ("127.0.0.1", 9091), ("127.0.0.1", 9092)
PUBLIC = {"website": 9443, "api": 9444, "facebox": 9445}  # of the cluster's sidecars
VM_PUBLIC = {"payment": 8443, "receipts": 8444, "second payment": 8445}

# What a service calls, each on a port of its own.
UPSTREAMS = {"ingress": {"website": 8001, "api": 8003}, "website": {},
             "api": {"facebox": 8002, "payment": 8004, "receipts": 8005}, "facebox": {}}


# What a check says until it has run, after an agent's restart as well. Without it that is critical: an agent that comes
# back takes its own services out of the catalog for a moment, and callers that follow it have nobody to call. A check
# that follows another service's may even stay so: Consul 1.8.7 can run it once before it is known, and then no more
# until that service's state changes.
AT_FIRST = "passing"


def often(address):
    return {"tcp": f"{address[0]}:{address[1]}", "interval": "1s", "timeout": "2s", "status": AT_FIRST}


def sidecar(service, address, public, app, upstreams, instance=None):
    """sidecar is the registration of a proxy. One that serves nobody needs a port all the same, which is 1."""
    instance = instance or service
    proxy = {"destination_service_name": service, "destination_service_id": instance,
             "upstreams": [{"destination_name": name, "local_bind_port": port} for name, port in upstreams.items()]}
    if app:
        proxy.update(local_service_address=app[0], local_service_port=app[1])
    identifier = f"{instance}-sidecar-proxy"
    checks = [{"name": f"as {instance}", "alias_service": instance, "status": AT_FIRST}]
    if public:
        checks.append({"name": "listener", **often((address, public))})
    return {"kind": "connect-proxy", "id": identifier, "name": f"{service}-sidecar-proxy", "address": address,
            "port": public or 1,
            "proxy": proxy, "checks": checks}


def service(name, app, instance=None):
    return {"id": instance or name, "name": name, "address": app[0], "port": app[1],
            "checks": [{"name": "app", **often(app)}]}


def cluster_services():
    apps = {"ingress": INGRESS, "website": WEBSITE, "api": API, "facebox": FACEBOX}
    return [service(name, app) for name, app in apps.items()] + [
        sidecar(name, CLUSTER, PUBLIC.get(name), app if name in PUBLIC else None, UPSTREAMS[name])
        for name, app in apps.items()]


def vm_services():
    """The proxies of these register themselves."""
    return [service("payment", PAYMENT), service("receipts", RECEIPTS)]


def _letters(word):
    return word.upper() if word in ("id", "tcp") else word.capitalize()


def for_the_api(value):
    """for_the_api is the same in the letters of the agent's HTTP API."""
    if isinstance(value, dict):
        return {"".join(map(_letters, key.split("_"))): for_the_api(item) for key, item in value.items()}
    return [for_the_api(item) for item in value] if isinstance(value, list) else value
