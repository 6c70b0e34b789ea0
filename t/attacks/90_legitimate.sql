-- What is legitimate: it passes, without an event, and the guard stands as
-- before.

-- case: vacuum, all ways
-- as: owner creator super
-- expect: passes
VACUUM listing;
VACUUM (FULL) listing;
VACUUM (FULL, ANALYZE) sale;
VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) message;

-- case: vacuum the database
-- as: super
-- expect: passes
VACUUM;
VACUUM FULL;

-- case: cluster
-- as: owner creator super
-- expect: passes with effect
-- check: SELECT indisclustered FROM pg_index WHERE indexrelid = 'listing_pkey'::regclass
CLUSTER listing USING listing_pkey;
CLUSTER listing;

-- case: reindex
-- as: owner creator super
-- expect: passes
REINDEX TABLE listing;
REINDEX INDEX listing_agent;
REINDEX TABLE sale;

-- case: reindex concurrently
-- as: owner super
-- expect: passes with effect
-- check: SELECT count(*) = 60 FROM listing
REINDEX TABLE CONCURRENTLY listing;
REINDEX INDEX CONCURRENTLY listing_agent;
REINDEX SCHEMA shop;

-- case: analyze
-- as: owner creator super
-- expect: passes
ANALYZE listing;
ANALYZE sale (id, day);

-- case: create and drop indexes
-- as: owner creator super
-- expect: passes with effect
-- check: SELECT to_regclass('listing_n_desc') IS NOT NULL AND to_regclass('listing_agent') IS NULL
CREATE INDEX listing_n ON listing (n);
CREATE INDEX CONCURRENTLY listing_n_desc ON listing (n DESC);
CREATE INDEX ON sale (v);
ALTER INDEX listing_n RENAME TO listing_nn;
DROP INDEX CONCURRENTLY listing_agent;
DROP INDEX listing_nn;

-- case: add columns
-- as: owner creator super
-- expect: passes with effect
-- check: SELECT count(*) = 60 AND bool_and(a = 7 AND b IS NOT NULL) FROM listing
ALTER TABLE listing ADD COLUMN a int DEFAULT 7, ADD COLUMN b float8 DEFAULT random();
ALTER TABLE sale ADD COLUMN w text;
ALTER TABLE message ADD COLUMN at timestamptz DEFAULT now();

-- case: add and drop constraints
-- as: owner super
-- expect: passes with effect
-- check: SELECT count(*) = 1 FROM pg_constraint WHERE conname = 'n_small' AND convalidated
ALTER TABLE listing ADD CONSTRAINT n_small CHECK (n < 1000) NOT VALID;
ALTER TABLE listing VALIDATE CONSTRAINT n_small;
ALTER TABLE listing ADD CONSTRAINT n_unique UNIQUE (id, n);
ALTER TABLE listing DROP CONSTRAINT n_unique;
ALTER TABLE listing ADD CONSTRAINT to_visitor FOREIGN KEY (n) REFERENCES free_visitor NOT VALID;
ALTER TABLE listing ALTER COLUMN n SET DEFAULT 1, ALTER COLUMN n DROP NOT NULL, ALTER COLUMN n SET NOT NULL;
ALTER TABLE listing ALTER COLUMN n DROP DEFAULT;

-- case: widen columns
-- as: owner super
-- expect: passes with effect
-- check: SELECT count(*) = 60 AND min(code) = 'code' AND min(cost) = 1.25 FROM viewing
ALTER TABLE viewing ALTER COLUMN code TYPE varchar(80);
ALTER TABLE viewing ALTER COLUMN code TYPE text;
ALTER TABLE viewing ALTER COLUMN id TYPE bigint;
ALTER TABLE viewing ALTER COLUMN cost TYPE numeric(12, 2);

-- case: storage, statistics, options
-- as: owner super
-- expect: passes with effect
-- check: SELECT reloptions = '{fillfactor=90,autovacuum_enabled=false}' FROM pg_class WHERE oid = 'listing'::regclass
ALTER TABLE listing SET (fillfactor = 90, autovacuum_enabled = false);
ALTER TABLE listing ALTER COLUMN doc SET STORAGE EXTERNAL, ALTER COLUMN doc SET STATISTICS 200;
CREATE STATISTICS listing_stat ON agent, n FROM listing;
ALTER TABLE listing SET TABLESPACE pg_default;
ALTER TABLE listing SET LOGGED;

