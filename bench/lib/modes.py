"""What is measured: the modes, how each is run by bench-load, and the figures that come of it.

The first figure of a mode is the one that charts and the overview show. All figures but rates are better when
they are smaller.
"""

from dataclasses import dataclass, field
from statistics import median

from calm import FEWEST, is_calm


@dataclass(frozen=True)
class Figure:
    key: str
    label: str
    more_is_better: bool = False


@dataclass(frozen=True)
class Mode:
    name: str
    title: str
    arguments: tuple  # of bench-load
    figures: tuple
    side: str = "out"  # the listener that is called: the outbound sidecar's, or "in", by our own TLS client
    share: float = 1  # of the length of a window: by how much this mode needs less or more
    windows: int = 1  # in a round, the peers' turns taken in between
    calm: bool = False  # a latency: measured again where the hypervisor disturbed it
    once: str = ""  # "first" or "last": a single measurement, before or after the rounds
    unit: tuple = ("count", 1)  # what CPU time is divided by: a field of bench-load's answer, and how many of it
    explanation: str = ""
    derive: object = field(default=None, repr=False)


def _cpu(label, sides=True):
    figures = [Figure("cpu", f"CPU-s/{label}")]
    if sides:
        figures += [Figure("cpu_out", "of it outbound"), Figure("cpu_in", "of it inbound")]
    return tuple(figures)


RATE, P50, P99, P999 = (Figure("rate", "per second", True), Figure("p50_us", "p50 µs"), Figure("p99_us", "p99 µs"),
                        Figure("p999_us", "p99.9 µs"))
STOLEN = Figure("stolen_percent", "% of the cores stolen")
FIRST = Figure("p99_first_us", "p99 µs, first tries")
THROUGHPUT = Figure("gb_per_s", "GB/s", True)
GB, REQUESTS, CONNECTIONS = ("gb", 1), ("count", 1e5), ("count", 1e4)
REQUEST = ("request", "--connections", 32, "--size", 256)
MIB, KIB = 1 << 20, 1 << 10
CROWD = 9000


def windowed(mode, answer):
    """windowed is the figures of a mode that counts within one window."""
    field_name, size = mode.unit
    work = answer[field_name] / size
    figures = {key: answer[key] for key in ("gb_per_s", "rate") if key in answer}
    if work > 0:  # a window in which nothing was done has no latency and no cost
        figures |= {key: answer[key] for key in ("p50_us", "p99_us", "p999_us") if key in answer}
        figures["cpu"] = sum(answer["cpu"].values()) / work
        figures |= {f"cpu_{group}": seconds / work for group, seconds in answer["cpu"].items()}
    if "tls" in answer:
        figures["resumed"] = answer["tls"]["resumed"] / answer["tls"]["handshakes"]
    return figures


def idle(_, answer):
    held = answer["held"]
    if not held:
        return {}
    sides = ("out", "in")
    before, after = ({kind: sum(answer["memory"][when][side][kind] for side in sides) for kind in ("rss", "anon")}
                     for when in ("before", "after"))
    each = held * len(sides)
    return {"kib": (after["rss"] - before["rss"]) / each / KIB,
            "anon_kib": (after["anon"] - before["anon"]) / each / KIB,
            "rss_mib": before["rss"] / len(sides) / MIB, "rest_anon_mib": before["anon"] / len(sides) / MIB,
            "rss_held_mib": after["rss"] / len(sides) / MIB,
            "cpu": sum(answer["cpu"].values()) / held * 1e4, "held": held}


def crowded(alone, beside, held):
    """crowded compares calm windows of requests beside held connections with calm ones without, by their medians."""
    alone, beside = ([record["figures"] for record in records if is_calm(record) and "p99_us" in record["figures"]]
                     for records in (alone, beside))
    windows = min(len(alone), len(beside))
    if windows < FEWEST:
        return {"held": held, "windows": windows}

    def middle(windows, key):
        return median(figures[key] for figures in windows)

    return {"p99_share": middle(beside, "p99_us") / middle(alone, "p99_us"), "p99_alone_us": middle(alone, "p99_us"),
            **{key: middle(beside, key) for key in ("p99_us", "p50_us", "rate", "cpu")}, "held": held,
            "windows": windows}


def is_disturbed(record):
    """is_disturbed is whether a record has no more than how few calm windows there were; see crowded."""
    return (record or {}).get("figures", {}).get("windows", FEWEST) < FEWEST


