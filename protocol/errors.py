"""The one table of every code that a rejection, an outcome, a refusal, a halt or a user can meet.

Rules:

1. A code is stable: it stands in signed messages, so its meaning never changes and it is never used again.
2. Fault says whose: the *sender's* (what it sent is wrong), the *world's* (trying again may help), *ours*
   (a mistake or damage on our side: crash).
3. `retry` says that the same bytes may be accepted later; `final` that they never will be.
4. Misbehaviour of a party is no error but a value: evidence.

Families: a *rejection* is the Auditor's, before anything is ordered; an *outcome* is a failed execution,
which both sign; a *refusal* is the Ledger's, of an order; a *check* is a verifier's; a *halt* ends a
process; a *user* error ends a command.
"""

from typing import Literal, NamedTuple

Family = Literal["rejection", "outcome", "refusal", "check", "halt", "user"]
Fault = Literal["sender", "world", "ours"]
Retry = Literal["retry", "final"]
Row = tuple[str, Fault, Retry, str, str, str]
"""Code, fault, retry, message, cause, remedy."""


class Explained(NamedTuple):
    """What is known about a code."""

    code: str
    family: Family
    fault: Fault
    retry: Retry
    message: str
    cause: str
    remedy: str


class CountersignError(Exception):
    """Base of every error with a code of the table.

    Attributes:
        code: its code.
        detail: what happened this time; never a secret, never part of anything signed.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        text = f"{self.code}: {self.explained.message}" if self.code in ERRORS else self.code
        return f"{text} ({self.detail})" if self.detail else text

    @property
    def explained(self) -> Explained:
        """This code's row of the table."""
        return ERRORS[self.code]


_REJECTIONS: tuple[Row, ...] = (
    ("request.malformed", "sender", "final", "The request cannot be read.",
     "Its bytes are not the one valid form of an envelope and a body.",
     "Build requests with the client library."),
    ("request.wrong_ledger", "sender", "final", "The request is for another ledger.",
     "It names another ledger_id, perhaps of a ledger that was made again.",
     "Load the genesis of this ledger."),
    ("request.expired", "sender", "final", "The request came too late.",
     "It was ordered after its expiry_ms.",
     "Sign it anew with a later expiry; check the clock."),
    ("request.not_yet_valid", "sender", "retry", "The request came too early.",
     "It was ordered before its not_before_ms.",
     "Send it again when it is valid; check the clock."),
    ("request.too_far_ahead", "sender", "retry", "The request would stay valid for too long.",
     "Its expiry_ms lies further ahead than the limit.",
     "Sign it anew with a nearer expiry; check the clock."),
    ("request.bad_signature", "sender", "final", "The request's signature is not its entity's.",
     "Signature, Merkle path or key do not fit the body.",
     "Sign with the key that is registered under this version."),
    ("request.replayed", "sender", "final", "The request has been decided before.",
     "Its request_id is in the replay guard.",
     "Look up its receipt; for a new effect sign it with a new nonce."),
    ("request.too_large", "sender", "final", "The request is too large.",
     "Its body or argument, or the number of requests signed together, is above the limit.",
     "Split it, or store the bulk elsewhere and its hash here."),
    ("request.after_unknown", "sender", "retry", "The request follows a receipt the Auditor does not know.",
     "Its `after` is greater than the last sequence.",
     "Send it again; if it persists, the client kept a receipt of another history: keep it as evidence."),
    ("argument.not_canonical", "sender", "final", "The argument is not canonical JSON.",
     "White space, unsorted or duplicate keys, a float, a great integer, a lone surrogate or deep nesting.",
     "Encode arguments with the client library."),
    ("entity.unknown", "sender", "final", "Nobody is registered under this name and key version.",
     "There is no such key record.",
     "Register the entity, or name a version that exists."),
    ("entity.key_revoked", "sender", "final", "The key was revoked.",
     "Its record was deleted or replaced before this request was ordered.",
     "Sign with the current key."),
    ("contract.unknown", "sender", "final", "There is no such contract.",
     "No contract is registered under this name and version.",
     "Register it, or name a version that exists."),
    ("contract.resources", "sender", "final", "The contract ran out of steps, time, memory or stack.",
     "It does more than one request may.",
     "Do less per request."),
    ("busy", "world", "retry", "The Auditor takes no more requests at the moment.",
     "Its replay guard is full.",
     "Send it again later."),
)  # fmt: skip

