"""The part of the JSON schema that is about ``[data]``."""

from __future__ import annotations

import re
from typing import Any

from tuner.data.spec import APART, OF_TEXT, TABLES, TASKS

_NAMED = {"pattern": f"({'|'.join(map(re.escape, TABLES))})(\\.gz)?$"}
_FOLDS: dict[str, Any] = {
    "type": "object",
    "properties": {"folds": {"type": "integer", "minimum": 2}},
    "required": ["folds"],
    "additionalProperties": False,
}
_VALIDATION: dict[str, Any] = {
    "anyOf": [{"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, _FOLDS],
    "default": 0.2,
    "description": "share the search sees; or folds, over which a trial is the mean",
}
DATA_RULES: dict[str, Any] = {
    "oneOf": [{"required": ["source"]}, {"required": ["path"]}],
    "allOf": [
        *({"not": {"required": list(pair)}} for pair in APART),
        {"not": {"required": ["split", "validation"], "properties": {"validation": _FOLDS}}},
    ],
    "if": {"properties": {"path": _NAMED}, "required": ["path"]},
    "then": {"required": ["target"]},
    "dependentRequired": {key: ["text"] for key in OF_TEXT},
}
"""Which keys go together."""


def data_keys() -> dict[str, Any]:
    """A schema for each key."""
    share = {"type": "number", "exclusiveMaximum": 1, "default": 0.2}
    side = {"type": "integer", "minimum": 1}
    names = {"type": "array", "items": {"type": "string"}}
    text = {"type": "string"}
    return {
        "source": {**text, "description": '"module:function", called without arguments'},
        "path": {**text, "description": "a file or folder; $NAME is an environment variable"},
        "target": {**text, "description": "the column to predict"},
        "features": {**text, "description": "the array of features in an NPZ file"},
        "task": {"enum": list(TASKS), "default": "auto"},
        "validation": _VALIDATION,
        "test": {**share, "minimum": 0, "description": "share that the search never sees"},
        "seed": {"type": "integer", "minimum": 0, "default": 0, "description": "of the split"},
        "shape": {"type": "array", "items": side, "minItems": 1, "description": "of one row"},
        "group": {**text, "description": "a column whose groups are never divided"},
        "time": {**text, "description": "a column: train before validation before test"},
        "split": {
            **text,
            "description": "a column that says train, validation or test, or 'folder'",
        },
        "test_path": {**text, "description": "a second file or folder, with the test rows"},
        "text": {**text, "description": "a column of text, then the only feature"},
        "vectors": {**text, "description": "word vectors, in the text format of GloVe or word2vec"},
        "vocabulary": {**side, "default": 20000, "description": "most words that are known"},
        "min_count": {**side, "default": 1, "description": "a rarer word is unknown"},
        "max_length": {**side, "default": 256, "description": "words after which a text is cut"},
        "drop": {**names, "description": "columns that are no features"},
        "keep": {**names, "description": "columns to keep although they look like identifiers"},
    }
