"""verify: check a receipt offline. Nothing is opened but the receipt and a key that was pinned before.

Rules upheld here:
- The key comes from --key or from the home's pinned identity, never from the receipt (C4b).
- No pin is "unknown signer", with an exit code of its own; a signature that does not fit is another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.errors import OK
from sottovoce.doors.cli.files import read_text
from sottovoce.doors.cli.world import COMMON, Common, Outside


def verify(
    file: Annotated[Path, Parameter(help="A receipt.")],
    /,
    *,
    key: Annotated[Path | None, Parameter(help="The signer's identity file (else this home's own).")] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Check a receipt offline, against a pinned key.

    Any receipt of sottovoce: of a recording, a consent, a withdrawal, an
    erasure. Works without a network, without a database and without the service
    that signed it.

    For example:
      sottovoce verify rct_aaaaaaaaaaaaaaaaaaaaaaaa.json
      sottovoce verify receipt.json --key clinic.identity.json
    """
    text = read_text(file)
    trusted = None if key is None else read_text(key)
    receipt = world.verify_receipt(text, key=trusted, home=common.folder)
    page = render.Page(width=world.console.width, style=world.console.style)
    pinned = "this home's pinned identity" if key is None else key
    world.answer(common, payloads.receipt(str(file), receipt, pinned=pinned), render.receipt(receipt, page))
    return OK
