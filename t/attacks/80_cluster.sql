-- What reaches beyond the database: roles, settings that are stored, other
-- databases of the cluster.  These cases are tried one after the other.

-- case: become a member of the guard's administrators
-- as: app owner creator super
-- expect: refused ZG011
-- cleanup: REVOKE fortress_admin FROM regress_app;
GRANT fortress_admin TO regress_app;

-- case: become a member from a database without the guard
-- as: creator super
-- expect: refused ZG011
-- in: attack_plain
-- event: log
-- cleanup: REVOKE fortress_admin FROM regress_app;
GRANT fortress_admin TO regress_app;

-- case: become a member from another guarded database
-- as: creator super
-- expect: refused ZG011
-- in: postgres
-- event: log
-- cleanup: REVOKE fortress_admin FROM regress_app;
GRANT fortress_admin TO regress_app WITH ADMIN OPTION;

-- case: a new role that is a member from the start
-- as: creator super
-- expect: refused ZG011
-- cleanup: DROP ROLE IF EXISTS regress_born;
CREATE ROLE regress_born LOGIN IN ROLE fortress_admin;

-- case: a new user in the administrators' group
-- as: creator super
-- expect: refused ZG011
-- cleanup: DROP ROLE IF EXISTS regress_born;
CREATE USER regress_born IN GROUP fortress_admin;

-- case: alter group
-- as: creator super
-- expect: refused ZG011
-- cleanup: REVOKE fortress_admin FROM regress_app;
ALTER GROUP fortress_admin ADD USER regress_app;

-- case: become a member of the operators, the auditors
-- as: creator super
-- expect: refused ZG011
-- cleanup: REVOKE fortress_operator, fortress_auditor FROM regress_app;
GRANT fortress_operator, fortress_auditor TO regress_app;

-- case: grant membership in an anonymous block
-- as: creator super
-- expect: within 0
-- event: blocked
-- cleanup: REVOKE fortress_admin FROM regress_app;
DO $$BEGIN EXECUTE 'GRANT fortress_admin TO regress_app'; EXCEPTION WHEN OTHERS THEN NULL; END$$;

-- case: become a member of an exempt role
-- as: creator super
-- expect: refused ZG011
-- cleanup: REVOKE regress_nightly FROM regress_app;
GRANT regress_nightly TO regress_app;

-- case: become a member of an exempt role, from a database without the guard
-- as: creator super
-- expect: refused ZG011
-- in: attack_plain
-- event: log
-- cleanup: REVOKE regress_nightly FROM regress_app;
GRANT regress_nightly TO regress_app;

-- case: a new role above an exempt one
-- as: creator super
-- expect: refused ZG011
-- cleanup: DROP ROLE IF EXISTS regress_born;
CREATE ROLE regress_born IN ROLE regress_nightly;

-- case: let the administrators log in
-- as: creator super
-- expect: refused ZG011
-- cleanup: ALTER ROLE fortress_admin NOLOGIN PASSWORD NULL;
ALTER ROLE fortress_admin LOGIN PASSWORD 'known';

-- case: let the administrators log in, from a database without the guard
-- as: creator super
-- expect: refused ZG011
-- in: attack_plain
-- event: log
-- cleanup: ALTER ROLE fortress_admin NOLOGIN PASSWORD NULL;
ALTER USER fortress_admin LOGIN PASSWORD 'known';

-- case: set the password of an exempt role
-- as: creator super
-- expect: refused ZG011
-- cleanup: ALTER ROLE regress_nightly PASSWORD NULL;
ALTER ROLE regress_nightly PASSWORD 'known';

-- case: rename the administrators
-- as: creator super
-- expect: refused ZG011
-- cleanup: DO $$BEGIN ALTER ROLE regress_gone RENAME TO fortress_admin; EXCEPTION WHEN undefined_object THEN NULL; END$$;
ALTER ROLE fortress_admin RENAME TO regress_gone;

-- case: rename an exempt role, and take its name
-- as: creator super
-- expect: refused ZG011
-- cleanup: DO $$BEGIN ALTER ROLE regress_gone RENAME TO regress_nightly; EXCEPTION WHEN undefined_object THEN NULL; END$$;
ALTER ROLE regress_nightly RENAME TO regress_gone;

-- case: drop the auditors
-- as: creator super
-- expect: refused ZG011
DROP ROLE fortress_auditor;

-- case: drop an exempt role
-- as: creator super
-- expect: refused ZG011
DROP ROLE IF EXISTS regress_nightly;

-- case: settings of the administrators
-- as: creator super
-- expect: refused ZG011
-- cleanup: ALTER ROLE fortress_admin RESET ALL;
ALTER ROLE fortress_admin SET search_path = 'public';