-- case: after triggers
-- as: owner super
-- expect: passes with effect
-- check: SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'note_it')
CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER note_it AFTER INSERT OR UPDATE ON listing FOR EACH ROW EXECUTE FUNCTION note_it();
CREATE TRIGGER note_all AFTER INSERT ON sale FOR EACH ROW EXECUTE FUNCTION note_it();
DROP TRIGGER note_all ON sale;

-- case: comment
-- as: owner creator super
-- expect: passes
COMMENT ON TABLE listing IS 'what is for sale';
COMMENT ON COLUMN listing.n IS 'a number';

-- case: grant and revoke on the table
-- as: owner creator super
-- expect: passes
GRANT SELECT ON listing TO regress_other;
REVOKE SELECT ON listing FROM regress_other;

-- case: a new partition
-- as: owner creator super
-- expect: passes with effect
-- check: SELECT count(*) >= 3 FROM pg_trigger WHERE tgrelid = 'sale_2025'::regclass AND tgname LIKE 'fortress%'
CREATE TABLE sale_2025 PARTITION OF sale FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO sale VALUES (1000, '2025-05-05', 'z');

-- case: attach a partition
-- as: owner super
-- expect: passes with effect
-- check: SELECT count(*) >= 3 FROM pg_trigger WHERE tgrelid = 'free_extra'::regclass AND tgname LIKE 'fortress%'
INSERT INTO free_extra VALUES (1000, '2025-05-05', 'z');
ALTER TABLE sale ATTACH PARTITION free_extra FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');

-- case: a new child
-- as: owner super
-- expect: passes with effect
-- check: SELECT count(*) >= 3 FROM pg_trigger WHERE tgrelid = 'message_new'::regclass AND tgname LIKE 'fortress%'
CREATE TABLE message_new (more text) INHERITS (message);

-- case: refresh
-- as: owner creator super
-- expect: passes
REFRESH MATERIALIZED VIEW m_listing;

-- case: explain without analyze
-- as: app owner creator super
-- expect: passes
EXPLAIN DELETE FROM listing;
EXPLAIN UPDATE listing SET n = 1 WHERE id > 0;

-- case: prepare without executing
-- as: app super
-- expect: passes
PREPARE p AS DELETE FROM listing;
DEALLOCATE p;

-- case: copy to
-- as: app owner creator super
-- expect: passes
COPY listing TO STDOUT;
COPY (SELECT * FROM sale) TO STDOUT;

-- case: dump the database
-- as: super
-- expect: passes
-- command: pg_dump -d {db} >/dev/null

-- case: dump the schema as its owner
-- as: owner
-- expect: passes
-- command: pg_dump -d {db} -n shop >/dev/null

-- case: dump in parallel, directory format
-- as: super
-- expect: passes
-- command: d=$(mktemp -d) && pg_dump -Fd -j 2 -d {db} -f $d/dump && rm -r $d

-- case: vacuumdb, reindexdb, clusterdb
-- as: super
-- expect: passes
-- command: vacuumdb -z {db} && vacuumdb --full -t shop.listing {db} && reindexdb -t shop.listing {db} && clusterdb {db}

-- case: pg_repack, by table, by index, with partitions
-- as: super
-- expect: passes with effect
-- needs: pg_repack --version && test -e "$(pg_config --sharedir)/extension/pg_repack.control"
-- setup: CREATE EXTENSION pg_repack; DELETE FROM shop.listing WHERE id > 50;
-- check: SELECT count(*) = 50 FROM listing
-- check: SELECT count(*) = 80 FROM sale
-- command: pg_repack -t shop.listing {db} && pg_repack -t shop.listing -o price {db} && pg_repack -x -t shop.listing {db} && pg_repack -I shop.sale {db}

