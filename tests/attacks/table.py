"""What Countersign must survive, and the tests that show it: the one table.

A row says who lies or what goes wrong, how it ends (who is named, or that nobody is), and which tests show that. Tests
are named `file::function`, the file below `tests/`. `page` makes `docs/attacks.md` of it.
"""

from tests.attacks.attack import Attack, of
from tests.attacks.batches_table import BATCHES
from tests.attacks.dispersal_table import DISPERSAL

_ORDERS = "attacks/test_auditor_orders.py"
_RESULTS = "attacks/test_ledger_results.py"
_AUDITOR = "attacks/test_auditor_store.py"
_CLIENTS = "attacks/test_clients.py"
_BROKER = "attacks/test_broker.py"
_CRASHES = "attacks/test_crashes.py"
_REPLICAS = "attacks/test_replicas.py"
_CONTRACTS = "attacks/test_contracts.py"
_GALLERY = "unit/protocol/evidence/test_gallery.py"
_TRAPS = "unit/streams/test_executor_traps.py"
_MERKLE = "unit/protocol/test_merkle.py"
_SIGNING = "unit/protocol/test_signing.py"
_RECEIPTS = "unit/protocol/test_receipts.py"
_LIES = "unit/learners/test_learner_lies.py"
_LEARNER = "unit/learners/test_learner_attacks.py"
_PROPERTY = "property/test_evidence.py"


HONEST: tuple[Attack, ...] = (
    Attack(
        "Nobody lies",
        "everything is decided, learned and answered; the topic `evidence` is empty",
        of("attacks/test_honest.py", "everything_is_decided_learned_and_answered_and_nobody_accused")
        + of(_PROPERTY, "honest_parties_are_never_named", "honest_parties_are_named_by_no_pair"),
    ),
)

LEDGER: tuple[Attack, ...] = (
    Attack(
        "Alters a record at rest and recomputes its hash, as a dishonest operator would",
        "Ledger: the hash it read is not the one both parties signed when the record was written",
        of(
            _RESULTS,
            "an_altered_value_whose_hash_was_recomputed_names_the_ledger",
            "an_altered_record_that_is_only_written_names_the_ledger_or_nobody",
        ),
    ),
    Attack(
        "Its record is altered and the hash is left",
        "nobody: it finds itself at fault and halts",
        of(_RESULTS, "an_altered_value_whose_hash_was_left_halts_the_ledger"),
    ),
    Attack(
        "Its store holds another version, or another key of a client, so that honest orders look false to it",
        "nobody: what it would refuse with convicts nobody, so it halts",
        of(
            _RESULTS,
            "a_clients_key_replaced_in_the_ledgers_store_halts_it",
            "another_version_in_the_ledgers_store_halts_it",
        ),
    ),
    Attack(
        "Signs a wrong result, on right reads or on what the batch itself wrote",
        "Ledger, by executing again",
        of(
            _RESULTS,
            "a_false_result_names_the_ledger",
            "a_false_result_upon_what_the_batch_itself_wrote_names_the_ledger",
        ),
    ),
    Attack(
        "A request stands above a disputed sequence",
        "it never gets a receipt, whoever starts again",
        of(_RESULTS, "what_is_above_a_disputed_sequence_never_gets_a_receipt"),
    ),
    Attack(
        "Shows two histories, or rolls back",
        "Ledger: two statements of one sequence, or a journal root over another past",
        of(_RESULTS, "two_histories_name_the_ledger", "a_ledger_that_rolled_back_names_itself"),
    ),
    Attack(
        "Endorses an order whose signature is bogus",
        "Ledger: the one failing signature that convicts, because it vouches for it",
        of(_RESULTS, "a_false_result_names_the_ledger"),
    ),
    Attack(
        "Signs a statement of another format, or that names another ledger",
        "nobody, and nothing changes: what no verifier would judge is skipped",
        of(_RESULTS, "a_statement_that_nobody_judges_is_skipped"),
    ),
    Attack(
        "Crashes after it signed and before it sent; loses its store",
        "nobody: the same bytes are sent, no second signature; the rebuilt store makes the same statements",
        of(
            _CRASHES,
            "a_ledger_that_crashes_around_its_signature_sends_the_same_bytes",
            "a_wiped_ledger_is_rebuilt_and_makes_the_same_statements",
            "a_lost_guard_signs_nothing_else",
        ),
    ),
    Attack(
        "Refuses an honest order, or with a proof of something else",
        "Ledger, as a false accuser; a refusal without a proof is nothing",
        of(
            "unit/protocol/evidence/test_refusals.py",
            "a_refusal_falls_short",
            "a_refusal_with_another_code_is_false",
            "every_true_refusal_is_none",
        ),
    ),
)

