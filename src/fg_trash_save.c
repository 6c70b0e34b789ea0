/*-------------------------------------------------------------------------
 *
 * fg_trash_save.c
 *		What goes with a table that is dropped, as SQL that makes it anew.
 *
 * A table that goes to the trash takes its parts along: rows, indexes,
 * constraints, triggers, defaults, statistics, policies, comments.  What hangs
 * on it from outside must go as after any DROP: foreign keys in both
 * directions, views, rules, functions.  And where the command drops more than
 * the table (a schema, an extension), parts of the table may depend on what
 * goes, a trigger on its function, say.  Of all these the definitions are kept,
 * as the server itself prints them; it alone knows how.
 *
 * What the command drops is known from having tried it (fg_ddl_trash.c), and
 * what of that hangs together with a table, from fg_trash_kin.c.  The
 * queries here look no further than into that: CLOSURE has, in "dep", what of
 * it depends on the members, directly or not, the members and their parts
 * included.
 *
 * All queries run with search path pg_catalog, so names come out qualified.
 *
 * Locks: the members are locked by the callers; the rest as the commands do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "fg_catalog_trash.h"
#include "fg_trash.h"
#include "fg_trash_kin.h"
#include "fg_trash_piece.h"
#include "fg_trash_save.h"

/* $1: members; $2 and $3: what is dropped, in order; $4: oids of types and sequences that are moved */
#define N_PARAMETERS	4

/* is it in "d"?  OR keeps this from becoming a join: it is looked up in a hash table */
#define IS_DROPPED(c, o) \
	"((" c ", " o ") IN (SELECT d.c, d.o FROM d) OR false)"

#define CLOSURE \
	"WITH RECURSIVE d AS MATERIALIZED (SELECT x.c, x.o, min(x.n) AS n" \
	"  FROM ROWS FROM (unnest($2), unnest($3)) WITH ORDINALITY x (c, o, n) GROUP BY 1, 2)," \
	" dep (c, o) AS (" \
	"  SELECT 'pg_class'::regclass::oid, m.o FROM unnest($1) m (o)" \
	"  UNION SELECT x.c, x.o FROM dep" \
	"  JOIN pg_depend p ON p.refclassid = dep.c AND p.refobjid = dep.o" \
	"  CROSS JOIN LATERAL (SELECT p.classid, p.objid" \
	"   UNION ALL SELECT 'pg_class'::regclass::oid, w.ev_class FROM pg_rewrite w" \
	"    WHERE p.classid = 'pg_rewrite'::regclass AND w.oid = p.objid AND w.rulename = '_RETURN'" \
	"   UNION ALL SELECT p.classid, k.conparentid FROM pg_constraint k" \
	"    WHERE p.classid = 'pg_constraint'::regclass AND k.oid = p.objid AND k.conparentid <> 0" \
	"     AND dep.c = 'pg_class'::regclass AND k.confrelid = dep.o) x (c, o)" \
	"  WHERE " IS_DROPPED("x.c", "x.o") ")"

/* the name of a relation's owner */
#define TABLE_OWNER(relid) \
	"(SELECT pg_get_userbyid(o.relowner)::text FROM pg_class o WHERE o.oid = " relid ")"

/* who has right "a", an entry of aclexplode(), on relation c, and whether he may pass it on */
#define GRANTEE(a) \
	"CASE WHEN " #a ".grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(" #a ".grantee)) END"
#define GRANT_OPTION(a, c) \
	"CASE WHEN " #a ".is_grantable AND " #a ".grantee NOT IN (0, " #c ".relowner) THEN ' WITH GRANT OPTION' ELSE '' END"

/* "; COMMENT ON ..", or nothing where there is none; "name" as SQL that gives it */
#define COMMENT_TEXT(word, name, object, catalog) \
	"coalesce('; COMMENT ON " word " ' || " name " || ' IS ' || quote_literal(obj_description(" object ", '" catalog "')), '')"

/* A list of what is run after an object was made, each by itself: see fg_trash_undrop.c. */
#define AFTERWARDS(what, command) \
	"format(' UNION ALL SELECT %L, %L', " what ", " command ")"

/*
 * Begins such a list: the object gets the rights that it had.  Those that it was
 * given when it was made, by ALTER DEFAULT PRIVILEGES say, are taken away first;
 * where there are none, then or now, nothing is to be done.
 */
#define RIGHTS_TEXT(word, what, name, acl, owner, letter, catalog, c_acl, c_owner, reg) \
	"format('; SELECT DISTINCT %L, format(''REVOKE ALL ON " word " %%s FROM %%s CASCADE'', %L, CASE a.grantee WHEN 0 THEN ''PUBLIC'' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)" \
	" FROM " catalog " c CROSS JOIN LATERAL aclexplode(coalesce(c." c_acl ", acldefault(''" letter "'', c." c_owner "))) a WHERE c.oid = " reg "(%L)%s'," \
	"  " what ", " name ", " name ", CASE WHEN " acl " IS NULL THEN ' AND c." c_acl " IS NOT NULL' ELSE '' END) ||" \
	" coalesce((SELECT string_agg(format(' UNION ALL SELECT %L, %L FROM " catalog " c WHERE c.oid = " reg "(%L)%s'," \
	"   " what ", format('GRANT %s ON " word " %s TO %s%s', g.privileges, " name ", g.who, g.further), " name "," \
	"   CASE WHEN " acl " IS NULL THEN ' AND c." c_acl " IS NOT NULL' ELSE '' END), '' ORDER BY g.n)" \
	"  FROM (SELECT min(x.n) AS n, string_agg(x.privilege_type, ', ' ORDER BY x.n) AS privileges, x.who, x.further" \
	"   FROM (SELECT a.*, " GRANTEE(a) " AS who, CASE WHEN a.is_grantable AND a.grantee NOT IN (0, " owner ") THEN ' WITH GRANT OPTION' ELSE '' END AS further" \
	"    FROM aclexplode(coalesce(" acl ", acldefault('" letter "', " owner "))) WITH ORDINALITY a (grantor, grantee, privilege_type, is_grantable, n)) x" \
	"   GROUP BY x.who, x.further) g), '')"

