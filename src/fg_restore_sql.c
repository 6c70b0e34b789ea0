/*-------------------------------------------------------------------------
 *
 * fg_restore_sql.c
 *		Writes the one statement that restores relations from their shadows.
 *
 * One statement, so that what is decided and what is done see the same
 * snapshot, foreign keys of the table to itself are checked after all rows
 * are there, and the planner can join millions of rows by hash or merge.  For
 * the same reason an undo is one statement for all its tables: foreign keys
 * between them, in cycles too, are checked when every row is back, whether
 * deferrable or not, and no order of the tables has to be found.  Its parts for
 * each table, as CTEs:
 *
 *	chosen	the rows of the shadow that the caller wants undone
 *	first	the earliest of them for each key: it holds the wanted content;
 *			with it the last one's operation and time
 *	found	joined with the row that has the key now, and a verdict, "act":
 *				i	absent: put it in
 *				I	absent, though the last chosen change left it there:
 *					somebody removed it since; conflict
 *				=	it is there with the wanted content: nothing to do
 *				u	as the last chosen change, an update, left it: update it
 *				U	created or changed since; conflict
 *				m	absent, because a chosen change gave its row another key:
 *					update that one
 *				M	the same, but perhaps changed since; conflict
 *	later	keys that the shadow shows changed after the last chosen change
 *			(a "u" among them is a "U"); left out where every later change is
 *			chosen anyway, or no update is
 *	plan	the verdicts
 *	changed	UPDATE; only of rows that are still the version that was judged
 *	put_n	INSERT, one for each set of columns that images have: columns that
 *			are younger than an image get their defaults
 *
 * A table without key columns has only inserts.  Equal images are numbered;
 * the k-th is put in if the table has fewer than k rows that look like it.  So
 * a second run puts nothing in, and of rows that were equal to ones still
 * there only what is missing to the number deleted comes back.
 *
 * The planner knows little about shadows that were just filled, and less about
 * CTEs.  Where its guess of one row could become a nested loop over a million
 * times a million, the join is a FULL JOIN, which it can only do by hash or
 * merge; one side's rows all have a partner, so the result is the same.
 *
 * The search path is the caller's, because triggers that fire, and the
 * caller's own filter, count on it; so every name and operator here is
 * qualified.  Columns go by c<attribute number> between the CTEs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "lib/stringinfo.h"

#include "fg_restore_moved.h"
#include "fg_restore_sql.h"
#include "fg_restore_text.h"
#include "fg_shadow.h"

/* The name of a CTE: each plan of a statement has its own. */
const char *
fg_sql_cte(const FgRestorePlan *plan, const char *name)
{
	return psprintf("%s%s", plan->tag, name);
}

static bool
fg_plan_overwrites(const FgRestorePlan *plan)
{
	return plan->on_conflict == FG_CONFLICT_OVERWRITE;
}

/* verdicts that end in an INSERT, and in an UPDATE */
static const char *
fg_sql_inserted(const FgRestorePlan *plan)
{
	return fg_plan_overwrites(plan) ? "'{i,I}'" : "'{i}'";
}

static const char *
fg_sql_updated(const FgRestorePlan *plan)
{
	return fg_plan_overwrites(plan) ? "'{u,U,m,M}'" : "'{u,m}'";
}

/* "alias.act is one of", with the array given as a quoted literal */
static void
fg_sql_act(StringInfo sql, const char *alias, const char *acts)
{
	appendStringInfo(sql, "%s.act %s ANY (%s::pg_catalog.\"char\"[])", alias, EQ, acts);
}

/* c1, c2, ... of all columns, each with a prefix */
void
fg_sql_columns(StringInfo sql, const FgRestorePlan *plan, const char *prefix)
{
	ListCell   *lc;

	foreach(lc, plan->columns)
	{
		const FgRestoreColumn *column = lfirst(lc);

		appendStringInfo(sql, "%s%sc%d", lc == list_head(plan->columns) ? "" : ", ", prefix, column->attnum);
	}
}