-- case: pg_repack of the whole database, but for the guard
-- as: super
-- expect: passes with effect
-- needs: pg_repack --version && test -e "$(pg_config --sharedir)/extension/pg_repack.control"
-- setup: CREATE EXTENSION pg_repack;
-- check: SELECT count(*) = 60 FROM listing
-- command: pg_repack --exclude-extension=fortress_guard {db}

-- case: pg_repack of the guard's own tables
-- as: super
-- expect: within 0
-- event: blocked
-- needs: pg_repack --version && test -e "$(pg_config --sharedir)/extension/pg_repack.control"
-- setup: CREATE EXTENSION pg_repack;
-- command: pg_repack -t fortress.audit_log {db}

-- case: a small delete
-- as: app owner creator super
-- expect: passes with effect
-- check: SELECT count(*) = 55 FROM listing
DELETE FROM listing WHERE id <= 5;

-- case: a small update
-- as: app owner creator super
-- expect: passes with effect
-- check: SELECT count(*) = 10 FROM listing WHERE n = 5
UPDATE listing SET n = 5 WHERE id <= 10;

-- case: updates, transaction after transaction
-- as: app super
-- expect: passes with effect
-- check: SELECT count(*) = 60 FROM listing WHERE n = 5
SELECT format('UPDATE listing SET n = 5 WHERE id BETWEEN %s AND %s', i * 10 + 1, i * 10 + 10) FROM generate_series(0, 5) i \gexec

-- case: update of columns that are not watched
-- as: app owner super
-- expect: passes with effect
-- check: SELECT count(*) = 30 FROM account WHERE seen = 1
UPDATE account SET seen = 1, email = email WHERE id > 0;

-- case: a row moves to another partition
-- as: app super
-- expect: passes with effect
-- check: SELECT count(*) = 80 FROM sale
UPDATE sale SET day = '2024-05-05' WHERE id IN (SELECT id FROM sale_2023 ORDER BY id LIMIT 8);

-- case: inserts, as many as one likes
-- as: app owner creator super
-- expect: passes with effect
-- check: SELECT count(*) = 1060 FROM listing
INSERT INTO listing (id, agent, title) SELECT i, 1, 'new' FROM generate_series(101, 1100) i;
INSERT INTO listing (id, agent, title) SELECT i, 1, 'new' FROM generate_series(101, 1100) i ON CONFLICT DO NOTHING;

-- case: merge within limits
-- as: app super
-- expect: passes with effect
-- check: SELECT count(*) = 62 AND sum(n) = 3 FROM listing
MERGE INTO listing l USING (SELECT generate_series(57, 65) AS id) s ON s.id = l.id
	WHEN MATCHED AND l.id < 60 THEN UPDATE SET n = 1
	WHEN MATCHED THEN DELETE
	WHEN NOT MATCHED AND s.id < 64 THEN INSERT (id, agent, title) VALUES (s.id, 1, 'new');

-- case: a delete that is rolled back, then a small one
-- as: app super
-- expect: passes with effect
-- check: SELECT count(*) = 55 FROM listing
BEGIN;
SAVEPOINT s;
DELETE FROM listing WHERE id <= 5;
ROLLBACK TO s;
DELETE FROM listing WHERE id BETWEEN 6 AND 10;
COMMIT;

-- case: a cascade within limits
-- as: app super
-- expect: passes with effect
-- check: SELECT count(*) = 58 FROM listing
INSERT INTO free_agent VALUES (10, 'small');
UPDATE listing SET agent = 10 WHERE id <= 2;
DELETE FROM free_agent WHERE id = 10;

-- case: a small prepared transaction
-- as: app super
-- expect: passes with effect
-- check: SELECT count(*) = 58 FROM listing
BEGIN;
DELETE FROM listing WHERE id <= 2;
PREPARE TRANSACTION 'small';
COMMIT PREPARED 'small';