ALL = (
    Mode("stream", "Stream", ("stream", "--connections", 8), (*_cpu("GB"), THROUGHPUT), unit=GB,
         explanation="8 connections, one way. Counted when the backend says that it has arrived."),
    Mode("echo", "Echo", ("echo", "--connections", 8), (*_cpu("GB"), THROUGHPUT), unit=GB,
         explanation="8 connections, both ways at full speed. Each byte is counted once, when it has come back."),
    Mode("request", "Request and response", REQUEST, (*_cpu("100k"), RATE, P50, P99, P999, FIRST, STOLEN),
         unit=REQUESTS, share=0.5, windows=4, calm=True,
         explanation="32 connections, each sends 256 bytes and waits until they are back. Four short windows in each "
                     "round. A window that lost 2.5 % of the cores' time to the machine's other guests is measured "
                     "again; what the first tries gave stands beside it."),
    Mode("latency", "Latency of one connection", ("request", "--connections", 1, "--size", 256),
         (P50, P99, *_cpu("100k", False), STOLEN), unit=REQUESTS, share=0.6, calm=True,
         explanation="1 connection, 256 bytes there and back: nothing else is under way."),
    Mode("connect", "New connections", ("connect", "--connections", 16), (*_cpu("10k"), RATE, P50, P99),
         unit=CONNECTIONS,
         explanation="16 at a time: connect, one byte there and back, close. Whether the TLS session between the "
                     "sidecars is resumed is up to them."),
    Mode("in-stream", "Inbound only: stream", ("stream", "--connections", 8), (*_cpu("GB", False), THROUGHPUT), "in",
         unit=GB, share=0.7,
         explanation="As stream, but our own TLS client calls the inbound sidecar; only that one is measured."),
    Mode("in-request", "Inbound only: request and response", REQUEST, (*_cpu("100k", False), RATE, P50, P99), "in",
         unit=REQUESTS, share=0.7, explanation="As request, inbound sidecar only."),
    Mode("in-connect", "Inbound only: full handshakes", ("connect", "--connections", 16),
         (*_cpu("10k", False), RATE, P50, P99), "in", unit=CONNECTIONS,
         explanation="As connect, inbound sidecar only. The client never resumes: a full mutual handshake each."),
    Mode("in-resume", "Inbound only: resumed handshakes", ("connect", "--connections", 16, "--resume"),
         (*_cpu("10k", False), RATE, P50, P99, Figure("resumed", "share resumed", True)), "in", unit=CONNECTIONS,
         explanation="As in-connect, but the client offers the session of an earlier connection. How many of the "
                     "handshakes the sidecar did resume stands beside it."),
    Mode("idle", "Idle connections", ("idle", "--connections", "{idle}"),
         (Figure("kib", "KiB per connection and side"), Figure("anon_kib", "of it anonymous"),
          Figure("rss_mib", "RSS MiB per side, none open"), Figure("rest_anon_mib", "of it anonymous"),
          Figure("rss_held_mib", "RSS MiB per side, all open"),
          Figure("cpu", "CPU-s/10k opened")),
         once="first", derive=idle,
         explanation="Memory of the sidecars before any connection and 0.7 s after the last of {idle:,}, each of "
                     "which has passed one byte. One measurement, before all others."),
    Mode("idle-9000", "Requests beside 9,000 idle connections", ("idle", "--connections", "{crowd}"),
         (Figure("p99_share", "p99 beside / alone"), P99, Figure("p99_alone_us", "p99 µs alone"), P50, RATE,
          *_cpu("100k", False), Figure("windows", "calm windows each", True)),
         once="last", share=0.5,
         explanation="As request, in windows beside 9,000 connections that are held open and, in turn with them, "
                     "in as many through a second pair of the same peer that holds none, while the first is stopped; "
                     "only calm windows count, three at least; who had fewer gets a second turn, behind the "
                     "others. After all other modes."),
    Mode("mixed", "Small beside large", ("mixed", "--connections", 8, "--size", 256),
         (P99, P50, RATE, THROUGHPUT, STOLEN), calm=True,
         explanation="One connection streams as fast as it can, 8 others send 256 bytes and wait for them. Latency "
                     "is that of the small ones, GB/s that of the large one."),
)
ALONE = next(mode for mode in ALL if mode.name == "request")  # what is measured beside a crowd, and alone
QUICK = ("stream", "request", "connect", "in-connect", "idle")


def figures(mode, answer):
    return (mode.derive or windowed)(mode, answer)
