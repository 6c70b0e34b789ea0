--
-- What the attack catalogue attacks: a small shop.  Every table here is
-- protected unless its name begins with "free_".  Each holds more rows than its
-- limits allow to go: 5 deleted and 10 updated in one transaction, 8 deleted
-- within an hour by one role.
--
-- The runner (t/100_attack.pl) loads this into one database as a superuser who
-- is exempt from everything, and copies that database whenever an attempt has
-- left a trace.
--
CREATE EXTENSION fortress_guard;
CREATE SCHEMA shop AUTHORIZATION regress_owner;
GRANT USAGE, CREATE ON SCHEMA shop TO regress_app, regress_batch, regress_nightly;
CREATE SCHEMA spare AUTHORIZATION regress_owner;
GRANT ALL ON SCHEMA public TO PUBLIC;
SET ROLE regress_owner;
SET search_path = shop;

CREATE TYPE state AS ENUM ('new', 'shown', 'sold');
CREATE TYPE address AS (street text, city text);
CREATE TYPE wrapped AS (inside address, n int);
CREATE TYPE pin AS (id int, note text);
CREATE DOMAIN shown_state AS state;

-- The rows that everything is about.  They also hang on an unprotected table.
CREATE TABLE free_agent (id int PRIMARY KEY, name text);
INSERT INTO free_agent SELECT i, 'agent ' || i FROM generate_series(1, 6) i;
CREATE TABLE listing (
	id int PRIMARY KEY,
	agent int NOT NULL REFERENCES free_agent ON DELETE CASCADE ON UPDATE CASCADE,
	title varchar(40) NOT NULL,
	price numeric(10, 2) NOT NULL DEFAULT 1,
	state state NOT NULL DEFAULT 'new',
	old_states shown_state[],
	place wrapped,
	n int NOT NULL DEFAULT 0,
	doc text);
INSERT INTO listing
	SELECT i, 1 + i % 6, 'title ' || i, i * 10, 'new', '{sold}', ROW(ROW('street ' || i, 'city'), i)::wrapped, 0, repeat('doc', 10)
	FROM generate_series(1, 60) i;
CREATE INDEX listing_agent ON listing (agent);
CREATE TABLE free_photo (id int PRIMARY KEY, listing int REFERENCES listing ON DELETE CASCADE);
INSERT INTO free_photo SELECT i, i FROM generate_series(1, 60) i;

-- Rows that a foreign key sets to NULL or changes
CREATE TABLE free_visitor (id int PRIMARY KEY);
INSERT INTO free_visitor SELECT generate_series(1, 3);
CREATE TABLE viewing (id int PRIMARY KEY, visitor int REFERENCES free_visitor ON DELETE SET NULL ON UPDATE CASCADE,
	chosen int DEFAULT 1 REFERENCES free_visitor ON DELETE SET DEFAULT,
	code varchar(10) DEFAULT 'code', cost numeric(10, 2) DEFAULT 1.25);
INSERT INTO viewing (id, visitor, chosen) SELECT i, 1 + i % 3, 2 FROM generate_series(1, 60) i;

-- Partitions of two levels, one of them default
CREATE TABLE sale (id int NOT NULL, day date NOT NULL, kind text NOT NULL, v int DEFAULT 0) PARTITION BY RANGE (day);
CREATE TABLE sale_2023 PARTITION OF sale FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE sale_2024 PARTITION OF sale FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (kind);
CREATE TABLE sale_2024_a PARTITION OF sale_2024 FOR VALUES IN ('a');
CREATE TABLE sale_2024_b PARTITION OF sale_2024 FOR VALUES IN ('b');
INSERT INTO sale SELECT i, '2023-06-01'::date + (i % 2) * 366, CASE WHEN i % 4 < 2 THEN 'a' ELSE 'b' END, 0
	FROM generate_series(1, 80) i;
ALTER TABLE sale ADD PRIMARY KEY (id, day, kind);

-- A partition that is protected under a root that is not
CREATE TABLE free_log (id int, k int, v int DEFAULT 0) PARTITION BY LIST (k);
CREATE TABLE log_1 PARTITION OF free_log FOR VALUES IN (1);
CREATE TABLE free_log_2 PARTITION OF free_log FOR VALUES IN (2);
INSERT INTO free_log SELECT i, 1 + i % 2, 0 FROM generate_series(1, 60) i;

-- Inheritance: protected from above, and protected below
CREATE TABLE message (id int PRIMARY KEY, body text);
CREATE TABLE message_old (extra int) INHERITS (message);
INSERT INTO message SELECT i, 'body' FROM generate_series(1, 30) i;
INSERT INTO message_old SELECT i, 'body', 1 FROM generate_series(31, 60) i;
CREATE TABLE free_note (id int, body text);
CREATE TABLE note () INHERITS (free_note);
INSERT INTO note SELECT i, 'body' FROM generate_series(1, 30) i;

-- Made from a type; watched column by column; only watched
CREATE TABLE typed OF pin (PRIMARY KEY (id));
INSERT INTO typed SELECT i, 'note' FROM generate_series(1, 30) i;
CREATE TABLE account (id int PRIMARY KEY, email text, seen int DEFAULT 0);
INSERT INTO account SELECT i, 'mail ' || i, 0 FROM generate_series(1, 30) i;

