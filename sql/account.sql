--
-- One session, the same statement again and again: what is kept from one for the
-- next follows who the session is, whose permissions count and what the policy says.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY sqlstate
\set SHOW_CONTEXT never
\pset tuples_only on
\pset format unaligned

CREATE ROLE regress_account_a;
CREATE ROLE regress_account_b;
GRANT regress_account_b TO regress_account_a;
CREATE SCHEMA account;
GRANT ALL ON SCHEMA account TO PUBLIC;
SET search_path = account;
CREATE TABLE t (id int PRIMARY KEY, v int) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT g FROM generate_series(1, 1000) g;
GRANT ALL ON t TO PUBLIC;
SELECT fortress.protect('t', delete_rows => 100, update_rows => 100);
SELECT fortress.set_limit('t', 'delete', 3, '1 hour');
PREPARE del AS DELETE FROM t WHERE id = $1;
PREPARE upd AS UPDATE t SET v = 0 WHERE id <= $1;

--
-- Another session user has a window of his own; coming back finds one's own again
--
SET SESSION AUTHORIZATION regress_account_a;
EXECUTE del(1);
EXECUTE del(2);
EXECUTE del(3);
EXECUTE del(4);		-- refused
SET SESSION AUTHORIZATION regress_account_b;
EXECUTE del(4);
SET SESSION AUTHORIZATION regress_account_a;
EXECUTE del(5);		-- refused
SET SESSION AUTHORIZATION regress_account_b;
EXECUTE del(5);
EXECUTE del(6);
EXECUTE del(7);		-- refused
RESET SESSION AUTHORIZATION;
EXECUTE del(7);
SELECT min(id) FROM t;

-- within a transaction, and taken back with a savepoint
BEGIN;
EXECUTE del(8);
SAVEPOINT a;
SET SESSION AUTHORIZATION regress_account_b;
EXECUTE del(9);		-- refused
ROLLBACK TO a;
EXECUTE del(9);
SAVEPOINT b;
EXECUTE del(10);	-- refused
ROLLBACK TO b;
SET LOCAL SESSION AUTHORIZATION regress_account_a;
EXECUTE del(10);	-- refused
ROLLBACK;
EXECUTE del(8);
EXECUTE del(9);
EXECUTE del(10);	-- refused

-- within one call
SELECT fortress.set_limit('t', 'delete', 4, '1 hour');
CREATE FUNCTION turns() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	who text;
BEGIN
	FOR i IN 1..2 LOOP
		FOREACH who IN ARRAY ARRAY['a', 'b'] LOOP
			PERFORM set_config('session_authorization', 'regress_account_' || who, true);
			BEGIN
				DELETE FROM account.t WHERE id = (SELECT min(id) FROM account.t);
				RETURN NEXT who || ' passed';
			EXCEPTION WHEN OTHERS THEN
				RETURN NEXT who || ' ' || SQLSTATE;
			END;
		END LOOP;
	END LOOP;
END $$;
BEGIN;
SELECT turns();
RESET SESSION AUTHORIZATION;
COMMIT;
SELECT min(id) FROM t;

--
-- SET ROLE changes whose permissions count, but not the window
--
SELECT fortress.exempt('regress_account_b', 't', max_rows => 2) AS exemption \gset
SET SESSION AUTHORIZATION regress_account_a;
EXECUTE del(12);	-- refused
SET ROLE regress_account_b;
EXECUTE del(12);
EXECUTE del(13);
RESET ROLE;
EXECUTE del(14);	-- refused
SET ROLE regress_account_b;
BEGIN;
EXECUTE del(14);
EXECUTE del(15);
EXECUTE del(16);	-- refused
ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT fortress.revoke_exemption(:exemption);
SET SESSION AUTHORIZATION regress_account_a;
SET ROLE regress_account_b;
EXECUTE del(14);	-- refused
RESET SESSION AUTHORIZATION;
SELECT min(id) FROM t;

