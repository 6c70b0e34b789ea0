/*-------------------------------------------------------------------------
 *
 * fg_restore_preview.c
 *		fortress.preview_undo(): row by row what fortress.undo() would do.
 *
 * The verdicts are those of the statement of fg_restore_sql.c, so that both
 * agree; here they are shown instead of acted upon.  As there, everything is
 * read with the caller's own rights.
 *
 * Locks: as for a dry run of fortress.undo(), see fg_restore.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "fg_restore_job.h"
#include "fg_restore_text.h"
#include "fg_shadow.h"

PG_FUNCTION_INFO_V1(fg_preview_undo);

/* columns of the query's result, one row for each that the undo is about */
enum
{
	FG_PREVIEW_PLAN = 1,		/* int4: place in the list of jobs */
	FG_PREVIEW_KEY,				/* text, or NULL: the table has none */
	FG_PREVIEW_OP,				/* "char": first chosen change */
	FG_PREVIEW_ACT,				/* "char": the verdict */
	FG_PREVIEW_NOW,				/* jsonb: the row as it is, or NULL */
	FG_PREVIEW_WANTED			/* jsonb: as it was */
};

/* columns of the function's */
enum
{
	FG_SHOWN_RELATION,
	FG_SHOWN_KEY,
	FG_SHOWN_ACTION,
	FG_SHOWN_REASON,
	FG_SHOWN_NOW,
	FG_SHOWN_WANTED,
	FG_N_SHOWN
};

/* What each verdict means, and whether it is a conflict. */
static const struct
{
	char		act;
	bool		conflict;
	const char *action;			/* of a conflict: if it is overwritten */
	const char *reason;
}			verdicts[] =
{
	{'i', false, "insert", NULL},
	{'u', false, "update", "was updated"},
	{'m', false, "update", "was given another key"},
	{'=', false, "nothing", "is as it was"},
	{'I', true, "insert", "was removed since"},
	{'U', true, "update", "was created or changed since"},
	{'M', true, "update", "was given another key, and changed since"}
};

static const char *
insert_reason(char op)
{
	switch (op)
	{
		case FG_SHADOW_OP_TRUNCATE:
			return "was truncated";
		case FG_SHADOW_OP_DROP:
			return "was dropped";
		case FG_SHADOW_OP_UPDATE:
			return "was updated, and deleted";
		default:
			return "was deleted";
	}
}

static void
shown_columns(StringInfo sql, const FgRestorePlan *plan, bool wanted)
{
	ListCell   *lc;

	appendStringInfoString(sql, "(SELECT pg_catalog.to_jsonb(r.*) FROM (SELECT ");
	foreach(lc, plan->columns)
	{
		const FgRestoreColumn *column = lfirst(lc);
		const char *separator = lc == list_head(plan->columns) ? "" : ", ";

		if (!wanted)
			appendStringInfo(sql, "%st.%s", separator, column->name);
		else if (plan->keys == NIL || fg_sql_always_known(plan, column))
			appendStringInfo(sql, "%sp.c%d AS %s", separator, column->attnum, column->name);
		else
			appendStringInfo(sql, "%sCASE WHEN p.fg_natts OPERATOR(pg_catalog.>=) %d THEN p.c%d ELSE t.%s END AS %s",
							 separator, column->known_from, column->attnum, column->name, column->name);
	}
	appendStringInfoString(sql, ") r)");
}