-- case: settings of an exempt role in one database
-- as: creator super
-- expect: refused ZG011
-- cleanup: ALTER ROLE regress_nightly IN DATABASE attack_base RESET ALL;
ALTER ROLE regress_nightly IN DATABASE attack_base SET search_path = 'public';

-- case: take a member away from an exempt role
-- as: creator super
-- expect: refused ZG011
-- cleanup: GRANT regress_batch TO regress_app;
REVOKE regress_batch FROM regress_app;

-- case: give the administrators a role
-- as: creator super
-- expect: refused ZG011
-- cleanup: REVOKE regress_other FROM fortress_admin;
GRANT regress_other TO fortress_admin;

-- case: membership in the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
INSERT INTO pg_auth_members SELECT 'fortress_admin'::regrole, 'regress_app'::regrole, 10, true;

-- case: membership in the catalog, from a database without the guard
-- as: super
-- expect: refused ZG011
-- in: attack_plain
-- event: log
-- cleanup: REVOKE fortress_admin FROM regress_app;
SET allow_system_table_mods = on;
INSERT INTO pg_auth_members SELECT 'fortress_admin'::regrole, 'regress_app'::regrole, 10, true;

-- case: rename a role in the catalog
-- as: super
-- expect: refused ZG011
SET allow_system_table_mods = on;
UPDATE pg_authid SET rolname = 'regress_else' WHERE rolname = 'regress_nightly';

-- case: take the mark off an exempt role
-- as: super
-- expect: refused ZG011
SECURITY LABEL FOR fortress_guard ON ROLE regress_nightly IS NULL;

-- case: take the mark off the database
-- as: super
-- expect: refused ZG011
SELECT format('SECURITY LABEL FOR fortress_guard ON DATABASE %I IS NULL', :'db') \gexec

-- case: label the database anew around a permission that is taken back
-- as: super
-- expect: passes with effect
-- check: SELECT label = 'protected' FROM pg_shseclabel WHERE classoid = 'pg_database'::regclass AND objoid = (SELECT oid FROM pg_database WHERE datname = current_database())
BEGIN;
SELECT format('SECURITY LABEL FOR fortress_guard ON DATABASE %I IS $$x$$', :'db') \gexec
SAVEPOINT a;
SELECT fortress.allow_drop_database();
ROLLBACK TO a;
COMMIT;

-- case: label a role in a savepoint
-- as: super creator
-- expect: passes with effect
-- check: SELECT label LIKE 'exempt in %' FROM pg_shseclabel WHERE classoid = 'pg_authid'::regclass AND objoid = 'regress_nightly'::regrole
BEGIN;
SAVEPOINT a;
SECURITY LABEL FOR fortress_guard ON ROLE regress_nightly IS 'x';
ROLLBACK TO a;
SAVEPOINT b;
SECURITY LABEL FOR fortress_guard ON ROLE regress_nightly IS 'x';
RELEASE b;
COMMIT;

-- case: take the marks off in the catalog
-- as: super
-- expect: refused ZG011
-- in: attack_plain
-- event: log
SET allow_system_table_mods = on;
DELETE FROM pg_shseclabel;

-- case: drop the database from another
-- as: super
-- expect: refused ZG005
-- in: postgres
SELECT format('DROP DATABASE %I', :'db') \gexec

-- case: drop the database from one without the guard
-- as: super
-- expect: refused ZG005
-- in: attack_plain
SELECT format('DROP DATABASE %I', :'db') \gexec

-- case: drop the database by force
-- as: super
-- expect: refused ZG005
-- in: attack_plain
SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', :'db') \gexec

-- case: drop the database as its owner
-- as: creator
-- expect: refused ZG005
-- in: attack_plain
-- setup: DO $$BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO regress_creator', current_database()); END$$;
SELECT format('DROP DATABASE %I', :'db') \gexec

-- case: drop the database after renaming it
-- as: super
-- expect: refused ZG005
-- in: attack_plain
-- cleanup: SELECT 'ALTER DATABASE attack_renamed RENAME TO ' || :'db' FROM pg_database WHERE datname = 'attack_renamed' \gexec
SELECT format('ALTER DATABASE %I RENAME TO attack_renamed', :'db') \gexec
SELECT 'DROP DATABASE attack_renamed' WHERE EXISTS (SELECT FROM pg_database WHERE datname = 'attack_renamed') \gexec

-- case: say in the catalog that the database is a template, and another
-- as: super
-- expect: refused ZG011
-- in: attack_plain
-- event: log
SET allow_system_table_mods = on;
UPDATE pg_database SET datname = 'attack_other' WHERE datname = 'attack_base';

-- case: the drop of the database is for administrators to allow
-- as: app owner creator
-- expect: denied
SELECT fortress.allow_drop_database();

