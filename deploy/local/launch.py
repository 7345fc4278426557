"""Starts one service, detached: `python -m deploy.local.launch PID_FILE LOG_FILE COMMAND...`.

1. The service runs in a session of its own: neither a terminal's signal nor its starter's end reaches it.
2. It writes its own pid file before it becomes the service, so no moment exists in which it runs unrecorded.
3. This program ends as soon as the service runs, or says on standard error why it does not.
"""

import os
import sys
from pathlib import Path

from deploy.local.processes import identify

_NOT_STARTED = 127


def main(arguments: list[str]) -> int:
    """Start the service; 0 once it runs."""
    pid_file, log_file, *command = arguments
    reader, writer = os.pipe()  # closed by exec: an empty answer means that the service runs
    if os.fork() == 0:
        try:
            _become(Path(pid_file), Path(log_file), command)
        except OSError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(_NOT_STARTED)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        problem = answer.read()
    sys.stderr.write(problem.decode())
    return _NOT_STARTED if problem else 0


def _become(pid_file: Path, log_file: Path, command: list[str]) -> None:
    os.setsid()
    identity = identify(os.getpid())
    assert identity is not None, "a process that runs has an identity"
    unfinished = pid_file.with_suffix(".new")
    unfinished.write_text(identity.to_text())
    unfinished.replace(pid_file)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