/* The same of the key columns */
void
fg_sql_keys(StringInfo sql, const FgRestorePlan *plan, const char *prefix)
{
	ListCell   *lc;

	foreach(lc, plan->keys)
	{
		const FgRestoreKey *key = lfirst(lc);

		appendStringInfo(sql, "%s%sc%d", lc == list_head(plan->keys) ? "" : ", ", prefix, key->column->attnum);
	}
}

/*
 * Equality of keys.  The left side's columns go by their names ("named": the
 * base table's) or by c<number>; the right side's always by number.
 */
void
fg_sql_same_key_as(StringInfo sql, const FgRestorePlan *plan, const char *left, bool named, const char *right, char letter)
{
	ListCell   *lc;

	foreach(lc, plan->keys)
	{
		const FgRestoreKey *key = lfirst(lc);

		if (lc != list_head(plan->keys))
			appendStringInfoString(sql, " AND ");
		if (named)
			appendStringInfo(sql, "%s.%s", left, key->column->name);
		else
			appendStringInfo(sql, "%s.c%d", left, key->column->attnum);
		appendStringInfo(sql, " %s %s.%c%d", key->equals, right, letter, key->column->attnum);
	}
}

void
fg_sql_same_key(StringInfo sql, const FgRestorePlan *plan, const char *left, bool named, const char *right)
{
	fg_sql_same_key_as(sql, plan, left, named, right, 'c');
}

/* Do all images have the column? */
bool
fg_sql_always_known(const FgRestorePlan *plan, const FgRestoreColumn *column)
{
	return plan->natts == NIL || linitial_int(plan->natts) >= column->known_from;
}

/* Is the column one that a restore compares?  Generated ones follow from the others. */
static bool
fg_column_compared(const FgRestorePlan *plan, const FgRestoreColumn *column)
{
	/* nobody can set it in a row that exists, so there it says nothing */
	if (column->identity_always && plan->keys != NIL)
		return false;
	return !column->generated;
}

const char *
fg_sql_table(const FgRestorePlan *plan)
{
	return psprintf("%s%s", plan->only ? "ONLY " : "", plan->table);
}

/* Rows that the undone transaction had put in itself were not there before it. */
static bool
fg_plan_leaves_out(const FgRestorePlan *plan)
{
	return plan->by_xid && plan->has_own;
}

static void
fg_sql_chosen(StringInfo sql, const FgRestorePlan *plan)
{
	ListCell   *lc;

	appendStringInfo(sql, "%s AS NOT MATERIALIZED (SELECT ", fg_sql_cte(plan, "chosen"));
	foreach(lc, plan->columns)
	{
		const FgRestoreColumn *column = lfirst(lc);

		appendStringInfo(sql, "%s AS c%d, ", column->name, column->attnum);
	}
	appendStringInfo(sql, "fg_at, fg_seq, fg_xid, fg_op, fg_natts, fg_how FROM %s WHERE %s", plan->source, plan->condition);
	/* with keys, the first image of each tells */
	if (fg_plan_leaves_out(plan) && plan->keys == NIL)
		appendStringInfo(sql, " AND fg_how OPERATOR(pg_catalog.<>) %s", CHAR(FG_OWN));
	appendStringInfoChar(sql, ')');
}

/* Does the row t look like image f?  Byte by byte, so that any type can be compared. */
static void
fg_sql_same_image(StringInfo sql, const FgRestorePlan *plan)
{
	StringInfoData now;
	StringInfoData wanted;
	ListCell   *lc;
	const char *separator = "";

	initStringInfo(&now);
	initStringInfo(&wanted);
	foreach(lc, plan->columns)
	{
		const FgRestoreColumn *column = lfirst(lc);

		if (!fg_column_compared(plan, column))
			continue;
		appendStringInfo(&now, "%st.%s%s", separator, column->name, column->as_base);
		if (fg_sql_always_known(plan, column))
			appendStringInfo(&wanted, "%sf.c%d%s", separator, column->attnum, column->as_shadow);
		else
			appendStringInfo(&wanted,
							 "%sCASE WHEN f.fg_natts OPERATOR(pg_catalog.>=) %d THEN f.c%d%s ELSE t.%s%s END",
							 separator, column->known_from, column->attnum, column->as_shadow,
							 column->name, column->as_base);
		separator = ", ";
	}
	if (now.len == 0)
		appendStringInfoString(sql, "true");
	else
		appendStringInfo(sql, "pg_catalog.record_image_eq(ROW(%s), ROW(%s))", now.data, wanted.data);
}