#define POLICY_TEXT(p) \
	"format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', " p ".polname, " p ".polrelid::regclass," \
	" CASE WHEN " p ".polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END," \
	" CASE " p ".polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END," \
	" (SELECT string_agg(CASE WHEN x.r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.r)) END, ', ') FROM unnest(" p ".polroles) x (r))," \
	" ' USING (' || pg_get_expr(" p ".polqual, " p ".polrelid) || ')'," \
	" ' WITH CHECK (' || pg_get_expr(" p ".polwithcheck, " p ".polrelid) || ')') ||" \
	" " COMMENT_TEXT("POLICY", "quote_ident(" p ".polname) || ' ON ' || " p ".polrelid::regclass", p ".oid", "pg_policy")

/* with its rights and comment */
#define FUNCTION_TEXT(f) \
	FG_TRASH_FUNCTION_TEXT(f) " || " \
	RIGHTS_TEXT("ROUTINE", "format('rights on function %s', " f ".oid::regprocedure)", f ".oid::regprocedure", f ".proacl", f ".proowner", "f", \
				"pg_proc", "proacl", "proowner", "to_regprocedure") " || " \
	"coalesce(" AFTERWARDS("format('comment on function %s', " f ".oid::regprocedure)", \
	 "format('COMMENT ON ROUTINE %s IS ', " f ".oid::regprocedure) || quote_literal(obj_description(" f ".oid, 'pg_proc'))") ", '')"

/* sets whether trigger t fires */
#define TRIGGER_STATE(t) \
	"format('ALTER TABLE ONLY %s %s TRIGGER %I', " t ".tgrelid::regclass," \
	" CASE " t ".tgenabled WHEN 'O' THEN 'ENABLE' WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, " t ".tgname)"

/* trigger t as it was, also if it is not enabled in the usual way, or not in a partition as above it */
#define TRIGGER_TEXT(t) \
	"pg_get_triggerdef(" t ".oid) || CASE " t ".tgenabled WHEN 'O' THEN '' ELSE '; ' || " TRIGGER_STATE(t) " END ||" \
	" coalesce((SELECT string_agg('; ' || " TRIGGER_STATE("u") ", '') FROM pg_partition_tree(" t ".tgrelid) v JOIN pg_trigger u ON u.tgrelid = v.relid" \
	"  WHERE v.level > 0 AND u.tgname = " t ".tgname AND u.tgenabled <> 'O'), '') ||" \
	" " COMMENT_TEXT("TRIGGER", "quote_ident(" t ".tgname) || ' ON ' || " t ".tgrelid::regclass", t ".oid", "pg_trigger")

#define RULE_TEXT(r) \
	"pg_get_ruledef(" r ".oid) || CASE " r ".ev_enabled WHEN 'O' THEN '' ELSE" \
	" format('; ALTER TABLE %s %s RULE %I', " r ".ev_class::regclass," \
	"  CASE " r ".ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, " r ".rulename) END ||" \
	" " COMMENT_TEXT("RULE", "quote_ident(" r ".rulename) || ' ON ' || " r ".ev_class::regclass", r ".oid", "pg_rewrite")

/* is it on a function that goes because it depends on the members itself? */
#define LOST_FUNCTION(p) \
	"(" p ".refclassid = 'pg_proc'::regclass AND EXISTS (SELECT FROM dep JOIN pg_proc f ON f.oid = dep.o AND f.prokind IN ('f', 'p', 'w')" \
	" WHERE dep.c = 'pg_proc'::regclass AND dep.o = " p ".refobjid))"

/* may index i, of relation c, have to be made anew? */
#define LOST_INDEX(i, c) \
	i ".indrelid = ANY ($1) AND NOT " c ".relispartition" \
	" AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = " c ".oid AND k.contype IN ('p', 'u', 'x'))"

#define INDEX_TEXT(i) \
	"pg_get_indexdef(" i ") || coalesce((SELECT string_agg(format('; ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', a.attrelid::regclass, a.attnum, a.attstattarget), '')" \
	" FROM pg_attribute a WHERE a.attrelid = " i " AND a.attstattarget >= 0), '') || " COMMENT_TEXT("INDEX", i "::regclass", i, "pg_class")

#define CONSTRAINT_COMMENT(k) \
	COMMENT_TEXT("CONSTRAINT", "quote_ident(" k ".conname) || ' ON ' || " k ".conrelid::regclass", k ".oid", "pg_constraint")

