"""Services are started, watched and ended, and nobody else's process ever is."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.local.processes import ProcessIdentity, identify
from deploy.local.supervisor import Service, Supervisor
from protocol.errors import CountersignError

WAIT = "import signal; signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {WAIT}"
PARENT = (
    "import subprocess, sys, signal\n"
    f"child = subprocess.Popen([sys.executable, '-c', {WAIT!r}])\n"
    "print(child.pid, flush=True)\n"
    "signal.pause()"
)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor whose services end with the test."""
    supervisor = Supervisor(tmp_path / "run")
    yield supervisor
    supervisor.stop_all(deadline_s=0)


def _service(
    tmp_path: Path, program: str = WAIT, *, name: str = "one", says: str = "", ready_deadline_s: float = 20.0
) -> Service:
    """A Python that is ready when its log holds `says`."""
    log_file = tmp_path / "logs" / f"{name}.log"
    return Service(
        name=name,
        argv=(sys.executable, "-c", program),
        log_file=log_file,
        is_ready=lambda: says in log_file.read_text(),
        ready_deadline_s=ready_deadline_s,
    )


def _is_running(pid: int) -> bool:
    identity = identify(pid)
    return identity is not None


def test_a_service_runs_in_a_session_of_its_own_and_ends(supervisor: Supervisor, tmp_path: Path) -> None:
    """A started service is no child of its starter, and is gone and forgotten after stop."""
    supervisor.start(_service(tmp_path))
    pid = supervisor.pid("one")
    assert pid is not None
    assert os.getsid(pid) == pid
    assert (tmp_path / "logs" / "one.log").stat().st_mode & 0o077 == 0  # what it says is its user's alone
    assert pid not in [each.pid for each in psutil.Process().children(recursive=True)]
    supervisor.stop("one")
    assert not _is_running(pid)
    assert supervisor.names() == ()


def test_any_supervisor_of_the_directory_can_stop_it(supervisor: Supervisor, tmp_path: Path) -> None:
    """What one process started, another stops, with no more than the directory."""
    supervisor.start(_service(tmp_path))
    another = Supervisor(tmp_path / "run")
    assert another.pid("one") == supervisor.pid("one")
    another.stop("one")
    assert not supervisor.is_running("one")


def test_a_second_start_is_refused(supervisor: Supervisor, tmp_path: Path) -> None:
    """A running service is not started again, and goes on."""
    supervisor.start(_service(tmp_path))
    pid = supervisor.pid("one")
    with pytest.raises(CountersignError) as caught:
        supervisor.start(_service(tmp_path))
    assert caught.value.code == "stack.running"
    assert supervisor.pid("one") == pid


def test_services_stop_in_the_reverse_order_of_their_starts(supervisor: Supervisor, tmp_path: Path) -> None:
    """The last started is stopped first, whatever the names."""
    for name in ("b", "c", "a"):
        supervisor.start(_service(tmp_path, name=name))
    assert supervisor.names() == ("b", "c", "a")
    assert supervisor.stop_all() == ("a", "c", "b")


def test_a_deaf_service_is_killed_after_its_deadline(supervisor: Supervisor, tmp_path: Path) -> None:
    """A service that ignores SIGTERM ends all the same."""
    supervisor.start(_service(tmp_path, DEAF, says="deaf"))
    pid = supervisor.pid("one")
    assert pid is not None
    supervisor.stop("one", deadline_s=0.2)
    assert not _is_running(pid)


def test_children_end_with_their_service(supervisor: Supervisor, tmp_path: Path) -> None:
    """A child that its service left behind is ended too."""
    service = _service(tmp_path, PARENT, says="\n")
    supervisor.start(service)
    child = int(service.log_file.read_text())
    assert _is_running(child)
    supervisor.stop("one")
    assert not _is_running(child)


def test_children_of_a_crashed_service_end_before_it_restarts(supervisor: Supervisor, tmp_path: Path) -> None:
    """After a crash the children without a parent are ended, so that they do not work beside the new ones."""
    service = _service(tmp_path, PARENT, says="\n")
    supervisor.start(service)
    child = int(service.log_file.read_text())
    crashed = supervisor.pid("one")
    assert crashed is not None
    os.kill(crashed, 9)
    while supervisor.is_running("one"):
        pass
    assert _is_running(child)
    supervisor.start(_service(tmp_path))
    assert not _is_running(child)


def test_a_process_with_a_reused_id_is_never_signalled(supervisor: Supervisor, tmp_path: Path) -> None:
    """A pid file whose process is gone, and whose id another process has now, ends nobody."""
    supervisor.start(_service(tmp_path, name="bystander"))
    bystander = supervisor.pid("bystander")
    assert bystander is not None
    stale = ProcessIdentity(pid=bystander, start="long ago")
    (tmp_path / "run" / "one.pid").write_text(stale.to_text())
    assert not supervisor.is_running("one")
    supervisor.stop("one")
    assert supervisor.pid("bystander") == bystander
    assert supervisor.names() == ("bystander",)


