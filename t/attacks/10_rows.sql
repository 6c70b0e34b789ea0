-- Deleting and changing rows, by every kind of statement and object that can
-- hold one.  40 rows or so each time; 5 may be deleted and 10 changed.

-- case: delete without a condition
-- as: app owner creator super
-- expect: refused ZG003
DELETE FROM listing;

-- case: delete with a constant condition
-- as: app super
-- expect: refused ZG003
DELETE FROM listing WHERE 1 = 1;

-- case: delete with a condition on another table only
-- as: app super
-- expect: refused ZG003
DELETE FROM listing USING free_agent WHERE free_agent.id > 0;

-- case: delete with a bare parameter as condition
-- as: app super
-- expect: refused ZG003
PREPARE p(boolean) AS DELETE FROM listing WHERE $1;
EXECUTE p(true);

-- case: update without a condition
-- as: app owner creator super
-- expect: refused ZG003
UPDATE listing SET price = 0;

-- case: delete with a condition that all rows meet
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM listing WHERE id > 0;

-- case: delete with a condition that hides what it means
-- as: app super
-- expect: refused ZG001
DELETE FROM listing WHERE length(title) + random() > 0;

-- case: delete a row too many
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM listing WHERE id <= 6;

-- case: delete by a list of keys
-- as: app super
-- expect: refused ZG001
DELETE FROM listing WHERE id = ANY (ARRAY(SELECT generate_series(1, 60)));

-- case: delete by an index scan, a bitmap scan, a row address
-- as: app super
-- expect: refused ZG001
SET enable_seqscan = off;
DELETE FROM listing WHERE ctid = ANY (ARRAY(SELECT ctid FROM listing WHERE id < 30));

-- case: delete with a join
-- as: app super
-- expect: refused ZG001
DELETE FROM listing l USING free_agent a WHERE a.id = l.agent AND a.name LIKE 'agent%';

-- case: delete with a subquery in RETURNING
-- as: app super
-- expect: refused ZG001
DELETE FROM listing WHERE id > 10 RETURNING (SELECT count(*) FROM listing);

-- case: update with a condition that all rows meet
-- as: app owner creator super
-- expect: refused ZG001
UPDATE listing SET price = 0 WHERE id > 0;

-- case: update from a join
-- as: app super
-- expect: refused ZG001
UPDATE listing l SET title = a.name FROM free_agent a WHERE a.id = l.agent;

-- case: update that changes nothing, as many times as it likes
-- as: app super
-- expect: refused ZG001
UPDATE listing SET title = title WHERE id > 0;

-- case: update of the watched column among others
-- as: app owner super
-- expect: refused ZG001
UPDATE account SET seen = seen + 1, email = 'gone' WHERE id > 0;

-- case: update of a column that only a trigger changes
-- as: app super
-- expect: refused ZG001
-- setup: CREATE FUNCTION shop.veil() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.email = 'gone'; RETURN NEW; END$$;
-- setup: CREATE TRIGGER veil BEFORE UPDATE ON shop.account FOR EACH ROW EXECUTE FUNCTION shop.veil();
UPDATE account SET seen = 1 WHERE id > 0;

-- case: writable CTE that is read
-- as: app owner creator super
-- expect: refused ZG001
WITH gone AS (DELETE FROM listing WHERE id > 0 RETURNING *) SELECT count(*) FROM gone;

-- case: writable CTE that is not read
-- as: app owner creator super
-- expect: refused ZG001
WITH gone AS (DELETE FROM listing WHERE id > 0) SELECT 1;

-- case: writable CTE without a condition
-- as: app super
-- expect: refused ZG003
WITH gone AS (DELETE FROM listing RETURNING id) INSERT INTO free_table SELECT id + 1000, 'x' FROM gone;