/* Columns of all queries but that of types. */
enum
{
	COLUMN_KIND = 1,			/* as FgTrashKind: 'r'equired, 'f'unction, 'c'ommand, chec'k'ed,
								 * 'l'ost, 'o'wner, 'p'arent */
	COLUMN_WHAT,
	COLUMN_ROLE,
	COLUMN_COMMAND,				/* NULL: nothing to put back */
	COLUMN_DROP,				/* NULL: nothing to drop */
	COLUMN_DROP_ORDER			/* ascending; of parts: '0' goes before what depends on the table */
};

static const char dependents_text[] =
CLOSURE " SELECT x.kind, x.what, x.role, x.command, x.drop, d.n FROM d JOIN dep ON dep.c = d.c AND dep.o = d.o CROSS JOIN LATERAL ("
/* foreign keys, from and to others */
"SELECT s.n, s.kind, format('foreign key %s of %s', quote_ident(k.conname), k.conrelid::regclass), s.role::text,"
"  CASE s.n WHEN 1 THEN format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid),"
"   CASE WHEN k.convalidated AND t.relkind = 'r' THEN ' NOT VALID' ELSE '' END) || " CONSTRAINT_COMMENT("k")
"  ELSE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', k.conrelid::regclass, k.conname) END,"
"  CASE s.n WHEN 1 THEN format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) END"
" FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid"
" CROSS JOIN LATERAL (SELECT 1, CASE WHEN t.relkind = 'r' THEN 'c' ELSE 'k' END, pg_get_userbyid(t.relowner)"
"  UNION ALL SELECT 2, 'k', pg_get_userbyid(t.relowner) WHERE k.convalidated AND t.relkind = 'r') s (n, kind, role)"
" WHERE dep.c = 'pg_constraint'::regclass AND k.oid = dep.o AND k.contype = 'f' AND k.conparentid = 0"
"  AND NOT (k.conrelid = ANY ($1) AND k.confrelid = ANY ($1)) "
/* views: themselves with their owner or not at all, then rights and comments, and what is on them */
"UNION ALL SELECT s.n, s.kind, s.what, s.role::text, s.command, CASE s.n WHEN 1 THEN format('DROP %s %s', w.word, v.oid::regclass) END"
" FROM pg_class v CROSS JOIN LATERAL (SELECT CASE v.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END AS word, v.oid::regclass::text AS name) w"
" CROSS JOIN LATERAL (SELECT 1, 'c', format('%s %s', w.word, w.name), pg_get_userbyid(v.relowner), format('CREATE %s %s%s%s AS %s%s; ALTER TABLE %s OWNER TO %I', w.word, w.name,"
"   ' WITH (' || array_to_string(v.reloptions, ', ') || ')',"
"   (SELECT ' TABLESPACE ' || quote_ident(spcname) FROM pg_tablespace WHERE oid = v.reltablespace), rtrim(pg_get_viewdef(v.oid), '; '),"
"   CASE v.relkind WHEN 'm' THEN ' WITH NO DATA' ELSE '' END, w.name, pg_get_userbyid(v.relowner)) || "
	RIGHTS_TEXT("TABLE", "format('rights on %s %s', w.word, w.name)", "w.name", "v.relacl", "v.relowner", "r", "pg_class", "relacl", "relowner", "to_regclass")
"   || coalesce((SELECT string_agg(" AFTERWARDS("format('rights on %s %s', w.word, w.name)",
	"format('GRANT %s (%I) ON TABLE %s TO %s%s', a.privilege_type, t.attname, w.name, " GRANTEE(a) ", " GRANT_OPTION(a, v) ")") ", '' ORDER BY t.attnum, a.n)"
"    FROM pg_attribute t CROSS JOIN LATERAL aclexplode(t.attacl) WITH ORDINALITY a (grantor, grantee, privilege_type, is_grantable, n) WHERE t.attrelid = v.oid), '')"
"   || coalesce((SELECT string_agg(" AFTERWARDS("format('comment on %s %s', w.word, w.name)",
	"format('COMMENT ON %s %s%s IS %L', CASE p.objsubid WHEN 0 THEN w.word ELSE 'COLUMN' END, w.name, (SELECT '.' || quote_ident(t.attname) FROM pg_attribute t"
	" WHERE t.attrelid = v.oid AND t.attnum = p.objsubid AND p.objsubid > 0), p.description)") ", '' ORDER BY p.objsubid)"