-- case: unprotected tables
-- as: owner creator super
-- expect: passes
-- probe: no
BEGIN;
CREATE TABLE shop.free_new (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE shop.free_new_1 PARTITION OF shop.free_new DEFAULT;
INSERT INTO free_new SELECT i, 'v' FROM generate_series(1, 1000) i;
UPDATE free_new SET v = 'w';
DELETE FROM free_new;
TRUNCATE free_new;
ALTER TABLE free_new DETACH PARTITION free_new_1;
ALTER TABLE free_new_1 RENAME TO free_other;
ALTER TABLE free_other ALTER COLUMN v TYPE int USING 1;
ALTER TABLE free_other DISABLE TRIGGER USER;
ALTER TABLE free_other ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON free_other USING (false);
CREATE RULE r AS ON DELETE TO free_other DO INSTEAD NOTHING;
ALTER TABLE free_other REPLICA IDENTITY FULL;
ALTER TABLE free_other SET UNLOGGED;
ALTER TABLE free_other SET SCHEMA spare;
DROP TABLE spare.free_other, free_new CASCADE;
ALTER TYPE free_enum RENAME VALUE 'x' TO 'z';
DROP TYPE free_enum CASCADE;
DELETE FROM free_table;
TRUNCATE free_table;
ALTER TABLE free_table RENAME TO free_table_2;
DROP TABLE free_table_2;
ROLLBACK;

-- case: temporary tables
-- as: app owner creator super
-- expect: passes
CREATE TEMP TABLE listing AS SELECT * FROM shop.listing;
DELETE FROM listing;
UPDATE pg_temp.listing SET n = 1;
TRUNCATE listing;
ALTER TABLE listing DROP COLUMN n;
ALTER TABLE listing RENAME TO renamed;
DROP TABLE renamed;
DISCARD TEMP;

-- case: what every session does
-- as: app owner super
-- expect: passes
SELECT count(*) FROM listing;
SELECT * FROM fortress.shadow_of('listing');
BEGIN;
LOCK TABLE free_table;
COMMIT;
LISTEN fortress_alert;
SHOW fortress.enabled;
SET work_mem = '8MB';
RESET ALL;
DISCARD ALL;

-- case: other extensions
-- as: super
-- expect: passes with effect
-- check: SELECT count(*) = 4 FROM pg_extension WHERE extname IN ('citext', 'hstore', 'postgres_fdw', 'tablefunc')
CREATE EXTENSION citext;
CREATE EXTENSION hstore SCHEMA public;
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION tablefunc;
CREATE EXTENSION pg_stat_statements;
DROP EXTENSION pg_stat_statements;

-- case: a lock, a publication
-- as: super
-- expect: passes with effect
-- check: SELECT count(*) = 1 FROM pg_publication
BEGIN;
LOCK TABLE listing IN ACCESS EXCLUSIVE MODE;
COMMIT;
CREATE PUBLICATION everything FOR TABLE listing, sale;

-- case: new functions and schemas
-- as: owner creator super
-- expect: passes with effect
-- check: SELECT shop.one() = 1
CREATE FUNCTION shop.one() RETURNS int LANGUAGE sql AS 'SELECT 2';
CREATE OR REPLACE FUNCTION shop.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE OR REPLACE VIEW shop.v_invoker WITH (security_invoker) AS SELECT * FROM shop.listing;
DROP VIEW shop.v_over;

-- case: add a value to an enum, an attribute to a type
-- as: owner super
-- expect: passes with effect
-- check: SELECT count(*) = 4 FROM pg_enum WHERE enumtypid = 'state'::regtype
ALTER TYPE state ADD VALUE 'rented';

-- case: an exempt role by login
-- as: batch nightly
-- expect: passes with effect
-- event: permitted
-- probe: viewing
-- check: SELECT count(*) = 0 FROM listing
DELETE FROM listing WHERE id > 0;

-- case: an exempt role by SET ROLE
-- as: app
-- expect: passes with effect
-- event: permitted
-- check: SELECT count(*) = 20 FROM listing
SET ROLE regress_batch;
DELETE FROM listing WHERE id <= 40;

-- case: a function of an exempt role
-- as: app owner
-- expect: passes with effect
-- event: permitted
-- check: SELECT count(*) = 20 FROM listing
SELECT f_batch(1, 40);

-- case: rows with a token
-- as: app owner creator super
-- token: '{shop.listing,shop.sale}', '{delete,update}'
-- expect: passes with effect
-- event: permitted
-- probe: viewing
-- check: SELECT count(*) = 0 FROM listing
BEGIN;
SELECT fortress.unlock(:'token');
UPDATE sale SET v = 1;
DELETE FROM listing;
COMMIT;

-- case: rows with a token, by setting
-- as: app super
-- token: '{shop.listing}'
-- expect: passes with effect
-- event: permitted
-- probe: viewing
-- check: SELECT count(*) = 0 FROM listing
BEGIN;
SET LOCAL fortress.token = :'token';
DELETE FROM listing;
COMMIT;

-- case: truncate with a token
-- as: app owner super
-- token: '{shop.account}', '{truncate}'
-- expect: passes with effect
-- event: permitted
-- check: SELECT count(*) = 0 FROM account
BEGIN;
SELECT fortress.unlock(:'token');
TRUNCATE account;
COMMIT;

-- case: drop with a token
-- as: owner creator super
-- token: '{shop.account}', '{ddl}'
-- expect: passes with effect
-- event: permitted
-- check: SELECT to_regclass('shop.account') IS NULL
BEGIN;
SELECT fortress.unlock(:'token');
DROP TABLE account;
COMMIT;

-- case: detach with a token
-- as: owner super
-- token: operations => '{ddl}'
-- expect: passes with effect
-- event: permitted
-- check: SELECT NOT relispartition FROM pg_class WHERE oid = 'sale_2023'::regclass
BEGIN;
SELECT fortress.unlock(:'token');
ALTER TABLE sale DETACH PARTITION sale_2023;
COMMIT;

-- case: rename, move, retype, hide with a token
-- as: owner super
-- token: operations => '{ddl}'
-- expect: passes with effect
-- event: permitted
-- check: SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'spare.accounts'::regclass AND attname = 'mail')
BEGIN;
SELECT fortress.unlock(:'token');
ALTER TABLE account RENAME COLUMN email TO mail;
ALTER TABLE account ALTER COLUMN seen TYPE text USING 'x';
ALTER TABLE account DROP COLUMN seen;
ALTER TABLE account RENAME TO accounts;
ALTER TABLE accounts SET SCHEMA spare;
ALTER TABLE spare.accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE spare.accounts REPLICA IDENTITY FULL;
COMMIT;

