"""Captured text as it is kept: masked on demand, compressed, encrypted, and given back to those who may read it."""

from collector.content.body import content_to_json
from collector.content.codecs import JSON, ZLIB, ZSTD, ZSTD_DICTIONARY
from collector.content.contents import Contents, PackedContents, Unpacked, check_contents, open_contents, span_aad
from collector.content.secret_box import MasterSecretBox

__all__ = [
    "JSON",
    "ZLIB",
    "ZSTD",
    "ZSTD_DICTIONARY",
    "Contents",
    "MasterSecretBox",
    "PackedContents",
    "Unpacked",
    "check_contents",
    "content_to_json",
    "open_contents",
    "span_aad",
]
