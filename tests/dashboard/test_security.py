"""Whose word on a client is taken, and how proxies write an address."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from optuna.study import StudyDirection
from waitress.proxy_headers import proxy_headers_middleware

from tuner.dashboard.security import (
    ADDRESSES,
    KnownUsers,
    Limit,
    Login,
    client_network,
    credentials,
    is_loopback,
    names_of,
    parse_address,
    parse_proxy,
    read_password,
    with_proxy_headers,
)
from tuner.dashboard.serve import Options, listen
from tuner.errors import UsageError
from tuner.storage import Storage


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1:4711", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("[::ffff:10.0.0.1]:4711", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1]:4711"', "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", "None"),
        ("", "None"),
        ("[", "None"),
    ],
)
def test_an_address_as_it_is_written(written: str, address: str) -> None:
    assert str(parse_address(written)) == address


@pytest.mark.parametrize("given", ["proxy", "*", "", "10.0.0.1:80", "0.0.0.0/0", "::/0"])
def test_a_proxy_that_is_no_address(given: str) -> None:
    with pytest.raises(UsageError, match="--trusted-proxy"):
        parse_proxy(given)


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [
        (None, ("10.244.3.7", "http")),
        ("10.244.3.7", ("192.0.2.1", "https")),
        ("10.244.0.0/16", ("192.0.2.1", "https")),
        ("10.244.3.8", ("10.244.3.7", "http")),
        ("2001:db8::/32", ("10.244.3.7", "http")),
    ],
)
def test_only_a_trusted_proxy_is_believed(trusted: str | None, seen: tuple[str, str]) -> None:
    asked: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start: Any) -> list[bytes]:
        asked.append(environ)
        return []

    said = {"FOR": "1.2.3.4, 192.0.2.1", "PROTO": "HTTPS", "HOST": "evil.example"}
    environ = {f"HTTP_X_FORWARDED_{name}": value for name, value in said.items()}
    environ |= {"REMOTE_ADDR": "10.244.3.7", "wsgi.url_scheme": "http"}
    proxy = None if trusted is None else parse_proxy(trusted)
    with_proxy_headers(proxy, application)(environ, print)
    (found,) = asked
    assert (found.pop("REMOTE_ADDR"), found.pop("wsgi.url_scheme")) == seen
    assert found == {}


@pytest.mark.parametrize(
    ("said", "ours", "theirs"),
    [
        ({"FOR": "10.0.0.3, 192.0.2.1", "PROTO": "https"}, ("192.0.2.1", "https"), None),
        # A proxy that listens at [::] writes clients of IPv4 like this.
        ({"FOR": "::ffff:10.0.0.1"}, ("::ffff:10.0.0.1", "http"), ("::ffff", "http")),
        ({"FOR": "::ffff:10.0.0.2"}, ("::ffff:10.0.0.2", "http"), ("::ffff", "http")),
        ({"PROTO": "https, https"}, ("10.0.0.2", "http"), "400 Bad Request"),
        ({"PROTO": "wss"}, ("10.0.0.2", "http"), "400 Bad Request"),
    ],
)
def test_what_waitress_itself_makes_of_a_proxy_s_headers(
    said: dict[str, str], ours: tuple[str, str], theirs: tuple[str, str] | str | None
) -> None:
    seen: list[Any] = []

    def application(environ: dict[str, Any], start: Any) -> list[bytes]:
        seen.append((environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]))
        return []

    headers = {"x-forwarded-for", "x-forwarded-proto"}
    one = proxy_headers_middleware(application, "10.0.0.2", trusted_proxy_headers=headers)
    for each in (with_proxy_headers(parse_proxy("10.0.0.2"), application), one):
        environ = {"REMOTE_ADDR": "10.0.0.2", "wsgi.url_scheme": "http"}
        environ |= {f"HTTP_X_FORWARDED_{name}": value for name, value in said.items()}
        list(each(environ, lambda status, *_: seen.append(status)))
    assert seen == [ours, theirs or ours]


# Each attack works on optuna-dashboard as it comes, and does not on the guarded one.


Guard = Callable[..., Any]
PASSWORD = "correct horse"
EVIL = "http://evil.example"


def made_again(storage: Storage) -> None:
    """The study, after an attack on the bare server, which comes first."""
    assert storage.create_new_study([StudyDirection.MAXIMIZE], "small") == 1


def exists(site: Any, **headers: str | None) -> bool:
    found = site.ask("/api/studies", **headers).json["study_summaries"]
    return [study["study_id"] for study in found] == [1]


def test_a_name_that_was_pointed_here_reads_nothing(bare: Any, guard: Guard) -> None:
    assert exists(bare, Host="evil.example")
    served = guard(allowed_hosts=("tuner.example.com",))
    for host in ("evil.example", "evil.example:8080", "localhost.evil.example", "", "[::1"):
        refused = served.ask("/api/studies", Host=host)
        assert (refused.status, b"small" in refused.body) == (421, False), host
    assert served.ask("/api/studies", Host=None).status == 421
    for host in ("localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:80", "Tuner.Example.com"):
        assert exists(served, Host=host)


@pytest.mark.parametrize(
    "sent",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},  # another port of the same machine
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Origin": "http://127.0.0.1:1"},
    ],
)
def test_a_page_from_elsewhere_deletes_nothing(
    storage: Storage, bare: Any, guard: Guard, sent: dict[str, str]
) -> None:
    assert bare.ask("/api/studies/1", "DELETE", {}, **sent).status == 204
    assert not exists(bare)
    made_again(storage)
    served = guard(password=PASSWORD)
    login = {"password": PASSWORD}  # which a browser sends along by itself
    refused = served.ask("/api/studies/1", "DELETE", {}, **sent, **login)
    assert refused.status == 403
    assert exists(served, **login)


def test_no_page_from_elsewhere_writes_by_any_way(
    bare: Any, guard: Guard, storage: Storage, artifact: str
) -> None:
    file = {"file": "data:text/plain;base64,aGVsbG8=", "filename": "hello.txt"}
    trial = storage.create_new_trial(1)

    def attacks(i: int) -> list[tuple[str, str, Any]]:
        return [
            ("POST", "/api/studies", {"study_name": f"theirs {i}", "directions": ["minimize"]}),
            ("PUT", "/api/studies/1/note", {"body": "a note", "version": i}),
            ("PUT", f"/api/studies/1/{trial}/note", {"body": "a note", "version": i}),
            ("POST", f"/api/trials/{trial}/user-attrs", {"user_attrs": {"a": i}}),
            ("POST", "/api/artifacts/1", file),
        ]

    last = [
        ("DELETE", f"/api{artifact}", None),
        ("POST", f"/api/trials/{trial}/tell", {"state": "fail"}),
        ("POST", "/api/studies/1/rename", {"study_name": "theirs"}),
    ]
    for method, path, body in [*attacks(1), *last]:
        assert bare.ask(path, method, body, Origin=EVIL).status in (201, 204), path
    served = guard()
    for method, path, body in [*attacks(2), *last]:
        refused = served.ask(path, method, body, Origin=EVIL)
        assert (refused.status, b"another site" in refused.body) == (403, True), path


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("gpu-box:8080", "http://gpu-box:8080", 204),
        ("gpu-box:8080", "http://gpu-box:9000", 403),  # what else runs there
        ("gpu-box:8080", "http://gpu-box", 403),
        ("gpu-box:8080", "https://gpu-box", 403),
        ("gpu-box", "https://gpu-box", 204),  # a proxy with TLS
        ("gpu-box:443", "https://GPU-box.", 204),
        ("gpu-box:443", "http://gpu-box", 403),
        ("127.0.0.1:8080", "https://gpu-box", 204),  # a proxy that sends on another Host
        ("127.0.0.1:8080", "https://gpu-box:9000", 403),
        ("127.0.0.1:8080", "ftp://gpu-box", 403),
        ("127.0.0.1:8080", "http://gpu-box:port", 403),
        ("127.0.0.1:8080", "http://gpu-box@evil.example", 403),
    ],
)
def test_a_page_on_another_port_of_a_name_is_from_elsewhere(
    bare: Any, guard: Guard, host: str, origin: str, status: int
) -> None:
    note = {"body": "a note", "version": 1}
    sent = {"Host": host, "Origin": origin}
    assert bare.ask("/api/studies/1/note", "PUT", note, **sent).status == 204
    served = guard(allowed_hosts=("gpu-box",))
    assert served.ask("/api/studies/1/note", "PUT", note | {"version": 2}, **sent).status == status


def test_what_came_without_tls_is_not_what_a_proxy_serves_with_it(guard: Guard) -> None:
    served = guard(allowed_hosts=("gpu-box",), trusted_proxy="127.0.0.0/8")
    note = {"body": "a note", "version": 1}
    sent = {"Host": "gpu-box", "X_Forwarded_Proto": "https"}
    for origin, status in (("http://gpu-box", 403), ("https://gpu-box", 204)):
        assert (
            served.ask("/api/studies/1/note", "PUT", note, Origin=origin, **sent).status == status
        )


@contextmanager
def half_sent(site: Any, count: int) -> Iterator[None]:
    """Requests that never end."""
    parts = urlsplit(site.address)
    held = [socket.create_connection((parts.hostname, parts.port)) for _ in range(count)]
    for each in held:
        each.sendall(b"GET / HTTP/1.1\r\n")
    try:
        yield
    finally:
        for each in held:
            each.close()


def test_half_sent_requests_keep_nobody_out(bare: Any, guard: Guard) -> None:
    with half_sent(bare, 101), pytest.raises((OSError, HTTPException)):
        bare.ask("/api/studies", timeout=1)
    served = guard(password=PASSWORD)
    with half_sent(served, 120):
        assert served.ask("/healthz").status == 200


def test_the_page_itself_may_write(guard: Guard) -> None:
    served = guard(allowed_hosts=("tuner.example.com",))
    note = {"body": "a note", "version": 1}
    own = {"Origin": served.address.rstrip("/"), "Sec_Fetch_Site": "same-origin"}
    assert served.ask("/api/studies/1/note", "PUT", note, **own).status == 204
    behind = {"Origin": "https://tuner.example.com"}  # a proxy's, which sends on another Host
    assert served.ask("/api/studies/1/note", "PUT", note | {"version": 2}, **behind).status == 204
    assert served.ask("/api/studies/1", "DELETE", {}).status == 204  # a script that says nothing


def test_nobody_writes_where_it_is_read_only(storage: Storage, bare: Any, guard: Guard) -> None:
    note = {"body": "a note", "version": 1}
    assert bare.ask("/api/studies/1/note", "PUT", note).status == 204
    assert bare.ask("/api/studies/1", "DELETE", {}).status == 204
    made_again(storage)
    served = guard(read_only=True)
    for method, path, body in (
        ("PUT", "/api/studies/1/note", note),
        ("POST", "/api/studies", {"study_name": "new", "directions": ["minimize"]}),
        ("DELETE", "/api/studies/1", {}),
        ("PATCH", "/api/studies/1", {}),
    ):
        refused = served.ask(path, method, body)
        assert (refused.status, refused["Allow"]) == (405, "GET, HEAD")
    assert exists(served)
    assert served.ask("/dashboard", "HEAD").status == 200


def test_nothing_is_told_without_the_password(bare: Any, guard: Guard, artifact: str) -> None:
    served = guard(password=PASSWORD)
    for path in ("/", "/dashboard", "/api/studies", "/csv/1", artifact):
        assert bare.ask(path).status in (200, 302)
    for path in ("/", "/dashboard", "/api/studies", "/csv/1", artifact, "/metrics"):
        for sent in (None, "Bearer x"):
            refused = served.ask(path, Authorization=sent)
            assert refused.status == 401
            assert refused["WWW-Authenticate"].startswith("Basic ")
            assert b"small" not in refused.body
        told = served.ask(path, password=PASSWORD)
        assert told.status in (200, 302)
    assert served.ask("/healthz").body == b"ok\n"


def unlimited(words: list[str]) -> list[bool]:
    """Which of them lets in where nothing limits how many are tried."""
    login = Login(PASSWORD, Limit(lambda: next(clock)))
    clock = iter(range(0, 10**9, 1000))  # between any two looks are many minutes
    sent = (base64.b64encode(f"me:{each}".encode()).decode() for each in words)
    environ = {"REMOTE_ADDR": "10.0.0.1"}
    return [login(environ | {"HTTP_AUTHORIZATION": f"Basic {each}"}) is None for each in sent]


def test_a_password_is_not_found_by_trying(guard: Guard) -> None:
    words = [f"word {i}" for i in range(20)] + [PASSWORD]
    assert unlimited(words) == [False] * 20 + [True]
    served = guard(password=PASSWORD)
    # An attacker may say to be somebody else each time.
    replies = [
        served.ask("/api/studies", password=each, X_Forwarded_For=f"10.0.0.{i}")
        for i, each in enumerate(words)
    ]
    assert [each.status for each in replies] == [401] * 10 + [429] * 11
    assert 0 < int(replies[-1]["Retry-After"]) <= 60


def test_behind_a_proxy_each_client_has_its_own_limit(guard: Guard) -> None:
    served = guard(password=PASSWORD, trusted_proxy="127.0.0.1")
    for _ in range(10):
        served.ask("/", password="wrong", X_Forwarded_For="10.0.0.1")
    right = {"password": PASSWORD}
    assert served.ask("/api/studies", **right, X_Forwarded_For="10.0.0.1").status == 429
    assert served.ask("/api/studies", **right, X_Forwarded_For="10.0.0.2").status == 200
    # Of a chain of proxies the last address counts, which ours saw; a port is no new client.
    mine = "10.0.0.2, [::ffff:10.0.0.1]:4711"
    assert served.ask("/api/studies", **right, X_Forwarded_For=mine).status == 429


def test_who_shares_an_address_and_tries_passwords_locks_out_nobody(guard: Guard) -> None:
    served = guard(password=PASSWORD)
    assert served.ask("/metrics", password=PASSWORD, user="prometheus").status == 200
    tried = [served.ask("/", password=f"word {i}", user=f"user {i}").status for i in range(12)]
    assert tried == [401] * 10 + [429] * 2
    assert served.ask("/metrics", password=PASSWORD, user="prometheus").status == 200
    assert served.ask("/metrics", password=PASSWORD, user="stranger").status == 429
    known = [served.ask("/", password="wrong", user="prometheus").status for _ in range(11)]
    assert known == [401] * 10 + [429]


@pytest.mark.parametrize("extra", ["", "/", "?a=/static/"])
def test_an_uploaded_page_is_a_download(bare: Any, guard: Guard, artifact: str, extra: str) -> None:
    shown = bare.ask(artifact + extra)
    assert (shown.status, shown["Content-Type"]) == (200, "text/html")
    assert (shown["Content-Disposition"], shown["Access-Control-Allow-Origin"]) == ("", "*")
    served = guard()
    for slashes in ("", "/", "///"):
        saved = served.ask(slashes + artifact + extra)
        assert saved.status == 200 or slashes
        if saved.status == 200:
            assert saved.body == shown.body
            assert saved["Content-Disposition"] == "attachment"
            assert saved["X-Content-Type-Options"] == "nosniff"
            assert "sandbox" in saved["Content-Security-Policy"]
            assert saved["Access-Control-Allow-Origin"] == ""


def test_the_page_may_not_be_framed_nor_run_what_is_not_its_own(bare: Any, guard: Guard) -> None:
    before, after = bare.ask("/dashboard"), guard().ask("/dashboard")
    assert before.body == after.body
    assert "frame-ancestors" not in before["Content-Security-Policy"]
    assert before["X-Frame-Options"] == ""
    assert "frame-ancestors 'none'" in after["Content-Security-Policy"]
    assert "'unsafe-inline'" not in after["Content-Security-Policy"].split("style-src")[0]
    assert after["X-Frame-Options"] == "DENY"
    assert after["Referrer-Policy"] == "same-origin"
    assert (before["Server"], after["Server"]) == ("waitress", "")


def test_a_request_may_only_be_so_long(bare: Any, guard: Guard) -> None:
    data = base64.b64encode(b"\0" * (13 * 2**20)).decode()
    body: dict[str, Any] = {"file": f"data:;base64,{data}", "filename": "large"}
    assert bare.ask("/api/artifacts/1", "POST", body).status == 201
    refused = guard().ask("/api/artifacts/1", "POST", Content_Length=str(17 * 2**20))
    assert refused.status == 413
    small = body | {"file": "data:;base64,AAAA"}
    assert guard().ask("/api/artifacts/1", "POST", small).status == 201


# Passwords: where they come from, how they arrive, and how often they may be wrong.


def test_a_password_is_read_without_the_end_of_its_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse\n", encoding="utf-8")
    assert read_password(file, None) == "correct horse"
    file.write_bytes("\ufeffcorrect horse\r\n".encode())  # as an editor of Windows writes it
    assert read_password(file, None) == "correct horse"
    assert read_password(None, " kept as it is ") == " kept as it is "
    assert read_password(None, None) is None
    assert read_password(None, "") is None


@pytest.mark.parametrize(
    ("content", "given", "words"),
    [
        (b"", None, "at least 8"),
        (b"seven77\n", None, "at least 8"),
        (None, "seven77", "TUNER_PASSWORD: a password needs at least 8"),
        (b"\xff" * 9, None, "it is not UTF-8"),
        (None, "\udcff" * 9, "TUNER_PASSWORD: it is not UTF-8"),
        (b" " * 9, None, "at least 8"),
        (None, "\t seven77 ", "at least 8"),
        (b"correct horse", "correct horse", "not both"),
    ],
)
def test_a_password_that_cannot_be_says_why(
    tmp_path: Path, content: bytes | None, given: str | None, words: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=words) as raised:
        read_password(None if content is None else file, given)
    assert "seven77" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_password(tmp_path / "absent", None)


def test_only_so_many_wrong_ones_a_minute() -> None:
    now = [0.0]
    limit = Limit(lambda: now[0])
    for _ in range(10):
        assert limit.wait("10.0.0.1") == 0
        limit.wrong("10.0.0.1")
        now[0] += 1
    assert limit.wait("10.0.0.1") == 50  # the first is a minute old by then
    assert limit.wait("10.0.0.2") == 0
    now[0] += 50
    assert limit.wait("10.0.0.1") == 0


def test_the_limit_keeps_no_more_than_so_many_addresses() -> None:
    limit = Limit(lambda: 0.0)
    for i in range(ADDRESSES + 10):
        limit.wrong(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
    assert len(limit._wrong) == ADDRESSES


def test_a_client_of_ipv6_is_its_network() -> None:
    assert client_network("2001:db8::1") == client_network("2001:db8::ffff:2%eth0")
    assert client_network("2001:db8::1") != client_network("2001:db8:0:1::1")
    assert client_network("10.0.0.1") != client_network("10.0.0.2")
    assert client_network("[2001:db8::1]:4711") == client_network("[2001:db8::1]:4712")
    assert client_network("::ffff:10.0.0.1") == client_network("10.0.0.1")
    assert client_network("10.0.0.1:4711") == client_network("10.0.0.1")
    assert client_network("::ffff:10.0.0.1") != client_network("::ffff:10.0.0.2")
    # All that are no addresses are one client.
    assert client_network("somewhere") == client_network("elsewhere")


def test_no_more_users_are_known_than_so_many() -> None:
    known = KnownUsers()
    for i in range(ADDRESSES + 1):
        known.add("10.0.0.1", str(i))
    network = client_network("10.0.0.1")
    assert known.client("10.0.0.1", "0") == network != known.client("10.0.0.1", "1")


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", "Bearer YTpi", "Basic /w==", "Basic YWI=", "Basic YTpi YTpi"]
)
def test_a_header_that_says_nothing_has_no_password(header: str) -> None:
    assert credentials(header)[1] == ""
    refused = Login("correct horse")({"HTTP_AUTHORIZATION": header, "REMOTE_ADDR": "10.0.0.1"})
    assert refused is not None
    assert refused.status == 401


@pytest.mark.parametrize("password", ["with: a colon", "mit Ümlaut ✓"])
def test_any_user_with_the_password_is_let_in(password: str) -> None:
    for user in ("", "me"):
        header = "bASIC " + base64.b64encode(f"{user}:{password}".encode()).decode()
        assert credentials(header) == (user, password)
        assert Login(password)({"HTTP_AUTHORIZATION": header, "REMOTE_ADDR": "::1"}) is None


# Names of a server, and which addresses only this machine reaches.


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1"])
def test_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "no-such-name.invalid", "", "a" * 64 + ".example"]
)
def test_others_may_come(host: str) -> None:
    assert not is_loopback(host)


def test_the_names_of_a_server() -> None:
    assert names_of("127.0.0.1", ["Proxy.example"]) == {"localhost", "127.0.0.1", "proxy.example"}
    assert socket.gethostname().lower() in names_of("0.0.0.0", [])
    assert names_of("::1", ["proxy.example."]) == {"localhost", "::1", "proxy.example"}


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
def test_a_name_that_no_address_can_have_says_so(host: str) -> None:
    with pytest.raises(UsageError, match="cannot listen there"):
        listen(host, 0)


@pytest.mark.parametrize(
    "name",
    ["https://a.example", "a.example:8080", "a.example/", "*.example", "", ".", "ä.example", "a b"],
)
def test_a_name_that_no_browser_sends(name: str) -> None:
    with pytest.raises(UsageError, match="--allowed-host"):
        Options(allowed_hosts=("fine.example", name))


def test_names_and_addresses_that_browsers_send() -> None:
    names = ("a.example.", "gpu_box", "xn--mller-kva.example", "10.0.0.1", "::1")
    assert Options(allowed_hosts=names).allowed_hosts == names