-- case: two writable CTEs, each within the limit
-- as: app super
-- expect: refused ZG001
WITH a AS (DELETE FROM listing WHERE id <= 4 RETURNING id), b AS (DELETE FROM listing WHERE id BETWEEN 5 AND 8 RETURNING id)
	SELECT * FROM a, b;

-- case: writable CTE under a LIMIT that reads little of it
-- as: app super
-- expect: refused ZG001
WITH gone AS (DELETE FROM listing WHERE id > 0 RETURNING id) SELECT id FROM gone LIMIT 1;

-- case: writable CTE that moves rows to a table of one's own
-- as: app super
-- expect: refused ZG001
BEGIN;
CREATE TABLE loot (LIKE listing);
WITH gone AS (DELETE FROM listing WHERE id > 0 RETURNING *) INSERT INTO loot SELECT * FROM gone;
COMMIT;

-- case: recursive query over a writable CTE
-- as: app super
-- expect: refused ZG001
WITH RECURSIVE gone AS (DELETE FROM listing WHERE id > 3 RETURNING id),
	r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3)
	SELECT * FROM r;

-- case: merge that deletes
-- as: app owner creator super
-- expect: refused ZG001
MERGE INTO listing l USING (SELECT generate_series(1, 40) AS id) s ON s.id = l.id WHEN MATCHED THEN DELETE;

-- case: merge that updates
-- as: app super
-- expect: refused ZG001
MERGE INTO listing l USING (SELECT generate_series(1, 40) AS id) s ON s.id = l.id WHEN MATCHED THEN UPDATE SET title = 'x';

-- case: merge that does some of all
-- as: app super
-- expect: refused ZG001
MERGE INTO listing l USING (SELECT generate_series(1, 100) AS id) s ON s.id = l.id
	WHEN MATCHED AND l.id % 2 = 0 THEN DELETE
	WHEN MATCHED THEN UPDATE SET n = 1
	WHEN NOT MATCHED THEN INSERT (id, agent, title) VALUES (s.id, 1, 'new');

-- case: merge into a view's rows by their key, without WHEN conditions
-- as: app super
-- expect: refused ZG001
MERGE INTO listing USING listing other ON listing.id = other.id WHEN MATCHED THEN DELETE;

-- case: insert that updates on conflict
-- as: app owner creator super
-- expect: refused ZG001
INSERT INTO listing (id, agent, title) SELECT id, agent, 'x' FROM listing ON CONFLICT (id) DO UPDATE SET title = 'x';

-- case: insert that updates on conflict, through a view
-- as: app super
-- expect: refused ZG001
INSERT INTO v_all (id, agent, title) SELECT id, agent, 'x' FROM listing ON CONFLICT (id) DO UPDATE SET title = 'x';

-- case: copy of a delete
-- as: app owner creator super
-- expect: refused ZG001
COPY (DELETE FROM listing WHERE id > 0 RETURNING *) TO STDOUT;

-- case: copy of an update without a condition
-- as: app super
-- expect: refused ZG003
COPY (UPDATE listing SET n = 1 RETURNING *) TO STDOUT;

-- case: create a table from a query with a delete in a function
-- as: app super
-- expect: refused ZG001
CREATE TABLE loot AS SELECT f_sql(1, 40);

-- case: select into, from a function that deletes
-- as: app super
-- expect: refused ZG001
SELECT f_sql(1, 40) INTO loot;

-- case: create a table from a prepared delete
-- as: app super
-- expect: refused ZG001
PREPARE loot AS SELECT f_one(i) FROM generate_series(1, 40) i;
CREATE TEMP TABLE loot AS EXECUTE loot;

-- case: explain analyze of a delete
-- as: app owner creator super
-- expect: refused ZG001
EXPLAIN ANALYZE DELETE FROM listing WHERE id > 0;

-- case: explain analyze of a delete without a condition
-- as: app super
-- expect: refused ZG003
EXPLAIN (ANALYZE, TIMING off) DELETE FROM listing;