_OUTCOMES: tuple[Row, ...] = (
    ("contract.failed", "sender", "final", "The contract said no.",
     "It called `fail`; its text says why.",
     "Call it differently, or when its condition holds."),
    ("contract.value", "sender", "final", "The contract went wrong.",
     "An error in its code, or a value that canonical JSON cannot hold.",
     "Correct the argument or the contract."),
    ("contract.records", "sender", "final", "The request touches too many records.",
     "Reads, scanned rows, history versions and writes together are above the limit.",
     "Split the request."),
    ("contract.output_too_large", "sender", "final", "The request gives too much.",
     "Its output and written values together, or one value, are above the limit.",
     "Split the request."),
    ("contract.source_refused", "sender", "final", "The contract's source is not accepted.",
     "It does not parse, has no entry point, or is too long, too wide or too deeply nested.",
     "Simplify the source."),
    ("contract.exists", "sender", "final", "This version of the contract exists.",
     "Contract versions are immutable.",
     "Register the next version."),
    ("entity.exists", "sender", "final", "This version of the entity's key exists.",
     "Key versions are immutable.",
     "Register the next version."),
    ("key.refused", "sender", "final", "The public key is not accepted.",
     "Unknown algorithm, not a point, not in its one form, or of small order.",
     "Make a new key with `countersign`."),
    ("key.unproven", "sender", "final", "The new key lacks a proof.",
     "Its proof of possession, or the previous key's signature, is missing or wrong.",
     "Sign the key with both."),
    ("name.refused", "sender", "final", "The name or key is not accepted.",
     "It is empty, too long, or has characters that names may not have.",
     "Choose another."),
    ("namespace.unknown", "sender", "final", "There is no such namespace.",
     "Nobody registered it.",
     "Register it, or name one that exists."),
    ("namespace.exists", "sender", "final", "The namespace exists.",
     "A namespace has one owner.",
     "Choose another name."),
    ("namespace.foreign", "sender", "final", "The contract may not write this namespace.",
     "Only contracts of the namespace's owner write to it; `sys` belongs to built-ins.",
     "Use the owner's contract."),
    ("right.missing", "sender", "final", "The entity may not do this.",
     "The genesis does not give it the right.",
     "Ask an administrator."),
)  # fmt: skip

_REFUSALS: tuple[Row, ...] = (
    ("order.stale_read", "sender", "final", "The order reads a version that is not current.",
     "A smaller sequence replaced it.",
     "Keep the evidence; settle it with the Auditor."),
    ("order.second_writer", "sender", "final", "The order writes a version that exists.",
     "A smaller sequence wrote it.",
     "Keep the evidence; settle it with the Auditor."),
    ("order.false_writer", "sender", "final", "The order names a writer that did not write.",
     "The named entry does not write this version.",
     "Keep the evidence; settle it with the Auditor."),
    ("order.repeated", "sender", "final", "The order holds a request that was ordered before.",
     "A smaller sequence, or this one twice, holds the same request_id.",
     "Keep the evidence; settle it with the Auditor."),
    ("order.not_after", "sender", "final", "The order puts a request before what its client had seen.",
     "Its sequence is not above the request's `after`.",
     "Keep the evidence; settle it with the Auditor."),
    ("order.time", "sender", "final", "The order's time does not fit.",
     "ordered_at fell, or lies outside a request's validity.",
     "Keep the evidence; settle it with the Auditor."),
    ("order.predecessor", "sender", "final", "The order does not follow the one before it.",
     "It names another previous_order_hash.",
     "Keep the evidence; settle it with the Auditor."),
    ("order.client", "sender", "final", "The order holds a request that its client did not sign.",
     "Bad signature, or a revoked key.",
     "Keep the evidence; settle it with the Auditor."),
    ("order.malformed", "sender", "final", "The signed order contradicts itself.",
     "Root, count, index or limits do not fit its entries.",
     "Keep the evidence; settle it with the Auditor."),
)  # fmt: skip

