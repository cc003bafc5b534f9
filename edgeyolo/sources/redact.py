"""Takes credentials out of addresses before anybody sees them."""

from __future__ import annotations

import re

_SECRET = (
    r"(?:user(?:-?id|name)?|pass(?:word|wd)?|user-?pw|pwd|pw|token|secret|auth|sig(?:nature)?"
    r"|\w*key)"
)
_USERINFO = re.compile(r"(?P<scheme>\b[a-zA-Z][\w+.-]*://)[^/?#\s\"']*@")
_QUERY = re.compile(rf"(?P<name>[?&;]{_SECRET}=)[^&\s\"'#]*", re.IGNORECASE)
_PROPERTY = re.compile(
    rf"(?P<name>(?:^|\s){_SECRET}\s*=\s*)(?:\"[^\"]*\"|'[^']*'|[^\s!]+)", re.IGNORECASE
)


def redact(text: str) -> str:
    """An address or GStreamer pipeline with ``***`` in place of user names, passwords and keys."""
    text = _USERINFO.sub(r"\g<scheme>***@", text)
    text = _QUERY.sub(r"\g<name>***", text)
    return _PROPERTY.sub(r"\g<name>***", text)
