"""HTTP messages as an agent and its clients write them, each with one part or two that are not as usual.

A mutation is a function with a name, `part=what`. The same seed makes the same messages.
"""

import random


class Message:
    def __init__(self, kind, dice):
        self.kind, self.head = kind, False
        self.first = b"GET /v1/agent/self?index=5 HTTP/1.1" if kind == "request" else b"HTTP/1.1 200 OK"
        self.headers = [b"Host: 127.0.0.1"] if kind == "request" else [b"Content-Type: application/json"]
        self.headers += [b"X-Consul-Index: 12", b"Accept: */*"][:dice.choice([0, 1, 2])]
        self.body = b'{"a": 1}'
        self.framing = dice.choice(["length", "chunked"] if kind == "response" else ["none", "length", "chunked"])
        self.chunks = [b'{"a"', b": 1}"]
        self.end, self.blank, self.tail = b"\r\n", b"\r\n", b""
        self.chunk_size = lambda chunk: b"%x" % len(chunk)
        self.chunk_end, self.last, self.trailers = b"\r\n", b"0\r\n", b"\r\n"
        self.before, self.cut = b"", None

    def octets(self):
        headers, body = list(self.headers), b""
        if self.framing == "length":
            headers.append(b"Content-Length: %d" % len(self.body))
            body = self.body
        elif self.framing == "chunked":
            headers.append(b"Transfer-Encoding: chunked")
            body = b"".join(self.chunk_size(chunk) + b"\r\n" + chunk + self.chunk_end for chunk in self.chunks)
            body += self.last + self.trailers
        elif self.framing == "close" or self.framing == "own":
            body = self.body
        text = self.before + b"".join(line + self.end for line in [self.first,
                                                                   *headers]) + self.blank + body + self.tail
        return text[:self.cut]


MUTATIONS = {"request": {}, "response": {}}


def add(label, change, kinds=("request", "response")):
    for kind in kinds:
        assert label not in MUTATIONS[kind], label
        MUTATIONS[kind][label] = change


def put(label, attribute, content, kinds=("request", "response")):
    add(label, lambda message: setattr(message, attribute, content), kinds)


def line(label, *texts, kinds=("request", "response")):
    """line adds header lines in front, where no framing of ours has been written yet."""
    add(label, lambda message: message.headers.extend(texts), kinds)


def own(label, headers, body, kinds=("request", "response")):
    """own frames the body as these headers say, and by nothing else."""
    def change(message):
        message.framing, message.body = "own", body
        message.headers.extend(headers)
    add(label, change, kinds)


