/*-------------------------------------------------------------------------
 *
 * fg_restore_moved.c
 *		Rows whose keys were changed: where are they now?
 *
 * A row has no name but its key, and where updates have changed keys it may have
 * had several, and a key several rows, one after the other.  So the chosen
 * images and the keys that updates led to are put in a line for each key, by
 * time, and the way of each row is followed along them, as CTEs:
 *
 *	moved	the updates that changed a key: from key c to key n
 *	line	what happened at each key: kind d (the row was deleted), m (it left
 *			for another key), u (it was updated in place), a (one arrived)
 *	ends	the last of that for each key: after a and u a row is there
 *	step	without u, and with what follows at the same key
 *	start	the rows of "first" but those that had arrived at their keys, with
 *			how they left
 *	chain	all moves of each of these rows
 *	place	where the last one led (p), and whether the row is alive there
 *	next	whose row was at first, at the start, where another one's is now
 *	path	from each row that is missing now along "next"
 *	source	the first place on that path where no row was at the start
 *
 * What has a key at the start gets its content there and then: a row that is
 * there now is overwritten in place, whoever's it was, which never meets a
 * unique key in the way.  So after a swap no row moves.  A row that is missing
 * is moved back from its place; if that had a row of its own at the start, the
 * row to move is the one that stands at the end of the path, as everything
 * between is overwritten in place.  If the path ends with a row that died, the
 * missing one is inserted.
 *
 * Images of one call have one time, which no other call of the session has; a
 * row is changed at most once by it, so that in one call what left a key was
 * there before what arrived.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fg_restore_moved.h"
#include "fg_restore_text.h"

/*
 * What tells one transaction's moves from another's; the number alone would not
 * do where archives of another cluster were loaded.
 */
#define CALL_OF(alias) \
	"pg_catalog.byteacat(pg_catalog.xid8send(" alias ".fg_xid), pg_catalog.timestamptz_send(" alias ".fg_at))"

/* "letter<number>" of the key columns, with a prefix, renamed where to is not \0 */
static void
key_list(StringInfo sql, const FgRestorePlan *plan, const char *prefix, char letter, char to)
{
	ListCell   *lc;

	foreach(lc, plan->keys)
	{
		AttrNumber	attnum = ((const FgRestoreKey *) lfirst(lc))->column->attnum;

		appendStringInfo(sql, "%s%s%c%d", lc == list_head(plan->keys) ? "" : ", ", prefix, letter, attnum);
		if (to != '\0')
			appendStringInfo(sql, " AS %c%d", to, attnum);
	}
}

static void
moved_and_line(StringInfo sql, const FgRestorePlan *plan)
{
	ListCell   *lc;

	appendStringInfo(sql, ", %s AS MATERIALIZED (SELECT ", fg_sql_cte(plan, "moved"));
	fg_sql_keys(sql, plan, "c.");
	appendStringInfoString(sql, ", " CALL_OF("c") " AS fg_xid, c.fg_at, c.fg_seq, ");
	key_list(sql, plan, "k.", 'n', '\0');
	appendStringInfo(sql, " FROM %s c JOIN (SELECT fg_xid, fg_at, fg_seq", fg_sql_cte(plan, "chosen"));
	foreach(lc, plan->keys)
	{
		const FgRestoreKey *key = lfirst(lc);

		appendStringInfo(sql, ", %s AS n%d", key->column->name, key->column->attnum);
	}
	appendStringInfo(sql,
					 " FROM %s WHERE fg_op %s %s) k ON (k.fg_xid %s c.fg_xid AND k.fg_at %s c.fg_at AND k.fg_seq %s c.fg_seq)"
					 " WHERE c.fg_op %s %s)",
					 plan->source, EQ, CHAR("k"), EQ, EQ, EQ, EQ, CHAR("u"));

	appendStringInfo(sql, ", %s AS MATERIALIZED (SELECT ", fg_sql_cte(plan, "line"));
	fg_sql_keys(sql, plan, "c.");
	appendStringInfo(sql,
					 ", c.fg_at, c.fg_seq, " CALL_OF("c") " AS fg_xid, CASE WHEN m.fg_seq IS NOT NULL THEN %s"
					 " WHEN c.fg_op %s %s THEN %s ELSE %s END AS kind, 0 AS place"
					 " FROM %s c LEFT JOIN %s m ON (m.fg_xid %s " CALL_OF("c") " AND m.fg_seq %s c.fg_seq AND c.fg_op %s %s)"
					 " UNION ALL SELECT ",
					 CHAR("m"), EQ, CHAR("u"), CHAR("u"), CHAR("d"),
					 fg_sql_cte(plan, "chosen"), fg_sql_cte(plan, "moved"), EQ, EQ, EQ, CHAR("u"));
	key_list(sql, plan, "", 'n', '\0');
	appendStringInfo(sql, ", fg_at, fg_seq, fg_xid, %s, 1 FROM %s)", CHAR("a"), fg_sql_cte(plan, "moved"));
}

