-- The incident itself: many small steps.  5 rows in a transaction, 8 within an
-- hour by one role.

-- case: loop of single rows in one transaction
-- as: app owner creator super
-- expect: refused ZG001
BEGIN;
SELECT format('DELETE FROM listing WHERE id = %s', i) FROM generate_series(1, 60) i \gexec
COMMIT;

-- case: loop of single rows, each a transaction of its own
-- as: app owner creator super
-- expect: refused ZG002 within 8
\set ON_ERROR_STOP off
SELECT format('DELETE FROM listing WHERE id = %s', i) FROM generate_series(1, 60) i \gexec

-- case: loop of single rows in a procedure that commits
-- as: app owner creator super
-- expect: refused ZG002 within 8
CALL p_commit(1, 60);

-- case: loop in a block that commits and catches
-- as: app super
-- expect: within 8
DO $$
BEGIN
	FOR i IN 1..60 LOOP
		BEGIN
			DELETE FROM shop.listing WHERE id = i;
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
		COMMIT;
	END LOOP;
END $$;

-- case: eight sessions at once
-- as: app owner creator super
-- expect: refused ZG002 within 8
-- sessions: 8
\set ON_ERROR_STOP off
SELECT format('DELETE FROM listing WHERE id = %s', i) FROM generate_series(1, 60) i WHERE i % 8 = :session \gexec

-- case: four sessions at once, with transactions of several rows
-- as: app super
-- expect: refused ZG002 within 8
-- sessions: 4
\set ON_ERROR_STOP off
SELECT format('BEGIN; DELETE FROM listing WHERE id = %s; SELECT pg_sleep(0.01); DELETE FROM listing WHERE id = %s; COMMIT',
	i, i + 30) FROM generate_series(1, 30) i WHERE i % 4 = :session \gexec

-- case: sessions at once that update
-- as: app super
-- expect: refused ZG001
-- sessions: 2
UPDATE listing SET n = 1 WHERE id > 0;

-- case: loop of caught errors in one transaction
-- as: app owner creator super
-- expect: within 5
-- event: blocked
SELECT count(f_caught(i)) FROM generate_series(1, 60) i;

-- case: loop of caught errors, each with a savepoint
-- as: app owner creator super
-- expect: refused ZG001 within 5
\set ON_ERROR_STOP off
BEGIN;
SELECT format('SAVEPOINT s; DELETE FROM listing WHERE id = %s; ROLLBACK TO s', i) FROM generate_series(1, 4) i \gexec
SELECT format('SAVEPOINT s; DELETE FROM listing WHERE id BETWEEN %s AND %s + 9', i * 10, i * 10) FROM generate_series(0, 4) i \gexec
ROLLBACK TO s;
DELETE FROM listing WHERE id = 60;
COMMIT;

-- case: refused rows stay charged although the error is caught
-- as: app super
-- expect: within 0
-- event: blocked
DO $$
BEGIN
	BEGIN
		DELETE FROM shop.listing WHERE id <= 10;
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END;
	DELETE FROM shop.listing WHERE id BETWEEN 11 AND 12;
EXCEPTION WHEN OTHERS THEN
	NULL;
END $$;

-- case: hide rows in subtransactions that are released
-- as: app owner super
-- expect: refused ZG001
BEGIN;
SELECT format('SAVEPOINT s%s; DELETE FROM listing WHERE id = %s; RELEASE s%s', i, i, i) FROM generate_series(1, 20) i \gexec
COMMIT;

-- case: rows that were rolled back may be deleted again, and no more
-- as: app super
-- expect: refused ZG001
BEGIN;
SAVEPOINT s;
DELETE FROM listing WHERE id <= 5;
ROLLBACK TO s;
DELETE FROM listing WHERE id BETWEEN 6 AND 10;
DELETE FROM listing WHERE id = 11;
COMMIT;

-- case: one prepared transaction after the other
-- as: app owner creator super
-- expect: refused ZG002 within 8
\set ON_ERROR_STOP off
SELECT 'BEGIN', format('DELETE FROM listing WHERE id IN (%s, %s)', i, i + 30), format('PREPARE TRANSACTION %L', :'db' || i),
	format('COMMIT PREPARED %L', :'db' || i) FROM generate_series(1, 9) i \gexec

-- case: prepared transactions that wait, committed together
-- as: app super
-- expect: refused ZG002 within 8
\set ON_ERROR_STOP off
SELECT 'BEGIN', format('DELETE FROM listing WHERE id IN (%s, %s)', i, i + 30), format('PREPARE TRANSACTION %L', :'db' || i)
	FROM generate_series(1, 9) i \gexec
SELECT format('COMMIT PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = current_database() \gexec

-- case: over the limit in a transaction to be prepared
-- as: app super
-- expect: refused ZG001
BEGIN;
DELETE FROM listing WHERE id <= 4;
DELETE FROM listing WHERE id BETWEEN 5 AND 9;
PREPARE TRANSACTION 'over';

-- case: one row too many within the hour, in a new session
-- as: app super
-- expect: refused ZG002 within 5
DELETE FROM listing WHERE id <= 5;
\connect -
DELETE FROM listing WHERE id BETWEEN 6 AND 9;

-- case: one role's window by way of another name for the session
-- as: super
-- expect: refused ZG002 within 5
DELETE FROM listing WHERE id <= 5;
SET ROLE regress_owner;
DELETE FROM listing WHERE id BETWEEN 6 AND 9;

