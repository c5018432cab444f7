"""The table of all verbs, and the answers that need nothing but this table: `--help` and `--version`.

It imports next to nothing, because `sottovoce --help` has to be quick; the commands themselves are loaded only
when one is named. The summaries here are the first lines of the commands' docstrings (a test compares them).
"""

from __future__ import annotations

from sottovoce import __version__


class Verb:
    """A line of `--help`. Neither a NamedTuple nor a dataclass: loading those is half of what `--help` takes."""

    __slots__ = ("arguments", "name", "summary", "target")

    def __init__(self, name: str, target: str, arguments: str, summary: str) -> None:
        self.name = name
        self.target = target  # module of this package : function or App
        self.arguments = arguments  # as the list of verbs shows them
        self.summary = summary


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
        "Whole folders",
        (
            Verb("ingest", "ingest:ingest", "FOLDER --subject-from W",
                 "Take in a folder of recordings, each exactly once."),
            Verb("footprint", "ingest:footprint", "", "Show how much is stored, by kind."),
            Verb("seal", "seal:seal", "PATH... --to KEY --out DIR",
                 "Seal recordings to a recipient's public key before anything is written."),
            Verb("open", "seal:open_", "FILE... --out DIR [--key K]",
                 "Open sealed recordings in clear, for who has to hear them."),
        ),
    ),
    (
        "Features and models",
        (
            Verb("features", "features:features", "FILE... [-o OUT]",
                 "Compute 88 features of your own files; nothing is stored."),
            Verb("models", "models:app", "list|show|verify|...",
                 "List, show, verify, evaluate and export model files."),
            Verb("training", "training:app", "begin|finish|due|...",
                 "Train on what people agreed to; know what to do when they leave."),
            Verb("decisions", "decisions:app", "list|replay",
                 "Show and replay what rules and models said of a person."),
        ),
    ),
    (
        "The person's say",
        (
            Verb("consent", "consent:app", "grant|refuse|withdraw|show",
                 "Record and show what a person has agreed to."),
            Verb("access-log", "access_log:access_log", "--subject ID", "Show who did what with a person's data."),
            Verb("facts", "access_log:facts", "SESSION", "Show the privacy facts of a session on one card."),
            Verb("export", "export:app", "--subject ID --out ZIP",
                 "Give a person everything that is held of them, as one signed zip."),
            Verb("import", "export:take_in", "ZIP [--key K]", "Take in a person's package that another home made."),
            Verb("erase", "rights:erase", "--subject ID", "Erase a person, or one of their sessions."),
        ),
    ),
    (
        "What stands on a person's data",
        (
            Verb("restrict", "marks:restrict", "--subject ID --reason R",
                 "Restrict a person's data: stored, and not otherwise used."),
            Verb("unrestrict", "marks:unrestrict", "--subject ID", "Lift the restriction of a person's data."),
            Verb("object", "marks:object_to", "--subject ID [--purpose P]",
                 "Record a person's objection to one use of their data, or to all."),
            Verb("hold", "marks:hold", "--subject ID --reason R",
                 "Put a person's data under a legal hold: nothing kept is destroyed."),
            Verb("lift", "marks:lift", "MARK", "Lift a legal hold, an objection or a restriction."),
            Verb("rectify", "marks:rectify", "--subject ID [--new-id ID]",
                 "Correct what is recorded of a person: their id, or by a statement of theirs."),
            Verb("marks", "marks:marks", "--subject ID",
                 "Show restrictions, objections, holds and corrections of a person."),
        ),
    ),
    (
        "What is owed, and when",
        (
            Verb("requests", "requests:app", "open|list|show|close|...",
                 "Answer what people ask for, in time, each as a case."),
            Verb("recipients", "recipients:app", "add|list|disclose|...",
                 "Keep track of who receives data, and what each has of whom."),
            Verb("feed", "feed:app", "export|status|acknowledge",
                 "Tell recipients what to undo, and see who has not done it."),
            Verb("retention", "retention:app", "show|plan|set|schedule",
                 "Show, plan and change how long things are kept."),
            Verb("sweep", "rights:sweep", "", "Discard and expire everything that is due."),
        ),
    ),
    (
        "Trust",
        (
            Verb("verify", "receipts:verify", "FILE [--key K]", "Check a receipt offline, against a pinned key."),
            Verb("audit", "audit:app", "verify|show|prove|...", "Check and read the audit log."),
            Verb("fsck", "fsck:fsck", "[--repair]", "Check the invariants I1 to I10 on this home."),
            Verb("residue", "residue_run:residue", "",
                 "Put marked recordings through this home and search for what is left."),
        ),
    ),
    (
        "The home",
        (
            Verb("keys", "keys:app", "status|rotate|recipient|...", "Look after the keys of this home."),
            Verb("backup", "backup:app", "create|verify|restore|...",
                 "Back up this home in two halves, and bring it back."),
            Verb("tombstones", "tombstones:app", "show|rebuild",
                 "Show the file of what must not come back, or begin a new one."),
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

Exit codes: 0 ok, 1 some failed or something is overdue, 2 usage, 3 consent, 4 input, 5 integrity, 6 keys,
7 storage, 8 unknown signer.
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
        lines += [f"  {f'{verb.name} {verb.arguments}':<34}  {verb.summary}" for verb in verbs]
        lines.append("")
    return "\n".join([*lines, _TAIL])


def quick_answer(arguments: list[str]) -> str | None:
    """The answer to a question about the command line itself; None where a verb has to be run."""
    if arguments in ([], ["--help"], ["-h"]):
        return root_help()
    if arguments in (["--version"], ["version"]):
        return __version__
    return None
