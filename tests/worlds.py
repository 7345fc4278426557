"""A whole ledger in memory: two parties with real keys and records, honest unless a test alters them.

Nothing of the machines is used, only what they share: requests, execution, batches, statements and
signatures. A test orders requests (`World.order`), lets the Ledger commit (`World.commit`) and has both sign
(`World.decide`); a dishonest party is one whose records or messages the test altered, signed with that
party's real key.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from protocol import merkle
from protocol.canonical_json import dumps
from protocol.configuration import check_epochs, configuration_hash
from protocol.contracts.key_proof import key_proof_input
from protocol.hashing import ZERO_HASH, tagged
from protocol.limits import Limits
from protocol.requests import OpenedRequest, gather_requests, open_request
from protocol.signatures import (
    auditor_endorsement_input,
    commitment,
    ledger_endorsement_input,
    order_hash,
    order_input,
    rejections_input,
)
from protocol.signing import SigningKey
from schemas.epoch import Cut
from schemas.order import Kind, Order, OrderHeader
from schemas.rejection import RejectionEntry, Rejections, RejectionsHeader
from schemas.request import RequestBody
from schemas.statement import Countersigned, Decision, Result, Statement, Update
from tests.parties import Party, key_of, make_configuration, make_epochs, sign_configuration

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000


class World:
    """A ledger with its two parties."""

    def __init__(self, nonce: bytes = b"world", limits: Limits | None = None) -> None:
        self.epochs = make_epochs(nonce, limits)
        self.auditor = Party(self.epochs, key_of("auditor"))
        self.ledger = Party(self.epochs, key_of("ledger"))
        self.now_ms = START_MS
        self.decisions: dict[int, Decision] = {}
        self.updates: dict[int, Update] = {}
        self.epoch = 0
        self._nonce = 0

    @property
    def ledger_id(self) -> bytes:
        return self.epochs.ledger_id

    # --- Clients ---

    def body(self, contract: str, argument: object, entity: str = "admin", **changes: Any) -> bytes:
        """A request's body."""
        self._nonce += 1
        body = RequestBody(
            format=1,
            ledger_id=self.ledger_id,
            entity=entity,
            key_version=1,
            nonce=self._nonce.to_bytes(16, "big"),
            contract=contract,
            contract_version=1,
            argument=dumps(argument),
            not_before_ms=self.now_ms - MINUTE_MS,
            expiry_ms=self.now_ms + MINUTE_MS,
            after=-1,
            keys=(),
        )
        return replace(body, **changes).to_bytes()

    def sign(self, *bodies: bytes, signer: str = "admin") -> list[OpenedRequest]:
        """Requests that one client signs together."""
        batch = gather_requests(self.ledger_id, bodies)
        envelopes = batch.envelopes(key_of(signer).sign(batch.signed))
        return [open_request(envelope.to_bytes(), self.ledger_id, Limits()) for envelope in envelopes]

    def request(
        self, contract: str, argument: object, entity: str = "admin", signer: str = "", **changes: Any
    ) -> OpenedRequest:
        """One signed request."""
        (request,) = self.sign(self.body(contract, argument, entity, **changes), signer=signer or entity)
        return request

    def put(self, key: str, value: object) -> OpenedRequest:
        """A request that writes an object."""
        return self.request("object.put", {"key": key, "value": value})

    def get(self, key: str) -> OpenedRequest:
        """A request that reads an object."""
        return self.request("object.get", {"key": key})

    def enrol(self, entity: str) -> OpenedRequest:
        """A request that registers an entity."""
        public_key = key_of(entity).public_key
        signed = key_proof_input(self.ledger_id, entity, 1, public_key.algorithm, public_key.key)
        argument = {
            "algorithm": public_key.algorithm,
            "entity": entity,
            "proof": key_of(entity).sign(signed).hex(),
            "public_key": public_key.key.hex(),
        }
        return self.request("sys.entity.register", argument)

    # --- The Auditor ---

    def order(self, *requests: OpenedRequest, store: bool = True) -> tuple[Order, Update]:
        """Order requests on the Auditor's own records."""
        self.now_ms += 1
        sequence = self.auditor.head.sequence + 1
        assembled = self.auditor.execute(requests, sequence, self.now_ms)
        header = self.header(assembled.entries, assembled.outcomes_root, "normal" if requests else "empty")
        order = self.sign_order(header, assembled.entries)
        statement = self.auditor.head.next_statement(order.header, header, assembled.outcomes_root).to_bytes()
        update = Update(
            statement=statement,
            header=order.header,
            salt=self.salt(sequence),
            entries=assembled.entries,
            outcomes=assembled.outcomes,
            outputs=assembled.outputs,
            values=assembled.values,
        )
        if store:
            self.auditor.store(assembled)
            self.auditor.head = self.auditor.head.advance(statement)
            self.auditor.order_hash = order_hash(order.header)
            self.updates[sequence] = update
        return order, update

    def salt(self, sequence: int) -> bytes:
        """The Auditor's salt of an order."""
        return tagged("salt", sequence.to_bytes(8, "big"))

    def header(self, entries: Sequence[bytes], outcomes_root: bytes, kind: Kind = "normal") -> OrderHeader:
        """The header of the next order over these entries."""
        sequence = self.auditor.head.sequence + 1
        return OrderHeader(
            format=1,
            ledger_id=self.ledger_id,
            epoch=self.epoch,
            sequence=sequence,
            previous_order_hash=self.auditor.order_hash,
            kind=kind,
            entries_root=merkle.root(entries),
            count=len(entries),
            ordered_at_ms=self.now_ms,
            commitment=commitment(self.salt(sequence), outcomes_root),
        )

    def sign_order(
        self, header: OrderHeader, entries: Sequence[bytes], key: SigningKey | None = None
    ) -> Order:
        """An order with the Auditor's signature."""
        data = header.to_bytes()
        signature = (key or self.auditor.key).sign(order_input(header.ledger_id, header.epoch, data))
        return Order(header=data, entries=tuple(entries), signature=signature)

    def reorder(self, order: Order, entries: Sequence[bytes] | None = None, **changes: Any) -> Order:
        """The same order with other entries or header fields, signed again by a dishonest Auditor."""
        header = OrderHeader.from_bytes(order.header)
        if entries is not None:
            changes = {"entries_root": merkle.root(entries), "count": len(entries), **changes}
        return self.sign_order(replace(header, **changes), order.entries if entries is None else entries)

    def reject(
        self, *rejected: RejectionEntry, as_of: int, number: int = 0, previous: bytes = ZERO_HASH
    ) -> Rejections:
        """A rejection batch."""
        entries = tuple(entry.to_bytes() for entry in rejected)
        header = RejectionsHeader(
            ledger_id=self.ledger_id,
            epoch=self.epoch,
            rejection_number=number,
            previous_hash=previous,
            as_of_sequence=as_of,
            entries_root=merkle.root(entries),
            count=len(entries),
        ).to_bytes()
        signature = self.auditor.key.sign(rejections_input(self.ledger_id, self.epoch, header))
        return Rejections(header=header, entries=entries, signature=signature)

    # --- The Ledger ---

    def commit(self, order: Order, requests: Sequence[OpenedRequest], store: bool = True) -> Result:
        """Commit an order on the Ledger's own records, whatever the order says that was read."""
        header = OrderHeader.from_bytes(order.header)
        assembled = self.ledger.execute(requests, header.sequence, header.ordered_at_ms)
        statement = self.ledger.head.next_statement(order.header, header, assembled.outcomes_root)
        if store:
            self.ledger.store(assembled)
            self.ledger.head = self.ledger.head.advance(statement.to_bytes())
        return self.sign_result(statement, order.signature, assembled.outcomes)

    def sign_result(
        self,
        statement: Statement,
        order_signature: bytes,
        outcomes: Sequence[bytes],
        key: SigningKey | None = None,
    ) -> Result:
        """A result with the Ledger's signature."""
        data = statement.to_bytes()
        signed = ledger_endorsement_input(statement.ledger_id, statement.epoch, data, order_signature)
        return Result(
            statement=data,
            order_signature=order_signature,
            ledger_signature=(key or self.ledger.key).sign(signed),
            outcomes=tuple(outcomes),
        )

    def restate(self, result: Result, outcomes: Sequence[bytes] | None = None, **changes: Any) -> Result:
        """The same result with other outcomes or statement fields, signed again by a dishonest Ledger."""
        statement = Statement.from_bytes(result.statement)
        if outcomes is not None:
            changes = {"outcomes_root": merkle.root(outcomes), **changes}
        return self.sign_result(
            replace(statement, **changes),
            result.order_signature,
            result.outcomes if outcomes is None else outcomes,
        )

    # --- Both ---

    def endorse(
        self, statement: bytes, order: Order, result: Result, salt: bytes, key: SigningKey | None = None
    ) -> Countersigned:
        """A statement with both endorsements, the Auditor's made here."""
        parsed = Statement.from_bytes(statement)
        signed = auditor_endorsement_input(parsed.ledger_id, parsed.epoch, statement, salt)
        return Countersigned(
            statement=statement,
            header=order.header,
            order_signature=order.signature,
            ledger_signature=result.ledger_signature,
            salt=salt,
            auditor_signature=(key or self.auditor.key).sign(signed),
        )

    def decide(self, *requests: OpenedRequest) -> Decision:
        """Order, commit and countersign a batch, honestly."""
        order, update = self.order(*requests)
        result = self.commit(order, requests)
        assert result.statement == update.statement, "honest parties agree"
        decision = Decision(
            signed=self.endorse(update.statement, order, result, update.salt),
            entries=update.entries,
            outcomes=update.outcomes,
            outputs=update.outputs,
            values=update.values,
        )
        self.decisions[OrderHeader.from_bytes(order.header).sequence] = decision
        return decision

    def begin_epoch(self, auditor: str = "auditor", ledger: str = "ledger", **changes: Any) -> None:
        """End the epoch at the Ledger's head, and begin the next one with the keys of these names."""
        head, before = self.ledger.head, self.epochs.latest
        cut = Cut(
            sequence=head.sequence,
            statement_hash=head.statement_hash,
            journal_size=head.sequence + 1,
            journal_root=head.frontier.root(),
        )
        configuration = make_configuration(
            self.ledger_id,
            before.epoch + 1,
            configuration_hash(before.to_bytes()),
            cut,
            auditor_key=key_of(auditor).public_key,
            ledger_key=key_of(ledger).public_key,
            **changes,
        )
        signed = sign_configuration(
            configuration,
            {"auditor": key_of(auditor), "ledger": key_of(ledger)},
            {"auditor": self.auditor.key, "ledger": self.ledger.key},
        )
        self.epochs = check_epochs(self.ledger_id, self.epochs.genesis_bytes, (*self.epochs.signed, signed))
        self.epoch += 1
        self.auditor.key, self.ledger.key = key_of(auditor), key_of(ledger)
        self.auditor.head = self.ledger.head
