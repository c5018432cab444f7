"""The sealed child: audio is opened in a process that can do nothing but read it and write down numbers.

    extractor = SealedExtractor(required_level="seccomp")
    extraction = extractor.extract(Descriptor(fd), ExtractOptions())

Four kinds of process, each trusting the one below it less:

    service  client.py, supervisor.py   hands over a descriptor, reads a bounded result, checks every field
    parent   parent.py                  exec'd, one thread, imports and warms up everything; sees no audio, no key
    child    child.py, confinement.py   forked per recording; takes one descriptor, confines itself, then opens it
             handover.py                or: takes such a child's answer and keys, and seals it (docs/adr/0013)

Why a parent of its own: a fork of the service would copy its memory (keys, connections, threads holding locks)
into the process that opens hostile bytes.
"""

from sottovoce.adapters.extractor.client import SealedExtractor

__all__ = ["SealedExtractor"]
