"""Views in a file: rows and position come together, survive a kill, and belong to one process and one ledger."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import duckdb
import pytest

from protocol.limits import MIB
from storage.duckdb_views import DuckDbViews
from storage.queries import QueryError, QueryLimits
from storage.views import START, BlockRow, ViewPosition, ViewRows, ViewsError
from tests.reference.view_batches import LEDGER_ID, Batches, counted
from tests.reference.views import PlainViews

ROOT = Path(__file__).parents[3]

CRASHER = """
import os, sys
from pathlib import Path
from storage.duckdb_views import DuckDbViews
from tests.reference.view_batches import LEDGER_ID, Batches
views = DuckDbViews(Path(sys.argv[1]), LEDGER_ID, merge_versions=2)
batches = Batches()
views.append(*batches.of([[[[("a", b"1")]]]]))
inner = getattr(views, sys.argv[2])
def crash(*arguments):
    inner(*arguments)
    os._exit(9)
setattr(views, sys.argv[2], crash)
views.append(*batches.of([[[[("a", b"2")], [("b", b"2")]]]]))
"""

APPENDER = """
import sys
from pathlib import Path
from protocol.limits import MIB
from storage.duckdb_views import DuckDbViews
from tests.reference.view_batches import LEDGER_ID, counted
views = DuckDbViews(Path(sys.argv[1]), LEDGER_ID, merge_versions=20)
for rows, position in counted():
    if position.sequence > views.position().sequence:
        views.append(rows, position)
        print(position.sequence, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "views.duckdb"


@pytest.fixture
def views(path: Path) -> Iterator[DuckDbViews]:
    views = DuckDbViews(path, LEDGER_ID)
    yield views
    views.close()


def test_new_views_are_at_the_start(views: DuckDbViews) -> None:
    """Nothing was learned: no rows, and sequence -1."""
    assert views.position() == START
    answer = views.query("SELECT count(*) FROM records")
    assert (answer.rows, answer.sequence) == (((0,),), -1)


def test_genesis_rows_come_before_sequence_0(views: DuckDbViews) -> None:
    """Rows of sequence -1 are seen, and at -1 nothing else is."""
    version = (b"sys", b"entity/admin", 1, False, b"{}", b"h" * 32, -1, 0, bytes(32))
    views.append(ViewRows(requests=(), versions=[version], blocks=()), ViewPosition(-1, b"started"))
    views.append(*Batches().of([[[[("a", b"1")]]]]))
    assert views.query("SELECT key FROM records", as_of=-1).rows == (("entity/admin",),)
    assert views.query("SELECT key FROM records ORDER BY key").rows == (("a",), ("entity/admin",))


def test_a_batch_that_fails_leaves_nothing(views: DuckDbViews) -> None:
    """A value that is not JSON refuses the whole batch, its position too; the right one is taken afterwards."""
    batches = Batches()
    views.append(*batches.of([[[[("a", b"1")]]]]))
    before = views.position()
    rows, position = batches.of([[[[("a", b"2")], [("b", b"3")]]]])
    broken = ViewRows(
        requests=rows.requests,
        versions=[*rows.versions[:-1], (*rows.versions[-1][:4], b"{no json", *rows.versions[-1][5:])],
        blocks=rows.blocks,
    )
    with pytest.raises(ViewsError) as caught:
        views.append(broken, position)
    assert caught.value.code == "views.failed"
    assert "Malformed JSON" in caught.value.detail  # the first error, not what came of it
    assert views.position() == before
    assert views.query("SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM blocks)").rows == (
        (1, 1),
    )
    views.append(rows, position)
    assert views.query("SELECT key, value FROM records ORDER BY key").rows == (("a", "2"), ("b", "3"))


@pytest.mark.parametrize("first_sequence", [0, 2])
def test_a_gap_or_a_repetition_is_our_own_mistake(views: DuckDbViews, first_sequence: int) -> None:
    """A batch must begin right behind the last one."""
    views.append(*Batches().of([[[]]]))
    block = BlockRow(
        block=1, first_sequence=first_sequence, count=1, epoch=0, root=bytes(32), learned_at_ms=0
    )
    with pytest.raises(AssertionError, match="begin"):
        views.append(ViewRows(requests=(), versions=(), blocks=[block]), ViewPosition(first_sequence, b""))


def test_a_second_process_is_told_who_holds_the_file(views: DuckDbViews, path: Path) -> None:
    """The engine's lock becomes a code."""
    child = subprocess.run(
        [sys.executable, "-c", APPENDER, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "views.locked" in child.stderr


def test_views_of_another_ledger_are_refused(views: DuckDbViews, path: Path) -> None:
    """A file is bound to its ledger."""
    views.close()
    with pytest.raises(ViewsError) as caught:
        DuckDbViews(path, b"m" * 32)
    assert caught.value.code == "views.other_ledger"


@pytest.mark.parametrize("damage", ["no database at all, but long enough to be read as one" * 200, "another"])
def test_a_file_that_is_no_views_is_refused(path: Path, damage: str) -> None:
    """Rubbish, or somebody else's database with a schema of the same name."""
    if damage == "another":
        with duckdb.connect(path) as connection:
            connection.execute("CREATE SCHEMA store")
    else:
        path.write_text(damage)
    with pytest.raises(ViewsError) as caught:
        DuckDbViews(path, LEDGER_ID)
    assert caught.value.code == "views.damaged"


def test_a_killed_learner_goes_on_without_gap_or_repetition(path: Path) -> None:
    """A process is killed in mid-append, several times; rows and position always belong together."""
    acknowledged = -1
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for line in islice(child.stdout, 25):
            acknowledged = int(line)
        child.kill()  # at work on the next batch, whose line nobody awaits
        child.wait()
        child.stdout.close()
    views = DuckDbViews(path, LEDGER_ID)
    try:
        position = views.position()
        assert position.sequence >= acknowledged > 100
        plain = PlainViews()
        for rows, behind in counted():
            plain.append(rows, behind)
            if behind.sequence >= position.sequence:
                break
        assert plain.position() == position
        shown = views.query("SELECT key, version, value, sequence FROM records ORDER BY key").rows
        assert list(shown) == sorted(
            (row[1].decode(), row[2], (row[4] or b"").decode(), row[6]) for row in plain.records().values()
        )
        counts = views.query("SELECT (SELECT count(*) FROM history), (SELECT count(*) FROM requests)").rows
        assert counts == ((len(plain.history), len(plain.requests)),)
    finally:
        views.close()


@pytest.mark.parametrize("step", ["_insert", "_merge"])
def test_a_crash_inside_an_append_leaves_nothing_of_it(path: Path, step: str) -> None:
    """Rows without their position, or the reverse, would be repeated or missing after the start."""
    child = subprocess.run([sys.executable, "-c", CRASHER, str(path), step], cwd=ROOT, check=False)
    assert child.returncode == 9
    views = DuckDbViews(path, LEDGER_ID)
    try:
        assert views.position().sequence == 0
        assert views.query("SELECT key, version FROM history").rows == (("a", 1),)
        assert views.query("SELECT key, version FROM records").rows == (("a", 1),)
        assert views.query("SELECT count(*) FROM requests").rows == ((1,),)
        assert views.query("SELECT count(*) FROM blocks").rows == ((1,),)
    finally:
        views.close()


def test_queries_give_way_to_an_append(path: Path) -> None:
    """A join holds nearly all of the engine's memory when appends need it: it is ended, and none of them fails."""
    limits = QueryLimits(operator_bytes=120 * MIB, time_ms=60_000, process_growth_bytes=1 << 40)
    views = DuckDbViews(path, LEDGER_ID, query_limits=limits)
    failed: list[str] = []

    def ask() -> None:
        try:
            views.query("SELECT count(*) FROM range(4000000000000) b(j) JOIN range(2500000) a(i) ON i = j")
        except QueryError as error:
            failed.append(error.code)

    asking = threading.Thread(target=ask)
    asking.start()
    batches, appends = Batches(), 0
    try:
        while asking.is_alive():
            value = b'"' + b"v" * 30_000 + b'"'
            views.append(*batches.of([[[[(f"key {n}", value)] for n in range(1000)]]]))
            appends += 1
        assert failed == ["sql.limit"]
        assert views.query("SELECT count(*) FROM history").rows == ((appends * 1000,),)
    finally:
        asking.join()
        views.close()


@pytest.mark.parametrize("name", ["a?b", "a\\b", os.fsdecode(b"a\xffb")])
def test_a_path_that_the_engine_would_read_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    """It looks for another file, or for its log in another place; the remedy is not to delete the file."""
    (tmp_path / name).mkdir()
    with pytest.raises(ViewsError) as caught:
        DuckDbViews(tmp_path / name / "views.duckdb", LEDGER_ID)
    assert caught.value.code == "path.refused"


@pytest.mark.parametrize("name", ["*[a]{b}~#%25;:=&", "a'b\"c`", "\x01\t\n", "é\u2028\U0001f511", "a://b", ":memory:"])
def test_every_other_path_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    """Whatever signs it has: what was written is there again, in this very file."""
    path = tmp_path / name / "views.duckdb"
    path.parent.mkdir(parents=True)
    for expected in (0, 1):
        views = DuckDbViews(path, LEDGER_ID)
        assert views.query("SELECT count(*) FROM blocks").rows == ((expected,),)
        if not expected:
            views.append(*Batches().of([[[[("a", b"1")]]]]))
        views.close()
    assert path.exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Failed to commit: Could not write file: No space left on device", "disk.full"),
        ("failed to offload data block: max_temp_directory_size", "disk.full"),
        ("Could not read enough bytes from file", "views.damaged"),
    ],
)
def test_what_the_disk_does_has_a_code(
    views: DuckDbViews, monkeypatch: pytest.MonkeyPatch, text: str, code: str
) -> None:
    """A full disk is the world's fault, an unreadable file is ours."""

    def fail(*_: object) -> None:
        raise duckdb.IOException(text)

    monkeypatch.setattr(views, "_insert", fail)
    with pytest.raises(ViewsError) as caught:
        views.append(*Batches().of([[[]]]))
    assert caught.value.code == code