static char *
preview_sql(List *jobs)
{
	StringInfoData sql;
	StringInfoData rows;
	ListCell   *lc;

	initStringInfo(&sql);
	initStringInfo(&rows);
	foreach(lc, jobs)
	{
		const FgRestorePlan *plan = &((FgRestoreJob *) lfirst(lc))->plan;
		bool		first = lc == list_head(jobs);

		appendStringInfoString(&sql, first ? "WITH RECURSIVE " : ", ");
		fg_sql_verdicts(&sql, plan);

		appendStringInfo(&rows, "%s SELECT %d, ", first ? "" : " UNION ALL", foreach_current_index(lc));
		if (plan->keys == NIL)
			appendStringInfoString(&rows, "NULL::pg_catalog.text");
		else
		{
			appendStringInfoString(&rows, "pg_catalog.concat('(', pg_catalog.concat_ws(', ', ");
			fg_sql_keys(&rows, plan, "p.");
			appendStringInfoString(&rows, "), ')')");
		}
		appendStringInfoString(&rows, ", p.fg_op, p.act, ");
		if (plan->keys == NIL)
			appendStringInfoString(&rows, "NULL::pg_catalog.jsonb");
		else
		{
			appendStringInfoString(&rows, "CASE WHEN t.tableoid IS NOT NULL THEN ");
			shown_columns(&rows, plan, false);
			appendStringInfoString(&rows, " END");
		}
		appendStringInfoString(&rows, ", ");
		shown_columns(&rows, plan, true);
		appendStringInfo(&rows, " FROM %s p", fg_sql_cte(plan, "plan"));
		if (plan->keys != NIL)
		{
			appendStringInfo(&rows, " LEFT JOIN %s t ON (", fg_sql_table(plan));
			fg_sql_same_key_as(&rows, plan, "t", true, "p", plan->has_moves ? 'p' : 'c');
			appendStringInfoChar(&rows, ')');
		}
	}
	appendStringInfo(&sql, "%s ORDER BY 1, 2", rows.data);
	return sql.data;
}

/* Fills in action and reason. */
static void
explain_verdict(char act, char op, FgConflict on_conflict, Datum *values)
{
	for (int i = 0; i < lengthof(verdicts); i++)
	{
		if (verdicts[i].act != act)
			continue;
		values[FG_SHOWN_ACTION] = CStringGetTextDatum(verdicts[i].conflict && on_conflict != FG_CONFLICT_OVERWRITE ?
													   "conflict" : verdicts[i].action);
		values[FG_SHOWN_REASON] = CStringGetTextDatum(verdicts[i].reason ? verdicts[i].reason : insert_reason(op));
		return;
	}
	elog(ERROR, "unknown verdict \"%c\"", act);
}

static void
show_rows(ReturnSetInfo *rsinfo, List *jobs, FgConflict on_conflict)
{
	static const int same[][2] = {
		{FG_PREVIEW_KEY, FG_SHOWN_KEY}, {FG_PREVIEW_NOW, FG_SHOWN_NOW}, {FG_PREVIEW_WANTED, FG_SHOWN_WANTED}
	};

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[row];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Datum		values[FG_N_SHOWN];
		bool		nulls[FG_N_SHOWN] = {false};
		bool		isnull;
		const FgRestoreJob *job = list_nth(jobs, DatumGetInt32(SPI_getbinval(tuple, desc, FG_PREVIEW_PLAN, &isnull)));

		values[FG_SHOWN_RELATION] = ObjectIdGetDatum(job->plan.relid);
		explain_verdict(DatumGetChar(SPI_getbinval(tuple, desc, FG_PREVIEW_ACT, &isnull)),
						DatumGetChar(SPI_getbinval(tuple, desc, FG_PREVIEW_OP, &isnull)), on_conflict, values);
		for (int i = 0; i < lengthof(same); i++)
			values[same[i][1]] = SPI_getbinval(tuple, desc, same[i][0], &nulls[same[i][1]]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/*
 * fortress.preview_undo(xid, on_conflict)
 */
Datum
fg_preview_undo(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FgRestoreRequest request = {.nulls = {'n', 'n', ' ', ' '},.dry_run = true};
	MemoryContext context = CurrentMemoryContext;
	List	   *jobs;
	ListCell   *lc;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("xid must not be null")));
	request.values[2] = PG_GETARG_DATUM(0);
	fg_restore_find_xids(&request);
	request.on_conflict = fg_restore_conflict_argument(fcinfo, 1);
	InitMaterializedSRF(fcinfo, 0);

	SPI_connect();
	MemoryContextSwitchTo(context);
	jobs = fg_restore_undo_jobs(&request);
	if (jobs != NIL)
	{
		fg_restore_run(preview_sql(jobs), &request, FG_RUN_HASHED);
		show_rows(rsinfo, jobs, request.on_conflict);
		SPI_freetuptable(SPI_tuptable);
	}
	foreach(lc, jobs)
		fg_restore_job_end(lfirst(lc));
	SPI_finish();
	return (Datum) 0;
}