static void
ends_and_step(StringInfo sql, const FgRestorePlan *plan)
{
	appendStringInfo(sql, ", %s AS MATERIALIZED (SELECT DISTINCT ON (", fg_sql_cte(plan, "ends"));
	fg_sql_keys(sql, plan, "");
	appendStringInfoString(sql, ") ");
	fg_sql_keys(sql, plan, "");
	appendStringInfo(sql, ", kind, fg_at, fg_seq FROM %s ORDER BY ", fg_sql_cte(plan, "line"));
	fg_sql_keys(sql, plan, "");
	appendStringInfoString(sql, ", fg_at DESC, place DESC, fg_seq DESC)");

	appendStringInfo(sql, ", %s AS MATERIALIZED (SELECT ", fg_sql_cte(plan, "step"));
	fg_sql_keys(sql, plan, "");
	appendStringInfo(sql,
					 ", kind, fg_xid, fg_seq, pg_catalog.row_number() OVER w AS number, pg_catalog.lead(kind) OVER w AS next_kind"
					 ", pg_catalog.lead(fg_xid) OVER w AS next_xid, pg_catalog.lead(fg_seq) OVER w AS next_seq"
					 " FROM %s WHERE kind OPERATOR(pg_catalog.<>) %s WINDOW w AS (PARTITION BY ",
					 fg_sql_cte(plan, "line"), CHAR("u"));
	fg_sql_keys(sql, plan, "");
	appendStringInfoString(sql, " ORDER BY fg_at, place, fg_seq))");
}

static void
start(StringInfo sql, const FgRestorePlan *plan, bool leave_out)
{
	appendStringInfo(sql,
					 ", %s AS MATERIALIZED (SELECT f.*, CASE WHEN e.kind %s ANY ('{u,a}') THEN %s ELSE %s END AS last_op"
					 ", e.fg_at AS last_at, e.fg_seq AS last_seq, s.kind AS left_kind, s.fg_xid AS left_xid, s.fg_seq AS left_seq"
					 " FROM %s f JOIN %s e ON (",
					 fg_sql_cte(plan, "start"), EQ, CHAR("u"), CHAR("d"),
					 fg_sql_cte(plan, "first"), fg_sql_cte(plan, "ends"));
	fg_sql_same_key(sql, plan, "e", false, "f");
	appendStringInfo(sql, ") LEFT JOIN (SELECT * FROM %s WHERE number %s 1) s ON (", fg_sql_cte(plan, "step"), EQ);
	fg_sql_same_key(sql, plan, "s", false, "f");
	/* the first image may be older than what arrived later */
	appendStringInfo(sql,
					 ") WHERE NOT EXISTS (SELECT FROM %s m WHERE ", fg_sql_cte(plan, "moved"));
	fg_sql_same_key_as(sql, plan, "f", false, "m", 'n');
	appendStringInfoString(sql, " AND m.fg_at OPERATOR(pg_catalog.<) f.fg_at)");
	if (leave_out)
		appendStringInfo(sql, " AND f.fg_how OPERATOR(pg_catalog.<>) %s", CHAR(FG_OWN));
	appendStringInfoChar(sql, ')');
}

static void
chain_and_place(StringInfo sql, const FgRestorePlan *plan)
{
	/* a move is told by its transaction and its number; root: the first one of a row */
	appendStringInfo(sql,
					 ", %s AS (SELECT left_xid AS root_xid, left_seq AS root_seq, left_xid AS fg_xid, left_seq AS fg_seq"
					 " FROM %s WHERE left_kind %s %s"
					 " UNION SELECT c.root_xid, c.root_seq, a.next_xid, a.next_seq FROM %s c"
					 " JOIN %s a ON (a.fg_xid %s c.fg_xid AND a.fg_seq %s c.fg_seq AND a.kind %s %s)"
					 " WHERE a.next_kind %s %s)",
					 fg_sql_cte(plan, "chain"), fg_sql_cte(plan, "start"), EQ, CHAR("m"),
					 fg_sql_cte(plan, "chain"), fg_sql_cte(plan, "step"), EQ, EQ, EQ, CHAR("a"), EQ, CHAR("m"));

	appendStringInfo(sql, ", %s AS MATERIALIZED (SELECT ", fg_sql_cte(plan, "place"));
	fg_sql_keys(sql, plan, "f.");
	appendStringInfoString(sql, ", c.root_xid, c.root_seq, ");
	key_list(sql, plan, "a.", 'c', 'p');
	appendStringInfo(sql,
					 ", a.next_kind IS NULL OR a.next_kind %s %s AS alive FROM %s c"
					 " JOIN %s a ON (a.fg_xid %s c.fg_xid AND a.fg_seq %s c.fg_seq AND a.kind %s %s)"
					 " JOIN %s f ON (f.left_xid %s c.root_xid AND f.left_seq %s c.root_seq AND f.left_kind %s %s)"
					 " WHERE a.next_kind IS NULL OR a.next_kind OPERATOR(pg_catalog.<>) %s)",
					 EQ, CHAR("a"), fg_sql_cte(plan, "chain"),
					 fg_sql_cte(plan, "step"), EQ, EQ, EQ, CHAR("a"),
					 fg_sql_cte(plan, "start"), EQ, EQ, EQ, CHAR("m"), CHAR("m"));
}