-- case: explain analyze of an executed statement
-- as: app super
-- expect: refused ZG001
PREPARE p AS UPDATE listing SET n = 1 WHERE id > 0;
EXPLAIN ANALYZE EXECUTE p;

-- case: delete through an automatically updatable view
-- as: app owner creator super
-- expect: refused ZG003
DELETE FROM v_all;

-- case: delete through a view with a condition of its own
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM v_some;

-- case: update through a view of a view
-- as: app super
-- expect: refused ZG001
UPDATE v_over SET n = 1 WHERE id > 0;

-- case: delete through a view with the caller's rights
-- as: app super
-- expect: refused ZG001
DELETE FROM v_invoker WHERE id > 0;

-- case: delete through a view with a rule
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM v_rule WHERE id > 0;

-- case: update through a view with a rule
-- as: app super
-- expect: refused ZG001
UPDATE v_rule SET title = 'x' WHERE id > 0;

-- case: delete through a view with an INSTEAD OF trigger
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM v_instead WHERE id > 0;

-- case: delete through a temporary view
-- as: app super
-- expect: refused ZG001
CREATE TEMP VIEW tv AS SELECT * FROM listing WHERE n = 0;
DELETE FROM tv WHERE id > 1;

-- case: delete through a rule on a table of one's own
-- as: app super
-- expect: refused ZG001
BEGIN;
CREATE TABLE lever (id int);
CREATE RULE lever AS ON INSERT TO lever DO ALSO DELETE FROM listing WHERE id >= NEW.id;
INSERT INTO lever VALUES (1);
COMMIT;

-- case: update through a rule on a table of one's own
-- as: app super
-- expect: refused ZG001
BEGIN;
CREATE TABLE lever (id int);
CREATE RULE lever AS ON UPDATE TO lever DO INSTEAD UPDATE listing SET n = 7 WHERE id > OLD.id;
INSERT INTO lever VALUES (1);
UPDATE lever SET id = 2;
COMMIT;

-- case: SQL function
-- as: app owner creator super
-- expect: refused ZG001
SELECT f_sql(1, 40);

-- case: SQL function without a condition
-- as: app super
-- expect: refused ZG003
SELECT f_all();

-- case: SQL function with a parsed body
-- as: app owner creator super
-- expect: refused ZG001
SELECT count(*) FROM f_atomic(1, 40);

-- case: plpgsql function
-- as: app owner creator super
-- expect: refused ZG001
SELECT f_plpgsql(1, 40);

-- case: function with its owner's rights
-- as: app owner creator super
-- expect: refused ZG001
SELECT f_definer(1, 40);

-- case: function with a superuser's rights
-- as: app owner creator super
-- expect: refused ZG001
SELECT f_super(1, 40);

-- case: function called for each row of a query
-- as: app owner creator super
-- expect: refused ZG001
SELECT f_one(i) FROM generate_series(1, 60) i;

-- case: function called in a condition of a harmless statement
-- as: app super
-- expect: refused ZG001
UPDATE free_table SET v = 'x' WHERE f_one(id) > 0;

-- case: function called in a check constraint
-- as: app super
-- expect: refused ZG001
BEGIN;
CREATE TABLE lever (id int CHECK (f_one(id) > 0));
INSERT INTO lever SELECT generate_series(1, 40);
COMMIT;

-- case: function called in a default
-- as: app super
-- expect: refused ZG001
BEGIN;
CREATE FUNCTION next_one() RETURNS int LANGUAGE sql VOLATILE AS
	'DELETE FROM shop.listing WHERE id = (SELECT min(id) FROM shop.listing) RETURNING id';
CREATE TABLE lever (id int, gone int DEFAULT next_one());
INSERT INTO lever SELECT generate_series(1, 40);
COMMIT;