--
-- A changed policy
--
SELECT fortress.drop_limit('t', 'delete', '1 hour');
BEGIN; EXECUTE upd(100); ROLLBACK;
SELECT fortress.set_limit('t', 'update', 50);
EXECUTE upd(100);	-- refused
BEGIN;
SELECT fortress.set_limit('t', 'update', 200);
EXECUTE upd(200);
ROLLBACK;
EXECUTE upd(100);	-- refused
BEGIN; EXECUTE upd(50); ROLLBACK;
BEGIN;
EXECUTE upd(50);
SAVEPOINT a;
SELECT fortress.set_limit('t', 'update', 60);
EXECUTE upd(50);	-- refused
ROLLBACK;
SELECT fortress.drop_limit('t', 'update');
BEGIN; EXECUTE upd(1000); ROLLBACK;
SELECT fortress.set_limit('t', 'update', 10, '1 hour', 'table');
EXECUTE upd(30);	-- refused
BEGIN;
SELECT fortress.unprotect('t');
EXECUTE upd(30);
ROLLBACK;
EXECUTE upd(30);	-- refused
SELECT fortress.drop_limit('t', 'update', '1 hour', 'table');

-- a part of the table is worked out for each statement
ANALYZE t;
SELECT fortress.set_limit('t', 'update', NULL, max_fraction => 0.5);
BEGIN; EXECUTE upd(500); ROLLBACK;
SELECT fortress.set_limit('t', 'delete', NULL, max_fraction => 1);
BEGIN; DELETE FROM t WHERE id > 100; COMMIT;
EXECUTE upd(90);	-- passes, as nobody has counted the rows since
VACUUM ANALYZE t;
EXECUTE upd(90);	-- refused
BEGIN; EXECUTE upd(50); ROLLBACK;
-- also when a part has grown that the session has nothing to do with
CREATE TABLE parts (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (1) TO (101) WITH (autovacuum_enabled = off);
CREATE TABLE parts2 PARTITION OF parts FOR VALUES FROM (101) TO (201) WITH (autovacuum_enabled = off);
INSERT INTO parts SELECT g FROM generate_series(1, 101) g;
ANALYZE parts;
SELECT fortress.protect('parts');
SELECT fortress.set_limit('parts', 'update', NULL, max_fraction => 0.5);
BEGIN; UPDATE parts SET v = 0 WHERE id <= 50; ROLLBACK;
UPDATE parts SET v = 0 WHERE id <= 60;	-- refused
INSERT INTO parts SELECT g FROM generate_series(102, 200) g;
UPDATE parts SET v = 0 WHERE id <= 60;	-- refused
ANALYZE parts2;
BEGIN; UPDATE parts SET v = 0 WHERE id <= 60; ROLLBACK;
SELECT fortress.unprotect('parts');

--
-- Two accounts with one policy at once: a statement inside a statement
--
SELECT fortress.drop_limit('t', 'update');
SELECT fortress.drop_limit('t', 'delete');
SELECT fortress.set_limit('t', 'delete', 1, 'statement');
CREATE FUNCTION next() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM account.t WHERE id = old.id + 1 AND id % 5 <> 0;
	RETURN old;
END $$;
CREATE TRIGGER next AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION next();
BEGIN; EXECUTE del(21); EXECUTE del(31); SELECT count(*) FROM t WHERE id BETWEEN 21 AND 40; ROLLBACK;
DELETE FROM t WHERE id IN (21, 31);		-- refused
BEGIN; EXECUTE del(21); EXECUTE del(31); SELECT count(*) FROM t WHERE id BETWEEN 21 AND 40; ROLLBACK;

--
-- Several windows of one table, and another session that comes to them in another order
--
CREATE TABLE several (id int PRIMARY KEY);
INSERT INTO several SELECT generate_series(1, 20);
GRANT ALL ON several TO PUBLIC;
SELECT fortress.protect('several');
SELECT fortress.set_limit('several', 'delete', 5, '1 hour');
SELECT fortress.set_limit('several', 'delete', 8, '1 hour', 'table');
SELECT fortress.set_limit('several', 'delete', 9, '2 hours', 'table');
SET SESSION AUTHORIZATION regress_account_a;
DELETE FROM several WHERE id = 1;
DELETE FROM several WHERE id = 2;
DELETE FROM several WHERE id = 3;
SET SESSION AUTHORIZATION regress_account_b;
DELETE FROM several WHERE id = 4;
\c -
SET client_min_messages = warning;
SET search_path = account;
\set VERBOSITY sqlstate
SET SESSION AUTHORIZATION regress_account_b;
DELETE FROM several WHERE id = 5;
DELETE FROM several WHERE id = 6;
DELETE FROM several WHERE id = 7;
SET SESSION AUTHORIZATION regress_account_a;
DELETE FROM several WHERE id = 8;
DELETE FROM several WHERE id = 9;	-- refused: everybody together has had eight
RESET SESSION AUTHORIZATION;
SELECT operation, per, "by", who, used FROM fortress.window_use('several') ORDER BY per, "by", who;
SELECT fortress.set_limit('several', 'delete', 100, '1 hour', 'table');
DELETE FROM several WHERE id = 9;
DELETE FROM several WHERE id = 10;	-- refused: within two hours it would be the tenth
SELECT fortress.unprotect('several');

--
-- Other policies that change while a statement runs: what it has counted stays
--
CREATE TABLE house (id int PRIMARY KEY);
CREATE TABLE room (id int PRIMARY KEY, house int REFERENCES house ON DELETE CASCADE);
CREATE TABLE other (id int);
INSERT INTO house SELECT generate_series(1, 10);
INSERT INTO room SELECT g, g FROM generate_series(1, 10) g;
SELECT fortress.protect('room', delete_rows => 100);
SELECT fortress.set_limit('room', 'delete', 4, 'statement');
SELECT fortress.protect('other');
CREATE FUNCTION disturb() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM fortress.set_limit('account.other', 'update', old.id + 10);
	RETURN NULL;
END $$;
CREATE TRIGGER disturb AFTER DELETE ON room FOR EACH ROW EXECUTE FUNCTION disturb();
DELETE FROM house WHERE id <= 5;	-- refused
SELECT count(*) FROM room;
DELETE FROM house WHERE id <= 4;
SELECT count(*) FROM room;
BEGIN;
DELETE FROM house WHERE id IN (5, 6);
DELETE FROM house WHERE id IN (7, 8, 9);
SELECT count(*) FROM room;
ROLLBACK;
SELECT fortress.unprotect('room'), fortress.unprotect('other');

--
-- Two policies for one table, of which the nearer one is off
--
CREATE TABLE tree (id int);
CREATE TABLE leaf () INHERITS (tree);
INSERT INTO leaf SELECT generate_series(1, 100);
SELECT fortress.protect('tree', delete_rows => 5);
SELECT fortress.protect('leaf', delete_rows => 3);
DELETE FROM leaf WHERE id <= 4;		-- refused
SELECT fortress.set_mode('leaf', 'off');
DELETE FROM leaf WHERE id <= 6;		-- refused
DELETE FROM leaf WHERE id <= 4;
DELETE FROM tree WHERE id <= 10;	-- refused
SELECT fortress.set_mode('leaf', 'block'), fortress.set_mode('tree', 'off');
DELETE FROM tree WHERE id <= 8;		-- refused
DELETE FROM tree WHERE id <= 7;
SELECT count(*), min(id) FROM tree;
SELECT fortress.unprotect('leaf'), fortress.unprotect('tree');

--
-- Clean up
--
DEALLOCATE ALL;
SELECT fortress.unprotect('t');
SET client_min_messages = error;
DROP SCHEMA account CASCADE;
DROP ROLE regress_account_a, regress_account_b;
