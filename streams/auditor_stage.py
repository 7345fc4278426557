"""The Auditor's process: its ordering and its validating machine over one store."""

from auditor.order import OrderMachine
from auditor.validate import ValidateMachine
from storage.effects import Halt
from streams.party_process import PartyProcess
from streams.stage import run_stages


def run_auditor(process: PartyProcess, salt_secret: bytes) -> Halt | None:
    """Order and validate until told to stop (None) or until a machine halts.

    Args:
        process: of the active Auditor.
        salt_secret: kept with the signing key.
    """

    def make_order() -> OrderMachine:
        partitions = process.configuration.partitions
        return OrderMachine(epochs=process.epochs, salt_secret=salt_secret, partitions=partitions)

    def make_validate() -> ValidateMachine:
        return ValidateMachine(epochs=process.epochs)

    stages = [process.stage("order", make_order), process.stage("validate", make_validate)]
    return run_stages(stages, process.stop)
