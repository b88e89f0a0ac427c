"""Keeps keys out of the report: Bazel quotes its options in messages, and a remote cache's key is one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "(hidden)"

# `--remote_header=x-api-key=VALUE` and its kin, wherever Bazel says them.
_HEADER = re.compile(r"(--\w*header[= ]'?[^=\s]+=)[^\s'\"]+")
# Variables of the environment whose values are secret by their names.
_NAMES = re.compile(r"(_KEY|_TOKEN|_SECRET|_PASSWORD)$")
# A shorter value is none, and would blank out half of a report.
_MIN_LENGTH = 6


def hide(report, environment: Mapping[str, str]):
    """`report` (dicts, lists and texts) without the environment's keys and without the values of headers."""
    values = [v for k, v in environment.items() if _NAMES.search(k) and len(v) >= _MIN_LENGTH]
    return _hide(report, sorted(values, key=len, reverse=True))


def _hide(part, values: list[str]):
    if isinstance(part, dict):
        return {key: _hide(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_hide(value, values) for value in part]
    if not isinstance(part, str):
        return part
    for value in values:
        part = part.replace(value, HIDDEN)
    return _HEADER.sub(rf"\1{HIDDEN}", part)
