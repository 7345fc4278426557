"""One real Kafka and real Valkeys for the whole run.

- `stack`: started once, shared by all; nobody kills its Kafka. Its topics are shared too, so a test takes a
  name of its own (`unique_name`).
- `fresh_stores`: two new Valkeys for one test, on the shared Kafka; the test may kill and restart them.
- `own_stack`: a Kafka and two Valkeys for one test alone, which may do with them what it likes; some 3 s.
- `ledger`: a whole ledger on the shared Kafka, shared by the tests that leave it working.

What the stores of a whole ledger are made of, where a test does not say, is set by the environment:
`COUNTERSIGN_TEST_STORE=postgresql make integration` (`tests.pipeline.DEFAULT_STORE`).
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from tests.pipeline import Pipeline


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The shared Kafka and its two Valkeys."""
    shared = LocalStack(tmp_path_factory.mktemp("stack"))
    shared.start()
    yield shared
    shared.stop()


@pytest.fixture(scope="session")
def ledger(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A whole ledger that stays as it is."""
    made = Pipeline(tmp_path_factory.mktemp("ledger"), broker=stack.bootstrap_servers, prefix="ledger")
    made.up()
    yield made
    made.down()


@pytest.fixture
def fresh_stores(stack: LocalStack, tmp_path: Path) -> Iterator[LocalStack]:
    """Two new Valkeys beside the shared Kafka."""
    fresh = LocalStack(tmp_path / "stores", broker=stack.bootstrap_servers)
    fresh.start()
    yield fresh
    fresh.stop()


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[LocalStack]:
    """A Kafka and two Valkeys that nobody else uses."""
    own = LocalStack(tmp_path / "stack")
    own.start()
    yield own
    own.stop()


@pytest.fixture
def unique_name() -> str:
    """A name for a topic or a ledger that no other test uses."""
    return f"test-{secrets.token_hex(6)}"
