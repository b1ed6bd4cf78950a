"""Expectations whose failure says what was seen, and waiting for events with a deadline."""

import time


class Skip(Exception):
    """Raised by a test or a fixture that cannot run here; the reason is shown at the end of the run."""


def fail(what):
    raise AssertionError(what)


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def shown(value):
    if isinstance(value, tuple):
        return "(" + ", ".join(shown(item) for item in value) + ")"
    text = repr(value)
    if len(text) <= 300:
        return text
    return f"{text[:60]} ... {text[-60:]}" + (f" ({len(value)} long)" if hasattr(value, "__len__") else "")


def equal(seen, expected, what):
    if seen != expected:
        raise AssertionError(f"{what}: expected {shown(expected)}, saw {shown(seen)}")


def one_of(seen, expected, what):
    if seen not in expected:
        raise AssertionError(f"{what}: expected one of {shown(expected)}, saw {shown(seen)}")


def below(seen, limit, what):
    if not seen < limit:
        raise AssertionError(f"{what}: expected less than {limit}, saw {seen}")


def within(condition, what, seconds=5.0, step=0.01):
    """within returns the first true value of condition(), asked again until the deadline. Exceptions of
    kind OSError and AssertionError count as not yet, and the last one is told when the time is up."""
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (OSError, AssertionError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what}: not within {seconds:.1f} s (last: {last!r})")
        time.sleep(step)


def stays(condition, what, seconds):
    """stays asserts that condition() holds at every look during that time: for what must not happen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        true(condition(), f"{what}: no longer true")
        time.sleep(0.02)
