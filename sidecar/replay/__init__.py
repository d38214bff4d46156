"""Replay: whole sessions as files, played on the sidecar in memory, as a process, or on any command given.

::

    session (format) + script (provider's answers, installation)
        -> place (installation, provider running) -> link (the sidecar) -> player
    frames received -> fold (chunks become texts) -> match (expected against got) -> report (first difference)

A recording of ``serve --record`` becomes such a session in ``recording``.
"""