/* Was that version of a row made by the transaction whose changes are undone? */
void
fg_sql_own_version(StringInfo sql, const FgRestorePlan *plan, const char *alias)
{
	if (plan->many_xids)
		appendStringInfo(sql, "%s.xmin %s ANY (SELECT pg_catalog.unnest($4))", alias, EQ);
	else
		appendStringInfo(sql, "%s.xmin %s ANY ($4)", alias, EQ);
}

/* The verdicts where rows have a key */
static void
fg_sql_plan_by_key(StringInfo sql, const FgRestorePlan *plan)
{
	/* the last chosen change matters only where it may be an update */
	bool		later = plan->has_updates && !plan->all_later;
	ListCell   *lc;

	appendStringInfo(sql, ", %s AS (SELECT DISTINCT ON (", fg_sql_cte(plan, "first"));
	fg_sql_keys(sql, plan, "");
	appendStringInfoString(sql, ") ");
	fg_sql_columns(sql, plan, "");
	appendStringInfoString(sql, ", fg_op, fg_natts, fg_at, fg_seq, fg_how");
	if (plan->has_moves)
		appendStringInfo(sql, " FROM %s", fg_sql_cte(plan, "chosen"));
	else if (!plan->has_updates || (!plan->has_others && !later))
		appendStringInfo(sql, ", fg_op AS last_op FROM %s", fg_sql_cte(plan, "chosen"));
	else
	{
		appendStringInfo(sql,
						 ", pg_catalog.last_value(fg_op) OVER w AS last_op"
						 ", pg_catalog.last_value(fg_at) OVER w AS last_at"
						 ", pg_catalog.last_value(fg_seq) OVER w AS last_seq"
						 " FROM %s WINDOW w AS (PARTITION BY ", fg_sql_cte(plan, "chosen"));
		fg_sql_keys(sql, plan, "");
		appendStringInfoString(sql,
							   " ORDER BY fg_at, fg_seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)");
	}
	appendStringInfoString(sql, " ORDER BY ");
	fg_sql_keys(sql, plan, "");
	appendStringInfoString(sql, ", fg_at, fg_seq)");

	if (plan->has_moves)
		fg_restore_moved_sql(sql, plan, fg_plan_leaves_out(plan));
	appendStringInfo(sql, ", %s AS (SELECT f.*, ", fg_sql_cte(plan, "found"));
	if (plan->has_moves)
		fg_restore_moved_place(sql, plan);
	else
		appendStringInfoString(sql, "t.xmin AS version");
	appendStringInfoString(sql, ", CASE WHEN t.tableoid IS NULL THEN ");
	if (plan->has_moves)
		fg_restore_moved_verdict(sql);
	else
		appendStringInfo(sql, "CASE WHEN f.last_op %s %s THEN %s ELSE %s END", EQ, CHAR("u"), CHAR("I"), CHAR("i"));
	appendStringInfoString(sql, " WHEN ");
	fg_sql_same_image(sql, plan);
	appendStringInfo(sql, " THEN %s WHEN f.last_op %s %s", CHAR("="), EQ, CHAR("u"));
	/* what the undone transaction itself put there was put there by nobody since */
	if (plan->by_xid)
	{
		appendStringInfoString(sql, " OR ");
		fg_sql_own_version(sql, plan, "t");
	}
	appendStringInfo(sql, " THEN %s ELSE %s END AS act FROM %s f LEFT JOIN %s t ON (",
					 CHAR("u"), CHAR("U"), fg_sql_cte(plan, plan->has_moves ? "start" : "first"), fg_sql_table(plan));
	fg_sql_same_key(sql, plan, "t", true, "f");
	appendStringInfoChar(sql, ')');
	if (plan->has_moves)
		fg_restore_moved_joins(sql, plan);
	else if (fg_plan_leaves_out(plan))
		appendStringInfo(sql, " WHERE f.fg_how OPERATOR(pg_catalog.<>) %s", CHAR(FG_OWN));
	appendStringInfoChar(sql, ')');

	if (later)
	{
		const char *acts = plan->has_moves ? "'{u,m}'" : "'{u}'";

		appendStringInfo(sql, ", %s AS (SELECT DISTINCT ", fg_sql_cte(plan, "later"));
		fg_sql_keys(sql, plan, "f.");
		appendStringInfoString(sql, " FROM (SELECT u.*, s.fg_at, s.fg_seq FROM (SELECT ");
		/* of the key where the row is now */
		foreach(lc, plan->keys)
		{
			const FgRestoreKey *key = lfirst(lc);

			appendStringInfo(sql, "%c%d AS c%d, ", plan->has_moves ? 'p' : 'c', key->column->attnum, key->column->attnum);
		}
		appendStringInfo(sql, "%s FROM %s x WHERE ",
						 plan->has_moves ? "p_at AS last_at, p_seq AS last_seq" : "last_at, last_seq",
						 fg_sql_cte(plan, "found"));
		fg_sql_act(sql, "x", acts);
		appendStringInfoString(sql, ") u FULL JOIN (SELECT ");
		foreach(lc, plan->keys)
		{
			const FgRestoreKey *key = lfirst(lc);

			appendStringInfo(sql, "%s AS c%d, ", key->column->name, key->column->attnum);
		}
		appendStringInfo(sql, "fg_at, fg_seq FROM %s WHERE %s AND " FG_SHADOW_IS_CHANGE ") s ON (",
						 plan->source, plan->no_earlier);
		fg_sql_same_key(sql, plan, "s", false, "u");
		appendStringInfo(sql,
						 ") OFFSET 0) f WHERE f.fg_at OPERATOR(pg_catalog.>) f.last_at"
						 " OR (f.fg_at %s f.last_at AND f.fg_seq OPERATOR(pg_catalog.>) f.last_seq))",
						 EQ);
	}

	appendStringInfo(sql, ", %s AS MATERIALIZED (SELECT ", fg_sql_cte(plan, "plan"));
	fg_sql_columns(sql, plan, "f.");
	if (plan->has_moves)
	{
		foreach(lc, plan->keys)
			appendStringInfo(sql, ", f.p%d", ((const FgRestoreKey *) lfirst(lc))->column->attnum);
	}
	if (!later)
		appendStringInfo(sql, ", f.fg_op, f.fg_natts, f.version, f.act FROM %s f)", fg_sql_cte(plan, "found"));
	else
	{
		const FgRestoreKey *key = linitial(plan->keys);

		appendStringInfo(sql,
						 ", f.fg_op, f.fg_natts, f.version, CASE WHEN l.c%d IS NULL THEN f.act"
						 " WHEN f.act %s %s THEN %s WHEN f.act %s %s THEN %s ELSE f.act END AS act FROM %s f FULL JOIN %s l ON (",
						 key->column->attnum, EQ, CHAR("u"), CHAR("U"), EQ, CHAR("m"), CHAR("M"),
						 fg_sql_cte(plan, "found"), fg_sql_cte(plan, "later"));
		fg_sql_same_key_as(sql, plan, "l", false, "f", plan->has_moves ? 'p' : 'c');
		appendStringInfoString(sql, "))");
	}
}

