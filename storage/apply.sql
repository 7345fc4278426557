-- The store's one call in PostgreSQL: all checks, then all changes, in one transaction of one statement.
-- storage/postgresql_layout.py makes the tables, and replaces NAME by this text's own hash, so that a store that is
-- opened by a newer version gets a newer function, and one that is running keeps its own.
--
-- Whoever calls holds the row of `counts` from the first statement on: calls happen one after the other, and each
-- statement below sees all that was committed before (READ COMMITTED).
CREATE FUNCTION NAME(
    cell_names text[], cell_values bytea[],
    unseen_minutes bigint[], unseen_ids bytea[],
    -- Heads that must be stored; the first ones are of the records that are written.
    namespaces bytea[], keys bytea[], versions bigint[], hashes bytea[],
    -- Each scan's range, and how many of the rows that follow are its own.
    scan_namespaces bytea[], scan_lows bytea[], scan_highs bytea[], scan_counts int[],
    row_keys bytea[], row_versions bigint[], row_hashes bytea[],
    -- New heads, and new versions with the place of their record among the heads.
    new_versions bigint[], new_hashes bytea[],
    written int[], written_versions bigint[], written_packed bytea[],
    first_minute bigint, replay_minutes bigint[], replay_ids bytea[], replay_sequences bigint[],
    set_names text[], set_values bytea[], removed_names text[],
    trim_kinds text[], trim_below bigint[],
    put_kinds text[], put_numbers bigint[], put_messages bytea[],
    OUT entries bigint, OUT reason text, OUT failed int[], OUT failed_sequences bigint[],
    OUT names text[], OUT contents bytea[]
) LANGUAGE plpgsql AS $$
DECLARE
    record_numbers bigint[];
    found_keys bytea[];
    found_versions bigint[];
    found_hashes bytea[];
    at int := 0;
    evicted bigint := 0;
    added bigint := 0;
    wanted int := coalesce(array_length(replay_ids, 1), 0);
BEGIN
    SELECT counts.replay INTO STRICT entries FROM counts FOR NO KEY UPDATE;

    <<checks>>
    BEGIN
        IF EXISTS (
            SELECT FROM unnest(cell_names, cell_values) AS e(name, value) LEFT JOIN cells c ON c.name = e.name
            WHERE coalesce(c.value, '') <> e.value
        ) THEN
            reason := 'cell';
            EXIT checks;
        END IF;

        SELECT array_agg(u.i), array_agg(r.sequence) INTO failed, failed_sequences
        FROM unnest(unseen_minutes, unseen_ids) WITH ORDINALITY AS u(minute, request_id, i)
        JOIN replay r ON r.minute = u.minute AND r.request_id = u.request_id;
        IF failed IS NOT NULL THEN
            reason := 'replay';
            EXIT checks;
        END IF;

        SELECT array_agg(r.record ORDER BY e.i),
            array_agg(e.i ORDER BY e.i) FILTER (
                WHERE coalesce(r.version, 0) <> e.version
                OR coalesce(r.record_hash, decode(repeat('00', 32), 'hex')) <> e.record_hash
            )
        INTO record_numbers, failed
        FROM unnest(namespaces, keys, versions, hashes) WITH ORDINALITY AS e(namespace, key, version, record_hash, i)
        LEFT JOIN records r ON r.namespace = e.namespace AND r.key = e.key;
        IF failed IS NOT NULL THEN
            reason := 'read';
            EXIT checks;
        END IF;

        FOR scan IN 1 .. coalesce(array_length(scan_counts, 1), 0) LOOP
            SELECT array_agg(t.key ORDER BY t.key), array_agg(t.version ORDER BY t.key),
                array_agg(t.record_hash ORDER BY t.key)
            INTO found_keys, found_versions, found_hashes
            FROM (
                SELECT r.key, r.version, r.record_hash FROM records r
                WHERE r.namespace = scan_namespaces[scan] AND r.key >= scan_lows[scan] AND r.key < scan_highs[scan]
                ORDER BY r.key LIMIT scan_counts[scan] + 1
            ) AS t;
            IF coalesce(found_keys, '{}') <> row_keys[at + 1 : at + scan_counts[scan]]
                OR coalesce(found_versions, '{}') <> row_versions[at + 1 : at + scan_counts[scan]]
                OR coalesce(found_hashes, '{}') <> row_hashes[at + 1 : at + scan_counts[scan]]
            THEN
                reason := 'scan';
                failed := failed || scan;
            END IF;
            at := at + scan_counts[scan];
        END LOOP;
    END;

    IF reason IS NOT NULL THEN
        SELECT array_agg(c.name), array_agg(c.value) INTO names, contents FROM cells c;
        RETURN;
    END IF;

    -- Everything holds. From here on nothing is refused.

    IF 0 = ANY (versions[1 : array_length(new_versions, 1)]) THEN
        SELECT array_agg(coalesce(n.record, nextval('record_numbers')) ORDER BY n.i) INTO record_numbers
        FROM unnest(record_numbers[1 : array_length(new_versions, 1)]) WITH ORDINALITY AS n(record, i);
        INSERT INTO records (record, namespace, key, version, record_hash)
        SELECT n.record, n.namespace, n.key, n.version, n.record_hash
        FROM unnest(record_numbers, namespaces, keys, versions, new_versions, new_hashes)
            AS n(record, namespace, key, version_before, version, record_hash)
        WHERE n.version_before = 0 AND n.version IS NOT NULL;
    END IF;
    UPDATE records r SET version = n.version, record_hash = n.record_hash
    FROM unnest(record_numbers, versions, new_versions, new_hashes) AS n(record, version_before, version, record_hash)
    WHERE r.record = n.record AND n.version_before > 0 AND n.version IS NOT NULL;
    INSERT INTO versions (record, version, packed)
    SELECT record_numbers[w.place], w.version, w.packed
    FROM unnest(written, written_versions, written_packed) AS w(place, version, packed)
    ON CONFLICT (record, version) DO UPDATE SET packed = excluded.packed;

    IF first_minute > 0 THEN
        DELETE FROM replay r WHERE r.minute < first_minute;
        GET DIAGNOSTICS evicted = ROW_COUNT;
    END IF;
    IF wanted > 0 THEN
        INSERT INTO replay (minute, request_id, sequence) SELECT * FROM unnest(replay_minutes, replay_ids, replay_sequences)
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS added = ROW_COUNT;
        IF added < wanted THEN
            UPDATE replay r SET sequence = n.sequence
            FROM unnest(replay_minutes, replay_ids, replay_sequences) AS n(minute, request_id, sequence)
            WHERE r.minute = n.minute AND r.request_id = n.request_id;
        END IF;
    END IF;
    IF added <> evicted THEN
        entries := entries + added - evicted;
        UPDATE counts SET replay = entries;
    END IF;

    INSERT INTO cells (name, value) SELECT * FROM unnest(set_names, set_values)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value;
    DELETE FROM cells c WHERE c.name = ANY (removed_names);

    DELETE FROM outbox o USING unnest(trim_kinds, trim_below) AS t(kind, below)
    WHERE o.kind = t.kind AND o.number < t.below;
    INSERT INTO outbox (kind, number, message) SELECT * FROM unnest(put_kinds, put_numbers, put_messages)
    ON CONFLICT (kind, number) DO UPDATE SET message = excluded.message;
END
$$