-- case: function called in an index
-- as: app super
-- expect: refused ZG001
BEGIN;
CREATE TABLE lever AS SELECT generate_series(1, 40) AS id;
CREATE FUNCTION indexed(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN shop.f_one($1); END$$;
CREATE INDEX ON lever (indexed(id));
COMMIT;

-- case: function called by ALTER TABLE of another table
-- as: app super
-- expect: refused ZG001
BEGIN;
CREATE TABLE lever AS SELECT generate_series(1, 40) AS id;
ALTER TABLE lever ALTER COLUMN id TYPE bigint USING f_one(id);
COMMIT;

-- case: function called by a refresh
-- as: app super
-- expect: refused ZG001
BEGIN;
CREATE FUNCTION calm(int) RETURNS int LANGUAGE plpgsql STABLE AS $$BEGIN RETURN shop.f_one($1); END$$;
CREATE MATERIALIZED VIEW lever AS SELECT calm(i) FROM generate_series(1, 40) i WITH NO DATA;
REFRESH MATERIALIZED VIEW lever;
COMMIT;

-- case: function called as an operator and an aggregate
-- as: app super
-- expect: refused ZG001
BEGIN;
CREATE FUNCTION eat(int, int) RETURNS int LANGUAGE plpgsql AS $$BEGIN RETURN shop.f_one($2); END$$;
CREATE AGGREGATE eat_all(int) (SFUNC = eat, STYPE = int, INITCOND = '0');
SELECT eat_all(i) FROM generate_series(1, 40) i;
COMMIT;

-- case: function called by a cast
-- as: super
-- expect: refused ZG001
BEGIN;
CREATE TYPE mouth AS (n int);
CREATE FUNCTION to_mouth(int) RETURNS mouth LANGUAGE plpgsql AS $$BEGIN RETURN ROW(shop.f_one($1))::shop.mouth; END$$;
CREATE CAST (int AS mouth) WITH FUNCTION to_mouth(int);
SELECT i::mouth FROM generate_series(1, 40) i;
COMMIT;

-- case: anonymous block
-- as: app owner creator super
-- expect: refused ZG001
DO $$BEGIN DELETE FROM shop.listing WHERE id > 0; END$$;

-- case: dynamic SQL
-- as: app owner creator super
-- expect: refused ZG001
DO $$BEGIN EXECUTE format('DEL%s FROM shop.lis%s WHERE id > $1', 'ETE', 'ting') USING 0; END$$;

-- case: a query made of text
-- as: app super
-- expect: refused ZG001
SELECT 'DELETE FROM listing WHERE id > 0' \gexec

-- case: query_to_xml and its kin
-- as: app super
-- expect: refused ZG001
SELECT query_to_xml('SELECT shop.f_one(i) FROM generate_series(1, 40) i', true, true, '');

-- case: prepared statement with a generic plan
-- as: app owner creator super
-- expect: refused ZG001
SET plan_cache_mode = force_generic_plan;
PREPARE p(int) AS DELETE FROM listing WHERE id > $1;
EXECUTE p(0);

-- case: prepared before the session did anything else
-- as: app super
-- expect: refused ZG001 within 2
PREPARE p(int, int) AS DELETE FROM listing WHERE id BETWEEN $1 AND $2;
EXECUTE p(1, 1);
EXECUTE p(2, 2);
EXECUTE p(3, 60);

-- case: cursor over a writable function
-- as: app owner creator super
-- expect: refused ZG001
BEGIN;
DECLARE c CURSOR FOR SELECT f_one(i) FROM generate_series(1, 60) i;
FETCH 4 FROM c;
FETCH 50 FROM c;
COMMIT;

-- case: cursor with hold, whose rows are taken at the end
-- as: app super
-- expect: refused ZG001
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT f_one(i) FROM generate_series(1, 60) i;
COMMIT;

-- case: WHERE CURRENT OF, row by row
-- as: app owner creator super
-- expect: refused ZG001
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM listing FOR UPDATE;
SELECT 'MOVE c; DELETE FROM listing WHERE CURRENT OF c' FROM generate_series(1, 30) \gexec
COMMIT;

-- case: loop over a cursor in plpgsql
-- as: app super
-- expect: refused ZG001
DO $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT id FROM shop.listing LOOP
		DELETE FROM shop.listing WHERE id = r.id;
	END LOOP;
END $$;

-- case: loop of updates of one row
-- as: app super
-- expect: refused ZG001
DO $$BEGIN FOR i IN 1..50 LOOP UPDATE shop.listing SET n = i WHERE id = 1; END LOOP; END$$;

-- case: foreign key that deletes
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM free_agent WHERE id = 1;

-- case: foreign key that deletes, an unprotected table without a condition
-- as: app super
-- expect: refused ZG001
DELETE FROM free_agent;

-- case: foreign key that updates
-- as: app owner creator super
-- expect: refused ZG001
UPDATE free_agent SET id = id + 100 WHERE id IN (1, 2);

-- case: foreign key that sets to null
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM free_visitor WHERE id = 1;

-- case: foreign key that sets to its default
-- as: app super
-- expect: refused ZG001
BEGIN;
DELETE FROM free_visitor WHERE id = 2;
COMMIT;

-- case: foreign key made for the purpose
-- as: owner creator super
-- expect: refused ZG001
BEGIN;
CREATE TABLE lever (id int PRIMARY KEY);
INSERT INTO lever SELECT n FROM listing GROUP BY n;
ALTER TABLE listing ADD FOREIGN KEY (n) REFERENCES lever ON DELETE CASCADE;
DELETE FROM lever;
COMMIT;

-- case: row trigger of another table
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM free_order WHERE id = 1;

-- case: statement trigger of another table
-- as: app super
-- expect: refused ZG001
UPDATE free_order SET how = how WHERE false;

-- case: trigger that is deferred to the commit
-- as: app owner creator super
-- expect: refused ZG001
BEGIN;
DELETE FROM free_order WHERE id = 2;
COMMIT;

-- case: trigger that is deferred, then not
-- as: app super
-- expect: refused ZG001
BEGIN;
DELETE FROM free_order WHERE id = 2;
SET CONSTRAINTS ALL IMMEDIATE;
COMMIT;

-- case: trigger of a temporary table
-- as: app super
-- expect: refused ZG001
CREATE TEMP TABLE lever (id int);
CREATE TRIGGER lever AFTER INSERT ON lever FOR EACH ROW EXECUTE FUNCTION order_gone();
INSERT INTO lever VALUES (1);

-- case: event trigger
-- as: super
-- expect: refused ZG001
BEGIN;
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM shop.listing WHERE id > 0; END$$;
CREATE EVENT TRIGGER lever ON ddl_command_end EXECUTE FUNCTION on_ddl();
CREATE TABLE any_table ();
COMMIT;

-- case: delete with ONLY
-- as: app super
-- expect: refused ZG001
DELETE FROM ONLY listing WHERE id > 0;

-- case: delete under a policy of row security that shows all
-- as: app
-- expect: refused ZG003|ZG001
-- setup: ALTER TABLE shop.listing ENABLE ROW LEVEL SECURITY; CREATE POLICY shown ON shop.listing USING (true);
DELETE FROM listing;

-- case: several statements in one message
-- as: app super
-- expect: refused ZG001
SELECT 1 \; DELETE FROM listing WHERE id <= 3 \; DELETE FROM listing WHERE id BETWEEN 4 AND 8;

-- case: a parallel plan around the delete
-- as: app super
-- expect: refused ZG001
SET force_parallel_mode = on;
SET parallel_setup_cost = 0;
DELETE FROM listing WHERE id IN (SELECT id FROM listing WHERE n = 0);

-- case: a large statement of many small ones
-- as: app super
-- expect: refused ZG001
SELECT string_agg(format('DELETE FROM listing WHERE id = %s', i), '; ') FROM generate_series(1, 60) i \gexec

-- case: rows locked for somebody else's update
-- as: app super
-- expect: passes
BEGIN;
SELECT count(*) FROM (SELECT * FROM listing FOR UPDATE) x;
COMMIT;

-- case: by a second connection that the server makes
-- as: super
-- expect: denied ZG001
-- event: blocked
-- setup: CREATE EXTENSION dblink SCHEMA public;
SELECT dblink_exec(format('host=%s port=%s dbname=%s user=regress_super application_name=%L', current_setting('unix_socket_directories'),
	current_setting('port'), current_database(), current_setting('application_name')), 'DELETE FROM shop.listing WHERE id > 0');

-- case: by a foreign table that leads back
-- as: super
-- expect: denied ZG001
-- event: blocked
-- setup: CREATE EXTENSION postgres_fdw SCHEMA public;
SET postgres_fdw.application_name = '%a';
SELECT format('CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
	current_setting('unix_socket_directories'), current_setting('port'), current_database()) \gexec
CREATE USER MAPPING FOR regress_super SERVER loop OPTIONS (user 'regress_super');
CREATE FOREIGN TABLE free_far (id int, n int) SERVER loop OPTIONS (schema_name 'shop', table_name 'listing');
DELETE FROM free_far WHERE id + random() > 0;

-- case: AFTER trigger of the table itself
-- as: owner super
-- expect: refused ZG001
BEGIN;
CREATE TRIGGER zzz AFTER INSERT ON listing FOR EACH ROW EXECUTE FUNCTION order_gone();
INSERT INTO listing (id, agent, title) VALUES (200, 1, 'bait');
COMMIT;

-- case: function called by the rewrite of another table
-- as: owner super
-- expect: refused ZG001
BEGIN;
CREATE FUNCTION next_one() RETURNS int LANGUAGE sql VOLATILE AS
	'DELETE FROM shop.listing WHERE id = (SELECT min(id) FROM shop.listing) RETURNING id';
ALTER TABLE free_table ADD COLUMN gone int DEFAULT next_one();
COMMIT;

-- case: function called by ANALYZE
-- as: app super
-- expect: refused ZG001
BEGIN;
CREATE TABLE lever AS SELECT generate_series(1, 40) AS id WHERE false;
CREATE FUNCTION indexed(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN shop.f_one($1); END$$;
CREATE INDEX ON lever (indexed(id));
INSERT INTO lever SELECT generate_series(1, 40);
ANALYZE lever;
COMMIT;

-- case: the counting is stopped in mid-transaction
-- as: super
-- expect: refused ZG010
BEGIN;
DELETE FROM listing WHERE id <= 4;
SET LOCAL track_counts = off;
DELETE FROM listing WHERE id BETWEEN 5 AND 9;
COMMIT;

-- case: watched column by insert that updates on conflict
-- as: app super
-- expect: refused ZG001
INSERT INTO account SELECT * FROM account ON CONFLICT (id) DO UPDATE SET email = 'gone';

-- case: watched column by merge
-- as: app super
-- expect: refused ZG001
MERGE INTO account USING account other ON other.id = account.id WHEN MATCHED THEN UPDATE SET email = 'gone', seen = 1;

-- case: under locks on the guard's tables
-- as: super
-- expect: refused ZG001
BEGIN;
LOCK TABLE fortress.policy, fortress.row_limit, fortress.token, fortress.exemption IN ACCESS EXCLUSIVE MODE;
DELETE FROM listing WHERE id > 0;
COMMIT;

-- case: in a serializable transaction
-- as: app super
-- expect: refused ZG001
BEGIN ISOLATION LEVEL SERIALIZABLE;
DELETE FROM listing WHERE id > 0;
COMMIT;

-- case: keys that change their places
-- as: app super
-- expect: refused ZG001
UPDATE listing SET id = -id WHERE id > 0;
