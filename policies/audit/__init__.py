"""The tamper-evident audit log: an RFC 6962 Merkle log in C2SP formats.

Pure parts (no SQL, no clock, no file system): ``strict_json``, ``canonical``, ``leaf``, ``merkle``, ``tiles``,
``tile_tree``, ``note``, ``checkpoint``, ``receipt``. The verifier (``verify``) adds reading a directory. All that
``verify`` imports needs only the standard library and ``cryptography``, so an auditor can run it alone. ``keys``
holds the signing key file; ``store`` holds the SQL; ``log`` is the single writer; ``reading`` and ``export`` answer
questions.
"""
