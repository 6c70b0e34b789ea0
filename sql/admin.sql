--
-- protect, unprotect, set_mode, set_limit, drop_limit: arguments, what they
-- write, and who may.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on

CREATE ROLE regress_adm_owner;
CREATE ROLE regress_adm_app;
CREATE ROLE regress_adm_admin IN ROLE fortress_admin;
CREATE SCHEMA adm;
GRANT ALL ON SCHEMA adm TO PUBLIC;
SET search_path = adm;

CREATE TABLE t (id int PRIMARY KEY, v text, w text);
INSERT INTO t SELECT i, 'v' || i, 'w' FROM generate_series(1, 300) i;
ALTER TABLE t OWNER TO regress_adm_owner;
GRANT ALL ON t TO regress_adm_app, regress_adm_admin;
CREATE VIEW policies AS SELECT relation, mode, require_where, archive, columns FROM fortress.policy WHERE relation::text !~ '\.' ORDER BY relation::text COLLATE "C";
CREATE VIEW limits AS SELECT relation, operation, per, "by", max_rows, max_fraction FROM fortress.row_limit WHERE relation::text !~ '\.' ORDER BY relation::text COLLATE "C", operation, per COLLATE "C", "by";
GRANT SELECT ON policies, limits TO PUBLIC;

--
-- What the first call writes
--
SELECT fortress.protect('t');
TABLE policies;
TABLE limits;
SELECT tgname, tgenabled, tgfoid::regprocedure FROM pg_trigger WHERE tgrelid = 't'::regclass ORDER BY tgname;
SELECT fortress.shadow_of('t') IS NOT NULL AS shadow;
-- again: nothing changes, but what is given
SELECT fortress.protect('t');
TABLE limits;
SELECT fortress.protect('t', delete_rows => 50);
SELECT fortress.protect('t', archive => 'delete');
SELECT fortress.protect('t', require_where => false);
SELECT fortress.protect('t', columns => '{w,v,w}');
SELECT fortress.protect('t', 'audit', update_rows => 0);
TABLE policies;
TABLE limits;
SELECT fortress.protect('t', 'block', 100, 1000, true, ' update , delete ');
TABLE policies;
TABLE limits;
-- everything at once, by position
SELECT fortress.unprotect('t');
SELECT fortress.protect('t', 'audit', 7, 8, false, 'none', '{v}');
TABLE policies;
TABLE limits;
SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass ORDER BY tgname;
-- unprotect takes all of it away, and leaves the shadow
SELECT fortress.unprotect('t');
TABLE policies;
TABLE limits;
SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass;
SELECT fortress.shadow_of('t') IS NOT NULL AS shadow;
BEGIN; DELETE FROM t; SELECT count(*) FROM t; ROLLBACK;
-- undone by rollback, like everything else
BEGIN; SELECT fortress.protect('t'); DELETE FROM t; ROLLBACK;
BEGIN; DELETE FROM t; SELECT count(*) FROM t; ROLLBACK;
SELECT fortress.protect('t', delete_rows => 5);
BEGIN; SELECT fortress.unprotect('t'); DELETE FROM t; SELECT count(*) FROM t; ROLLBACK;
DELETE FROM t WHERE id <= 6;
-- the primary message, detail and hint of a rows limit as psql shows them
DELETE FROM t WHERE id <= 5;
DELETE FROM t WHERE id <= 102;
SELECT count(*) FROM t;

--
-- set_limit, drop_limit
--
SELECT fortress.set_limit('t', 'update', 20, 'statement');
SELECT fortress.set_limit('t', 'update', 20, '90 minutes', 'client');
SELECT fortress.set_limit('t', 'update', 30, '1:30', 'client');
SELECT fortress.set_limit('t', 'update', NULL, 'P1D', 'table', 0.25);
SELECT fortress.set_limit('t', 'delete', 10, per => '1 month');
TABLE limits;
SELECT fortress.drop_limit('t', 'update', 'statement');
SELECT fortress.drop_limit('t', 'update', '5400 seconds', 'client');
SELECT fortress.drop_limit('t', 'update', '24 hours', 'table');
SELECT fortress.drop_limit('t', 'delete', '30 days');
TABLE limits;

-- the defaults are frozen by the first call: other settings are for others
ALTER SYSTEM SET fortress.default_delete_rows = 1;
SET fortress.default_delete_rows = 1;
SHOW fortress.default_delete_rows;
SHOW fortress.default_update_rows;
SHOW fortress.default_window_delete_rows;
SHOW fortress.default_window_update_rows;

