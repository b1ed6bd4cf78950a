"""The tags that Consul's bootstrap has Envoy make of the names of its statistics, and of its metrics with them.

A tag is a fixed value, or what the second group of a regular expression finds in a name; the first group is
what is cut out of the name then. They are those that `consul connect envoy -bootstrap -omit-deprecated-tags` of
1.21 prints for services without peers.
"""

SEGMENT = r"[^.]+"

START = r"^cluster\.(?:passthrough~)?"
# A cluster is called [HASH~][SUBSET.]SERVICE.NAMESPACE.[PARTITION.]DATACENTER.TYPE.TRUST-DOMAIN.consul.
CLUSTER = [("custom_hash", "(?:", SEGMENT, "~)?"), ("service_subset", "(?:", SEGMENT, r"\.)?"),
           ("service", "", SEGMENT, r"\."), ("namespace", "", SEGMENT, r"\."),
           ("partition", "(?:", SEGMENT, r"\.)?"), ("datacenter", "", SEGMENT, r"\."),
           ("routing_type", "", SEGMENT, r"\."), ("trust_domain", "", SEGMENT, r"\.")]
# The prefix of an upstream's statistics is upstream.SERVICE.[NAMESPACE.][PARTITION.]DATACENTER.
UPSTREAM = [("service", "", SEGMENT, ""), ("namespace", r"(?:\.", SEGMENT, ")?"),
            ("partition", r"(?:\.", SEGMENT, ")?"), ("datacenter", r"\.", SEGMENT, r"\.")]


def _cluster(wanted, whole_to=None):
    """_cluster finds one part of a cluster's name, or all from its beginning to the end of a part."""
    text = "(" if whole_to else ""
    for name, before, pattern, after in CLUSTER:
        if wanted in ("partition", "datacenter") and name == "routing_type":
            pattern = "internal[^.]*"  # of a peer these two stand elsewhere
        if name == whole_to:
            text += before + pattern + ")" + after
        else:
            text += before + (f"({pattern})" if name == wanted else pattern) + after
    return text + r"consul\."


def _upstream(wanted):
    return "".join(before + (f"({pattern})" if name == wanted else pattern) + after
                   for name, before, pattern, after in UPSTREAM)


def stats_config(service, datacenter):
    tags = []
    for name, *_ in CLUSTER:
        tags.append({"tag_name": f"consul.destination.{name}", "regex": f"{START}({_cluster(name)})"})
    for name, end in (("target", "datacenter"), ("full_target", "trust_domain")):
        tags.append({"tag_name": f"consul.destination.{name}", "regex": f"{START}({_cluster(None, whole_to=end)})"})
    for name, *_ in UPSTREAM:
        tags.append({"tag_name": f"consul.upstream.{name}", "regex": rf"^(?:tcp|http)\.upstream\.({_upstream(name)})"})
    fixed = {"local_cluster": service, "consul.source.service": service, "consul.source.namespace": "default",
             "consul.source.partition": "default", "consul.source.datacenter": datacenter}
    tags += [{"tag_name": name, "fixed_value": value} for name, value in fixed.items()]
    return {"stats_tags": tags, "use_all_default_tags": True}
