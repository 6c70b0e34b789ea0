-- Partitions and inheritance: the policy of the root holds wherever the
-- statement begins.

-- case: delete from the root
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM sale WHERE id > 0;

-- case: delete from a partition
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM sale_2023 WHERE id > 0;

-- case: delete from a partitioned partition
-- as: app super
-- expect: refused ZG001
DELETE FROM sale_2024 WHERE id > 0;

-- case: delete from a partition of a partition
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM sale_2024_a WHERE id > 0;

-- case: delete from a partition without a condition
-- as: app super
-- expect: refused ZG003
DELETE FROM ONLY sale_2024_b;

-- case: a little from each partition
-- as: app super
-- expect: refused ZG001
BEGIN;
DELETE FROM sale_2023 WHERE id IN (SELECT id FROM sale_2023 LIMIT 3);
DELETE FROM sale_2024_a WHERE id IN (SELECT id FROM sale_2024_a LIMIT 3);
COMMIT;

-- case: update that moves rows to other partitions
-- as: app owner creator super
-- expect: refused ZG001
UPDATE sale SET day = day + 366 WHERE day < '2024-01-01';

-- case: update of a partition that moves its rows
-- as: app super
-- expect: refused ZG001
UPDATE sale_2024 SET kind = 'b' WHERE kind = 'a';

-- case: merge that moves rows and deletes others
-- as: app super
-- expect: refused ZG001
MERGE INTO sale USING (SELECT generate_series(1, 80) AS i) s ON s.i = sale.id
	WHEN MATCHED AND sale.id % 2 = 0 THEN UPDATE SET day = '2023-02-02'
	WHEN MATCHED THEN DELETE;

-- case: on conflict in a partition
-- as: app super
-- expect: refused ZG001
INSERT INTO sale SELECT * FROM sale ON CONFLICT (id, day, kind) DO UPDATE SET v = 1;

-- case: delete through the unprotected root of a protected partition
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM free_log WHERE id > 0;

-- case: delete through the unprotected root, without a condition
-- as: app super
-- expect: refused ZG003
DELETE FROM free_log;

-- case: move rows out of a protected partition
-- as: app owner creator super
-- expect: refused ZG001
UPDATE free_log SET k = 2 WHERE k = 1;

-- case: truncate the unprotected root of a protected partition
-- as: app owner creator super
-- expect: refused ZG004
TRUNCATE free_log;

-- case: drop the unprotected root of a protected partition
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
DROP TABLE free_log;

-- case: detach a protected partition from its unprotected root
-- as: owner super
-- expect: refused ZG005
ALTER TABLE free_log DETACH PARTITION log_1;

-- case: delete from an inheritance parent
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM message WHERE id > 0;

-- case: delete from an inheritance child
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM message_old WHERE id > 0;

-- case: update of an inheritance child without a condition
-- as: app super
-- expect: refused ZG003
UPDATE message_old SET extra = 2;

-- case: delete from the unprotected parent of a protected child
-- as: app owner creator super
-- expect: refused ZG001
DELETE FROM free_note WHERE id > 0;

-- case: delete from the unprotected parent, without a condition
-- as: app super
-- expect: refused ZG003
DELETE FROM free_note;

-- case: truncate the unprotected parent of a protected child
-- as: app super
-- expect: refused ZG004
TRUNCATE free_note;

-- case: drop the unprotected parent of a protected child
-- as: owner super
-- expect: refused ZG005
DROP TABLE free_note CASCADE;

-- case: drop a column of the unprotected parent, and so of the child
-- as: owner super
-- expect: refused ZG005
ALTER TABLE free_note DROP COLUMN body;

-- case: rename a column of the unprotected parent, and so of the child
-- as: owner super
-- expect: refused ZG005
ALTER TABLE free_note RENAME COLUMN body TO text;

-- case: change the type of a column of the unprotected parent, and so of the child
-- as: owner super
-- expect: refused ZG005
ALTER TABLE free_note ALTER COLUMN body TYPE int USING 0;

-- case: typed table's rows
-- as: app super
-- expect: refused ZG001
DELETE FROM typed WHERE id > 0;

-- case: a new partition is under the policy at once
-- as: owner creator super
-- expect: refused ZG001
BEGIN;
CREATE TABLE sale_2025 PARTITION OF sale FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO sale_2025 SELECT i, '2025-01-01', 'a' FROM generate_series(1, 40) i;
DELETE FROM sale_2025 WHERE id > 0;
COMMIT;

