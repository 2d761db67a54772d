"""Each attack works on optuna-dashboard as it comes, and does not on the guarded one."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import pytest
from optuna.study import StudyDirection

from tuner.dashboard.login import Limit, Login
from tuner.storage import Storage

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
        assert (refused.status, b"from elsewhere" in refused.body) == (403, True), path


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