-- Not protected
CREATE TABLE free_table (id int PRIMARY KEY, v text, state state DEFAULT 'new');
INSERT INTO free_table SELECT i, 'v' FROM generate_series(1, 60) i;
CREATE TABLE free_extra (id int NOT NULL, day date NOT NULL, kind text NOT NULL, v int DEFAULT 0);
CREATE TABLE free_state (id int, note text);
CREATE TYPE free_enum AS ENUM ('x', 'y');

-- Roads to the rows
CREATE VIEW v_all AS SELECT * FROM listing;
CREATE VIEW v_some AS SELECT * FROM listing WHERE id <= 50 WITH CHECK OPTION;
CREATE VIEW v_over AS SELECT id, title, n FROM v_all WHERE n = 0;
CREATE VIEW v_invoker WITH (security_invoker) AS SELECT * FROM listing;
CREATE VIEW v_rule AS SELECT id, title FROM listing ORDER BY id LIMIT 1000;
CREATE RULE v_rule_delete AS ON DELETE TO v_rule DO INSTEAD DELETE FROM listing WHERE id = OLD.id;
CREATE RULE v_rule_update AS ON UPDATE TO v_rule DO INSTEAD UPDATE listing SET title = NEW.title WHERE id = OLD.id;
CREATE VIEW v_instead AS SELECT id, title FROM listing ORDER BY id LIMIT 1000;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM shop.listing WHERE id = OLD.id;
	RETURN OLD;
END $$;
CREATE TRIGGER instead INSTEAD OF DELETE ON v_instead FOR EACH ROW EXECUTE FUNCTION instead();
CREATE FUNCTION f_sql(int, int) RETURNS SETOF int LANGUAGE sql AS
	'DELETE FROM shop.listing WHERE id BETWEEN $1 AND $2 RETURNING id';
CREATE FUNCTION f_atomic(a int, b int) RETURNS SETOF int LANGUAGE sql
	BEGIN ATOMIC DELETE FROM shop.listing WHERE id BETWEEN a AND b RETURNING id; END;
CREATE FUNCTION f_plpgsql(a int, b int) RETURNS void LANGUAGE plpgsql AS
	$$BEGIN DELETE FROM shop.listing WHERE id BETWEEN a AND b; END$$;
CREATE FUNCTION f_definer(a int, b int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
	$$BEGIN DELETE FROM shop.listing WHERE id BETWEEN a AND b; END$$;
CREATE FUNCTION f_all() RETURNS void LANGUAGE sql AS 'DELETE FROM shop.listing';
CREATE FUNCTION f_one(i int) RETURNS int LANGUAGE plpgsql AS
	$$BEGIN DELETE FROM shop.listing WHERE id = i; RETURN i; END$$;
CREATE FUNCTION f_caught(i int) RETURNS text LANGUAGE plpgsql AS
	$$BEGIN DELETE FROM shop.listing WHERE id = i; RETURN 'gone'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END$$;
CREATE PROCEDURE p_commit(a int, b int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN a..b LOOP
		DELETE FROM shop.listing WHERE id = i;
		COMMIT;
	END LOOP;
END $$;
CREATE MATERIALIZED VIEW m_listing AS SELECT state, count(*) FROM listing GROUP BY state;

-- On an unprotected table: triggers that take protected rows with them
CREATE TABLE free_order (id int PRIMARY KEY, how text);
INSERT INTO free_order VALUES (1, 'rows'), (2, 'deferred'), (3, 'statement');
CREATE FUNCTION order_gone() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN DELETE FROM shop.listing WHERE id BETWEEN 1 AND 40; RETURN NULL; END$$;
CREATE TRIGGER order_gone AFTER DELETE ON free_order FOR EACH ROW WHEN (OLD.how = 'rows') EXECUTE FUNCTION order_gone();
CREATE CONSTRAINT TRIGGER order_gone_late AFTER DELETE ON free_order DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW WHEN (OLD.how = 'deferred') EXECUTE FUNCTION order_gone();
CREATE TRIGGER order_changed AFTER UPDATE ON free_order FOR EACH STATEMENT EXECUTE FUNCTION order_gone();

GRANT ALL ON ALL TABLES IN SCHEMA shop TO regress_app, regress_batch, regress_nightly;
RESET ROLE;
CREATE FUNCTION shop.f_super(a int, b int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
	$$BEGIN DELETE FROM shop.listing WHERE id BETWEEN a AND b; END$$;
ALTER FUNCTION shop.f_super(int, int) OWNER TO regress_super;
CREATE FUNCTION shop.f_batch(a int, b int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
	$$BEGIN DELETE FROM shop.listing WHERE id BETWEEN a AND b; END$$;
ALTER FUNCTION shop.f_batch(int, int) OWNER TO regress_batch;
ANALYZE;

-- The guard
SELECT fortress.protect(r, delete_rows => 5, update_rows => 10)
	FROM unnest('{listing,viewing,sale,log_1,message,note,typed}'::regclass[]) r;
SELECT fortress.protect('account', delete_rows => 5, update_rows => 10, columns => '{email}');
SELECT fortress.set_limit(p.relation, 'delete', 8, '1 hour') FROM fortress.policy p;
SELECT fortress.exempt('postgres', operations => '{delete,update,truncate,ddl,admin}', reason => 'the runner');
SELECT fortress.exempt('regress_batch', 'listing', reason => 'regress_app is a member');
SELECT fortress.exempt('regress_nightly', 'listing', reason => 'nobody is a member');
