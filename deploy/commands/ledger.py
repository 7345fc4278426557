"""`init`, `up`, `down`, `status`: a whole ledger on this machine."""

from typing import Annotated

import typer

from deploy.deployment import Deployment
from deploy.home import Home
from deploy.initialize import NewLedger, initialize
from deploy.output import DEFAULT_HOME, HomeOption, JsonOption, Output, run
from deploy.status import ledger_status
from protocol.configuration import TREE
from protocol.contracts.names import is_name
from protocol.errors import CountersignError
from protocol.limits import Limits
from storage.record_stores import StoreKind

StoreOption = Annotated[
    StoreKind | None, typer.Option("--store", help="What the parties' stores are made of; by default Redis (Valkey).")
]
StoreOfOption = Annotated[
    list[str] | None,
    typer.Option(
        "--store-of",
        metavar="NAMESPACE=KIND",
        help="What a namespace's store is made of, where it lies in another database; may be repeated.",
    ),
]
BrokerOption = Annotated[
    str, typer.Option("--broker", metavar="HOST:PORT", help="Use a Kafka that is there already.")
]

ChecksumOption = Annotated[
    str,
    typer.Option(
        metavar="tree|simple|none", help="What binds the blocks that replicas disperse; none is for 0 liars only."
    ),
]
BlockOption = Annotated[int, typer.Option(help="Updates in a block; 0 for as many as there are replicas.")]


def stores_by_namespace(said: list[str] | None) -> dict[str, StoreKind] | None:
    """What `--store-of` says; None where it is not given.

    Raises:
        CountersignError: `config.invalid`.
    """
    if not said:
        return None
    found: dict[str, StoreKind] = {}
    for each in said:
        namespace, _, kind = each.partition("=")
        if not is_name(namespace, Limits()) or kind not in list(StoreKind):
            kinds = ", ".join(StoreKind)
            raise CountersignError("config.invalid", f"--store-of {each}: a namespace, = and one of {kinds}")
        if namespace in found:
            raise CountersignError("config.invalid", f"--store-of names {namespace} twice")
        found[namespace] = StoreKind(kind)
    return found


def init(
    home: HomeOption = DEFAULT_HOME,
    replicas: Annotated[int, typer.Option(help="n: replicas of the journal.")] = 4,
    liars: Annotated[int, typer.Option(help="b: how many of them may lie.")] = 1,
    silent: Annotated[int, typer.Option(help="c: how many of them may be silent.")] = 0,
    checksum: ChecksumOption = TREE,
    block_updates: BlockOption = 0,
    partitions: Annotated[int, typer.Option(help="Partitions of the topic `requests`.")] = 4,
    prefix: Annotated[
        str, typer.Option(help="Prefix of the ledger's topics, where ledgers share a cluster.")
    ] = "",
    store: StoreOption = None,
    store_of: StoreOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new ledger: keys, genesis, first configuration.

    Example: [bold]countersign init --replicas 7 --liars 2[/bold].
    """

    def work(output: Output) -> None:
        new = NewLedger(
            replicas=replicas,
            liars=liars,
            silent=silent,
            checksum=checksum,
            block_updates=block_updates,
            partitions=partitions,
            topic_prefix=prefix,
            store=store,
            store_of=stores_by_namespace(store_of),
        )
        epochs = initialize(Home(home), new)
        output.say(f"A new ledger in {home}: {epochs.ledger_id.hex()}\nStart it: countersign up")
        output.result({"ledger_id": epochs.ledger_id.hex(), "home": str(home)})

    run(as_json, work)


def up(
    home: HomeOption = DEFAULT_HOME,
    broker: BrokerOption = "",
    store: StoreOption = None,
    store_of: StoreOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start everything, and make the ledger where there is none.

    Example: [bold]countersign up --home /tmp/ledger --store postgresql[/bold].
    """

    def work(output: Output) -> None:
        deployment = Deployment(Home(home), broker=broker, store=store, store_of=stores_by_namespace(store_of))
        deployment.up(output.say)
        addresses = deployment.addresses()
        output.say("\n".join(f"[bold]{name}[/bold] {address}" for name, address in addresses.items()))
        output.result(addresses)

    run(as_json, work)


def down(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Stop everything that `up` started.

    Example: [bold]countersign down[/bold].
    """

    def work(output: Output) -> None:
        Deployment(Home(home)).down(output.say)
        output.say("everything is stopped")
        output.result({"stopped": True})

    run(as_json, work)


def status(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show processes, sequences, lag, and what is suspected or exposed.

    Example: [bold]countersign status --json[/bold].
    """

    def work(output: Output) -> None:
        found = ledger_status(Deployment(Home(home)))
        output.table("processes", ("name", "pid", "state", "address"), found.process_rows())
        output.table("topics", ("topic", "messages"), found.topic_rows())
        for line in found.findings():
            output.say(line)
        output.result(found.to_json())

    run(as_json, work)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (init, up, down, status):
        app.command()(command)