/* The text of a row over the columns that every image has, for tables without keys */
static void
fg_sql_image_text(StringInfo sql, const FgRestorePlan *plan, const char *alias, bool named)
{
	ListCell   *lc;
	const char *separator = "";

	appendStringInfoString(sql, "ROW(");
	foreach(lc, plan->columns)
	{
		const FgRestoreColumn *column = lfirst(lc);

		if (!fg_column_compared(plan, column) || !fg_sql_always_known(plan, column))
			continue;
		if (named)
			appendStringInfo(sql, "%s%s.%s%s", separator, alias, column->name, column->as_base);
		else
			appendStringInfo(sql, "%s%s.c%d%s", separator, alias, column->attnum, column->as_shadow);
		separator = ", ";
	}
	appendStringInfoString(sql, ")::pg_catalog.text COLLATE pg_catalog.\"C\"");
}

/* The verdicts where they have none */
static void
fg_sql_plan_by_image(StringInfo sql, const FgRestorePlan *plan)
{
	appendStringInfo(sql, ", %s AS (SELECT c.*, ", fg_sql_cte(plan, "image"));
	fg_sql_image_text(sql, plan, "c", false);
	appendStringInfo(sql,
					 " AS look FROM %s c), %s AS (SELECT i.*,"
					 " pg_catalog.row_number() OVER (PARTITION BY i.look ORDER BY i.fg_at, i.fg_seq) AS number"
					 " FROM %s i), %s AS (SELECT r.look, pg_catalog.count(*) AS number FROM (SELECT ",
					 fg_sql_cte(plan, "chosen"), fg_sql_cte(plan, "numbered"),
					 fg_sql_cte(plan, "image"), fg_sql_cte(plan, "have"));
	fg_sql_image_text(sql, plan, "t", true);
	appendStringInfo(sql,
					 " AS look FROM %s t) r WHERE r.look %s ANY (SELECT i.look FROM %s i) GROUP BY r.look)",
					 fg_sql_table(plan), EQ, fg_sql_cte(plan, "image"));

	/* every look of "have" is one of "numbered" */
	appendStringInfo(sql, ", %s AS MATERIALIZED (SELECT ", fg_sql_cte(plan, "plan"));
	fg_sql_columns(sql, plan, "n.");
	appendStringInfo(sql,
					 ", n.fg_op, n.fg_natts, CASE WHEN h.number OPERATOR(pg_catalog.>=) n.number THEN %s ELSE %s END AS act"
					 " FROM %s n FULL JOIN %s h ON (h.look %s n.look))",
					 CHAR("="), CHAR("i"), fg_sql_cte(plan, "numbered"), fg_sql_cte(plan, "have"), EQ);
}

