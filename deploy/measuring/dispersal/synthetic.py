"""Blocks of random updates through the real dispersal and reconstruction, in real signed messages.

A replica's step is that of `learners.replica` from a full block on: frame, describe, encode, bind, sign, put into a
message. A learner's is that of `learners.intake`: open, verify, admit, rebuild, judge; and taking the block apart.
What a real journal adds (checking decisions, and what is in a block) is measured in `machines`, beside this file.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deploy.measuring.dispersal.decided import Sizes, decisions_of, epochs_of, replica_key
from deploy.measuring.dispersal.figures import (
    Attack,
    Cost,
    CpuTime,
    Learned,
    Row,
    Sent,
    bearable_liars,
    hashing_speed,
    make_row,
)
from learners.blocks import BlockRanges
from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import describe, frame_block, open_block, slice_hash
from learners.pieces import open_piece
from learners.reconstruction import Reconstruction
from protocol.configuration import Epochs
from protocol.hashing import ZERO_HASH
from protocol.signatures import piece_input, statement_hash
from protocol.signing import verify_key
from schemas.piece import Piece, PieceHeader
from schemas.statement import Countersigned, Decision
from schemas.topics import pieces_topic
from storage.effects import Message

_WINDOW_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispersed:
    """A ledger's blocks and what every replica sent about them.

    Attributes:
        messages: by block and replica.
    """

    sizes: Sizes
    epochs: Epochs
    blocks: Sequence[Sequence[bytes]]
    messages: Sequence[Sequence[Message]]
    sent: Sent


def disperse_updates(sizes: Sizes, blocks: int, update_bytes: int) -> Dispersed:
    """Let every replica of a ledger disperse blocks of random updates."""
    rng = random.Random(blocks)
    epochs = epochs_of(sizes)
    last = _any_statement()
    journal = [[rng.randbytes(update_bytes) for _ in range(sizes.block_updates)] for _ in range(blocks)]
    previous_roots = [ZERO_HASH] * sizes.n
    cpu = CpuTime()
    messages: list[list[Message]] = []
    for block, updates in enumerate(journal):
        messages.append([])
        for index in range(sizes.n):
            before = previous_roots[index]
            value, previous_roots[index] = _replica_step(epochs, block, index, updates, before, last, cpu)
            messages[-1].append(_message(index, block, value))
    framed = [frame_block(updates) for updates in journal]
    sent = Sent(
        journal=[sum(map(len, updates)) for updates in journal],
        blocks=[len(block) for block in framed],
        costs=[_cost([row[index] for row in messages], index, epochs) for index in range(sizes.n)],
        cpu=cpu,
        sha256_mb_per_second=hashing_speed(framed),
    )
    return Dispersed(sizes=sizes, epochs=epochs, blocks=journal, messages=messages, sent=sent)


def _any_statement() -> Countersigned:
    """A statement that both parties have signed: what travels beside every piece."""
    (decision,) = decisions_of(1, 1)
    return Decision.from_message(decision.value or b"").signed


def _replica_step(
    epochs: Epochs,
    block: int,
    index: int,
    updates: Sequence[bytes],
    previous_root: bytes,
    last: Countersigned,
    cpu: CpuTime,
) -> tuple[bytes, bytes]:
    """One replica's message about a block, and the block's root."""
    configuration, place = epochs.latest, BlockRanges(epochs).of_block(block)
    last_hash = statement_hash(last.statement)
    key = replica_key(index)
    with cpu.step():
        data = frame_block(updates)
        about = describe(configuration, place, len(data), previous_root, last_hash)
        made = disperse(about, data, erasure_code(configuration.k, configuration.n))
        header = made.header(index).to_bytes()
        to_sign = piece_input(configuration.ledger_id, configuration.epoch, header)
    with cpu.signature():
        signature = key.sign(to_sign)
    with cpu.step():
        value = Piece(header=header, signature=signature, slice=made.slice(index), last=last).to_message()
    return value, made.root


def _message(replica: int, offset: int, value: bytes) -> Message:
    return Message(
        topic=pieces_topic(replica), partition=0, offset=offset, leader_epoch=0, key=None, value=value, timestamp_ms=0
    )


def _cost(messages: Sequence[Message], replica: int, epochs: Epochs) -> Cost:
    return sum((Cost.of(open_piece(message, replica, epochs)) for message in messages), Cost())


def corrupted(message: Message, replica: int) -> Message:
    """The same piece with the true checksum and another slice, signed by the replica's own key."""
    piece = Piece.from_message(message.value or b"")
    header = PieceHeader.from_bytes(piece.header)
    wrong = bytes((piece.slice[0] ^ 0x80,)) + piece.slice[1:]
    body = replace(header, slice_hash=slice_hash(wrong)).to_bytes()
    signed = replica_key(replica).sign(piece_input(header.ledger_id, header.epoch, body))
    return message._replace(value=replace(piece, header=body, signature=signed, slice=wrong).to_message())


