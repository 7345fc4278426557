"""The lines of the table about dispersal: what replicas, and whoever carries their pieces, may do to a learner.

Numbers are those of the tests; each runs under every checksum that it makes sense for.
"""

from tests.attacks.attack import Attack, of

_PIECES = "attacks/test_dispersal_pieces.py"
_ROOTS = "attacks/test_dispersal_roots.py"
_PLACES = "attacks/test_dispersal_places.py"
_ORDER = "attacks/test_dispersal_order.py"
_EPOCHS = "attacks/test_dispersal_epochs.py"

DISPERSAL: tuple[Attack, ...] = (
    Attack(
        "Sends a piece with a flipped bit, a wrong checksum, a wrong or missing path, or an inner node as a leaf",
        "the replica, where it signed something false; the block is learned without it",
        of(
            _PIECES,
            "a01_a_flipped_bit",
            "a02_a_wrong_checksum",
            "a03_a_wrong_path",
            "a03_a_path_where_there_is_no_tree",
            "a04_an_inner_node_as_a_leaf",
        ),
    ),
    Attack(
        "Sends another replica's piece, several pieces, or copies of one",
        "one vote at the most, and only under its own key and on its own topic",
        of(
            _PIECES,
            "a05_the_piece_of_another_replica_under_the_own_number",
            "a05_who_sent_a_piece_is_its_topic_and_its_key",
            "a06_two_pieces_of_one_replica_are_one_vote",
            "a06_copies_of_one_replica_are_one_vote",
        ),
    ),
    Attack(
        "Sends slices of other lengths, or numbers that are out of range or taken",
        "nothing unchecked reaches the erasure code, and no decoding is spent on it",
        of(
            _PIECES,
            "a11_a_slice_of_another_length",
            "a11_slices_of_mixed_lengths_cost_no_decoding",
            "a12_numbers_that_are_out_of_range_or_there_already",
        ),
    ),
    Attack(
        "Names a false root with up to b others, to all learners or to some, or a root over no codeword",
        "the liars; every learner has the one journal",
        of(
            _ROOTS,
            "a07_the_same_false_root_of_b_replicas",
            "a13_b_replicas_with_slices_of_no_codeword",
            "a08_another_root_to_every_learner",
            "a_lie_beside_a_true_root_names_only_the_liar",
        ),
    ),
    Attack(
        "More replicas lie than the configuration allows",
        "the learner stops with evidence: every signer of a false block, or all of them together; it hands nothing on",
        of(
            _ROOTS,
            "a07_two_roots_of_more_than_b_replicas_each",
            "a07_no_root_that_enough_replicas_can_name",
            "a07_a_false_block_of_enough_replicas",
            "a13_a_root_over_no_codeword_of_enough_replicas",
            "a13_too_many_wrong_slices_under_a_true_root",
            "a13_a_lie_where_nobody_may_lie",
            "a07_a_root_before_the_block_that_was_none",
        ),
    ),
    Attack(
        "An accuser makes evidence of honest pieces, of b liars, of two statements, or of another configuration",
        "nobody: it proves nothing",
        of(
            _ROOTS,
            "honest_pieces_are_no_evidence_of_a_false_block",
            "b_liars_are_no_evidence_of_more",
            "pieces_of_different_statements_prove_nothing_about_replicas",
            "a_misconfigured_replica_is_counted_among_no_liars",
        )
        + of(_PLACES, "a24_no_accuser_can_make_a_lie_of_a_configuration"),
    ),
    Attack(
        "Replays old blocks under new numbers, from other ledgers or epochs, or from the far future",
        "skipped and counted; the window stays bounded",
        of(
            _PLACES,
            "a09_other_ledgers_epochs_and_old_messages",
            "a09_an_old_block_under_a_new_number",
            "a10_numbers_that_do_not_fit",
            "a10_blocks_of_the_far_future_and_past",
        ),
    ),
    Attack(
        "Lies in the padding; batches are empty; the journal ends within a block",
        "the liar; blocks are read back to the byte, and an unfinished one is waited for",
        of(
            _PLACES,
            "a20_a_lie_in_the_padding",
            "a20_blocks_of_empty_batches",
            "a21_a_journal_that_ends_within_a_block",
        ),
    ),
    Attack(
        "The broker alters pieces; a replica was blamed, restarts, has a new key, or is configured otherwise",
        "only signatures blame, and blame outlives restarts; another key is another replica; a configuration is no lie",
        of(
            _PLACES,
            "a23_what_the_broker_alters_blames_nobody",
            "a23_who_was_blamed_stays_blamed_across_restarts",
            "a24_a_replica_that_is_configured_otherwise",
        )
        + of(_ORDER, "a_replaced_key_clears_the_number_of_a_liar"),
    ),
    Attack(
        "Joined with a later epoch, or has an old key: speaks of blocks that it has no share of",
        "nobody; the reader goes on, and who has an old key does not speak for the new one",
        of(
            _EPOCHS,
            "a_replica_that_joined_later_speaks_of_a_block_before_its_time",
            "who_has_an_old_key_does_not_speak_for_the_new_one",
            "the_account_of_a_block_is_that_of_its_own_replicas",
            "an_old_key_is_blamed_in_its_own_epoch",
            "a_reader_started_with_a_new_epoch_clears_who_has_another_key",
        ),
    ),
    Attack(
        "A learner, a replica or a recovery meets an epoch with other replicas",
        "nobody; what is of an epoch not known yet is read again, and nobody publishes what it has no share of",
        of(
            _EPOCHS,
            "a_learner_that_does_not_know_the_new_epoch_yet",
            "a_lost_tail_behind_what_was_read_too_early",
            "a_learner_started_again_with_more_replicas",
            "a_replica_that_joins_disperses_from_its_own_epoch_on",
            "a_replica_with_a_new_key_signs_nothing_of_the_old_epoch",
            "a_replica_with_a_new_key_does_not_go_on_behind_who_had_the_old_one",
            "a_replica_recovers_across_epochs",
        ),
    ),
    Attack(
        "Withholds pieces; they come in any order, late, or years later",
        "the learner waits, never guesses, and goes on with the last piece it needs",
        of(
            _ORDER,
            "a14_fewer_than_k_pieces",
            "a15_every_order_of_four",
            "a15_random_orders_of_more",
            "a16_thousand_blocks_ahead_of_the_others",
            "a16_a_replica_a_thousand_blocks_behind",
            "a16_a_learner_that_joins_years_later",
        ),
    ),
    Attack(
        "A replica or a learner crashes at any point",
        "what was sent is sent again with the same bytes; nothing is learned twice, and nothing is left out",
        of(
            _ORDER,
            "a17_a_crash_in_the_middle_of_a_broadcast",
            "only_publish_is_what_a_replica_shows",
            "a22_a_restart_at_any_point",
            "a22_nothing_learned_is_read_again",
        ),
    ),
    Attack(
        "Wastes decodings: the worst order, or every block for ever",
        "at most C(k + b, k) for a block and as many beyond one each in a lifetime; none under a tree",
        of(
            _ORDER,
            "a18_ten_thousand_blocks_of_corruption",
            "a18_the_real_learner_under_sustained_corruption",
            "a19_all_bad_pieces_first",
            "a19_all_bad_pieces_first_under_a_tree",
            "a19_the_real_learner_takes_as_many",
        )
        + of(_PLACES, "extra_decodings_are_bounded_by_the_theorem"),
    ),
)