/*
 * The inserts: one for each set of columns that images have.  Returns how
 * many there are.  "sets": there is an update, and it goes first, as it may give
 * up values that the new rows have in other unique columns.
 */
static int
fg_sql_put(StringInfo sql, const FgRestorePlan *plan, bool sets)
{
	int			n_groups = 0;
	ListCell   *group = list_head(plan->natts);

	while (group != NULL)
	{
		int			lowest = lfirst_int(group);
		int			highest = lowest;
		StringInfoData names;
		StringInfoData values;
		ListCell   *lc;
		int			next_column = INT_MAX;

		initStringInfo(&names);
		initStringInfo(&values);
		foreach(lc, plan->columns)
		{
			const FgRestoreColumn *column = lfirst(lc);

			if (column->generated)
				continue;
			if (column->known_from > lowest)
			{
				next_column = Min(next_column, column->known_from);
				continue;
			}
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", column->name);
			appendStringInfo(&values, "%sp.c%d", values.len > 0 ? ", " : "", column->attnum);
		}
		/* images of more columns than this that still know no other one */
		while (group != NULL && lfirst_int(group) < next_column)
		{
			highest = lfirst_int(group);
			group = lnext(plan->natts, group);
		}

		appendStringInfo(sql, ", %s_%d AS (INSERT INTO %s", fg_sql_cte(plan, "put"), n_groups, plan->table);
		if (names.len > 0)
			appendStringInfo(sql, " (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s p WHERE ",
							 names.data, values.data, fg_sql_cte(plan, "plan"));
		else
			appendStringInfo(sql, " SELECT FROM %s p WHERE ", fg_sql_cte(plan, "plan"));
		fg_sql_act(sql, "p", fg_sql_inserted(plan));
		appendStringInfo(sql,
						 " AND p.fg_natts OPERATOR(pg_catalog.>=) %d AND p.fg_natts OPERATOR(pg_catalog.<=) %d"
						 " AND fortress.count_row()",
						 lowest, highest);
		if (sets)
			appendStringInfo(sql, " AND (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>=) 0::pg_catalog.int8 FROM %s)",
							 fg_sql_cte(plan, "changed"));
		if (plan->on_conflict == FG_CONFLICT_SKIP && plan->keys != NIL)
		{
			appendStringInfoString(sql, " ON CONFLICT DO NOTHING RETURNING ");
			foreach(lc, plan->keys)
			{
				const FgRestoreKey *key = lfirst(lc);

				appendStringInfo(sql, "%s%s AS c%d", lc == list_head(plan->keys) ? "" : ", ",
								 key->column->name, key->column->attnum);
			}
		}
		else
			appendStringInfoString(sql, " RETURNING 1");
		appendStringInfoChar(sql, ')');
		n_groups++;
	}

	appendStringInfo(sql, ", %s AS (", fg_sql_cte(plan, "put"));
	for (int i = 0; i < n_groups; i++)
		appendStringInfo(sql, "%sSELECT * FROM %s_%d", i > 0 ? " UNION ALL " : "", fg_sql_cte(plan, "put"), i);
	appendStringInfoChar(sql, ')');
	return n_groups;
}