static void
path_and_source(StringInfo sql, const FgRestorePlan *plan)
{
	appendStringInfo(sql,
					 ", %s AS MATERIALIZED (SELECT p.root_xid, p.root_seq, n.root_xid AS next_xid, n.root_seq AS next_seq"
					 " FROM %s p JOIN %s n ON (",
					 fg_sql_cte(plan, "next"), fg_sql_cte(plan, "place"), fg_sql_cte(plan, "place"));
	fg_sql_same_key_as(sql, plan, "n", false, "p", 'p');
	appendStringInfoString(sql, ") WHERE p.alive)");

	appendStringInfo(sql,
					 ", %s AS (SELECT p.root_xid AS from_xid, p.root_seq AS from_seq, p.root_xid, p.root_seq"
					 " FROM %s p LEFT JOIN %s t ON (",
					 fg_sql_cte(plan, "path"), fg_sql_cte(plan, "place"), fg_sql_table(plan));
	fg_sql_same_key(sql, plan, "t", true, "p");
	appendStringInfo(sql,
					 ") WHERE t.tableoid IS NULL UNION SELECT h.from_xid, h.from_seq, n.next_xid, n.next_seq"
					 " FROM %s h JOIN %s n ON (n.root_xid %s h.root_xid AND n.root_seq %s h.root_seq))",
					 fg_sql_cte(plan, "path"), fg_sql_cte(plan, "next"), EQ, EQ);

	appendStringInfo(sql, ", %s AS (SELECT ", fg_sql_cte(plan, "source"));
	fg_sql_keys(sql, plan, "r.");
	appendStringInfoString(sql, ", ");
	key_list(sql, plan, "p.", 'p', '\0');
	appendStringInfo(sql,
					 ", e.fg_at AS p_at, e.fg_seq AS p_seq FROM %s h"
					 " JOIN %s r ON (r.root_xid %s h.from_xid AND r.root_seq %s h.from_seq)"
					 " JOIN %s p ON (p.root_xid %s h.root_xid AND p.root_seq %s h.root_seq)"
					 " JOIN %s e ON (",
					 fg_sql_cte(plan, "path"), fg_sql_cte(plan, "place"), EQ, EQ,
					 fg_sql_cte(plan, "place"), EQ, EQ, fg_sql_cte(plan, "ends"));
	fg_sql_same_key_as(sql, plan, "e", false, "p", 'p');
	appendStringInfo(sql, ") LEFT JOIN %s f ON (", fg_sql_cte(plan, "start"));
	fg_sql_same_key_as(sql, plan, "f", false, "p", 'p');
	appendStringInfoString(sql, ") WHERE p.alive AND f.fg_seq IS NULL)");
}

void
fg_restore_moved_sql(StringInfo sql, const FgRestorePlan *plan, bool leave_out)
{
	moved_and_line(sql, plan);
	ends_and_step(sql, plan);
	start(sql, plan, leave_out);
	chain_and_place(sql, plan);
	path_and_source(sql, plan);
}

void
fg_restore_moved_place(StringInfo sql, const FgRestorePlan *plan)
{
	ListCell   *lc;

	foreach(lc, plan->keys)
	{
		AttrNumber	attnum = ((const FgRestoreKey *) lfirst(lc))->column->attnum;

		appendStringInfo(sql, "CASE WHEN t.tableoid IS NULL AND s.tableoid IS NOT NULL THEN g.p%d ELSE f.c%d END AS p%d, ",
						 attnum, attnum, attnum);
	}
	appendStringInfoString(sql,
						   "CASE WHEN t.tableoid IS NULL AND s.tableoid IS NOT NULL THEN g.p_at ELSE f.last_at END AS p_at, "
						   "CASE WHEN t.tableoid IS NULL AND s.tableoid IS NOT NULL THEN g.p_seq ELSE f.last_seq END AS p_seq, "
						   "CASE WHEN t.tableoid IS NULL THEN s.xmin ELSE t.xmin END AS version");
}

/*
 * A row that is where it was expected is moved back; one that is expected here
 * or elsewhere and is not there was removed since; else the row is put in.
 */
void
fg_restore_moved_verdict(StringInfo sql)
{
	appendStringInfo(sql,
					 "CASE WHEN s.tableoid IS NOT NULL THEN %s WHEN g.p_seq IS NOT NULL OR f.last_op %s %s THEN %s ELSE %s END",
					 CHAR("m"), EQ, CHAR("u"), CHAR("I"), CHAR("i"));
}

void
fg_restore_moved_joins(StringInfo sql, const FgRestorePlan *plan)
{
	appendStringInfo(sql, " LEFT JOIN %s g ON (", fg_sql_cte(plan, "source"));
	fg_sql_same_key(sql, plan, "g", false, "f");
	appendStringInfo(sql, ") LEFT JOIN %s s ON (", fg_sql_table(plan));
	fg_sql_same_key_as(sql, plan, "s", true, "g", 'p');
	appendStringInfoChar(sql, ')');
}