def arrivals(messages: Sequence[Message], sizes: Sizes, attack: Attack, liars: int) -> list[tuple[int, Message]]:
    """The messages about a block, by replica, in the worst order: liars first; or those that are late, last."""
    numbered = list(enumerate(messages))
    if attack == "late":
        return numbered[sizes.c :] + numbered[: sizes.c]
    if attack == "corrupt":
        return [(replica, corrupted(message, replica)) for replica, message in numbered[:liars]] + numbered[liars:]
    return numbered


def learn(dispersed: Dispersed, attack: Attack, liars: int) -> Learned:
    """Learn all blocks, one message after the other."""
    sizes, epochs = dispersed.sizes, dispersed.epochs
    reconstruction = Reconstruction(epochs=epochs, window_bytes=_WINDOW_BYTES)
    cpu, received, decodes = CpuTime(), Cost(), []
    for number, messages in enumerate(dispersed.messages):
        before = reconstruction.decodes
        for replica, message in arrivals(messages, sizes, attack, liars):
            updates = _learner_step(reconstruction, epochs, replica, message, cpu)
            received += Cost.of(open_piece(message, replica, epochs))
            assert updates is None or updates == dispersed.blocks[number], "a learner never hands on anything else"
        assert reconstruction.block == number + 1, "every block is learned"
        decodes.append(reconstruction.decodes - before)
    assert reconstruction.blamed == frozenset(range(liars) if attack == "corrupt" else ())
    return Learned(received=received, decodes=decodes, cpu=cpu)


def _learner_step(
    reconstruction: Reconstruction, epochs: Epochs, replica: int, message: Message, cpu: CpuTime
) -> list[bytes] | None:
    """Take in a message; the updates of the next block, if it makes that whole."""
    with cpu.step():
        piece = open_piece(message, replica, epochs)
        check = piece.signature_check(epochs.latest)
    with cpu.signature():
        verify_key(*check.key).verify(check.signed, check.signature)
    with cpu.step():
        if reconstruction.admit(piece) == "late":
            reconstruction.judge_late(piece)
            return None
        for last in reconstruction.unseen():
            reconstruction.vouch(last, statement_hash(last.statement))
        rebuilt = reconstruction.rebuild()
        if rebuilt is None:
            return None
        updates = open_block(rebuilt.block, rebuilt.place.updates)
        reconstruction.advance(rebuilt)
    return updates


def measure(dispersed: Dispersed, attack: Attack, searched_bytes_max: float) -> Row:
    """One row."""
    sizes = dispersed.sizes
    liars = bearable_liars(sizes, dispersed.sent.blocks[0], searched_bytes_max) if attack == "corrupt" else 0
    learned = learn(dispersed, attack, liars)
    return make_row(sizes, "synthetic", attack, liars, dispersed.sent, learned)