_CHECKS: tuple[Row, ...] = (
    ("message.malformed", "sender", "final", "The message cannot be read.",
     "Its bytes are not the one valid form of a message.",
     "Nothing: it is skipped and counted."),
    ("signature.bad", "sender", "final", "The signature does not verify.",
     "Another key, other bytes, or not the one form of a signature.",
     "Get the message again from its signer."),
    ("proof.bad", "sender", "final", "The Merkle proof does not verify.",
     "Index, count, path or leaf do not lead to the root.",
     "Get the proof again."),
    ("receipt.malformed", "sender", "final", "The receipt cannot be read.",
     "The file is damaged, or no receipt.",
     "Fetch the receipt again."),
    ("genesis.malformed", "sender", "final", "The genesis cannot be read.",
     "The file is damaged, or no genesis.",
     "Get the genesis again."),
    ("genesis.untrusted", "sender", "final", "The genesis is not that of the trusted ledger.",
     "Its hash is another ledger_id.",
     "Check which ledger is meant; never take its id from the file itself."),
    ("epoch.malformed", "sender", "final", "An epoch's configuration cannot be read.",
     "Its bytes, numbers or limits are wrong.",
     "Get the configurations again."),
    ("epoch.chain", "sender", "final", "The epochs' configurations do not form a chain.",
     "One is missing, of another ledger, or names another predecessor.",
     "Get the configurations again."),
    ("epoch.keys", "sender", "final", "The keys of an epoch are not accepted.",
     "One key stands for two roles, or epoch 0 has other keys than the genesis.",
     "Get the configurations again."),
    ("epoch.signature", "sender", "final", "An epoch's configuration lacks a signature.",
     "Both parties sign it, with old and new keys; one of these fails.",
     "Get the configurations again."),
    ("epoch.unknown", "sender", "final", "No configuration of this epoch is known.",
     "The message is of a later epoch than the configurations.",
     "Get the later configurations too."),
    ("epoch.cut", "sender", "final", "The sequence does not lie in its epoch.",
     "It is at or below the epoch's cut, or above the next one's.",
     "Keep it: it may be evidence."),
    ("statement.malformed", "sender", "final", "The statement cannot be read.",
     "Its bytes are not the one valid form of a statement and a header.",
     "Get it again."),
    ("statement.ledger", "sender", "final", "The statement is of another ledger.",
     "It names another ledger_id.",
     "Check which ledger is meant."),
    ("statement.order", "sender", "final", "The statement does not agree with its order.",
     "Hash or copied fields of the order header differ.",
     "Keep it: it may be evidence."),
    ("statement.commitment", "sender", "final", "The Auditor's commitment does not open.",
     "Salt and outcomes are not what its order committed to.",
     "Keep it: it is evidence."),
    ("journal.sequence", "sender", "final", "The statement is not the next of the journal.",
     "A sequence is missing or comes twice.",
     "Read the journal from where it has no gap."),
    ("journal.predecessor", "sender", "final", "The statement does not follow the one before it.",
     "It names another previous_statement_hash.",
     "Keep it: it may be evidence."),
    ("journal.root", "sender", "final", "The statement does not extend the journal.",
     "Its journal_root is over other statements than those before it.",
     "Keep it: it may be evidence."),
    ("receipt.path", "sender", "final", "The outcome is not under the statement.",
     "Index or Merkle path do not lead to the outcomes root.",
     "Fetch the receipt again."),
    ("receipt.request", "sender", "final", "The receipt is of another request.",
     "request_id, contract or output differ from what was asked.",
     "Fetch the receipt of the right request."),
    ("receipt.time", "sender", "final", "The receipt breaks the order of time.",
     "Sequence or ordered_at lie outside what the request allowed.",
     "Keep it: it is evidence."),
    ("evidence.malformed", "sender", "final", "The evidence cannot be read.",
     "The file is damaged, or no evidence.",
     "Fetch the evidence again."),
    ("evidence.ledger", "sender", "final", "The evidence is of another ledger.",
     "Its genesis does not have the trusted ledger_id.",
     "Check which ledger the evidence is to be of."),
    ("evidence.nothing", "sender", "final", "The evidence proves nothing.",
     "A part is missing, unused or wrong, or a signature fails.",
     "Fetch the evidence again."),
    ("evidence.cannot_judge", "world", "final", "The evidence cannot be judged here.",
     "Another contract engine, or execution beyond the bounds.",
     "Verify it with the engine its epoch names."),
)  # fmt: skip