AUDITOR: tuple[Attack, ...] = (
    Attack(
        "Orders what cannot be: stale, twice, out of time, forged, malformed, with a false writer",
        "Auditor: the Ledger refuses with the signed orders that contradict each other",
        of(_ORDERS, "a_stale_read_names_the_auditor", "an_impossible_order_names_the_auditor"),
    ),
    Attack(
        "Lets two requests each miss the other's write (write skew)",
        "Auditor; in honest order nobody",
        of(_ORDERS, "write_skew_names_the_auditor", "the_same_two_requests_in_honest_order_name_nobody"),
    ),
    Attack(
        "Omits a key from a scan",
        "Auditor; beyond the end that LIMIT made, nobody",
        of(_ORDERS, "an_impossible_order_names_the_auditor", "a_key_beyond_the_limit_of_a_scan_names_nobody"),
    ),
    Attack(
        "Orders a request of a revoked key, through a stale read of the key",
        "Auditor; revocation and use in one batch, in either order, name nobody",
        of(
            _ORDERS,
            "a_revoked_key_through_a_stale_read_names_the_auditor",
            "revocation_and_use_in_one_batch_name_nobody",
        ),
    ),
    Attack(
        "Claims that a record which exists is absent",
        "Auditor; a tombstone that is followed by a new version names nobody",
        of(_ORDERS, "an_impossible_order_names_the_auditor", "a_deleted_record_that_is_made_again_names_nobody"),
    ),
    Attack(
        "Puts a request before what its client had seen",
        "Auditor; a client that lies about what it has seen is told to retry, and nothing else happens",
        of(_ORDERS, "an_impossible_order_names_the_auditor")
        + of(_AUDITOR, "a_client_that_lies_about_what_it_has_seen_is_told_to_retry"),
    ),
    Attack(
        "Signs two orders for one sequence, around a crash of the Ledger",
        "Auditor, and never the Ledger",
        of(
            _AUDITOR,
            "two_orders_around_a_crash_of_the_ledger_name_the_auditor",
            "two_orders_before_the_ledger_acted_halt_the_auditor",
            "statements_about_two_orders_name_the_auditor_and_never_the_ledger",
        ),
    ),
    Attack(
        "Its own records are altered",
        "nobody: its own verifier names itself, and it halts before it publishes anything",
        of(
            _AUDITOR,
            "an_altered_value_whose_hash_was_recomputed_halts_the_auditor",
            "an_altered_value_whose_hash_was_left_halts_the_auditor",
        ),
    ),
    Attack(
        "A client's key is replaced in its store",
        "Auditor: it ordered what the client did not sign",
        of(_AUDITOR, "an_altered_key_of_a_client_names_the_auditor"),
    ),
    Attack(
        "Changes its result after it has seen the Ledger's",
        "Auditor: its salt does not open the commitment in its order; no client takes the receipt",
        of(_AUDITOR, "an_auditor_that_takes_over_the_ledgers_result_is_named"),
    ),
    Attack(
        "Countersigns something else",
        "Auditor: the receipt fails, and there are two statements of one sequence; the Ledger halts",
        of(
            _AUDITOR,
            "an_auditor_that_countersigns_something_else_is_named",
            "a_decision_about_another_statement_halts_the_ledger",
        ),
    ),
    Attack(
        "Lies in an order of another format, or of a kind whose entries no verifier judges",
        "nobody: the Ledger does not act upon it, and halts where another kind of order would begin another epoch",
        of(_ORDERS, "a_lie_in_an_order_that_nobody_judges_is_not_acted_upon"),
    ),
    Attack(
        "Orders a request that it rejected for good",
        "Auditor",
        of(_AUDITOR, "an_order_of_what_was_rejected_for_good_names_the_auditor"),
    ),
    Attack(
        "Its store is rolled back, or it crashes around a signature",
        "nobody: it needs a new epoch and says so; after a crash it sends the same bytes",
        of(
            _CRASHES,
            "an_auditor_whose_store_was_rolled_back_halts_and_says_what_it_needs",
            "an_auditor_that_crashes_around_its_signature_sends_the_same_bytes",
        ),
    ),
)