--
-- Arguments
--
SELECT fortress.protect(NULL);
SELECT fortress.protect('nowhere');
SELECT fortress.protect(0);
SELECT fortress.protect('t', 'strict');
SELECT fortress.protect('t', 'BLOCK');
SELECT fortress.protect('t', delete_rows => -1);
SELECT fortress.protect('t', update_rows => -1);
SELECT fortress.protect('t', archive => 'everything');
SELECT fortress.protect('t', archive => '');
SELECT fortress.protect('t', archive => 'none,delete');
SELECT fortress.protect('t', archive => 'delete,delete');
SELECT fortress.protect('t', columns => '{}');
SELECT fortress.protect('t', columns => '{v,NULL}');
SELECT fortress.protect('t', columns => '{nothing}');
SELECT fortress.protect('t', columns => '{ctid}');
SELECT fortress.unprotect(NULL);
SELECT fortress.set_mode('t', NULL);
SELECT fortress.set_mode('t', 'strict');
SELECT fortress.set_mode(NULL, 'block');
SELECT fortress.set_limit('t', NULL, 1);
SELECT fortress.set_limit('t', 'insert', 1);
SELECT fortress.set_limit('t', 'truncate', 1);
SELECT fortress.set_limit('t', 'ddl', 1);
SELECT fortress.set_limit('t', 'delete', NULL);
SELECT fortress.set_limit('t', 'delete', 1, max_fraction => 0.1);
SELECT fortress.set_limit('t', 'delete', -1);
SELECT fortress.set_limit('t', 'delete', NULL, max_fraction => 1.1);
SELECT fortress.set_limit('t', 'delete', NULL, max_fraction => -0.1);
SELECT fortress.set_limit('t', 'delete', NULL, max_fraction => 'NaN');
SELECT fortress.set_limit('t', 'delete', 1, 'day after day');
SELECT fortress.set_limit('t', 'delete', 1, '0.5 seconds');
SELECT fortress.set_limit('t', 'delete', 1, '-1 hour');
SELECT fortress.set_limit('t', 'delete', 1, '2 years');
SELECT fortress.set_limit('t', 'delete', 1, NULL);
SELECT fortress.set_limit('t', 'delete', 1, by => 'nobody');
SELECT fortress.set_limit('t', 'delete', 1, by => NULL);
SELECT fortress.drop_limit('t', 'delete', 'statement');
SELECT fortress.drop_limit('t', 'delete', '2 hours');
SELECT fortress.drop_limit('t', 'update', '1 hour');
SELECT fortress.drop_limit('t', NULL);
-- tables without a policy
CREATE TABLE plain (id int);
SELECT fortress.unprotect('plain');
SELECT fortress.set_mode('plain', 'block');
SELECT fortress.set_limit('plain', 'delete', 1);
SELECT fortress.drop_limit('plain', 'delete');
-- what cannot be protected
CREATE TEMP TABLE short (id int);
CREATE VIEW v AS SELECT * FROM plain;
CREATE MATERIALIZED VIEW m AS SELECT * FROM plain;
CREATE SEQUENCE s;
CREATE INDEX i ON plain (id);
CREATE FOREIGN DATA WRAPPER regress_adm_fdw;
CREATE SERVER regress_adm_server FOREIGN DATA WRAPPER regress_adm_fdw;
CREATE FOREIGN TABLE f (id int) SERVER regress_adm_server;
CREATE TABLE pt (id int) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10) SERVER regress_adm_server;
CREATE ACCESS METHOD regress_adm_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE otherwise (id int) USING regress_adm_heap;
\set VERBOSITY sqlstate
SELECT fortress.protect('short');
\set VERBOSITY default
SELECT fortress.protect('v');
SELECT fortress.protect('m');
SELECT fortress.protect('s');
SELECT fortress.protect('i');
SELECT fortress.protect('f');
SELECT fortress.protect('pt');
SELECT fortress.protect('otherwise');
SELECT fortress.protect('pg_catalog.pg_class');
SELECT fortress.protect('fortress.policy');
\set VERBOSITY sqlstate
SELECT fortress.protect(fortress.shadow_of('t'));
\set VERBOSITY default
TABLE policies;
-- nor may such things become a part of what is protected
DROP FOREIGN TABLE pt1;
CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM (10) TO (20);
SELECT fortress.protect('pt');
CREATE FOREIGN TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10) SERVER regress_adm_server;
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10) USING regress_adm_heap;
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10);
-- a partition is protected with its root
SELECT fortress.protect('pt2');
SELECT fortress.set_mode('pt2', 'off');
SELECT fortress.set_limit('pt2', 'delete', 1);
SELECT fortress.drop_limit('pt2', 'delete');
SELECT fortress.unprotect('pt2');
-- an unlogged table can be
CREATE UNLOGGED TABLE u (id int);
SELECT fortress.protect('u');
-- names that need quotes
CREATE SCHEMA "odd one";
CREATE TABLE "odd one"."it's a ""table""" ("the id" int, "Odd" text);
INSERT INTO "odd one"."it's a ""table""" VALUES (1, 'x'), (2, 'y');
SELECT fortress.protect('"odd one"."it''s a ""table"""', delete_rows => 1, columns => '{"the id",Odd}');
\set VERBOSITY sqlstate
DELETE FROM "odd one"."it's a ""table""" WHERE "the id" > 0;
\set VERBOSITY default
BEGIN; DELETE FROM "odd one"."it's a ""table""" WHERE "the id" = 1; ROLLBACK;
SELECT columns FROM fortress.policy WHERE relation = '"odd one"."it''s a ""table"""'::regclass;
SELECT fortress.unprotect('"odd one"."it''s a ""table"""');

