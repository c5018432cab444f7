"""The command line: parse, call one verb, render. A file per group of commands; no rules live here."""
