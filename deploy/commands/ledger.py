"""`init`, `up`, `down`, `status`: a whole ledger on this machine."""

from dataclasses import replace
from typing import Annotated

import typer
from rich.markup import escape

from deploy.deployment import Deployment, MachineHaltedError
from deploy.home import Home
from deploy.initialize import NewLedger, initialize
from deploy.instructions import DEFAULT_HOME, instruction
from deploy.output import EXIT_CHECK, HomeOption, JsonOption, Output, run
from deploy.status import MILD, ledger_status
from protocol.configuration import REPLICAS_MAX, TREE, ConfigurationError
from protocol.contracts.names import is_name
from protocol.errors import CountersignError
from protocol.limits import Limits
from storage.record_stores import StoreKind
from streams.role_directory import PARTITIONS_MAX

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


def _addresses(said: str) -> str:
    """What `--broker` says.

    Raises:
        typer.BadParameter: an address is not HOST:PORT.
    """
    for each in said.split(",") if said else ():
        host, _, port = each.strip().rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= _PORT_MAX:
            raise typer.BadParameter(f"{each!r} is not HOST:PORT with a port from 1 to {_PORT_MAX}")
    return said


_PORT_MAX = 65_535

BrokerOption = Annotated[
    str,
    typer.Option(
        "--broker",
        metavar="HOST:PORT",
        callback=_addresses,
        help="Use a Kafka that is there already, now and at later starts; several addresses with commas.",
    ),
]

ChecksumOption = Annotated[
    str,
    typer.Option(
        metavar="tree|simple|none", help="What binds the blocks that replicas disperse; none is for 0 liars only."
    ),
]
BlockOption = Annotated[int, typer.Option(min=0, help="Updates in a block; 0 for as many as there are replicas.")]


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
    replicas: Annotated[int, typer.Option(min=1, max=REPLICAS_MAX, help="n: replicas of the journal.")] = 4,
    liars: Annotated[int, typer.Option(min=0, help="b: how many of them may lie.")] = 1,
    silent: Annotated[int, typer.Option(min=0, help="c: how many of them may be silent.")] = 0,
    checksum: ChecksumOption = TREE,
    block_updates: BlockOption = 0,
    partitions: Annotated[int, typer.Option(min=1, max=PARTITIONS_MAX, help="Partitions of the topic `requests`.")] = 4,
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
    new = NewLedger(
        replicas=replicas,
        liars=liars,
        silent=silent,
        checksum=checksum,
        block_updates=block_updates,
        partitions=partitions,
        topic_prefix=prefix,
        store=store,
    )
    _check(new)

    def work(output: Output) -> None:
        epochs = initialize(Home(home), replace(new, store_of=stores_by_namespace(store_of)))
        output.say(f"a new ledger in {escape(str(home))}: {epochs.ledger_id.hex()}")
        output.say(f"start it with {escape(instruction('up', home))}")
        output.result({"ledger_id": epochs.ledger_id.hex(), "home": str(home)})

    run(as_json, work, home)


def _check(new: NewLedger) -> None:
    """Refuse what no ledger can be, as wrong usage.

    Raises:
        typer.BadParameter: it names the options that do not fit.
    """
    try:
        new.check()
    except ConfigurationError as error:
        options = "--checksum" if error.code == "epoch.checksum" else "--replicas, --liars, --silent"
        raise typer.BadParameter(f"{options}: {error.detail}") from error


def up(
    home: HomeOption = DEFAULT_HOME,
    broker: BrokerOption = "",
    store: StoreOption = None,
    store_of: StoreOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start everything, and make the ledger where there is none; of one that runs in part, start what is missing.

    Example: [bold]countersign up --home /tmp/ledger --store postgresql[/bold].
    """

    def work(output: Output) -> None:
        deployment = Deployment(Home(home), broker=broker, store=store, store_of=stores_by_namespace(store_of))
        try:
            deployment.up(output.say, rest_stays=True)
        except MachineHaltedError:
            output.say(output.told("what else there is runs; `countersign down` stops it"))
            raise
        addresses = deployment.addresses()
        output.say("\n".join(f"[bold]{name}[/bold] {address}" for name, address in addresses.items()))
        output.result(addresses)

    run(as_json, work, home)


def down(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Stop everything that `up` started.

    Example: [bold]countersign down[/bold].
    """

    def work(output: Output) -> None:
        deployment = Deployment(Home(home))
        if not deployment.home.exists and not deployment.home.stack.is_dir():
            raise CountersignError("config.missing", str(home))
        deployment.down(output.say)
        output.say("everything is stopped")
        output.result({"stopped": True})

    run(as_json, work, home)


def status(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Show processes, sequences, lag, and what is suspected or exposed.

    Exit code 5 where a process halted or is missing, the broker does not answer, or there is evidence. Who is
    suspected is only shown: silence and lag prove nothing. So are messages that were skipped: anybody may send them. A
    ledger that was stopped is no finding.

    Example: [bold]countersign status --json[/bold].
    """

    def work(output: Output) -> int:
        found = ledger_status(Deployment(Home(home)))
        if found.processes:
            output.table("processes", ("name", "pid", "state", "address"), found.process_rows())
            output.table("topics", ("topic", "messages"), found.topic_rows())
            output.table("stages", ("stage", "state", "sequence", "lag"), found.stage_rows())
        else:
            output.say(f"nothing runs; start it with {escape(instruction('up', home))}")
        for finding in found.findings:
            colour = "yellow" if finding.kind in MILD else "red"
            output.say(f"[{colour}]{finding.kind}[/{colour}] {escape(finding.text)}")
        if found.processes and not found.findings:
            output.say("[green]no findings[/green]")
        output.result(found.to_json())
        return EXIT_CHECK if found.is_alarming else 0

    run(as_json, work, home)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (init, up, down, status):
        app.command()(command)
