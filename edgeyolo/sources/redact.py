"""Takes credentials out of addresses before anybody sees them.

Cameras have no common form for credentials, and passwords hold any character. So nothing here
parses an address properly: whatever may belong to a secret goes, and only what is known to be
harmless stays. Too much hidden is a nuisance; too little is a leak.
"""

from __future__ import annotations

import re

_SCHEME = re.compile(r"\b[a-z][\w+.-]*:/{1,2}", re.IGNORECASE)
_SECRET_NAME = (
    r"[\w-]*(?:user|usr|login|pass|pwd|pw|proxy-id|key|token|secret|auth|cred|sig|cookie|header"
    r"|streamid)[\w-]*"
)
_SECRET_PARAMETER = re.compile(rf"(?:\A|[/?#&;_\s\"']){_SECRET_NAME}=", re.IGNORECASE)
# GStreamer: name=value, name="two words", name=(string)value, with backslashes before anything.
_SECRET_PROPERTY = re.compile(
    rf"(?P<name>(?:\A|[\s\"']){_SECRET_NAME}\s*=\s*(?:\(\w+\)\s*)?)"
    r"(?:\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|(?:\\.|[^\s\\])+)",
    re.IGNORECASE | re.DOTALL,
)
# Of the parameters of an address, only these show their values.
_HARMLESS = (
    r"(?:ch|chn|chid|channel|cam|camera|stream|streamtype|subtype|track|trackid|profile|unicast"
    r"|proto|transport|transportmode|mode|type|format|codec|videocodec|resolution|quality|compression|fps"
    r"|framerate|width|height|latency|timeout|w|h|x|y)=[a-z0-9.:-]{0,12}"
)
_NAME = r"[a-z][\w.-]*(?:=|%3d)"
_PARAMETER = re.compile(
    rf"(?P<harmless>[?&;#_]?{_HARMLESS}(?=[/?&;#_]|\Z))|[?&;#](?:{_NAME})?(?=.)|{_NAME}",
    re.IGNORECASE | re.DOTALL,
)
# Where a secret ends is not known, but these tell the channels of one recorder apart.
_HARMLESS_END = re.compile(rf"(?:[&;_]{_HARMLESS})+(?:\?(?:real_stream)?)?\Z", re.IGNORECASE)


def redact(text: str) -> str:
    """An address or GStreamer pipeline with ``***`` in place of user names, passwords and keys.

    Everything up to the last ``@`` counts as credentials where it may be some; the host stays.
    Of parameters, only channel numbers and the like are shown.
    """
    if " ! " in text:
        text = _without_userinfo(_SECRET_PROPERTY.sub(r"\g<name>***", text))
        for word in re.finditer(_SCHEME.pattern + r"[^\s\"']*", text, re.IGNORECASE):
            shown = _without_parameters(word.group())
            if shown != word.group():
                return text[: word.start()] + shown
        return text
    return _without_parameters(_without_userinfo(text))


def _without_userinfo(text: str) -> str:
    scheme = _SCHEME.search(text)
    start, end = scheme.end() if scheme else 0, text.rfind("@")
    userinfo = text[start : max(start, end)]
    in_host = "@" in re.split(r"[/?#]", text[start:].lstrip("/"), maxsplit=1)[0]
    if _SECRET_PARAMETER.search(userinfo) and not in_host:
        # rtsp://host/user=a_password=p@ss: this @ belongs to what is hidden next.
        return text
    # http://host/a@b.mp4 has no user, rtsp://admin:pa/ss@host has one.
    if end < start or not (in_host or ":" in userinfo) or text.startswith("pattern"):
        return text
    return f"{text[:start]}***{text[end:]}"


def _without_parameters(text: str) -> str:
    """Hides from the first doubtful value to the end: a secret may hold any separator."""
    scheme = _SCHEME.search(text)
    if scheme is None:
        secret = _SECRET_PARAMETER.search(text)
        return f"{text[: secret.end()]}***" if secret else text
    for found in _PARAMETER.finditer(text, scheme.end()):
        if found["harmless"] is None:
            kept = _HARMLESS_END.search(text, found.end())
            return f"{text[: found.end()]}***{kept.group() if kept else ''}"
    return text