"    FROM pg_description p WHERE p.classoid = 'pg_class'::regclass AND p.objoid = v.oid), '')"
"  UNION ALL SELECT 5, 'c', format('rule on %s %s', w.word, w.name), pg_get_userbyid(v.relowner), " RULE_TEXT("r") " FROM pg_rewrite r WHERE r.ev_class = v.oid AND r.rulename <> '_RETURN'"
"  UNION ALL SELECT 6, 'c', format('trigger on %s %s', w.word, w.name), pg_get_userbyid(v.relowner), " TRIGGER_TEXT("t") " FROM pg_trigger t WHERE t.tgrelid = v.oid AND NOT t.tgisinternal"
"  UNION ALL SELECT 7, 'c', format('index on %s %s', w.word, w.name), pg_get_userbyid(v.relowner), " INDEX_TEXT("i.indexrelid") " FROM pg_index i WHERE i.indrelid = v.oid"
"  UNION ALL SELECT 8, 'c', format('statistics on %s %s', w.word, w.name), pg_get_userbyid(v.relowner), pg_get_statisticsobjdef(x.oid) FROM pg_statistic_ext x WHERE x.stxrelid = v.oid"
/* its content, as whoever refreshes it */
"  UNION ALL SELECT 9, 'k', format('content of %s %s', w.word, w.name), pg_get_userbyid(v.relowner), format('REFRESH MATERIALIZED VIEW %s', w.name)"
"   WHERE v.relkind = 'm' AND v.relispopulated) s (n, kind, what, role, command)"
" WHERE dep.c = 'pg_class'::regclass AND v.oid = dep.o AND v.relkind IN ('v', 'm') "
/* functions with bodies or arguments that name a member */
"UNION ALL SELECT 1, 'f', format('function %s', f.oid::regprocedure), pg_get_userbyid(f.proowner)::text, " FUNCTION_TEXT("f") ", format('DROP ROUTINE %s', f.oid::regprocedure)"
" FROM pg_proc f"
" WHERE dep.c = 'pg_proc'::regclass AND f.oid = dep.o AND f.prokind IN ('f', 'p', 'w') "
/* rules, policies, defaults, triggers of other tables */
"UNION ALL SELECT 1, 'c', format('rule %s of %s', quote_ident(r.rulename), r.ev_class::regclass), " TABLE_OWNER("r.ev_class") ", " RULE_TEXT("r") ","
"  format('DROP RULE %I ON %s', r.rulename, r.ev_class::regclass)"
" FROM pg_rewrite r JOIN pg_class t ON t.oid = r.ev_class"
" WHERE dep.c = 'pg_rewrite'::regclass AND r.oid = dep.o AND r.rulename <> '_RETURN' AND r.ev_class <> ALL ($1)"
"  AND t.relkind IN ('r', 'p') "
"UNION ALL SELECT 1, 'c', format('policy %s of %s', quote_ident(p.polname), p.polrelid::regclass), " TABLE_OWNER("p.polrelid") ", " POLICY_TEXT("p") ","
"  format('DROP POLICY %I ON %s', p.polname, p.polrelid::regclass)"
" FROM pg_policy p WHERE dep.c = 'pg_policy'::regclass AND p.oid = dep.o AND p.polrelid <> ALL ($1) "
"UNION ALL SELECT 1, 'c', format('default of column %s of %s', quote_ident(t.attname), t.attrelid::regclass), " TABLE_OWNER("t.attrelid") ","
"  format('ALTER TABLE %s ALTER %I SET DEFAULT %s', t.attrelid::regclass, t.attname, pg_get_expr(a.adbin, a.adrelid)),"
"  format('ALTER TABLE %s ALTER %I DROP DEFAULT', t.attrelid::regclass, t.attname)"
" FROM pg_attrdef a JOIN pg_attribute t ON t.attrelid = a.adrelid AND t.attnum = a.adnum"
" WHERE dep.c = 'pg_attrdef'::regclass AND a.oid = dep.o AND a.adrelid <> ALL ($1) AND t.attgenerated = '' "
"UNION ALL SELECT 1, 'c', format('trigger %s of %s', quote_ident(t.tgname), t.tgrelid::regclass), " TABLE_OWNER("t.tgrelid") ", " TRIGGER_TEXT("t") ","
"  format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)"
" FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid"
" WHERE dep.c = 'pg_trigger'::regclass AND t.oid = dep.o AND t.tgrelid <> ALL ($1) AND NOT t.tgisinternal AND r.relkind IN ('r', 'p')"
") x (n, kind, what, role, command, drop) ORDER BY d.n DESC, x.n";