def test_a_killed_service_keeps_its_place(supervisor: Supervisor, tmp_path: Path) -> None:
    """After a kill the service is known but does not run, and can be started again."""
    supervisor.start(_service(tmp_path))
    supervisor.kill("one")
    assert supervisor.names() == ("one",)
    assert supervisor.pid("one") is None
    supervisor.start(_service(tmp_path))
    assert supervisor.is_running("one")


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ("something odd", "service.failed"),
        ("bind: Address already in use", "port.taken"),
        ("write: No space left on device", "disk.full"),
    ],
)
def test_a_service_that_ends_at_once_is_explained(
    supervisor: Supervisor, tmp_path: Path, says: str, code: str
) -> None:
    """The error has the code of the cause and the last lines of the log, and nothing is left."""
    with pytest.raises(CountersignError, match=says) as caught:
        supervisor.start(_service(tmp_path, f"print({says!r})", says="never"))
    assert caught.value.code == code
    assert supervisor.names() == ()


def test_a_service_that_is_never_ready_is_stopped(supervisor: Supervisor, tmp_path: Path) -> None:
    """At its deadline a service that is not ready is ended, and the error says so."""
    with pytest.raises(CountersignError, match="was not ready within") as caught:
        supervisor.start(_service(tmp_path, says="never", ready_deadline_s=0.2))
    assert caught.value.code == "service.failed"
    assert supervisor.names() == ()


def test_a_program_that_is_not_there_is_named(supervisor: Supervisor, tmp_path: Path) -> None:
    """What cannot be started is an error at once."""
    missing = Service(name="one", argv=(str(tmp_path / "missing"),), log_file=tmp_path / "one.log")
    with pytest.raises(CountersignError, match="No such file") as caught:
        supervisor.start(missing)
    assert caught.value.code == "service.failed"
    assert not supervisor.is_running("one")


def test_where_a_service_runs_and_where_its_starter_is(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs where it is told to; packages that lie about where the user stands are not taken for ours."""
    (tmp_path / "secrets.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "of its own"
    place.mkdir()
    told = _service(tmp_path, f"import os; print(os.getcwd(), flush=True); {WAIT}", says=str(place))
    supervisor.start(replace(told, argv=(sys.executable, "-P", *told.argv[1:]), directory=place))


@pytest.mark.parametrize("left", ["", "no number", "999999"])
def test_a_pid_file_s_damaged_neighbour_keeps_nobody_from_stopping(
    supervisor: Supervisor, tmp_path: Path, left: str
) -> None:
    """A full disk or a crash may have left no signal that one can send: the usual one ends the service."""
    supervisor.start(_service(tmp_path))
    (tmp_path / "run" / "one.signal").write_text(left)
    supervisor.stop("one")
    assert supervisor.names() == ()


def test_what_is_stopped_meanwhile_is_no_error(supervisor: Supervisor, tmp_path: Path) -> None:
    """A pid file that is there when the directory is read, and gone when it is looked at."""
    supervisor.start(_service(tmp_path))
    (tmp_path / "run" / "gone.pid").symlink_to(tmp_path / "nowhere")
    assert supervisor.names() == ("one",)


def test_who_has_the_id_of_a_service_that_ended_is_left_alone(supervisor: Supervisor, tmp_path: Path) -> None:
    """After a crash its id may be another's: he is neither the service that runs, nor told to end."""
    other = subprocess.Popen([sys.executable, "-c", "print(input())"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        ended = ProcessIdentity(pid=other.pid, start="before")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "one.pid").write_text(ended.to_text())
        assert not supervisor.is_running("one")
        supervisor.kill("one")
        assert supervisor.stop_all() == ("one",)
        assert other.communicate(b"lives\n", 20)[0] == b"lives\n"
    finally:
        other.kill()
        other.wait()


def test_a_service_is_ended_by_its_own_signal(supervisor: Supervisor, tmp_path: Path) -> None:
    """PostgreSQL would wait for its clients after the usual one."""
    program = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('by SIGTERM', flush=True) or sys.exit())\n"
        "signal.signal(signal.SIGINT, lambda *_: print('by SIGINT', flush=True) or sys.exit())\n"
        "print('ready', flush=True)\n"
        "signal.pause()"
    )
    service = replace(_service(tmp_path, program, says="ready"), stop_signal=signal.SIGINT)
    supervisor.start(service)
    supervisor.stop("one")
    assert service.log_file.read_text() == "ready\nby SIGINT\n"
