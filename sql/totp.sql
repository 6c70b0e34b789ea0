--
-- One-time codes: enroll_totp, unlock_totp.
--
-- The codes come from a second implementation, here in plpgsql, which is first
-- compared with the examples of RFC 2202 and RFC 6238.  Of a code of this step
-- and of the next one each is good for as long as the step lasts, so the test
-- never has to wait for the clock.  Secrets and codes are never printed.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fortress_guard;
\set VERBOSITY terse
\set SHOW_CONTEXT never

CREATE ROLE regress_totp_admin IN ROLE fortress_admin;
CREATE ROLE regress_totp_ann;
CREATE ROLE "regress totp:bob" ;
CREATE ROLE regress_totp_group;
GRANT regress_totp_group TO regress_totp_ann, "regress totp:bob";
CREATE SCHEMA totp;
GRANT ALL ON SCHEMA totp TO PUBLIC;
SET search_path = totp;

CREATE TABLE listing (id int PRIMARY KEY, price int);
CREATE TABLE enquiry (id int PRIMARY KEY, price int);
INSERT INTO listing SELECT i, i FROM generate_series(1, 40) i;
INSERT INTO enquiry SELECT i, i FROM generate_series(1, 40) i;
GRANT ALL ON listing, enquiry TO PUBLIC;
SELECT fortress.protect('listing', delete_rows => 3, update_rows => 3, archive => 'none');
SELECT fortress.protect('enquiry', delete_rows => 3, update_rows => 3, archive => 'none');