/* A part that depends on a type or sequence that is moved loses nothing. */
static const char parts_text[] =
CLOSURE ", broken AS (SELECT DISTINCT p.classid, p.objid, p.refclassid, p.refobjid FROM pg_depend p"
"  WHERE p.deptype = 'n' AND " IS_DROPPED("p.refclassid", "p.refobjid") " AND p.classid IN ('pg_attrdef'::regclass, 'pg_trigger'::regclass, 'pg_constraint'::regclass, 'pg_policy'::regclass, 'pg_class'::regclass, 'pg_statistic_ext'::regclass)"
"   AND p.refclassid NOT IN ('pg_namespace'::regclass, 'pg_extension'::regclass)"
"   AND NOT (p.refclassid IN ('pg_type'::regclass, 'pg_class'::regclass) AND p.refobjid = ANY ($4))"
"   AND (NOT EXISTS (SELECT FROM dep WHERE dep.c = p.refclassid AND dep.o = p.refobjid) OR " LOST_FUNCTION("p") ")),"
" part AS (SELECT * FROM ("
"SELECT b.refclassid, b.refobjid, 'c', " TABLE_OWNER("t.attrelid") ", format('default of column %s of %s', quote_ident(t.attname), t.attrelid::regclass),"
"  format('ALTER TABLE %s ALTER %I SET DEFAULT %s', t.attrelid::regclass, t.attname, pg_get_expr(a.adbin, a.adrelid)),"
"  format('ALTER TABLE ONLY %s ALTER %I DROP DEFAULT', t.attrelid::regclass, t.attname)"
" FROM broken b JOIN pg_attrdef a ON a.oid = b.objid JOIN pg_attribute t ON t.attrelid = a.adrelid AND t.attnum = a.adnum"
" WHERE b.classid = 'pg_attrdef'::regclass AND a.adrelid = ANY ($1) AND t.attgenerated = '' "
/* the column would go, with its values */
"UNION ALL SELECT b.refclassid, b.refobjid, 'l', NULL, format('expression of column %s of %s', quote_ident(t.attname), t.attrelid::regclass),"
"  format('GENERATED ALWAYS AS (%s) STORED', pg_get_expr(a.adbin, a.adrelid)),"
"  CASE t.attinhcount WHEN 0 THEN format('ALTER TABLE %s ALTER %I DROP EXPRESSION', t.attrelid::regclass, t.attname) END"
" FROM broken b JOIN pg_attrdef a ON a.oid = b.objid JOIN pg_attribute t ON t.attrelid = a.adrelid AND t.attnum = a.adnum"
" WHERE b.classid = 'pg_attrdef'::regclass AND a.adrelid = ANY ($1) AND t.attgenerated = 's' "
"UNION ALL SELECT b.refclassid, b.refobjid, 'c', " TABLE_OWNER("t.tgrelid") ", format('trigger %s of %s', quote_ident(t.tgname), t.tgrelid::regclass), " TRIGGER_TEXT("t") ","
"  format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)"
" FROM broken b JOIN pg_trigger t ON t.oid = b.objid"
" WHERE b.classid = 'pg_trigger'::regclass AND t.tgrelid = ANY ($1) AND NOT t.tgisinternal AND t.tgparentid = 0 "
"UNION ALL SELECT b.refclassid, b.refobjid, s.kind, pg_get_userbyid(t.relowner)::text, format('constraint %s of %s', quote_ident(k.conname), k.conrelid::regclass),"
"  CASE s.kind WHEN 'c' THEN format('ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID', k.conrelid::regclass, k.conname, regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '')) || " CONSTRAINT_COMMENT("k")
"   ELSE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', k.conrelid::regclass, k.conname) END,"
"  CASE s.kind WHEN 'c' THEN format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname) END"
" FROM broken b JOIN pg_constraint k ON k.oid = b.objid JOIN pg_class t ON t.oid = k.conrelid"
" CROSS JOIN LATERAL (SELECT 'c' UNION ALL SELECT 'k' WHERE k.convalidated) s (kind)"
" WHERE b.classid = 'pg_constraint'::regclass AND k.conrelid = ANY ($1) AND k.contype = 'c' AND k.coninhcount = 0 "
"UNION ALL SELECT b.refclassid, b.refobjid, 'k', pg_get_userbyid(c.relowner)::text, format('index %s', c.oid::regclass), " INDEX_TEXT("c.oid") ","
"  format('DROP INDEX %s', c.oid::regclass)"
" FROM broken b JOIN pg_index i ON i.indexrelid = b.objid JOIN pg_class c ON c.oid = i.indexrelid"
" WHERE b.classid = 'pg_class'::regclass AND " LOST_INDEX("i", "c")
" UNION ALL SELECT b.refclassid, b.refobjid, 'k', pg_get_userbyid(c.relowner)::text, format('tablespace of index %s', c.oid::regclass),"
"  format('ALTER INDEX %s SET TABLESPACE %I', c.oid::regclass, s.spcname), NULL"
" FROM broken b JOIN pg_index i ON i.indexrelid = b.objid JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_tablespace s ON s.oid = c.reltablespace"
" WHERE b.classid = 'pg_class'::regclass AND " LOST_INDEX("i", "c") " "
"UNION ALL SELECT b.refclassid, b.refobjid, 'c', " TABLE_OWNER("p.polrelid") ", format('policy %s of %s', quote_ident(p.polname), p.polrelid::regclass), " POLICY_TEXT("p") ","
"  format('DROP POLICY %I ON %s', p.polname, p.polrelid::regclass)"
" FROM broken b JOIN pg_policy p ON p.oid = b.objid"
" WHERE b.classid = 'pg_policy'::regclass AND p.polrelid = ANY ($1) "
"UNION ALL SELECT b.refclassid, b.refobjid, 'c', pg_get_userbyid(x.stxowner)::text, format('statistics %s of %s', y.name, x.stxrelid::regclass),"
"  pg_get_statisticsobjdef(x.oid) || CASE WHEN x.stxstattarget >= 0 THEN format('; ALTER STATISTICS %s SET STATISTICS %s', y.name, x.stxstattarget) ELSE '' END ||"
"  format('; ALTER STATISTICS %s OWNER TO %I', y.name, pg_get_userbyid(x.stxowner)) || " COMMENT_TEXT("STATISTICS", "y.name", "x.oid", "pg_statistic_ext") ","
"  format('DROP STATISTICS %s', y.name)"
" FROM broken b JOIN pg_statistic_ext x ON x.oid = b.objid CROSS JOIN LATERAL (SELECT format('%s.%I', x.stxnamespace::regnamespace, x.stxname)) y (name)"
" WHERE b.classid = 'pg_statistic_ext'::regclass AND x.stxrelid = ANY ($1)) x (refclassid, refobjid, kind, role, what, command, drop)) "
"SELECT kind, what, role, command, drop, drop_order FROM ("
"SELECT 1, 'f', pg_get_userbyid(f.proowner)::text, format('function %s', f.oid::regprocedure), " FUNCTION_TEXT("f") ", NULL::text, 0"
" FROM (SELECT DISTINCT p.refobjid FROM part p WHERE p.refclassid = 'pg_proc'::regclass) u JOIN pg_proc f ON f.oid = u.refobjid"
" WHERE f.prokind IN ('f', 'p', 'w') "
"UNION ALL SELECT 2, p.kind, p.role, p.what, p.command, p.drop, min(CASE WHEN " LOST_FUNCTION("p") " THEN 0 ELSE 1 END)"
" FROM part p GROUP BY p.kind, p.role, p.what, p.command, p.drop) x (n, kind, role, what, command, drop, drop_order)"
" ORDER BY x.n, x.what, x.kind";