_HALTS: tuple[Row, ...] = (
    ("store.wiped", "world", "final", "The store is empty, but the party has signed.",
     "Its server lost its data.",
     "Start the party with `--rebuild`: it loads its state from the log."),
    ("store.unsafe_durability", "ours", "final", "The store may lose what it acknowledged.",
     "It runs without an append-only file, or without `appendfsync always`.",
     "Set both in the server."),
    ("store.damaged", "ours", "final", "A record of our own store is not what we stored.",
     "Damage at rest, or somebody changed it.",
     "Repair the store from the log; look for who had access."),
    ("store.contradicts_log", "ours", "final", "Our store and our own signed messages differ.",
     "One of them was replaced or rolled back.",
     "Settle by hand which is right; nobody is accused."),
    ("guard.behind", "ours", "final", "The signing guard does not fit the store.",
     "One of them was lost or rolled back.",
     "Follow the recovery page; never delete the guard to go on."),
    ("epoch.needed", "ours", "final", "The party can go on only in a new epoch.",
     "The Auditor's store is not the one its epoch names.",
     "Change the epoch with both parties."),
    ("engine.differs", "ours", "final", "This contract engine is not the one the epoch names.",
     "Another version, or other answers to the known-answer suite.",
     "Install the engine the configuration names."),
    ("resources.exceeded", "ours", "final", "An ordered contract ran out of the Ledger's wider bounds.",
     "This machine has less memory, stack or time than the Auditor's.",
     "Give the Ledger more; nobody is accused."),
    ("log.start_lost", "world", "final", "The log no longer holds what is to be read next.",
     "Retention passed the reader's position.",
     "Rebuild from the decisions or pieces; lengthen the retention."),
    ("guard.contradiction", "ours", "final", "The signing guard forbids this signature.",
     "Another hash was signed for this place, or it does not follow the last one: a store was rolled back.",
     "Follow the recovery page; never delete the guard to go on."),
    ("guard.damaged", "ours", "final", "The signing guard's file is damaged.",
     "Damage at rest, or its disk failed.",
     "Follow the recovery page; never delete the guard to go on."),
    ("evidence.raised", "sender", "final", "The other party was found at fault, so this one stopped.",
     "The evidence is in the topic `evidence`.",
     "Verify it with `countersign evidence verify` and settle it with the other party."),
    ("machine.ended", "ours", "final", "A role's machine came to its end.",
     "A mistake in the program.",
     "Report it with the log; restarting loses nothing."),
)  # fmt: skip

_USER: tuple[Row, ...] = (
    ("broker.unreachable", "world", "retry", "The broker does not answer.",
     "It is down, or the address is wrong.",
     "Check `--broker` and that Kafka runs."),
    ("store.unreachable", "world", "retry", "The store does not answer.",
     "It is down, or the address is wrong.",
     "Check the address and that the server runs."),
    ("port.taken", "world", "retry", "The port is taken.",
     "Another program listens on it.",
     "Choose another, or end that program."),
    ("config.invalid", "sender", "final", "The configuration is not valid.",
     "A setting is missing, unknown or out of range.",
     "Correct the setting that is named."),
    ("config.missing", "sender", "final", "There is no ledger here yet.",
     "The directory holds no configuration.",
     "Make one with `countersign init`, or name the right directory."),
    ("registry.unreachable", "world", "retry", "The package registry does not answer.",
     "No network, or a proxy is missing.",
     "Check the network, or use `--broker` with a running Kafka."),
    ("disk.full", "world", "retry", "The disk is full.",
     "Nothing more can be stored.",
     "Free some space and start again: nothing acknowledged is lost."),
    ("sql.not_select", "sender", "final", "Only one SELECT is run per query.",
     "The text is another kind of statement, or several.",
     "Ask with one SELECT."),
    ("sql.refused", "sender", "final", "The query is refused.",
     "It does not parse, or reaches outside the views.",
     "Query records, history, requests and blocks."),
    ("sql.limit", "sender", "final", "The query takes too much.",
     "Rows, time or memory are above the limit.",
     "Ask for less, or aggregate."),
    ("broker.refused", "world", "final", "The broker answers, but will not do this.",
     "A right, a topic or a setting is missing, or the message is too large for it.",
     "Check topics, rights and settings of the broker."),
    ("registry.wrong_file", "world", "final", "A downloaded file is not the pinned one.",
     "Its checksum differs: it is damaged, or somebody changed it.",
     "Try again; if it persists, do not use that registry."),
    ("local.not_installed", "world", "final", "A part of the local stack is not installed.",
     "The extra `countersign[local]` is missing.",
     "Install it, or use `--broker` with a running Kafka."),
    ("service.failed", "world", "retry", "A service of the local stack did not start.",
     "Its log says why.",
     "Correct what its log names and start again."),
    ("stack.running", "sender", "final", "The local stack runs already.",
     "It was started before, or is being started or stopped.",
     "Use it, or stop it with `countersign down`."),
    ("stack.down", "sender", "final", "The local stack does not run.",
     "It was not started, or has been stopped.",
     "Start it with `countersign up`."),
    ("store.exists", "sender", "final", "There is data already where a store was to be created.",
     "A ledger was initialised here before.",
     "Choose another place, or go on with that ledger."),
)  # fmt: skip


def _table() -> dict[str, Explained]:
    families: tuple[tuple[Family, tuple[Row, ...]], ...] = (
        ("rejection", _REJECTIONS),
        ("outcome", _OUTCOMES),
        ("refusal", _REFUSALS),
        ("check", _CHECKS),
        ("halt", _HALTS),
        ("user", _USER),
    )
    table: dict[str, Explained] = {}
    for family, rows in families:
        for code, *rest in rows:
            assert code not in table, f"{code} stands twice in the table of codes"
            table[code] = Explained(code, family, *rest)  # type: ignore[arg-type]
    return table


ERRORS = _table()
"""Every code, explained."""
