"""Refusing an order that contradicts what its own signer signed before (PROTOCOL 2, "Refusal").

A refusal without a proof proves nothing and makes the Ledger a false accuser. So the Ledger first looks at
its own records, and refuses only with evidence that the offline verifier convicts the Auditor of; otherwise
it halts and accuses nobody.
"""

from ledger.orders import Contradiction, HeldOrder
from ledger.state import CommitState
from protocol.configuration import Epochs
from storage.effects import Halt
from storage.machine import Steps


class Refuser:
    """Refuses orders of one ledger."""

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs

    def refuse(self, state: CommitState, held: HeldOrder, contradiction: Contradiction) -> Steps:
        """Stop at an order that contradicts the Ledger's records; never returns to committing."""
        text = f"order {held.header.sequence}, entry {contradiction.entry_index}: {contradiction.text}"
        yield Halt(code=contradiction.code, text=text)