--
-- Who may: nobody else's table; the owner what is stricter; admins everything
--
SELECT fortress.unprotect('t');
SET SESSION AUTHORIZATION regress_adm_app;
SELECT fortress.protect('t');
SELECT fortress.set_mode('t', 'block');
SELECT fortress.set_limit('t', 'delete', 1);
SELECT fortress.drop_limit('t', 'delete');
SELECT fortress.unprotect('t');
TABLE fortress.policy;
DELETE FROM fortress.policy;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_adm_owner;
SELECT fortress.protect('t', 'audit', 20, 20, false, 'none', '{v}');
-- stricter
SELECT fortress.protect('t', 'block', 20, 10, true, 'delete', '{v,w}');
SELECT fortress.set_limit('t', 'delete', 10);
SELECT fortress.set_limit('t', 'delete', 10, '1 day');
SELECT fortress.set_limit('t', 'delete', 9, '1 day');
SELECT fortress.set_limit('t', 'update', NULL, 'statement', max_fraction => 0.5);
SELECT fortress.set_limit('t', 'update', NULL, 'statement', max_fraction => 0.25);
SELECT fortress.set_limit('t', 'update', 0, 'statement');
SELECT fortress.set_mode('t', 'block');
TABLE policies;
TABLE limits;
-- weaker
SELECT fortress.set_mode('t', 'audit');
SELECT fortress.set_mode('t', 'off');
SELECT fortress.protect('t', 'audit');
SELECT fortress.protect('t', delete_rows => 11);
SELECT fortress.protect('t', update_rows => 11);
SELECT fortress.protect('t', require_where => false);
SELECT fortress.protect('t', archive => 'none');
SELECT fortress.protect('t', archive => 'update');
SELECT fortress.protect('t', columns => '{v}');
SELECT fortress.set_limit('t', 'delete', 11);
SELECT fortress.set_limit('t', 'delete', NULL, max_fraction => 0.001);
SELECT fortress.set_limit('t', 'delete', 10, '1 day');
SELECT fortress.set_limit('t', 'update', 1, 'statement');
SELECT fortress.drop_limit('t', 'delete');
SELECT fortress.unprotect('t');
-- nothing of it has happened
TABLE policies;
TABLE limits;
DELETE FROM t WHERE id > 0;
-- nor by another road: the policy's tables and triggers are not the owner's
UPDATE fortress.row_limit SET max_rows = 1000;
SELECT fortress.guard();
RESET SESSION AUTHORIZATION;
-- an admin that does not own the table
SET SESSION AUTHORIZATION regress_adm_admin;
SELECT fortress.set_mode('t', 'audit');
SELECT fortress.protect('t', 'off', 11, 11, false, 'none', '{v}');
SELECT fortress.set_limit('t', 'delete', NULL, max_fraction => 0.001);
SELECT fortress.drop_limit('t', 'delete');
TABLE policies;
TABLE limits;
SELECT fortress.unprotect('t');
SELECT fortress.protect('t');
SELECT fortress.unprotect('t');
TABLE limits;
RESET SESSION AUTHORIZATION;
-- from all columns to some is weaker
SET SESSION AUTHORIZATION regress_adm_owner;
SELECT fortress.protect('t');
SELECT fortress.protect('t', columns => '{id,v,w}');
RESET SESSION AUTHORIZATION;

SELECT fortress.unprotect('t'), fortress.unprotect('pt'), fortress.unprotect('u');
SET client_min_messages = error;
DROP SCHEMA adm, "odd one" CASCADE;
DROP SERVER regress_adm_server;
DROP FOREIGN DATA WRAPPER regress_adm_fdw;
DROP ACCESS METHOD regress_adm_heap CASCADE;
DROP ROLE regress_adm_owner, regress_adm_app, regress_adm_admin;