BOTH: tuple[Attack, ...] = (
    Attack(
        "Rewrite history together, later",
        "replicas and learners hold the decided blocks, and nothing in them changes",
        of(_REPLICAS, "history_rewritten_by_both_together_is_not_learned"),
    ),
    Attack(
        "Give half of the replicas another history, each doubly signed",
        "no learner takes both; the evidence names the Auditor, whose orders differ, and no replica",
        of(_REPLICAS, "two_doubly_signed_histories_convict_the_parties_and_no_replica")
        + of(_LEARNER, "two_histories_convict_the_parties_and_no_replica"),
    ),
    Attack(
        "Either misbehaves in any way that there is a kind of evidence for",
        "the one who did it, under the trusted ledger_id only",
        of(_GALLERY, "misdeed_convicts", "every_row_has_a_misdeed")
        + of(_PROPERTY, "a_flipped_bit_names_nobody_else", "parts_moved_about_name_nobody_else"),
    ),
)

BROKER: tuple[Attack, ...] = (
    Attack(
        "Flips a signature to its other `s`, lengthens a varint, adds a byte, flips bits, on every topic",
        "nobody: decisions, receipts and blocks are byte-identical",
        of(_BROKER, "an_altered_message_changes_nothing")
        + of(_SIGNING, "the_other_s_is_refused")
        + of(_LEARNER, "an_altered_statement_before_every_piece_costs_nothing"),
    ),
    Attack(
        "Repeats, reorders, puts messages on other topics",
        "nobody, and nothing changes",
        of(_BROKER, "what_is_repeated_and_reordered_changes_nothing", "messages_on_the_wrong_topic_change_nothing"),
    ),
    Attack(
        "Loses a tail that it had acknowledged",
        "nobody: it is sent again with the same bytes",
        of(_BROKER, "a_lost_tail_is_healed"),
    ),
    Attack(
        "Writes orders and results in a party's name",
        "nobody: they are skipped and counted",
        of(_ORDERS, "an_order_that_nobody_signed_is_skipped")
        + of(
            _RESULTS,
            "a_result_in_anothers_name_is_skipped",
            "a_false_result_that_only_a_broker_made_names_nobody",
        ),
    ),
    Attack(
        "Carries the messages of a second ledger with the same names and keys",
        "nobody: every one is refused; a genesis taken from evidence itself is not trusted",
        of(
            _BROKER,
            "another_ledger_with_the_same_names_and_keys_is_refused",
            "a_genesis_taken_from_the_evidence_itself_is_not_trusted",
            "two_orders_of_two_ledgers_name_nobody",
        )
        + of(_PROPERTY, "another_ledger_proves_nothing"),
    ),
)

REPLICA: tuple[Attack, ...] = (
    Attack(
        "Sends corrupt, two different, old, or no pieces",
        "the replica, with evidence, where it signed something false; silence shows as lag. Nothing is lost",
        of(_REPLICAS, "a_lying_replica_costs_nothing_and_is_named")
        + of(_LIES, "a_lie_is_named_with_evidence_and_costs_nothing", "liars_that_agree_never_outvote_the_honest")
        + of(_LEARNER, "what_the_broker_alters_blames_nobody"),
    ),
)