def _first_line():
    for label, text in (
            ("1.0", b"HTTP/1.0 200 OK"), ("0.9", b"HTTP/0.9 200 OK"), ("2.0", b"HTTP/2.0 200 OK"),
            ("1.2", b"HTTP/1.2 200 OK"),
            ("11.1", b"HTTP/11.1 200 OK"), ("no_reason", b"HTTP/1.1 200"), ("empty_reason", b"HTTP/1.1 200 "),
            ("two_spaces", b"HTTP/1.1  200 OK"), ("tab", b"HTTP/1.1\t200 OK"), ("lower", b"http/1.1 200 OK"),
            ("icy", b"ICY 200 OK"), ("status_99", b"HTTP/1.1 99 Low"), ("status_099", b"HTTP/1.1 099 Low"),
            ("status_1000", b"HTTP/1.1 1000 High"), ("status_999", b"HTTP/1.1 999 High"),
            ("status_20x", b"HTTP/1.1 20x OK"),
            ("status_minus", b"HTTP/1.1 -200 OK"), ("status_plus", b"HTTP/1.1 +200 OK"),
            ("status_204", b"HTTP/1.1 204 No Content"),
            ("status_304", b"HTTP/1.1 304 Not Modified"), ("status_100", b"HTTP/1.1 100 Continue"),
            ("status_101", b"HTTP/1.1 101 Switching"), ("status_500", b"HTTP/1.1 500 No"), ("empty", b""),
            ("garbage", b"\x16\x03\x01"),
            ("reason_bytes", b"HTTP/1.1 200 \xff\xfe"), ("reason_nul", b"HTTP/1.1 200 O\0K"),
            ("reason_cr", b"HTTP/1.1 200 O\rK"),
            ("no_space", b"HTTP/1.1200 OK"), ("html", b"<html>")):
        put(f"status={label}", "first", text, ("response",))
    for label, text in (
            ("1.0", b"GET / HTTP/1.0"), ("0.9", b"GET /"), ("2.0", b"GET / HTTP/2.0"), ("1.2", b"GET / HTTP/1.2"),
            ("lower_method", b"get / HTTP/1.1"),
            ("unknown_method", b"BREW / HTTP/1.1"), ("head", b"HEAD / HTTP/1.1"), ("put", b"PUT / HTTP/1.1"),
            ("connect", b"CONNECT a:1 HTTP/1.1"),
            ("options", b"OPTIONS * HTTP/1.1"), ("absolute", b"GET http://a/b HTTP/1.1"),
            ("two_spaces", b"GET  / HTTP/1.1"),
            ("space_in_target", b"GET /a b HTTP/1.1"), ("tab", b"GET\t/ HTTP/1.1"), ("bytes", b"GET /\xff HTTP/1.1"),
            ("nul", b"GET /\0 HTTP/1.1"),
            ("del", b"GET /\x7f HTTP/1.1"), ("control", b"GET /\x01 HTTP/1.1"), ("fragment", b"GET /a#b HTTP/1.1"),
            ("no_slash", b"GET a HTTP/1.1"),
            ("two_slashes", b"GET //a HTTP/1.1"), ("lower_http", b"GET / http/1.1"), ("no_target", b"GET HTTP/1.1"),
            ("space_behind", b"GET / HTTP/1.1 "),
            ("long", b"GET /" + b"a" * 60000 + b" HTTP/1.1"), ("too_long", b"GET /" + b"a" * 70000 + b" HTTP/1.1"),
            ("http_2", b"PRI * HTTP/2.0"),
            ("minor_01", b"GET / HTTP/1.01"), ("no_minor", b"GET / HTTP/1"), ("space_before", b" GET / HTTP/1.1"),
            ("tls", b"\x16\x03\x01\x02\x00")):
        put(f"line={label}", "first", text, ("request",))
    put("before=crlf", "before", b"\r\n")
    put("before=lf", "before", b"\n")
    put("before=two_crlf", "before", b"\r\n\r\n")
    put("before=space", "before", b" ")
    put("before=interim", "before", b"HTTP/1.1 100 Continue\r\n\r\n", ("response",))
    put("before=two_interims", "before", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 P\r\n\r\n", ("response",))


def _headers():
    for label, text in (
            ("no_colon", b"nocolon"), ("space_before_colon", b"Name : x"), ("tab_before_colon", b"Name\t: x"),
            ("empty_name", b": x"),
            ("fold", b"A: b\r\n c"), ("fold_tab", b"A: b\r\n\tc"), ("space_in_name", b"A b: c"), ("empty_value", b"A:"),
            ("blanks", b"A: \t b \t "),
            ("latin_1", b"A: \xe9"), ("nul", b"A: b\0c"), ("nul_in_name", b"A\0: b"), ("cr", b"A: b\rc"),
            ("lf", b"A: b\nB: c"), ("control", b"A: \x01"),
            ("del", b"A: \x7f"), ("vertical_tab", b"A: b\x0bc"), ("form_feed", b"A: b\x0cc"),
            ("bytes_in_name", b"\xc3\xa9: b"), ("paren_in_name", b"A(b: c"),
            ("slash_in_name", b"A/b: c"), ("quote_in_name", b'A"b: c'), ("tilde_in_name", b"A~!#$%&'*+-.^_`|: c"),
            ("at_in_name", b"A@: c"),
            ("colon_in_value", b"A: b: c"), ("twice", b"A: 1\r\nA: 2"), ("long", b"A: " + b"b" * 60000),
            ("too_long", b"A: " + b"b" * 70000),
            ("long_name", b"A" * 3000 + b": b"), ("next_line", b"A: b\xc2\x85c"),
            ("unicode_line", "A: b\u2028c".encode()), ("leading_space", b" A: b")):
        line(f"header={label}", text)
    line("header=three_hundred", *(b"H%d: x" % number for number in range(300)))
    line("header=ninety", *(b"H%d: x" % number for number in range(90)))
    line("host=twice", b"Host: a", b"Host: a", kinds=("request",))
    for label, text in (("close", b"Connection: close"), ("keep_alive", b"Connection: keep-alive"),
                        ("upgrade", b"Connection: upgrade"),
                        ("list", b"Connection: close, x"), ("upper", b"Connection: CLOSE"),
                        ("close_keep", b"Connection: close\r\nConnection: keep-alive"),
                        ("proxy", b"Proxy-Connection: close"), ("part", b"Connection: notclose")):
        line(f"connection={label}", text)
    line("upgrade=websocket", b"Connection: upgrade", b"Upgrade: websocket")
    put("lines=lf", "end", b"\n")
    put("lines=cr", "end", b"\r")
    put("blank=lf", "blank", b"\n")
    put("blank=none", "blank", b"")
    put("blank=cr", "blank", b"\r")


def _framing():
    for label, text in (
            ("twice_same", b"Content-Length: 8\r\nContent-Length: 8"),
            ("twice_other", b"Content-Length: 8\r\nContent-Length: 4"), ("list_same", b"Content-Length: 8, 8"),
            ("list_other", b"Content-Length: 8, 4"), ("plus", b"Content-Length: +8"), ("minus", b"Content-Length: -1"),
            ("hex", b"Content-Length: 0x8"),
            ("empty", b"Content-Length:"), ("spaces", b"Content-Length:   8  "), ("inside", b"Content-Length: 8 8"),
            ("letters", b"Content-Length: 8a"),
            ("zeros", b"Content-Length: 00000008"), ("underscore", b"Content-Length: 0_8"),
            ("fraction", b"Content-Length: 8.0"), ("huge", b"Content-Length: 99999999999999999999999"),
            ("2^64", b"Content-Length: 18446744073709551624"), ("too_large", b"Content-Length: 999999999"),
            ("short", b"Content-Length: 4"), ("long", b"Content-Length: 9"),
            ("0", b"Content-Length: 0"), ("unicode", "Content-Length: \u0668".encode()),
            ("name_lower", b"content-length: 8"), ("space_before_colon", b"Content-Length : 8")):
        own(f"length={label}", [text], b'{"a": 1}')
    chunked = b'4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n'
    for label, text in (
            ("gzip_chunked", b"Transfer-Encoding: gzip, chunked"),
            ("chunked_gzip", b"Transfer-Encoding: chunked, gzip"), ("gzip", b"Transfer-Encoding: gzip"),
            ("identity", b"Transfer-Encoding: identity"), ("two_chunked", b"Transfer-Encoding: chunked, chunked"),
            ("upper", b"Transfer-Encoding: CHUNKED"),
            ("quoted", b'Transfer-Encoding: "chunked"'), ("parameter", b"Transfer-Encoding: chunked;a=b"),
            ("vertical_tab", b"Transfer-Encoding: \x0bchunked"),
            ("blank_after", b"Transfer-Encoding: chunked "), ("comma", b"Transfer-Encoding: chunked,"),
            ("xchunked", b"Transfer-Encoding: xchunked"), ("empty", b"Transfer-Encoding:"),
            ("lines_gzip_chunked", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
            ("lines_chunked_gzip", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip"),
            ("lines_chunked_twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            ("lines_identity_chunked", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
            ("and_length", b"Transfer-Encoding: chunked\r\nContent-Length: 8"),
            ("length_and", b"Content-Length: 8\r\nTransfer-Encoding: chunked"),
            ("space_before_colon", b"Transfer-Encoding : chunked"), ("fold", b"Transfer-Encoding:\r\n chunked")):
        own(f"coding={label}", [text], chunked)
    own("framing=by_close", [], b'{"a": 1}')
    own("framing=by_close_empty", [], b"")
    add("framing=head", lambda message: setattr(message, "head", True), ("response",))


def _chunks():
    def chunked(label, attribute, content):
        def change(message):
            message.framing = "chunked"
            setattr(message, attribute, content)
        add(f"chunk={label}", change)

    for label, size in (
            ("upper", b"%X"), ("zeros", b"0000%x"), ("prefix", b"0x%x"), ("plus", b"+%x"), ("minus", b"-%x"),
            ("space_before", b" %x"), ("space_after", b"%x "), ("tab_after", b"%x\t"),
            ("extension", b"%x;a=b"), ("extension_quoted", b'%x;a="b;c"'), ("extension_bare", b"%x;"),
            ("extension_space", b"%x ;a"), ("extension_lf", b"%x;a\nb"), ("extension_cr", b"%x;a\rb"),
            ("letters", b"%xg"), ("underscore", b"0_%x"), ("huge", b"fffffffffffffffff%x"),
            ("sixteen", b"fffffffffffffff%x"), ("empty", b"")):
        chunked(label, "chunk_size", lambda chunk, size=size: size % len(chunk) if b"%" in size else size)
    chunked("long_extension", "chunk_size",
            lambda chunk: b"%x;" % len(chunk) + b"e" * (70000 if chunk == b'{"a"' else 1))
    chunked("one_more", "chunk_size", lambda chunk: b"%x" % (len(chunk) + 1))
    chunked("one_less", "chunk_size", lambda chunk: b"%x" % (len(chunk) - 1))
    chunked("end_lf", "chunk_end", b"\n")
    chunked("end_none", "chunk_end", b"")
    chunked("end_space", "chunk_end", b" \r\n")
    chunked("end_cr", "chunk_end", b"\r")
    chunked("no_last", "last", b"")
    chunked("last_zeros", "last", b"000\r\n")
    chunked("last_extension", "last", b"0;a=b\r\n")
    chunked("last_lf", "last", b"0\n")
    chunked("trailer", "trailers", b"X: y\r\n\r\n")
    chunked("trailer_length", "trailers", b"Content-Length: 5\r\n\r\n")
    chunked("trailer_garbage", "trailers", b"garbage\r\n\r\n")
    chunked("trailer_cut", "trailers", b"X: y\r\n")
    chunked("trailer_none", "trailers", b"")
    chunked("trailer_lf", "trailers", b"\n")
    chunked("trailer_long", "trailers", b"X: " + b"y" * 70000 + b"\r\n\r\n")
    chunked("many", "chunks", [b"x"] * 300)
    chunked("binary", "chunks", [bytes(range(256))])
    chunked("none", "chunks", [])


def _ends():
    put("after=garbage", "tail", b"garbage")
    put("after=crlf", "tail", b"\r\n")
    put("after=another", "tail", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ("response",))
    put("after=another", "tail", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ("request",))
    for count in (0, 1, 8, 20, 40, -1, -3, -7):
        put(f"cut={count}", "cut", count)
    add("none", lambda message: None)


for _define in (_first_line, _headers, _framing, _chunks, _ends):
    _define()


def generate(count, seed):
    """generate gives (kind, mutations, head, octets): each mutation once if count allows, then with others."""
    dice = random.Random(seed)
    every = [(kind, label) for kind, labels in MUTATIONS.items() for label in labels]
    dice.shuffle(every)
    for number in range(count):
        kind, label = every[number % len(every)]
        message, chosen = Message(kind, dice), [label]
        if number >= len(every) and dice.random() < 0.5:
            chosen.append(dice.choice(list(MUTATIONS[kind])))
        for one in chosen:
            MUTATIONS[kind][one](message)
        yield kind, chosen, message.head, message.octets()