-- case: rename an enum's value with a token
-- as: owner super
-- token: operations => '{ddl}'
-- expect: passes with effect
-- event: permitted
-- check: SELECT EXISTS (SELECT FROM pg_enum WHERE enumlabel = 'fresh')
BEGIN;
SELECT fortress.unlock(:'token');
ALTER TYPE state RENAME VALUE 'new' TO 'fresh';
COMMIT;

-- case: the guard's tables with a token
-- as: super
-- token: operations => '{admin}'
-- expect: passes with effect
-- event: permitted
-- check: SELECT NOT EXISTS (SELECT FROM fortress.exemption WHERE role_name = 'regress_nightly')
BEGIN;
SELECT fortress.unlock(:'token');
GRANT SELECT ON fortress.policy TO regress_app;
DELETE FROM fortress.exemption WHERE role_name = 'regress_nightly';
COMMIT;

-- case: drop the extension with a token
-- as: super
-- token: operations => '{admin,ddl}'
-- expect: passes with effect
-- event: gone
-- probe: no
-- check: SELECT NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'fortress_guard') AND (SELECT count(*) FROM shop.listing) = 60
BEGIN;
SELECT fortress.unlock(:'token');
DROP EXTENSION fortress_guard CASCADE;
COMMIT;

-- case: unprotect, as its administrator
-- as: super
-- expect: passes with effect
-- event: policy_changed
-- probe: no
-- check: SELECT count(*) = 0 FROM listing
SELECT fortress.unprotect('listing');
DELETE FROM listing;

-- case: protect more, as the owner
-- as: owner
-- expect: passes with effect
-- event: policy_changed
-- check: SELECT count(*) = 1 FROM fortress.policy WHERE relation = 'free_table'::regclass
SELECT fortress.protect('free_table');
SELECT fortress.set_limit('free_table', 'delete', 1);