-- case: an attached partition is under the policy at once
-- as: owner super
-- expect: refused ZG001
BEGIN;
INSERT INTO free_extra SELECT i, '2025-01-01', 'a' FROM generate_series(1, 40) i;
ALTER TABLE sale ATTACH PARTITION free_extra FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
DELETE FROM free_extra WHERE id > 0;
COMMIT;

-- case: a new child is under the policy at once
-- as: owner super
-- expect: refused ZG001
BEGIN;
CREATE TABLE message_new () INHERITS (message);
INSERT INTO message_new SELECT i, 'body' FROM generate_series(100, 140) i;
DELETE FROM message_new WHERE id > 0;
COMMIT;

-- case: move rows to a partition of one's own making, and drop that
-- as: owner creator super
-- expect: refused ZG001|ZG005
BEGIN;
CREATE TABLE sale_2025 PARTITION OF sale FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
UPDATE sale SET day = '2025-01-01' WHERE id IN (1, 2, 3, 4);
DROP TABLE sale_2025;
COMMIT;

-- case: detach a partition
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TABLE sale DETACH PARTITION sale_2023;

-- case: detach a partition concurrently
-- as: owner creator super
-- expect: refused ZG005
ALTER TABLE sale DETACH PARTITION sale_2023 CONCURRENTLY;

-- case: detach a partition of a partition
-- as: owner super
-- expect: refused ZG005
ALTER TABLE sale_2024 DETACH PARTITION sale_2024_a;

-- case: detach a partitioned partition
-- as: owner super
-- expect: refused ZG005
ALTER TABLE sale DETACH PARTITION sale_2024;

-- case: detach and drop in one transaction
-- as: owner super
-- expect: refused ZG005
BEGIN;
ALTER TABLE sale DETACH PARTITION sale_2023;
DROP TABLE sale_2023;
COMMIT;

-- case: drop a partition
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
DROP TABLE sale_2023;

-- case: drop a partition of a partition
-- as: owner super
-- expect: refused ZG005
DROP TABLE sale_2024_b;

-- case: truncate a partition
-- as: app owner creator super
-- expect: refused ZG004
TRUNCATE sale_2023;

-- case: truncate a root
-- as: app owner creator super
-- expect: refused ZG004
TRUNCATE ONLY message;

-- case: truncate an inheritance child
-- as: app super
-- expect: refused ZG004
TRUNCATE message_old;

-- case: take a child out of the inheritance
-- as: owner creator super
-- expect: refused ZG005
-- as: app
-- expect: denied
ALTER TABLE message_old NO INHERIT message;

-- case: put a protected table under an unprotected parent
-- as: owner creator super
-- expect: refused ZG005
BEGIN;
CREATE TABLE lever (id int, body text);
ALTER TABLE message INHERIT lever;
COMMIT;

-- case: attach a protected table to an unprotected root
-- as: owner super
-- expect: passes with effect
-- check: SELECT count(*) = 30 FROM lever
BEGIN;
CREATE TABLE lever (LIKE account) PARTITION BY RANGE (id);
ALTER TABLE lever ATTACH PARTITION account DEFAULT;
COMMIT;

-- case: attach a protected table to an unprotected root whose trigger vetoes
-- as: owner super
-- expect: refused ZG005
BEGIN;
CREATE TABLE lever (LIKE account) PARTITION BY RANGE (id);
CREATE TRIGGER aaa BEFORE DELETE ON lever FOR EACH ROW EXECUTE FUNCTION order_gone();
ALTER TABLE lever ATTACH PARTITION account DEFAULT;
COMMIT;

-- case: a trigger that vetoes, on the unprotected root of a protected partition
-- as: owner creator super
-- expect: refused ZG005
CREATE TRIGGER aaa BEFORE DELETE ON free_log FOR EACH ROW EXECUTE FUNCTION order_gone();

-- case: drop a column of the unprotected root, and so of the partition
-- as: owner super
-- expect: refused ZG005
ALTER TABLE free_log DROP COLUMN v;

-- case: change a column's type in the unprotected root, and so in the partition
-- as: owner super
-- expect: refused ZG005
ALTER TABLE free_log ALTER COLUMN v TYPE text USING '';

-- case: rename a column of the unprotected root, and so of the partition
-- as: owner super
-- expect: refused ZG005
ALTER TABLE free_log RENAME COLUMN v TO w;
