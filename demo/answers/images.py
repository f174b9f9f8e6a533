"""`POST /v1/images/generations`, answered: a picture of one pixel, of a colour that the prompt decides."""

import base64
import struct
import zlib
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from demo.answers.shapes import Refused, Reply, Stamp, model_of, whole_number
from demo.answers.tokens import count

MOST_PICTURES = 10
TOKENS = {"low": 272, "medium": 1_056, "high": 4_160}
"""Of one picture, by its quality, as OpenAI counts a square one."""
_USUAL = "low"


def images(body: Mapping[str, Any], stamp: Stamp) -> Reply:
    """Draw `n` pictures, given as they are or by their addresses.

    Raises:
        Refused: the request breaks a rule that OpenAI's API has too.
    """
    model_of(body)
    prompt, form = body.get("prompt"), body.get("response_format") or "b64_json"
    if not isinstance(prompt, str) or not prompt:
        raise Refused("'prompt' must be a text.", param="prompt")
    if form not in ("b64_json", "url"):
        raise Refused("'response_format' is neither url nor b64_json.", param="response_format")
    wanted = whole_number(body, "n", least=1, most=MOST_PICTURES) or 1
    names = [blake2b(f"{prompt} {index}".encode(), digest_size=3).digest() for index in range(wanted)]
    data = [
        {"b64_json": base64.b64encode(png(name)).decode()}
        if form == "b64_json"
        else {"url": f"https://pictures.example/{name.hex()}.png"}
        for name in names
    ]
    read, made = count(prompt), wanted * TOKENS.get(str(body.get("quality")), TOKENS[_USUAL])
    usage = {
        "input_tokens": read,
        "output_tokens": made,
        "total_tokens": read + made,
        "input_tokens_details": {"text_tokens": read, "image_tokens": 0},
    }
    return Reply({"created": stamp.created_s, "data": data, "usage": usage})


def png(colour: bytes) -> bytes:
    """One pixel of these three bytes."""
    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(b"\0" + colour)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