-- case: keep a setting that lets the triggers sleep, for a role
-- as: super
-- expect: refused ZG001
-- cleanup: ALTER ROLE regress_super RESET ALL;
ALTER ROLE regress_super SET session_replication_role = replica;
\connect -
DELETE FROM listing WHERE id > 0;

-- case: keep a setting that lets the triggers sleep, for the application's role
-- as: super
-- expect: within 0
-- event: blocked
-- cleanup: ALTER ROLE regress_app RESET ALL;
ALTER ROLE regress_app SET session_replication_role = replica;
\connect - regress_app
DELETE FROM listing WHERE id > 0;

-- case: keep a setting that lets the triggers sleep, for the database
-- as: super
-- expect: refused ZG001
SELECT format('ALTER DATABASE %I SET session_replication_role = replica', :'db') \gexec
\connect -
DELETE FROM listing WHERE id > 0;

-- case: keep a setting that stops the counting, for a role
-- as: super
-- expect: refused ZG010
-- cleanup: ALTER ROLE regress_super RESET ALL;
ALTER ROLE regress_super SET track_counts = off;
\connect -
DELETE FROM listing WHERE id > 0;

-- case: keep a setting for a role and a database
-- as: super
-- expect: refused ZG001
-- cleanup: ALTER ROLE ALL RESET ALL;
SELECT format('ALTER ROLE ALL IN DATABASE %I SET session_replication_role = replica', :'db') \gexec
\connect -
DELETE FROM listing WHERE id > 0;

-- case: the guard's settings for a role
-- as: super owner
-- expect: denied 55P02
-- cleanup: ALTER ROLE regress_super RESET ALL; ALTER ROLE regress_owner RESET ALL;
ALTER ROLE CURRENT_USER SET fortress.enabled = off;

-- case: the guard's settings for the database
-- as: super
-- expect: denied 55P02
SELECT format('ALTER DATABASE %I SET fortress.guard_superusers = off', :'db') \gexec

-- case: the guard's settings for the system
-- as: super
-- expect: denied 55P02
-- cleanup: ALTER SYSTEM RESET ALL;
ALTER SYSTEM SET fortress.enabled = off;

-- case: the guard's settings for the system, from a database without the guard
-- as: super
-- expect: denied 55P02
-- in: attack_plain
-- cleanup: ALTER SYSTEM RESET ALL;
ALTER SYSTEM SET fortress.ignore_databases = '*';

-- case: the guard's settings in the catalog
-- as: super
-- expect: refused ZG011
-- cleanup: ALTER ROLE regress_super RESET ALL;
SET allow_system_table_mods = on;
INSERT INTO pg_db_role_setting SELECT 0, 'regress_super'::regrole, '{fortress.enabled=off}';

-- case: load another library, and not this
-- as: super
-- expect: refused ZG011
-- event: log
-- cleanup: ALTER SYSTEM RESET ALL;
ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';

-- case: load no library, from a database without the guard
-- as: super
-- expect: refused ZG011
-- in: attack_plain
-- event: log
-- cleanup: ALTER SYSTEM RESET ALL;
ALTER SYSTEM SET shared_preload_libraries = '';

-- case: stop the counting for the system
-- as: super
-- expect: refused ZG011
-- event: log
-- cleanup: ALTER SYSTEM RESET ALL;
ALTER SYSTEM SET track_counts = off;

-- case: the application's role stores a setting of its own
-- as: app
-- expect: refused ZG001
-- cleanup: ALTER ROLE regress_app RESET ALL;
ALTER ROLE regress_app SET plan_cache_mode = force_generic_plan;
ALTER ROLE regress_app SET constraint_exclusion = off;
\connect -
DELETE FROM listing WHERE id > 0;

-- case: the application's role stores what only a superuser may
-- as: app owner creator
-- expect: denied
ALTER ROLE CURRENT_USER SET session_replication_role = replica;

-- case: membership of an ordinary role
-- as: creator super
-- expect: passes
-- cleanup: REVOKE regress_other FROM regress_app;
GRANT regress_other TO regress_app;

-- case: an ordinary role comes and goes
-- as: creator super
-- expect: passes
-- in: attack_plain
CREATE ROLE regress_born LOGIN PASSWORD 'x';
ALTER ROLE regress_born SET work_mem = '8MB';
GRANT regress_other TO regress_born;
ALTER ROLE regress_born RENAME TO regress_grown;
DROP ROLE regress_grown;

-- case: an ordinary database comes and goes
-- as: creator super
-- expect: passes
-- in: attack_plain
CREATE DATABASE attack_born;
ALTER DATABASE attack_born RENAME TO attack_grown;
DROP DATABASE attack_grown WITH (FORCE);