static const char types_text[] =
CLOSURE ", need (t) AS (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped"
"  UNION SELECT c.reloftype FROM pg_class c WHERE c.oid = ANY ($1) AND c.reloftype <> 0"
"  UNION SELECT x.t FROM need CROSS JOIN LATERAL ("
"   SELECT y.typelem FROM pg_type y WHERE y.oid = need.t AND y.typelem <> 0"
"   UNION ALL SELECT y.typbasetype FROM pg_type y WHERE y.oid = need.t AND y.typbasetype <> 0"
"   UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = need.t"
"   UNION ALL SELECT a.atttypid FROM pg_type y JOIN pg_attribute a ON a.attrelid = y.typrelid"
"    WHERE y.oid = need.t AND y.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped) x (t)) "
"SELECT y.oid FROM need JOIN d ON d.c = 'pg_type'::regclass AND d.o = need.t JOIN pg_type y ON y.oid = need.t"
" LEFT JOIN pg_class c ON c.oid = y.typrelid"
" WHERE NOT EXISTS (SELECT FROM dep WHERE dep.c = 'pg_type'::regclass AND dep.o = y.oid)"
"  AND (y.typtype IN ('e', 'd', 'r') OR (y.typtype = 'c' AND c.relkind = 'c'))"
"  AND NOT EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_type'::regclass AND p.objid = y.oid AND p.deptype = 'e')"
" ORDER BY d.n";

/* $4: all tables that the command drops and that go to the trash; a sequence of one of them goes with that */
static const char sequences_text[] =
CLOSURE " SELECT s.oid FROM pg_class s JOIN d ON d.c = 'pg_class'::regclass AND d.o = s.oid"
" WHERE s.relkind = 'S'"
"  AND EXISTS (SELECT FROM pg_attrdef a JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = a.oid"
"   WHERE a.adrelid = ANY ($1) AND p.refclassid = 'pg_class'::regclass AND p.refobjid = s.oid)"
"  AND NOT EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_class'::regclass AND p.objid = s.oid AND p.refclassid = 'pg_class'::regclass"
"   AND (p.deptype = 'i' OR (p.deptype = 'a' AND p.refobjid = ANY ($4))))"
" ORDER BY d.n";

/* With row security.  What the owner had himself counts, too: he may have given it up. */
static const char rights_text[] =
"WITH r AS (SELECT c.oid, c.relacl, c.relowner, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind FROM pg_class c WHERE c.oid = ANY ($1) OR c.oid = ANY ($4)"
"  OR (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_class'::regclass AND p.objid = c.oid"
"   AND p.refclassid = 'pg_class'::regclass AND p.refobjid = ANY ($1) AND p.deptype IN ('a', 'i')))) "
"SELECT CASE WHEN n = 0 THEN 'r' WHEN owner IS NOT NULL THEN 'o' ELSE 'c' END, what, owner::text, command, drop, n FROM ("
"SELECT 0, format('row security of %s', c.oid::regclass), format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', c.oid::regclass),"
"  format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', c.oid::regclass), 0::bigint, NULL::name FROM pg_class c WHERE c.oid = ANY ($1) AND c.relrowsecurity "
"UNION ALL SELECT 0, format('row security of %s', c.oid::regclass), format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', c.oid::regclass),"
"  format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', c.oid::regclass), 0, NULL FROM pg_class c WHERE c.oid = ANY ($1) AND c.relforcerowsecurity "
"UNION ALL SELECT 1, format('rights of %I on %s', pg_get_userbyid(r.relowner), r.oid::regclass),"
"  format('REVOKE ALL ON %s %s FROM ', r.kind, r.oid::regclass), NULL::text, 0, pg_get_userbyid(r.relowner)"
" FROM r WHERE r.relacl IS NOT NULL "
"UNION ALL SELECT 2, format('rights of %s on %s', a.who, r.oid::regclass),"
"  format('GRANT %s ON %s %s TO %s%s', string_agg(a.privilege_type, ', ' ORDER BY a.place), r.kind, r.oid::regclass, CASE WHEN a.grantee <> r.relowner THEN a.who ELSE '' END, a.further),"
"  CASE WHEN a.grantee <> r.relowner THEN format('REVOKE ALL ON %s %s FROM %s CASCADE', r.kind, r.oid::regclass, a.who) END, min(a.place), CASE a.grantee WHEN r.relowner THEN pg_get_userbyid(r.relowner) END"
" FROM r CROSS JOIN LATERAL (SELECT x.*, " GRANTEE(x) " AS who, " GRANT_OPTION(x, r) " AS further"
"  FROM aclexplode(r.relacl) WITH ORDINALITY x (grantor, grantee, privilege_type, is_grantable, place)) a"
" GROUP BY r.oid, r.kind, r.relowner, a.grantee, a.who, a.further "
"UNION ALL SELECT 3, format('rights of %s on column %s of %s', a.who, quote_ident(t.attname), r.oid::regclass),"
"  format('GRANT %s (%I) ON TABLE %s TO %s%s', a.privilege_type, t.attname, r.oid::regclass, a.who, a.further),"
"  format('REVOKE %s (%I) ON TABLE %s FROM %s CASCADE', a.privilege_type, t.attname, r.oid::regclass, a.who), a.place, NULL"
" FROM r JOIN pg_attribute t ON t.attrelid = r.oid AND NOT t.attisdropped"
" CROSS JOIN LATERAL (SELECT x.*, " GRANTEE(x) " AS who, " GRANT_OPTION(x, r) " AS further"
"  FROM aclexplode(t.attacl) WITH ORDINALITY x (grantor, grantee, privilege_type, is_grantable, place)) a"
") x (n, what, command, drop, place, owner) ORDER BY n, place, what";

