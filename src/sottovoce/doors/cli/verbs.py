"""The table of all verbs, and the answers that need nothing but this table: `--help` and `--version`.

It imports next to nothing, because `sottovoce --help` has to be quick; the commands themselves are loaded only
when one is named. The summaries here are the first lines of the commands' docstrings (a test compares them).
"""

from __future__ import annotations

from typing import NamedTuple

from sottovoce import __version__


class Verb(NamedTuple):
    name: str
    target: str  # module of this package : function or App
    arguments: str  # as the list of verbs shows them
    summary: str


SECTIONS: tuple[tuple[str, tuple[Verb, ...]], ...] = (
    (
        "See it work",
        (
            Verb("demo", "demo:demo", "", "Watch a real recording become sealed insight, its audio gone."),
            Verb("doctor", "doctor:doctor", "", "Check this home and this machine, one line per check."),
        ),
    ),
    (
        "Recordings",
        (
            Verb("analyze", "recordings:analyze", "FILE... --subject ID",
                 "Turn recordings into 88 features and a voice profile."),
            Verb("submit", "recordings:submit", "FILE... --subject ID",
                 "Seal recordings and queue them for a worker."),
            Verb("worker", "recordings:worker", "[--once]", "Work on queued recordings, one after the other."),
            Verb("retry", "recordings:retry", "SESSION", "Queue a held recording once more."),
            Verb("sessions", "recordings:sessions", "--subject ID",
                 "List a person's sessions: states and times."),
            Verb("show", "recordings:show", "SESSION --purpose P",
                 "Open what is kept of a session, for one purpose."),
        ),
    ),
    (
        "Features alone",
        (
            Verb("features", "features:features", "FILE... [-o OUT]",
                 "Compute 88 features of your own files; nothing is stored."),
        ),
    ),
    (
        "The person's say",
        (
            Verb("consent", "consent:app", "grant|refuse|withdraw|show",
                 "Record and show what a person has agreed to."),
            Verb("erase", "rights:erase", "--subject ID", "Erase a person, or one of their sessions."),
            Verb("sweep", "rights:sweep", "", "Discard and expire everything that is due."),
        ),
    ),
    (
        "Trust",
        (
            Verb("verify", "receipts:verify", "FILE [--key K]", "Check a receipt offline, against a pinned key."),
            Verb("residue", "residue_run:residue", "",
                 "Put marked recordings through this home and search for what is left."),
            Verb("fsck", "fsck:fsck", "[--repair]", "Check the invariants I1 to I10 on this home."),
            Verb("audit", "audit:app", "verify|show|prove|...", "Check and read the audit log."),
            Verb("keys", "keys:app", "status|rotate|identity", "Look after the keys of this home."),
            Verb("version", "doctor:version", "", "Print the version."),
        ),
    ),
)  # fmt: skip
VERBS: dict[str, Verb] = {verb.name: verb for _, verbs in SECTIONS for verb in verbs}

_TAIL = """\
Everywhere:
  --home DIR                          Where this home lives (else SOTTOVOCE_HOME, else the user's data folder).
  --json                              Data as JSON; one line per file where there are several.
  --help                              What a verb does, its options and an example.

Exit codes: 0 ok, 1 some failed, 2 usage, 3 consent, 4 input, 5 integrity, 6 keys, 7 storage, 8 unknown signer.
Data goes to standard output, messages to standard error. NO_COLOR is honoured.

Example:
  sottovoce consent grant --subject anna --purpose voice_recording voice_analysis data_retention_30_days
  sottovoce analyze interview.wav --subject anna"""


def root_help() -> str:
    """What `sottovoce --help` prints."""
    lines = [
        f"sottovoce {__version__}: learn from voices without keeping them.",
        "",
        "Usage: sottovoce [--home DIR] [--json] VERB ...",
        "",
    ]
    for title, verbs in SECTIONS:
        lines.append(f"{title}:")
        lines += [f"  {f'{verb.name} {verb.arguments}':<35} {verb.summary}" for verb in verbs]
        lines.append("")
    return "\n".join([*lines, _TAIL])


def quick_answer(arguments: list[str]) -> str | None:
    """The answer to a question about the command line itself; None where a verb has to be run."""
    if arguments in ([], ["--help"], ["-h"]):
        return root_help()
    if arguments in (["--version"], ["version"]):
        return __version__
    return None