CLIENT: tuple[Attack, ...] = (
    Attack(
        "Sends the victim's body under a rubbish signature first, many thousand times",
        "the victim's own request is decided; at most one rejection batch a second, and service goes on",
        of(
            _CLIENTS,
            "the_victims_body_under_a_rubbish_signature_first_does_not_harm_the_victim",
            "a_flood_of_forgeries_makes_one_rejection_batch_a_second_and_service_goes_on",
        ),
    ),
    Attack(
        "Replays a request into another partition, across a restart and the guard's eviction",
        "it is decided once",
        of(_CLIENTS, "one_request_in_two_partitions_is_decided_once"),
    ),
    Attack(
        "Sends rubbish, or what is too early, too late, too large, or of somebody unknown",
        "one stable code each, or it is skipped and counted",
        of(_CLIENTS, "each_wrong_request_has_its_code_and_nobody_is_accused"),
    ),
    Attack(
        "Sends JSON that parsers read differently",
        "one code in the client library, at the Auditor and at the Ledger",
        of(
            _CLIENTS,
            "a_trap_in_json_has_one_code_at_the_auditor_and_at_the_ledger",
            "a_trap_in_json_has_the_same_code_in_the_client",
        )
        + of("unit/protocol/test_canonical_json.py", "traps", "depth", "keys_are_sorted_by_code_point"),
    ),
    Attack(
        "Plays with Merkle trees: counts, indices, longer and shorter paths, inner nodes, foreign leaves",
        "what is not under the signed root is turned away",
        of(
            _CLIENTS,
            "a_path_that_leads_elsewhere_is_malformed_or_forged",
            "a_foreign_leaf_in_a_signed_batch_is_not_signed_by_its_entity",
        )
        + of(
            _MERKLE,
            "count_zero",
            "count_one",
            "sizes_around_powers_of_two",
            "an_index_outside_the_tree",
            "paths_of_another_length",
            "an_inner_node_is_no_leaf",
            "a_tagged_hash_is_no_leaf_hash",
            "duplicate_leaves",
        ),
    ),
    Attack(
        "Registers an Ed25519 key under which anything verifies; uses one party's signature in the other's place",
        "refused at registration; a signature counts in one place only",
        of(_CLIENTS, "an_identity_key_is_refused_at_registration")
        + of(_SIGNING, "keys_of_small_order_are_refused", "one_partys_signature_in_the_others_place"),
    ),
    Attack(
        "Denies what it asked for",
        "its signature over the request is kept in the decision",
        of(_CLIENTS, "a_client_cannot_deny_what_it_asked_for"),
    ),
    Attack(
        "Shows a receipt of another request, place or time, or altered in any bit",
        "each step of the check has its code",
        of(_RECEIPTS, "each_step_has_its_code", "a_flipped_bit_is_seen", "step_7_another_request"),
    ),
)

CONTRACT: tuple[Attack, ...] = (
    Attack(
        "Exhausts steps, memory, stack or time; nests, multiplies, shifts, converts beyond all bounds",
        "rejected or failed alike by both parties, both alive, the next request served",
        of(
            _CONTRACTS,
            "a_contract_without_end_is_rejected_and_the_next_request_served",
            "a_contract_that_wants_too_much_fails_alike",
        )
        + of(_TRAPS, "what_would_kill_a_process", "what_would_never_end", "what_both_judge_alike")
        + of(_TRAPS, "where_memory_ends_no_value_is_to_blame"),
    ),
    Attack(
        "Makes messages that are too long: many records under the longest names there are",
        "batches are closed before any message of theirs can be too long",
        of(_CONTRACTS, "names_without_end_make_no_message_that_is_too_long")
        + of("property/test_decision_size.py", "no_request_takes_more_than_is_counted"),
    ),
    Attack(
        "Exhausts only the Ledger, whose machine is smaller than the Auditor's",
        "nobody: the Ledger halts, and goes on when it has more",
        of(_CONTRACTS, "a_ledger_that_an_order_exhausts_halts_accuses_nobody_and_goes_on_with_more"),
    ),
    Attack(
        "Runs in other surroundings: stack limit, digits, hash seed, locale, memory",
        "no difference",
        of("unit/streams/test_executor_surroundings.py", "surroundings_make_no_difference"),
    ),
    Attack(
        "Writes a namespace of another owner, directly or through `invoke`, or `sys`",
        "failed, and both parties sign that",
        of(_CONTRACTS, "a_foreign_namespace_is_not_written", "a_built_in_is_not_invoked_for_another"),
    ),
)

NOBODY: tuple[Attack, ...] = (
    Attack(
        "A party or a replica is silent, for however long",
        "nobody: time alone never convicts; when it is back all goes on",
        of(_CRASHES, "a_ledger_that_is_silent_is_not_accused"),
    ),
)

TABLE: dict[str, tuple[Attack, ...]] = {
    "Nobody lies": HONEST,
    "The Ledger": LEDGER,
    "The Auditor": AUDITOR,
    "Both parties": BOTH,
    "The broker, and whoever may write to it": BROKER + BATCHES,
    "A replica": REPLICA + DISPERSAL,
    "A client": CLIENT,
    "A contract": CONTRACT,
    "Silence": NOBODY,
}
