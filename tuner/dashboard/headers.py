"""What browsers are told to refuse: foreign scripts, frames around the page, guessed types."""

from __future__ import annotations

from tuner.dashboard.wsgi import Headers

PAGE = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",  # plotly compiles what WebGL draws
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
FILE = "default-src 'none'; sandbox; frame-ancestors 'none'"
SHOWN = ("/dashboard", "/static/", "/api/", "/favicon.ico", "/healthz", "/metrics")
"""What the application itself says; everything else was uploaded by somebody."""
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_REPLACED = {"content-security-policy", "access-control-allow-origin", "server"}


def protect(path: str, status: str, headers: Headers) -> Headers:
    """An answer's headers with those that protect its reader; uploads become downloads."""
    replaced = _REPLACED | {name.lower() for name in EVERYWHERE}
    kept = [(name, value) for name, value in headers if name.lower() not in replaced]
    shown = path.startswith(SHOWN)
    if not shown and status.startswith("200") and not _named(kept, "content-disposition"):
        kept.append(("Content-Disposition", "attachment"))
    policy = ("Content-Security-Policy", PAGE if shown else FILE)
    return [*kept, policy, *EVERYWHERE.items()]


def _named(headers: Headers, name: str) -> bool:
    return any(each.lower() == name for each, _ in headers)
