"""verify: check a receipt, a checkpoint or a proof offline. Nothing is opened but it and a key pinned before.

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
    file: Annotated[Path, Parameter(help="A receipt, or a checkpoint or proof of the audit log.")],
    /,
    *,
    key: Annotated[Path | None, Parameter(help="The signer's identity file (else this home's own).")] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Check a receipt offline, against a pinned key.

    Any receipt of sottovoce: of a recording, a consent, a withdrawal, an
    erasure; also a checkpoint of an audit log, and the proof of one of its
    entries. Works without a network, without a database and without the service
    that signed it.

    For example:
      sottovoce verify rct_aaaaaaaaaaaaaaaaaaaaaaaa.json
      sottovoce verify receipt.json --key clinic.identity.json
      sottovoce verify entry.tlog-proof --key clinic.identity.json
    """
    text = read_text(file)
    trusted = None if key is None else read_text(key)
    page = render.Page(width=world.console.width, style=world.console.style)
    pinned = "this home's pinned identity" if key is None else key
    if "\n\n— " in text:  # a signed note, alone or at the end of a proof
        proof = world.verify_proof(text, key=trusted, home=common.folder)
        world.answer(
            common, payloads.verified_proof(str(file), proof, pinned=pinned), render.proof(proof, page)
        )
        return OK
    receipt = world.verify_receipt(text, key=trusted, home=common.folder)
    world.answer(common, payloads.receipt(str(file), receipt, pinned=pinned), render.receipt(receipt, page))
    return OK