/*
 * A key column that has its value already.  To set it would have the new rows
 * of all updates kept, as if keys were changed.
 */
static bool
fg_column_in_place(const FgRestorePlan *plan, const FgRestoreColumn *column)
{
	ListCell   *lc;

	if (plan->has_moves || !column->exact)
		return false;
	foreach(lc, plan->keys)
	{
		if (((const FgRestoreKey *) lfirst(lc))->column == column)
			return true;
	}
	return false;
}

/* The update.  False: there is nothing that one could set. */
static bool
fg_sql_set(StringInfo sql, const FgRestorePlan *plan)
{
	StringInfoData sets;
	ListCell   *lc;

	initStringInfo(&sets);
	foreach(lc, plan->columns)
	{
		const FgRestoreColumn *column = lfirst(lc);

		if (!fg_column_compared(plan, column) || fg_column_in_place(plan, column))
			continue;
		appendStringInfo(&sets, "%s%s = ", sets.len > 0 ? ", " : "", column->name);
		if (fg_sql_always_known(plan, column))
			appendStringInfo(&sets, "p.c%d", column->attnum);
		else
			appendStringInfo(&sets, "CASE WHEN p.fg_natts OPERATOR(pg_catalog.>=) %d THEN p.c%d ELSE t.%s END",
							 column->known_from, column->attnum, column->name);
	}
	if (sets.len == 0)
		return false;

	appendStringInfo(sql, ", %s AS (UPDATE %s AS t SET %s FROM %s p WHERE ",
					 fg_sql_cte(plan, "changed"), fg_sql_table(plan), sets.data, fg_sql_cte(plan, "plan"));
	fg_sql_act(sql, "p", fg_sql_updated(plan));
	appendStringInfoString(sql, " AND ");
	fg_sql_same_key_as(sql, plan, "t", true, "p", plan->has_moves ? 'p' : 'c');
	appendStringInfo(sql, " AND t.xmin %s p.version AND fortress.count_row() RETURNING 1)", EQ);
	return true;
}