/* A partition's bound, a child's parent, the type of a typed table, publications. */
static const char links_text[] =
"SELECT CASE WHEN role IS NULL THEN 'c' ELSE 'p' END, what, role, command, drop, n FROM ("
"SELECT 1, pg_get_userbyid(p.relowner)::text, format('partition of %s', i.inhparent::regclass),"
"  format('ALTER TABLE %s ATTACH PARTITION %s %s', i.inhparent::regclass, c.oid::regclass, pg_get_expr(c.relpartbound, c.oid)),"
"  format('ALTER TABLE %s DETACH PARTITION %s', i.inhparent::regclass, c.oid::regclass)"
" FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent"
" WHERE c.oid = ANY ($1) AND i.inhparent <> ALL ($1) AND c.relispartition "
/* attaching makes triggers as they are above, also in what is below */
"UNION ALL SELECT 2, pg_get_userbyid(c.relowner)::text, format('trigger %s of %s', quote_ident(t.tgname), c.oid::regclass),"
"  " TRIGGER_STATE("t") ", NULL"
" FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
" WHERE c.oid = ANY ($1) AND t.tgparentid <> 0 AND NOT t.tgisinternal"
"  AND t.tgenabled <> (SELECT a.tgenabled FROM pg_partition_ancestors(t.tgrelid) WITH ORDINALITY x (relid, n)"
"   JOIN pg_trigger a ON a.tgrelid = x.relid AND a.tgname = t.tgname AND NOT a.tgisinternal"
"   WHERE x.relid <> ALL ($1) ORDER BY x.n LIMIT 1) "
"UNION ALL SELECT 3, pg_get_userbyid(p.relowner)::text, format('child of %s', i.inhparent::regclass), format('ALTER TABLE %s INHERIT %s', c.oid::regclass, i.inhparent::regclass),"
"  format('ALTER TABLE %s NO INHERIT %s', c.oid::regclass, i.inhparent::regclass)"
" FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent"
" WHERE c.oid = ANY ($1) AND i.inhparent <> ALL ($1) AND NOT c.relispartition "
"UNION ALL SELECT 4, NULL, format('table of type %s', c.reloftype::regtype), format('ALTER TABLE %s OF %s', c.oid::regclass, c.reloftype::regtype),"
"  format('ALTER TABLE %s NOT OF', c.oid::regclass)"
" FROM pg_class c WHERE c.oid = ANY ($1) AND c.reloftype <> 0 "
"UNION ALL SELECT 5, NULL, format('table of publication %s', quote_ident(u.pubname)),"
"  format('ALTER PUBLICATION %I ADD TABLE ONLY %s%s%s', u.pubname, r.prrelid::regclass,"
"   (SELECT ' (' || string_agg(quote_ident(t.attname), ', ' ORDER BY t.attnum) || ')' FROM pg_attribute t WHERE t.attrelid = r.prrelid AND t.attnum = ANY (r.prattrs)),"
"   ' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')'),"
"  format('ALTER PUBLICATION %I DROP TABLE ONLY %s', u.pubname, r.prrelid::regclass)"
" FROM pg_publication_rel r JOIN pg_publication u ON u.oid = r.prpubid WHERE r.prrelid = ANY ($1)"
") x (n, role, what, command, drop) ORDER BY n, what";

/* ----------------------------------------------------------------
 *		Running them
 * ----------------------------------------------------------------
 */

/*
 * Planning these takes longer than running them, so their plans are kept for the
 * session: a command may drop many tables.
 */
typedef struct FgTrashQuery
{
	const char *text;
	SPIPlanPtr	plan;			/* NULL: not needed yet */
} FgTrashQuery;

static FgTrashQuery dependents_query = {dependents_text, NULL};
static FgTrashQuery parts_query = {parts_text, NULL};
static FgTrashQuery types_query = {types_text, NULL};
static FgTrashQuery sequences_query = {sequences_text, NULL};
static FgTrashQuery rights_query = {rights_text, NULL};
static FgTrashQuery links_query = {links_text, NULL};

