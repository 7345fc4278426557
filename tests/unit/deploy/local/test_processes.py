"""Processes are told apart by id and start."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from deploy.local.processes import ProcessIdentity, carrying, identify


def test_this_process_is_alive_and_a_reused_id_is_not() -> None:
    """The same id with another start is another process."""
    own = identify(os.getpid())
    assert own is not None
    assert own.is_alive()
    assert not replace(own, start=own.start + "1").is_alive()


def test_an_ended_process_is_not_alive_even_before_it_is_reaped() -> None:
    """A process that ended has no identity, whether its parent has asked for its end or not."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = identify(child.pid)
    assert identity is not None
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, not reaped
    assert not identity.is_alive()
    child.wait()
    assert not identity.is_alive()


def test_an_identity_survives_its_file() -> None:
    """What is written is what is read."""
    own = identify(os.getpid())
    assert own is not None
    assert ProcessIdentity.from_text(own.to_text()) == own


@pytest.mark.parametrize("text", ["", "12", "12 ", "x y", "-1 5"])
def test_a_damaged_file_names_nobody(text: str) -> None:
    """Half a pid file leads to no process at all."""
    assert ProcessIdentity.from_text(text) is None


def test_processes_are_found_by_what_they_carry() -> None:
    """A child is found by a variable of its environment, and by its value only."""
    environment = {**os.environ, "COUNTERSIGN_TEST": "mine"}
    argv = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        child.stdout.readline()  # a process that is just being made has no environment yet
        assert [each.pid for each in carrying("COUNTERSIGN_TEST", "mine")] == [child.pid]
        assert carrying("COUNTERSIGN_TEST", "other") == ()


def test_who_looks_does_not_find_himself() -> None:
    """A service that starts or stops others ends what carries a mark, and may carry the same one."""
    program = "from deploy.local.processes import carrying; print(len(carrying('MARK_OF_TEST', 'one')))"
    environment = {**os.environ, "MARK_OF_TEST": "one"}
    looked = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True)
    assert looked.stdout == b"0\n"


def test_a_process_may_call_itself_what_it_likes() -> None:
    """Its name stands among the figures, and may look like some: the identity is the same."""
    program = "open('/proc/self/comm', 'w').write('x) Z 1 2 3'); print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        before = identify(child.pid)
        assert child.stdout is not None
        child.stdout.readline()
        assert before is not None
        assert before.is_alive()
    finally:
        child.communicate(b"\n")