/* The count of what came of one plan, for each operation */
static void
fg_sql_result(StringInfo sql, const FgRestorePlan *plan, int number, bool puts, bool sets)
{
	bool		check_puts = puts && plan->on_conflict == FG_CONFLICT_SKIP && plan->keys != NIL;
	const char *missed = "";
	const char *separator = "";
	ListCell   *lc;

	/* with "skip", a row that another unique constraint kept out is a conflict as well */
	if (check_puts)
	{
		const FgRestoreKey *key = linitial(plan->keys);

		missed = psprintf("p.act %s %s AND d.c%d IS NULL", EQ, CHAR("i"), key->column->attnum);
	}

	appendStringInfo(sql, " SELECT %d AS plan, p.fg_op, pg_catalog.count(*) FILTER (WHERE (", number);
	fg_sql_act(sql, "p", fg_sql_inserted(plan));
	appendStringInfoString(sql, " OR ");
	fg_sql_act(sql, "p", fg_sql_updated(plan));
	appendStringInfoChar(sql, ')');
	if (check_puts)
		appendStringInfo(sql, " AND NOT (%s)", missed);
	appendStringInfoString(sql, "), pg_catalog.count(*) FILTER (WHERE ");
	fg_sql_act(sql, "p", "'{I,U,M}'");
	if (check_puts)
		appendStringInfo(sql, " OR (%s)", missed);

	appendStringInfoString(sql, "), pg_catalog.count(*) FILTER (WHERE ");
	fg_sql_act(sql, "p", fg_sql_inserted(plan));
	appendStringInfoString(sql, " OR ");
	fg_sql_act(sql, "p", fg_sql_updated(plan));
	appendStringInfoString(sql, "), ");

	if (puts)
		appendStringInfo(sql, "(SELECT pg_catalog.count(*) FROM %s)", fg_sql_cte(plan, "put"));
	else
		appendStringInfoString(sql, "0::pg_catalog.int8");
	if (sets)
		appendStringInfo(sql, " OPERATOR(pg_catalog.+) (SELECT pg_catalog.count(*) FROM %s)", fg_sql_cte(plan, "changed"));

	if (plan->keys == NIL)
		appendStringInfoString(sql, ", NULL::pg_catalog.text");
	else
	{
		appendStringInfoString(sql, ", (SELECT pg_catalog.string_agg(e.key, ', ') FROM (SELECT pg_catalog.concat('(', pg_catalog.concat_ws(', ', ");
		fg_sql_keys(sql, plan, "p.");
		appendStringInfo(sql, "), ')') AS key FROM %s p WHERE ", fg_sql_cte(plan, "plan"));
		fg_sql_act(sql, "p", "'{I,U,M}'");
		appendStringInfoString(sql, " ORDER BY ");
		fg_sql_keys(sql, plan, "p.");
		appendStringInfoString(sql, " LIMIT 5) e)");
	}

	appendStringInfoString(sql, ", ARRAY[");
	foreach(lc, plan->columns)
	{
		const FgRestoreColumn *column = lfirst(lc);

		if (!OidIsValid(column->sequence))
			continue;
		appendStringInfo(sql, "%spg_catalog.%s(p.c%d) FILTER (WHERE ", separator,
						 column->ascending ? "max" : "min", column->attnum);
		fg_sql_act(sql, "p", fg_sql_inserted(plan));
		appendStringInfoString(sql, ")::pg_catalog.int8");
		separator = ", ";
	}
	appendStringInfoString(sql, "]::pg_catalog.int8[]");

	appendStringInfo(sql, " FROM %s p", fg_sql_cte(plan, "plan"));
	if (check_puts)
	{
		appendStringInfo(sql, " FULL JOIN %s d ON (", fg_sql_cte(plan, "put"));
		fg_sql_same_key(sql, plan, "d", false, "p");
		appendStringInfoChar(sql, ')');
	}
	appendStringInfoString(sql, " GROUP BY p.fg_op");
}

char *
fg_restore_survey_sql(const FgRestorePlan *plan)
{
	return psprintf("SELECT fg_op, fg_natts, pg_catalog.count(*), fg_how %s %s FROM %s WHERE %s"
					" OR fg_op %s %s GROUP BY fg_op, fg_natts, fg_how %s %s",
					EQ, CHAR(FG_OWN), plan->source, plan->condition, EQ, CHAR("k"), EQ, CHAR(FG_OWN));
}

/* The CTEs up to "plan" */
void
fg_sql_verdicts(StringInfo sql, const FgRestorePlan *plan)
{
	fg_sql_chosen(sql, plan);
	if (plan->keys != NIL)
		fg_sql_plan_by_key(sql, plan);
	else
		fg_sql_plan_by_image(sql, plan);
}

char *
fg_restore_sql(List *plans)
{
	StringInfoData sql;
	StringInfoData results;
	ListCell   *lc;

	initStringInfo(&sql);
	initStringInfo(&results);
	foreach(lc, plans)
	{
		const FgRestorePlan *plan = lfirst(lc);
		int			number = foreach_current_index(lc);
		bool		puts = false;
		bool		sets = false;

		Assert(plan->natts != NIL);
		appendStringInfoString(&sql, number == 0 ? "WITH RECURSIVE " : ", ");
		fg_sql_verdicts(&sql, plan);
		if (!plan->dry_run)
		{
			if (plan->keys != NIL)
				sets = fg_sql_set(&sql, plan);
			puts = fg_sql_put(&sql, plan, sets) > 0;
		}
		if (number > 0)
			appendStringInfoString(&results, " UNION ALL");
		fg_sql_result(&results, plan, number, puts, sets);
	}
	appendStringInfoString(&sql, results.data);
	return sql.data;
}
