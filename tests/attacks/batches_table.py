"""The lines of the table about batches of records: what anybody who may write to a topic may do to its readers."""

from tests.attacks.attack import Attack, of

_BATCHES = "integration/test_compressed_batches.py"
_LEDGER = "integration/test_faults_batches.py"

BATCHES: tuple[Attack, ...] = (
    Attack(
        "Writes a compressed batch that grows a thousandfold when it is opened",
        "nobody: the broker opens and refuses it, but between the parties, where it grows 255-fold at most; honest "
        "batches of any codec arrive",
        of(
            _BATCHES,
            "a_bomb_is_refused_where_anybody_may_write",
            "a_bomb_between_parties_grows_no_more_than_lz4_does",
            "honest_batches_of_any_codec_arrive",
            "topics_that_were_there_get_the_tables_compression",
        )
        + of(_LEDGER, "bombs_and_batches_that_cannot_be_opened_stop_nobody"),
    ),
    Attack(
        "Writes a batch that brokers take and readers cannot open",
        "nobody: every reader steps over it, to the offset",
        of(
            _BATCHES,
            "what_cannot_be_opened_is_stepped_over_to_the_offset",
            "what_cannot_be_opened_is_held_back_in_its_place",
            "zstd_beyond_the_readers_bound_stops_no_reader",
        )
        + of(_LEDGER, "bombs_and_batches_that_cannot_be_opened_stop_nobody"),
    ),
)