static Datum
oid_array(const List *oids)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(list_length(oids), 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, oids)
		values[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	return PointerGetDatum(construct_array(values, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

static void
run_query(FgTrashQuery *query, const List *members, const List *dropped, const List *moved)
{
	Oid			argument_types[N_PARAMETERS] = {OIDARRAYOID, OIDARRAYOID, OIDARRAYOID, OIDARRAYOID};
	Datum		arguments[N_PARAMETERS];
	List	   *classes = NIL;
	List	   *objects = NIL;
	ListCell   *lc;

	foreach(lc, dropped)
	{
		const FgTrashObject *object = lfirst(lc);

		classes = lappend_oid(classes, object->class_id);
		objects = lappend_oid(objects, object->object);
	}
	arguments[0] = oid_array(members);
	arguments[1] = oid_array(classes);
	arguments[2] = oid_array(objects);
	arguments[3] = oid_array(moved);
	if (query->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(query->text, N_PARAMETERS, argument_types, CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare to read what depends on a table");
		query->plan = plan;
	}
	if (SPI_execute_plan(query->plan, arguments, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read what depends on a table");
}

static char *
result_text(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static FgTrashKind
result_kind(uint64 row)
{
	switch (result_text(row, COLUMN_KIND)[0])
	{
		case 'r':
			return FG_TRASH_REQUIRED;
		case 'f':
			return FG_TRASH_FUNCTION;
		case 'k':
			return FG_TRASH_CHECKED;
		case 'l':
			return FG_TRASH_LOST;
		case 'o':
			return FG_TRASH_OWNER;
		case 'p':
			return FG_TRASH_PARENT;
		default:
			return FG_TRASH_COMMAND;
	}
}

/*
 * "backwards": what is put back last is dropped first.  "first", if not NULL, is
 * for what goes before all else.
 */
static List *
save(FgTrashQuery *query, const List *members, const List *dropped, const List *moved,
	 bool backwards, List **first, List **drops)
{
	List	   *pieces = NIL;
	List	   *commands = NIL;

	run_query(query, members, dropped, moved);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		char	   *command = result_text(row, COLUMN_COMMAND);
		char	   *drop = result_text(row, COLUMN_DROP);

		if (command != NULL)
		{
			FgTrashPiece *piece = palloc0(sizeof(FgTrashPiece));

			piece->kind = result_kind(row);
			piece->what = result_text(row, COLUMN_WHAT);
			piece->role = result_text(row, COLUMN_ROLE);
			piece->command = command;
			pieces = lappend(pieces, piece);
		}
		if (drop != NULL && first != NULL && strcmp(result_text(row, COLUMN_DROP_ORDER), "0") == 0)
			*first = lappend(*first, drop);
		else if (drop != NULL)
			commands = backwards ? lcons(drop, commands) : lappend(commands, drop);
	}
	SPI_freetuptable(SPI_tuptable);
	*drops = list_concat(*drops, commands);
	return pieces;
}

static List *
find_oids(FgTrashQuery *query, const List *members, const List *dropped, const List *more)
{
	List	   *oids = NIL;

	run_query(query, members, dropped, more);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;

		oids = lappend_oid(oids, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[row],
																SPI_tuptable->tupdesc, 1, &isnull)));
	}
	SPI_freetuptable(SPI_tuptable);
	return oids;
}

List *
fg_trash_save_types(const List *members, const List *dropped)
{
	return find_oids(&types_query, members, dropped, NIL);
}

List *
fg_trash_save_sequences(const List *members, const List *dropped, const List *tables)
{
	return find_oids(&sequences_query, members, dropped, tables);
}

List *
fg_trash_save_dependents(const List *members, const List *dropped, List **drops)
{
	return save(&dependents_query, members, dropped, NIL, true, NULL, drops);
}

List *
fg_trash_save_parts(const List *members, const List *dropped, const List *moved, List **first, List **drops)
{
	return save(&parts_query, members, dropped, moved, false, first, drops);
}

List *
fg_trash_save_rights(const List *members, const List *sequences, List **drops)
{
	return save(&rights_query, members, NIL, sequences, false, NULL, drops);
}

List *
fg_trash_save_links(const List *members, List **drops)
{
	return save(&links_query, members, NIL, NIL, false, NULL, drops);
}

static int
compare_roles(const ListCell *a, const ListCell *b)
{
	return strcmp(((const FgTrashPiece *) lfirst(a))->role, ((const FgTrashPiece *) lfirst(b))->role);
}

List *
fg_trash_save_roles(const List *dropped)
{
	List	   *pieces = NIL;
	ListCell   *lc;

	foreach(lc, fg_trash_kin_roles(dropped))
	{
		FgTrashPiece *piece = palloc0(sizeof(FgTrashPiece));

		piece->kind = FG_TRASH_ROLE;
		piece->role_oid = lfirst_oid(lc);
		piece->role = GetUserNameFromId(lfirst_oid(lc), false);
		piece->what = psprintf("role \"%s\"", piece->role);
		piece->command = quote_identifier(piece->role);
		pieces = lappend(pieces, piece);
	}
	list_sort(pieces, compare_roles);
	return pieces;
}