-- case: ordinary settings of the system
-- as: super
-- expect: passes
-- cleanup: ALTER SYSTEM RESET ALL;
ALTER SYSTEM SET work_mem = '5MB';
ALTER SYSTEM RESET work_mem;
ALTER SYSTEM SET shared_preload_libraries = 'fortress_guard', 'auto_explain';
SELECT pg_reload_conf();

-- case: membership with an admin token
-- as: creator super
-- token: operations => '{admin}'
-- expect: passes
-- event: permitted
-- cleanup: REVOKE fortress_auditor FROM regress_app;
BEGIN;
SELECT fortress.unlock(:'token');
GRANT fortress_auditor TO regress_app;
COMMIT;

-- case: drop a database that was allowed to be dropped
-- as: super
-- expect: passes with effect
-- probe: no
-- check: SELECT NOT EXISTS (SELECT FROM pg_database WHERE datname = 'attack_doomed')
-- cleanup: DROP DATABASE IF EXISTS attack_doomed;
CREATE DATABASE attack_doomed;
\connect attack_doomed
CREATE EXTENSION fortress_guard;
CREATE TABLE t (id int PRIMARY KEY);
SELECT fortress.protect('t');
SELECT fortress.allow_drop_database();
\connect postgres
DROP DATABASE attack_doomed;

-- case: allowing one drop of a database allows no second
-- as: super
-- expect: refused ZG005
-- event: log
CREATE DATABASE attack_doomed_2;
\connect attack_doomed_2
CREATE EXTENSION fortress_guard;
CREATE TABLE t (id int PRIMARY KEY);
SELECT fortress.protect('t');
SELECT fortress.allow_drop_database('1 millisecond');
SELECT pg_sleep(0.1);
\connect postgres
DROP DATABASE attack_doomed_2;

-- case: a clone of a protected database may be dropped until it is protected itself
-- as: super
-- expect: passes
-- in: postgres
CREATE DATABASE attack_twin TEMPLATE attack_base STRATEGY file_copy;
DROP DATABASE attack_twin;

-- case: what an ordinary role has is given to another
-- as: super
-- expect: passes
CREATE ROLE regress_born;
REASSIGN OWNED BY regress_born TO regress_other;
DROP OWNED BY regress_born;
DROP ROLE regress_born;

-- case: dump and restore
-- as: super
-- expect: passes
-- command: createdb {db}_copy && pg_dump {db} | psql -XAtq -v ON_ERROR_STOP=1 {db}_copy && dropdb {db}_copy

-- case: a role that runs the server's programs
-- as: creator
-- expect: refused ZG011
-- cleanup: REVOKE pg_execute_server_program FROM regress_creator;
GRANT pg_execute_server_program TO regress_creator;

-- case: a role that runs the server's programs, from a database without the guard
-- as: creator
-- expect: refused ZG011
-- in: attack_plain
-- event: log
-- cleanup: REVOKE pg_execute_server_program FROM regress_creator;
GRANT pg_execute_server_program TO regress_creator;

-- case: a role that writes the server's files
-- as: creator
-- expect: refused ZG011
-- cleanup: REVOKE pg_write_server_files FROM regress_creator;
GRANT pg_write_server_files TO regress_creator;

-- case: a new role that writes the server's files
-- as: creator
-- expect: refused ZG011
-- cleanup: DROP ROLE IF EXISTS regress_born;
CREATE ROLE regress_born LOGIN IN ROLE pg_write_server_files;

-- case: a role that reads the server's files
-- as: creator
-- expect: refused ZG011
-- cleanup: REVOKE pg_read_server_files FROM regress_creator;
GRANT pg_read_server_files TO regress_creator;

-- case: log in as somebody who writes the server's files
-- as: creator
-- expect: refused ZG011
-- setup: CREATE ROLE regress_born LOGIN IN ROLE pg_write_server_files;
-- cleanup: DROP ROLE regress_born;
ALTER ROLE regress_born PASSWORD 'known';

-- case: roles that lead nowhere else
-- as: creator super
-- expect: passes
-- cleanup: REVOKE pg_monitor, pg_read_all_data, pg_write_all_data FROM regress_other;
GRANT pg_monitor, pg_read_all_data, pg_write_all_data TO regress_other;

-- case: the server's files, from a superuser
-- as: super
-- expect: passes
-- cleanup: REVOKE pg_write_server_files FROM regress_other;
GRANT pg_write_server_files TO regress_other;

-- case: a role made for the purpose, where the limit is for everybody together
-- as: creator
-- expect: within 8
-- event: blocked
-- setup: SELECT fortress.set_limit('shop.listing', 'delete', 8, '1 hour', 'table');
-- cleanup: DROP ROLE IF EXISTS regress_born;
DELETE FROM listing WHERE id <= 5;
CREATE ROLE regress_born LOGIN IN ROLE regress_owner;
\connect - regress_born
DELETE FROM listing WHERE id BETWEEN 6 AND 10;