--
-- The second implementation
--
CREATE FUNCTION sha1(message bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	m32 CONSTANT bigint := 4294967295;
	padded bytea := message || '\x80'::bytea;
	w bigint[];
	h bigint[] := '{1732584193,4023233417,2562383102,271733878,3285377520}';
	a bigint; b bigint; c bigint; d bigint; e bigint; f bigint; k bigint; t bigint;
BEGIN
	WHILE length(padded) % 64 <> 56 LOOP
		padded := padded || '\x00'::bytea;
	END LOOP;
	padded := padded || int8send(length(message) * 8);
	FOR block IN 0 .. length(padded) / 64 - 1 LOOP
		FOR i IN 0 .. 15 LOOP
			t := 0;
			FOR j IN 0 .. 3 LOOP
				t := t * 256 + get_byte(padded, block * 64 + i * 4 + j);
			END LOOP;
			w[i] := t;
		END LOOP;
		FOR i IN 16 .. 79 LOOP
			t := w[i - 3] # w[i - 8] # w[i - 14] # w[i - 16];
			w[i] := ((t << 1) | (t >> 31)) & m32;
		END LOOP;
		a := h[1]; b := h[2]; c := h[3]; d := h[4]; e := h[5];
		FOR i IN 0 .. 79 LOOP
			IF i < 20 THEN f := (b & c) | (~b & m32 & d); k := 1518500249;
			ELSIF i < 40 THEN f := b # c # d; k := 1859775393;
			ELSIF i < 60 THEN f := (b & c) | (b & d) | (c & d); k := 2400959708;
			ELSE f := b # c # d; k := 3395469782;
			END IF;
			t := ((((a << 5) | (a >> 27)) & m32) + f + e + k + w[i]) & m32;
			e := d; d := c; c := ((b << 30) | (b >> 2)) & m32; b := a; a := t;
		END LOOP;
		h := ARRAY[(h[1] + a) & m32, (h[2] + b) & m32, (h[3] + c) & m32, (h[4] + d) & m32, (h[5] + e) & m32];
	END LOOP;
	RETURN int4send(h[1]::bit(32)::int) || int4send(h[2]::bit(32)::int) || int4send(h[3]::bit(32)::int)
		|| int4send(h[4]::bit(32)::int) || int4send(h[5]::bit(32)::int);
END $$;

CREATE FUNCTION hmac(key bytea, message bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	inner_key bytea := decode(repeat('36', 64), 'hex');
	outer_key bytea := decode(repeat('5c', 64), 'hex');
BEGIN
	FOR i IN 0 .. length(key) - 1 LOOP
		inner_key := set_byte(inner_key, i, get_byte(inner_key, i) # get_byte(key, i));
		outer_key := set_byte(outer_key, i, get_byte(outer_key, i) # get_byte(key, i));
	END LOOP;
	RETURN sha1(outer_key || sha1(inner_key || message));
END $$;

CREATE FUNCTION code(key bytea, at timestamptz, digits int DEFAULT 6) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	mac bytea := hmac(key, int8send(floor(extract(epoch FROM at) / 30)::bigint));
	o int := get_byte(mac, 19) & 15;
	number bigint := ((get_byte(mac, o) & 127)::bigint << 24) | (get_byte(mac, o + 1) << 16)
		| (get_byte(mac, o + 2) << 8) | get_byte(mac, o + 3);
BEGIN
	RETURN lpad((number % (10 ^ digits)::bigint)::text, digits, '0');
END $$;

CREATE FUNCTION from_base32(letters text) RETURNS bytea LANGUAGE sql AS $$
	SELECT string_agg(decode(lpad(to_hex(substr(bits, i * 8 + 1, 8)::bit(8)::int), 2, '0'), 'hex'), '' ORDER BY i)
	FROM (SELECT string_agg((strpos('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', c) - 1)::bit(5)::text, '' ORDER BY n) AS bits
		FROM regexp_split_to_table(letters, '') WITH ORDINALITY x (c, n)) b, generate_series(0, length(bits) / 8 - 1) i
$$;

SELECT encode(sha1(''), 'hex') AS empty, encode(hmac('Jefe', 'what do ya want for nothing?'), 'hex') AS rfc2202;
SELECT at, code('12345678901234567890', to_timestamp(at), 8) AS rfc6238
FROM unnest('{59,1111111109,1111111111,1234567890,2000000000,20000000000}'::bigint[]) at;
SELECT from_base32('GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ') = '12345678901234567890' AS base32;

-- who was enrolled, and with what
CREATE TABLE phone (role name PRIMARY KEY, uri text, key bytea);
GRANT ALL ON phone TO PUBLIC;
CREATE FUNCTION enroll(r regrole) RETURNS void LANGUAGE plpgsql SET search_path = totp AS $$
DECLARE
	u text := fortress.enroll_totp(r);
BEGIN
	DELETE FROM phone WHERE role = (SELECT rolname FROM pg_roles WHERE oid = r);
	INSERT INTO phone SELECT rolname, u, from_base32(substring(u FROM 'secret=([A-Z2-7]+)&')) FROM pg_roles WHERE oid = r;
END $$;
-- what a phone shows so many steps from now
CREATE FUNCTION shown(r name, steps int DEFAULT 0) RETURNS text LANGUAGE sql SET search_path = totp AS $$
	SELECT code(key, clock_timestamp() + steps * interval '30 seconds') FROM phone WHERE role = r
$$;
-- a code that is not shown, and will not be in a while
CREATE FUNCTION wrong(r name) RETURNS text LANGUAGE sql SET search_path = totp AS $$
	SELECT c FROM (SELECT lpad(i::text, 6, '0') AS c FROM generate_series(0, 20) i) x
	WHERE c NOT IN (SELECT shown(r, i) FROM generate_series(-3, 10) i) LIMIT 1
$$;

-- What would come of a statement: its rows, or the SQLSTATE.  Nothing stays.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE statement;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = n || ' rows';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN 'ZZ000' THEN SQLERRM ELSE SQLSTATE END;
END $$;

-- The message, detail and hint of a failing statement, times masked.
CREATE FUNCTION complaint(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	d text;
	h text;
BEGIN
	EXECUTE statement;
	RETURN NEXT 'no complaint';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN NEXT SQLSTATE || ' ' || SQLERRM;
	RETURN NEXT regexp_replace(d, '\w{3} \w{3} \d\d .*|\d{4}-\d\d-\d\d .*', 'TIME.');
	RETURN NEXT h;
END $$;

\set five 'DELETE FROM listing WHERE id <= 5'
\set five_enquiries 'DELETE FROM enquiry WHERE id <= 5'
\set five_updates 'UPDATE listing SET price = 0 WHERE id <= 5'

--
-- Enrolling
--
SELECT fortress.enroll_totp(NULL);
SELECT fortress.enroll_totp('-');
SET SESSION AUTHORIZATION regress_totp_ann;
SELECT fortress.enroll_totp('regress_totp_ann');			-- not by oneself
RESET SESSION AUTHORIZATION;
GRANT EXECUTE ON FUNCTION fortress.enroll_totp(regrole) TO regress_totp_ann;
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}'));
GRANT EXECUTE ON FUNCTION fortress.enroll_totp(regrole) TO regress_totp_ann;
SET LOCAL SESSION AUTHORIZATION regress_totp_ann;
SELECT fortress.enroll_totp('regress_totp_ann');			-- not with the right on the function alone
ROLLBACK;
BEGIN READ ONLY;
SELECT fortress.enroll_totp('regress_totp_ann');
ROLLBACK;
SET SESSION AUTHORIZATION regress_totp_admin;
SELECT enroll('regress_totp_ann');
SELECT enroll('"regress totp:bob"');
RESET SESSION AUTHORIZATION;
SELECT role, regexp_replace(uri, 'secret=[A-Z2-7]{32}&', 'secret=SECRET&') AS uri, length(key) FROM phone ORDER BY role;
SELECT role, enrolled_by, last_code_at, wrong_codes, locked_until FROM fortress.totp_enrolments WHERE role ~ 'regress' ORDER BY role;
SELECT count(DISTINCT key) FROM phone;

-- the secret is nowhere that SQL can read
CREATE FUNCTION found_in() RETURNS SETOF name LANGUAGE plpgsql SET search_path = totp AS $$
DECLARE
	r name;
	yes boolean;
BEGIN
	FOR r IN SELECT relname FROM pg_class WHERE relnamespace = 'fortress'::regnamespace AND relkind IN ('r', 'v') LOOP
		EXECUTE format($q$SELECT EXISTS (SELECT FROM fortress.%I t, totp.phone p
			WHERE strpos(t::text, encode(p.key, 'hex')) > 0 OR strpos(t::text, encode(p.key, 'base64')) > 0
				OR strpos(t::text, substring(p.uri FROM 'secret=([A-Z2-7]+)&')) > 0)$q$, r) INTO yes;
		IF yes THEN
			RETURN NEXT r;
		END IF;
	END LOOP;
END $$;
SELECT found_in();

-- who sees what
SET SESSION AUTHORIZATION regress_totp_ann;
SELECT * FROM fortress.totp;
SELECT * FROM fortress.totp_enrolments;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_totp_admin;
SELECT * FROM fortress.totp;
SELECT count(*) FROM fortress.totp_enrolments WHERE role ~ 'regress';
RESET SESSION AUTHORIZATION;
-- nobody writes it but the guard
SELECT try('UPDATE fortress.totp SET last_step = 0') AS update, try('DELETE FROM fortress.totp') AS delete,
	try('INSERT INTO fortress.totp SELECT * FROM fortress.totp') AS insert, try('TRUNCATE fortress.totp') AS truncate;

--
-- Unlocking
--
SET SESSION AUTHORIZATION regress_totp_ann;
SELECT try(:'five') AS locked;
BEGIN;
SELECT shown('regress_totp_ann') AS code \gset
SELECT fortress.unlock_totp(:'code');
SELECT try(:'five') AS delete, try(:'five_updates') AS update, try(:'five_enquiries') AS other_table, try('TRUNCATE listing') AS other_operation;
DELETE FROM listing WHERE id <= 5;
COMMIT;
SELECT try('DELETE FROM listing WHERE id <= 10') AS after_commit;
-- once: neither again, nor an older one
SELECT complaint(format('SELECT fortress.unlock_totp(%L)', :'code'));
SELECT complaint($$SELECT fortress.unlock_totp(shown('regress_totp_ann', -1))$$) AS older LIMIT 1;
RESET SESSION AUTHORIZATION;
SELECT role, last_code_at > now() - interval '2 minutes' AS lately FROM fortress.totp_enrolments WHERE role = 'regress_totp_ann';
SELECT operations, relations, max_rows, uses, for_role, issued_by, used, rows_used, active, origin, request, valid_until
FROM fortress.tokens WHERE origin = 'totp' ORDER BY id DESC LIMIT 1;

-- once, even if the transaction is rolled back, to a savepoint or whole
SELECT enroll('regress_totp_ann');
SET SESSION AUTHORIZATION regress_totp_ann;
BEGIN;
SAVEPOINT a;
SELECT shown('regress_totp_ann') AS code \gset
SELECT fortress.unlock_totp(:'code');
SELECT try('DELETE FROM listing WHERE id <= 10') AS unlocked;
ROLLBACK TO a;
SELECT try('DELETE FROM listing WHERE id <= 10') AS rolled_back;
SELECT complaint(format('SELECT fortress.unlock_totp(%L)', :'code')) AS again;
ROLLBACK;
SELECT complaint(format('SELECT fortress.unlock_totp(%L)', :'code')) AS again;
-- the next one, which a fast clock shows, works; then none is left for now
BEGIN;
SELECT fortress.unlock_totp(shown('regress_totp_ann', 1));
SELECT try('DELETE FROM listing WHERE id <= 10') AS unlocked;
ROLLBACK;
SELECT try($$SELECT fortress.unlock_totp(shown('regress_totp_ann'))$$) AS earlier;
RESET SESSION AUTHORIZATION;

-- two steps off is too much
SELECT enroll('regress_totp_ann');
SET SESSION AUTHORIZATION regress_totp_ann;
SELECT try($$SELECT fortress.unlock_totp(shown('regress_totp_ann', -3))$$) AS late, try($$SELECT fortress.unlock_totp(shown('regress_totp_ann', 3))$$) AS early;
RESET SESSION AUTHORIZATION;

-- bounds
SELECT enroll('regress_totp_ann');
SET SESSION AUTHORIZATION regress_totp_ann;
BEGIN;
SELECT fortress.unlock_totp(shown('regress_totp_ann'), '{delete}', '{listing}', 7);
SELECT try('DELETE FROM listing WHERE id <= 12') AS seven, try('DELETE FROM listing WHERE id <= 13') AS eight,
	try(:'five_updates') AS other_operation, try(:'five_enquiries') AS other_table;
SELECT fortress.lock();
SELECT try('DELETE FROM listing WHERE id <= 12') AS locked;
ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT enroll('regress_totp_ann');
SET SESSION AUTHORIZATION regress_totp_ann;
BEGIN;
SELECT fortress.unlock_totp(shown('regress_totp_ann'), '{truncate}');
SELECT try('DELETE FROM listing WHERE id <= 12') AS delete;
TRUNCATE enquiry;
ROLLBACK;
RESET SESSION AUTHORIZATION;

-- the session user's phone: not that of the role set, nor that of a function's owner
SELECT enroll('regress_totp_ann'), enroll('"regress totp:bob"'), enroll('regress_totp_group');
CREATE FUNCTION unlock_as_ann(code text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = totp AS 'BEGIN PERFORM fortress.unlock_totp(code); END';
ALTER FUNCTION unlock_as_ann(text) OWNER TO regress_totp_ann;
SET SESSION AUTHORIZATION "regress totp:bob";
SELECT try($$SELECT unlock_as_ann(shown('regress_totp_ann'))$$) AS owners_code;
SELECT try($$SET LOCAL ROLE regress_totp_group; SELECT fortress.unlock_totp(shown('regress_totp_group'))$$) AS roles_code;
BEGIN;
SET LOCAL ROLE regress_totp_group;
SELECT fortress.unlock_totp(shown('regress totp:bob'));
SELECT try(:'five_enquiries') AS own_code;
ROLLBACK;
BEGIN;
SELECT unlock_as_ann(shown('regress totp:bob', 1));
SELECT try(:'five_enquiries') AS own_code_in_function;
ROLLBACK;
RESET SESSION AUTHORIZATION;
-- two wrong ones were counted, and a right one forgot them
SELECT role, wrong_codes FROM fortress.totp_enrolments WHERE role ~ 'regress' ORDER BY role;

-- not enrolled
SELECT complaint($$SELECT fortress.unlock_totp('123456')$$);

--
-- Wrong codes
--
SELECT enroll('regress_totp_ann');
SET SESSION AUTHORIZATION regress_totp_ann;
SELECT wrong('regress_totp_ann') AS wrong \gset
SELECT clock_timestamp() AS t0 \gset
SELECT complaint(format('SELECT fortress.unlock_totp(%L)', :'wrong'));
SELECT clock_timestamp() - :'t0'::timestamptz >= interval '250 ms' AS takes_time;
SELECT try($$SELECT fortress.unlock_totp('')$$) AS empty, try($$SELECT fortress.unlock_totp('1234567')$$) AS longer, try(format('SELECT fortress.unlock_totp(%L)', :'wrong')) AS wrong;
-- the fifth locks; right ones are refused too, and are not spent
BEGIN;
SELECT fortress.unlock_totp(:'wrong');
ROLLBACK;
SELECT complaint($$SELECT fortress.unlock_totp(shown('regress_totp_ann'))$$);
RESET SESSION AUTHORIZATION;
SELECT wrong_codes, locked_until BETWEEN now() + interval '14 minutes' AND now() + interval '15 minutes' AS locked, last_code_at
FROM fortress.totp_enrolments WHERE role = 'regress_totp_ann';
-- others are not locked
SELECT enroll('"regress totp:bob"');
SET SESSION AUTHORIZATION "regress totp:bob";
SELECT complaint($$SELECT fortress.unlock_totp(shown('regress totp:bob'))$$);
RESET SESSION AUTHORIZATION;
-- after a quarter of an hour it works again, and five more are free
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
UPDATE fortress.totp SET locked_until = locked_until - interval '15 minutes' WHERE role_name = 'regress_totp_ann';
COMMIT;
SET SESSION AUTHORIZATION regress_totp_ann;
SELECT try(format('SELECT fortress.unlock_totp(%L)', :'wrong')) AS wrong;
BEGIN;
SELECT fortress.unlock_totp(shown('regress_totp_ann'));
SELECT try('DELETE FROM listing WHERE id <= 10') AS unlocked;
ROLLBACK;
RESET SESSION AUTHORIZATION;
-- a new enrolment ends a lock-out, and the old codes; rolled back it was none
SET SESSION AUTHORIZATION regress_totp_ann;
SELECT count(try(format('SELECT fortress.unlock_totp(%L)', :'wrong'))) FROM generate_series(1, 5);
RESET SESSION AUTHORIZATION;
BEGIN;
SELECT enroll('regress_totp_ann');
ROLLBACK;
SELECT locked_until IS NOT NULL AS still_locked FROM fortress.totp_enrolments WHERE role = 'regress_totp_ann';
CREATE TEMP TABLE old AS SELECT * FROM phone WHERE role = 'regress_totp_ann';
SELECT enroll('regress_totp_ann');
SELECT locked_until IS NULL AS free FROM fortress.totp_enrolments WHERE role = 'regress_totp_ann';
GRANT SELECT ON old TO regress_totp_ann;
SET SESSION AUTHORIZATION regress_totp_ann;
SELECT try($$SELECT fortress.unlock_totp(code(key, clock_timestamp())) FROM old$$) AS old_code,
	try($$SELECT fortress.unlock_totp(shown('regress_totp_ann'))$$) AS new_code;
RESET SESSION AUTHORIZATION;

-- enrolled and used in one transaction
BEGIN;
SELECT enroll('regress_totp_ann');
SET LOCAL SESSION AUTHORIZATION regress_totp_ann;
SELECT fortress.unlock_totp(shown('regress_totp_ann'));
SELECT try('DELETE FROM listing WHERE id <= 10') AS unlocked;
RESET SESSION AUTHORIZATION;
ROLLBACK;

-- a secret is good for its role only, and in the form in which it was sealed
SELECT enroll('regress_totp_ann'), enroll('"regress totp:bob"');
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
UPDATE fortress.totp a SET sealed = b.sealed FROM fortress.totp b WHERE a.role_name = 'regress_totp_ann' AND b.role_name = 'regress totp:bob';
UPDATE fortress.totp SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1) WHERE role_name = 'regress totp:bob';
UPDATE fortress.totp SET sealed = '\x00' WHERE role_name = 'regress_totp_group';
COMMIT;
SET SESSION AUTHORIZATION regress_totp_ann;
SELECT complaint($$SELECT fortress.unlock_totp(shown('regress totp:bob'))$$);
SET SESSION AUTHORIZATION "regress totp:bob";
SELECT try($$SELECT fortress.unlock_totp(shown('regress totp:bob'))$$) AS altered;
SET SESSION AUTHORIZATION regress_totp_group;
SELECT try($$SELECT fortress.unlock_totp(shown('regress_totp_group'))$$) AS cut;
RESET SESSION AUTHORIZATION;

-- where an approved request is the only way, a code is none, and enrols nobody
SELECT enroll('regress_totp_ann');
BEGIN;
SELECT fortress.require_approval('listing', '{delete}');
SET LOCAL SESSION AUTHORIZATION regress_totp_ann;
SELECT fortress.unlock_totp(shown('regress_totp_ann'));
SELECT try('DELETE FROM listing WHERE id <= 10') AS delete, try('UPDATE listing SET price = 0 WHERE id <= 10') AS update;
RESET SESSION AUTHORIZATION;
ROLLBACK;
BEGIN;
SELECT fortress.require_approval(NULL, '{admin}');
SELECT try($$SELECT fortress.enroll_totp('regress_totp_ann')$$) AS enroll;
ROLLBACK;

-- arguments; they spend nothing
SELECT enroll('regress_totp_ann');
SET SESSION AUTHORIZATION regress_totp_ann;
SELECT fortress.unlock_totp(NULL);
SELECT fortress.unlock_totp(shown('regress_totp_ann'), NULL);
SELECT fortress.unlock_totp(shown('regress_totp_ann'), '{}');
SELECT fortress.unlock_totp(shown('regress_totp_ann'), '{insert}');
SELECT fortress.unlock_totp(shown('regress_totp_ann'), relations => '{}');
SELECT fortress.unlock_totp(shown('regress_totp_ann'), relations => '{pg_catalog.pg_views}');
SELECT fortress.unlock_totp(shown('regress_totp_ann'), max_rows => -1);
BEGIN READ ONLY;
SELECT fortress.unlock_totp(shown('regress_totp_ann'));
ROLLBACK;
SELECT try($$SELECT fortress.unlock_totp(shown('regress_totp_ann'))$$) AS not_spent;
RESET SESSION AUTHORIZATION;

-- what was told of it
SELECT (fortress.verify_audit()).ok AS imported;
SELECT event, message FROM (
	SELECT DISTINCT event, regexp_replace(regexp_replace(detail ->> 'message', 'until .*', 'until TIME'), '\d{5,}|token \d+', 'N') AS message
	FROM fortress.audit_log
	WHERE event ~ '^to' AND (session_role ~ 'regress.totp' OR detail ->> 'message' ~ 'TOTP|regress.totp')) x
ORDER BY event COLLATE "C", message COLLATE "C";
SELECT event, query FROM (SELECT DISTINCT event, query FROM fortress.audit_log
	WHERE event ~ '^totp_[ul]' AND session_role = 'regress_totp_ann') x
ORDER BY event COLLATE "C", query COLLATE "C";
SELECT found_in();

--
-- Clean up
--
SELECT fortress.unprotect('listing'), fortress.unprotect('enquiry');
BEGIN;
SELECT fortress.unlock(fortress.issue_token(operations => '{admin}')) \gset
DELETE FROM fortress.totp WHERE role_name ~ 'regress.totp';
COMMIT;
SET client_min_messages = error;
DROP TABLE old;
DROP SCHEMA totp CASCADE;
DROP ROLE regress_totp_admin, regress_totp_ann, "regress totp:bob", regress_totp_group;
