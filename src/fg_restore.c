/*-------------------------------------------------------------------------
 *
 * fg_restore.c
 *		fortress.restore(), fortress.undo() and fortress.shadow_of().
 *
 * A restore is SQL that runs with the caller's own rights: it needs SELECT on
 * the shadow and SELECT, INSERT or UPDATE on the table, and row security,
 * foreign keys, checks and triggers count as for any other statement.  Nothing
 * is raised.  What this file adds around the statement of fg_restore_sql.c:
 *
 *	- the guard's limits do not count against the restore, while archiving
 *	  goes on (marked 'r'), so that a restore can be undone like any change;
 *	- sequences of restored columns are moved beyond the restored values;
 *	- an inheritance tree or a partition tree with shadows further down is
 *	  restored shadow by shadow;
 *	- an undo finds the shadows that have rows of the transaction and restores
 *	  all of them in one statement.
 *
 * It refuses: tables without a shadow; to restore updates of a table that has
 * neither primary key nor replica identity index; conflicts, if asked to
 * (ZG012); rows that somebody changed while it ran (40001); and a number that
 * two transactions have had, one of them elsewhere.
 *
 * Locks: the table RowExclusiveLock (AccessShareLock in a dry run), then the
 * shadow AccessShareLock, to the end of the transaction; with several tables all
 * of them first, in the order of their oids.  A sequence that is behind is
 * locked against nextval() while it is moved.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/xid8.h"

#include "fg_auth.h"
#include "fg_catalog.h"
#include "fg_catalog_child.h"
#include "fg_event.h"
#include "fg_errors.h"
#include "fg_policy.h"
#include "fg_progress.h"
#include "fg_restore_direct.h"
#include "fg_restore_job.h"
#include "fg_restore_plan.h"
#include "fg_restore_sql.h"
#include "fg_restore_write.h"
#include "fg_shadow.h"

PG_FUNCTION_INFO_V1(fg_restore);
PG_FUNCTION_INFO_V1(fg_undo);
PG_FUNCTION_INFO_V1(fg_shadow_of_sql);

/* fg_op in the order in which the result shows them */
static const struct
{
	char		op;
	const char *name;
}			fg_restored_operations[FG_N_RESTORED] =
{
	{FG_SHADOW_OP_DELETE, "delete"},
	{FG_SHADOW_OP_UPDATE, "update"},
	{FG_SHADOW_OP_TRUNCATE, "truncate"},
	{FG_SHADOW_OP_DROP, "ddl"}
};

static Oid	fg_parameter_types[FG_N_PARAMETERS] = {TIMESTAMPTZOID, TIMESTAMPTZOID, XID8OID, XIDARRAYOID};


/* ---------------------------------------------------------------------
 * Running
 * ---------------------------------------------------------------------
 */

static int
fg_operation_index(char op)
{
	for (int i = 0; i < FG_N_RESTORED; i++)
		if (fg_restored_operations[i].op == op)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("unknown operation \"%c\" in an archive", op)));
	return 0;					/* not reached */
}

static int64
fg_result_int64(int row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static void
fg_set_locally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Runs a query.  What "how" says of its plan is for this query alone, not for
 * those of triggers that it fires.  A restore is maintenance: it may sort and
 * hash in as much memory as that.
 */
void
fg_restore_run(const char *sql, FgRestoreRequest *request, int how)
{
	int			memory_level = NewGUCNestLevel();
	int			level;
	SPIPlanPtr	plan;
	CachedPlan *planned = NULL;
	int			result;

	fg_set_locally("work_mem", psprintf("%d", Max(work_mem, maintenance_work_mem)));
	/* what the planner believes of archives would have it compile for a single row */
	fg_set_locally("jit", "off");
	plan = SPI_prepare_cursor(sql, FG_N_PARAMETERS, fg_parameter_types, how ? CURSOR_OPT_GENERIC_PLAN : 0);
	if (plan == NULL)
		elog(ERROR, "could not prepare a restore: %s", SPI_result_code_string(SPI_result));
	if (how)
	{
		level = NewGUCNestLevel();
		if (how & FG_RUN_HASHED)
			fg_set_locally("enable_nestloop", "off");
		if (how & FG_RUN_UNSORTED)
			fg_set_locally("enable_sort", "off");
		planned = SPI_plan_get_cached_plan(plan);
		AtEOXact_GUC(true, level);
	}
	result = SPI_execute_plan(plan, request->values, request->nulls, false, 0);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not restore: %s", SPI_result_code_string(result));
	if (planned)
		ReleaseCachedPlan(planned, NULL);
	SPI_freeplan(plan);
	AtEOXact_GUC(true, memory_level);
}

/*
 * Are the chosen rows so few that looking each up by the table's index beats
 * reading the table?  If not, nested loops have nothing to offer.
 */
static bool
fg_few_chosen(const FgRestorePlan *plan)
{
	List	   *members = find_all_inheritors(plan->relid, AccessShareLock, NULL);
	int64		blocks = 0;
	ListCell   *lc;

	foreach(lc, members)
	{
		Relation	member = relation_open(lfirst_oid(lc), NoLock);

		if (RELKIND_HAS_STORAGE(member->rd_rel->relkind))
			blocks += RelationGetNumberOfBlocks(member);
		relation_close(member, NoLock);
	}
	list_free(members);
	return plan->n_chosen < blocks / 4;
}

/*
 * Sees to it that a sequence does not give out a restored value again.  It is
 * ahead already, unless its table was made anew or somebody moved it back.
 */
static void
fg_sequence_pass(Oid sequence, int64 value, bool ascending)
{
	HeapTuple	tuple;
	Form_pg_sequence form;
	bool		in_bounds;

	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
	form = (Form_pg_sequence) GETSTRUCT(tuple);
	in_bounds = value >= form->seqmin && value <= form->seqmax;
	ReleaseSysCache(tuple);
	if (!in_bounds)
		return;

	/* first without a lock that others would feel, then for sure */
	for (int attempt = 0; attempt < 2; attempt++)
	{
		LOCAL_FCINFO(fcinfo, 1);
		Datum		last;

		if (pg_class_aclcheck(sequence, GetUserId(), ACL_SELECT | ACL_USAGE) != ACLCHECK_OK &&
			pg_class_aclcheck(sequence, GetUserId(), ACL_UPDATE) != ACLCHECK_OK)
			return;
		InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
		fcinfo->args[0].value = ObjectIdGetDatum(sequence);
		fcinfo->args[0].isnull = false;
		last = pg_sequence_last_value(fcinfo);
		if (!fcinfo->isnull &&
			(ascending ? DatumGetInt64(last) >= value : DatumGetInt64(last) <= value))
			return;
		if (pg_class_aclcheck(sequence, GetUserId(), ACL_UPDATE) != ACLCHECK_OK)
		{
			ereport(WARNING,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("sequence \"%s\" is behind the restored rows", get_rel_name(sequence)),
					 errhint("Somebody with the right to update it should set it to %lld or beyond.", (long long) value)));
			return;
		}
		if (attempt == 0)
			LockRelationOid(sequence, ShareRowExclusiveLock);
	}
	(void) DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence), Int64GetDatum(value));
}

/* Which operations and numbers of columns do the chosen rows have? */
static void
fg_job_survey(FgRestoreJob *job, FgRestoreRequest *request)
{
	FgRestorePlan *plan = &job->plan;

	fg_progress_phase(FG_PHASE_READING, plan->relid, -1);
	fg_restore_run(fg_restore_survey_sql(plan), request, FG_RUN_UNSORTED);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		char		op = DatumGetChar(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull));
		int			natts = DatumGetInt16(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 2, &isnull));

		if (op == FG_SHADOW_OP_KEY)
		{
			plan->has_moves = plan->keys != NIL;
			continue;
		}
		plan->has_own |= DatumGetBool(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 4, &isnull));
		job->occurs[fg_operation_index(op)] = true;
		plan->n_chosen += fg_result_int64(row, 3);
		plan->has_updates |= op == FG_SHADOW_OP_UPDATE;
		plan->has_others |= op != FG_SHADOW_OP_UPDATE;
		plan->natts = list_append_unique_int(plan->natts, natts);
		if (op == FG_SHADOW_OP_UPDATE && plan->keys == NIL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot restore updates of table \"%s\"", RelationGetRelationName(job->rel)),
					 errdetail("Without a primary key or a replica identity index, nothing tells which row an old image belongs to."),
					 errhint("Add a primary key, or restore only deleted rows with filter => $$fg_op <> 'u'$$."),
					 errtable(job->rel)));
	}
	list_sort(plan->natts, list_int_cmp);
	SPI_freetuptable(SPI_tuptable);
}

/* Takes the result of the statement apart, for all jobs. */
static void
fg_jobs_collect(FgRestoreJob **jobs)
{
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[row];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		FgRestoreJob *job = jobs[DatumGetInt32(SPI_getbinval(tuple, desc, FG_RESULT_PLAN, &isnull))];
		Datum		op = SPI_getbinval(tuple, desc, FG_RESULT_OP, &isnull);
		int			i;

		job->done = fg_result_int64(row, FG_RESULT_DONE);
		/* a trigger gave a row that was put in another key */
		if (isnull)
			continue;
		i = fg_operation_index(DatumGetChar(op));
		job->rows[i] = fg_result_int64(row, FG_RESULT_ROWS);
		job->conflicts[i] = fg_result_int64(row, FG_RESULT_CONFLICTS);
		job->n_conflicts += job->conflicts[i];
		job->planned += job->plan.on_conflict == FG_CONFLICT_SKIP && job->plan.keys != NIL ?
			job->rows[i] : fg_result_int64(row, FG_RESULT_PLANNED);
		job->examples = SPI_getvalue(tuple, desc, FG_RESULT_EXAMPLES);
	}
}

/* Raises an error unless the job did what it was asked to. */
static void
fg_job_check(const FgRestoreJob *job, bool undo)
{
	if (job->n_conflicts > 0 && job->plan.on_conflict == FG_CONFLICT_ERROR)
		ereport(ERROR,
				(errcode(ERRCODE_FG_RESTORE_CONFLICT),
				 errmsg_plural("could not restore table \"%s\": %lld row is in conflict",
							   "could not restore table \"%s\": %lld rows are in conflict",
							   (unsigned long) job->n_conflicts,
							   RelationGetRelationName(job->rel), (long long) job->n_conflicts),
				 errdetail("Rows with these keys were created, changed or removed since: %s%s.",
						   job->examples ? job->examples : "",
						   job->n_conflicts > 5 ? ", ..." : ""),
				 errhint("Call fortress.%s() with on_conflict => 'skip' to leave them as they are, or 'overwrite' to put the old content back.",
						 undo ? "undo" : "restore"),
				 errtable(job->rel)));

	if (job->done != job->planned)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not restore table \"%s\"", RelationGetRelationName(job->rel)),
				 errdetail("%lld of %lld rows were put back; a concurrent transaction or a trigger of the table stood in the way of the others.",
						   (long long) job->done, (long long) job->planned),
				 errhint("Nothing was changed. Try again."),
				 errtable(job->rel)));
}

/*
 * Moves the sequences beyond the outermost values that were put into their
 * columns.  Each plan's result has them in one array for each operation.
 */
static void
fg_jobs_sequences(FgRestoreJob **jobs, int n_jobs)
{
	for (int i = 0; i < n_jobs; i++)
	{
		int			place = 0;
		ListCell   *lc;

		foreach(lc, jobs[i]->plan.columns)
		{
			const FgRestoreColumn *column = lfirst(lc);
			bool		any = false;
			int64		outermost = 0;

			if (!OidIsValid(column->sequence))
				continue;
			place++;
			for (uint64 row = 0; row < SPI_processed; row++)
			{
				HeapTuple	tuple = SPI_tuptable->vals[row];
				TupleDesc	desc = SPI_tuptable->tupdesc;
				bool		isnull;
				Datum		array;
				int64		value;

				if (DatumGetInt32(SPI_getbinval(tuple, desc, FG_RESULT_PLAN, &isnull)) != i)
					continue;
				array = SPI_getbinval(tuple, desc, FG_RESULT_SEQUENCES, &isnull);
				if (isnull)
					continue;
				value = DatumGetInt64(array_get_element(array, 1, &place, -1, sizeof(int64),
														FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &isnull));
				if (isnull)
					continue;
				outermost = !any ? value : column->ascending ? Max(outermost, value) : Min(outermost, value);
				any = true;
			}
			if (any)
				fg_sequence_pass(column->sequence, outermost, column->ascending);
		}
	}
}

/* Runs jobs by the short way.  False: it is not certain that it is right for them. */
static bool
fg_jobs_run_direct(List *jobs, FgRestoreRequest *request)
{
	List	   *directs = NIL;
	bool		done;
	ListCell   *lc;
	ListCell   *result;

	foreach(lc, jobs)
	{
		FgRestoreJob *job = lfirst(lc);
		FgDirect   *direct = palloc0(sizeof(FgDirect));

		direct->plan = &job->plan;
		direct->rel = job->rel;
		direct->shadow = job->shadow;
		directs = lappend(directs, direct);
	}
	fg_shadow_set_restoring(true);
	done = fg_restore_direct(directs, request);
	fg_shadow_set_restoring(false);
	if (!done)
		return false;

	forboth(lc, jobs, result, directs)
	{
		FgRestoreJob *job = lfirst(lc);
		const FgDirect *direct = lfirst(result);

		for (int i = 0; i < FG_DIRECT_OPERATIONS; i++)
		{
			int			operation = fg_operation_index(fg_direct_operations[i]);

			job->occurs[operation] = direct->rows[i] > 0;
			job->rows[operation] = direct->rows[i];
		}
		job->planned = direct->planned;
		job->done = direct->done;
		if (!request->dry_run)
			fg_job_check(job, !OidIsValid(request->relid));
	}
	fg_progress_phase(FG_PHASE_SEQUENCES, InvalidOid, -1);
	foreach(result, directs)
	{
		foreach(lc, ((const FgDirect *) lfirst(result))->outermost)
		{
			const FgOutermost *outermost = lfirst(lc);

			if (outermost->any)
				fg_sequence_pass(outermost->sequence, outermost->value, outermost->ascending);
		}
	}
	return true;
}

/* Runs jobs that have something to do, all in one statement. */
static void
fg_jobs_run(List *jobs_list, FgRestoreRequest *request)
{
	int			n_jobs = list_length(jobs_list);
	FgRestoreJob **jobs = palloc(sizeof(FgRestoreJob *) * n_jobs);
	List	   *plans = NIL;
	bool		few = true;
	int64		n_chosen = 0;
	const char *sql;

	for (int i = 0; i < n_jobs; i++)
	{
		jobs[i] = list_nth(jobs_list, i);
		plans = lappend(plans, &jobs[i]->plan);
		few &= fg_few_chosen(&jobs[i]->plan);
		n_chosen += jobs[i]->plan.n_chosen;
	}

	fg_shadow_set_restoring(true);
	fg_progress_phase(FG_PHASE_WRITING, n_jobs == 1 ? jobs[0]->plan.relid : InvalidOid, n_chosen);
	sql = fg_restore_sql(plans);
	/* this one statement passes; what the filter or a trigger calls does not */
	fg_auth_internal_begin(sql);
	fg_restore_run(sql, request, few ? 0 : FG_RUN_HASHED);
	fg_auth_internal_end();
	fg_jobs_collect(jobs);
	if (!request->dry_run)
	{
		for (int i = 0; i < n_jobs; i++)
			fg_job_check(jobs[i], !OidIsValid(request->relid));
		fg_progress_phase(FG_PHASE_SEQUENCES, InvalidOid, -1);
		fg_jobs_sequences(jobs, n_jobs);
	}
	SPI_freetuptable(SPI_tuptable);
	fg_shadow_set_restoring(false);
}

/* Locks a relation and its shadow and plans; "tag" is for the names of CTEs. */
static FgRestoreJob *
fg_job_begin(FgRestoreRequest *request, Oid relid, Oid owner, const char *tag)
{
	FgRestoreJob *job = palloc0(sizeof(FgRestoreJob));
	FgRestorePlan *plan = &job->plan;

	job->rel = table_open(relid, request->dry_run ? AccessShareLock : RowExclusiveLock);
	plan->tag = tag;
	plan->relid = relid;
	plan->table = fg_restore_name(relid);
	plan->only = job->rel->rd_rel->relkind == RELKIND_RELATION;
	plan->shadow = fg_catalog_get_shadow(owner);
	job->shadow = table_open(plan->shadow, AccessShareLock);
	plan->on_conflict = request->on_conflict;
	plan->dry_run = request->dry_run;
	plan->by_xid = request->nulls[2] == ' ';
	plan->many_xids = request->n_xids > 1;
	plan->all_later = request->nulls[1] == 'n' && request->nulls[2] == 'n' && request->filter == NULL;
	plan->no_earlier = request->nulls[0] == ' ' ? "fg_at OPERATOR(pg_catalog.>=) $1" : "true";
	plan->condition = fg_restore_plan_condition(request, relid, owner);
	fg_restore_plan_columns(plan, job->rel, job->shadow, owner);
	fg_restore_plan_keys(plan, job->rel);
	return job;
}

void
fg_restore_job_end(FgRestoreJob *job)
{
	table_close(job->shadow, NoLock);
	table_close(job->rel, NoLock);
}

static void
fg_job_report(ReturnSetInfo *rsinfo, const FgRestoreJob *job)
{
	for (int i = 0; i < FG_N_RESTORED; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false, false, false, false};

		if (!job->occurs[i])
			continue;
		values[0] = ObjectIdGetDatum(job->plan.relid);
		values[1] = CStringGetTextDatum(fg_restored_operations[i].name);
		values[2] = Int64GetDatum(job->rows[i]);
		values[3] = Int64GetDatum(job->conflicts[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* The event of a restore that changed something. */
static void
fg_job_record(const FgRestoreRequest *request, const FgRestoreJob *job)
{
	FgEvent		event = {.name = "restored",.relid = job->plan.relid,.max_rows = -1};

	for (int i = 0; i < FG_N_RESTORED; i++)
		event.rows += job->rows[i];
	if (request->dry_run || event.rows == 0)
		return;
	event.role = GetUserId();
	if (request->filter != NULL)
		event.detail = psprintf("filter: %s", request->filter);
	else if (!OidIsValid(request->relid))
		event.detail = psprintf("undo of transaction " UINT64_FORMAT, DatumGetUInt64(request->values[2]));
	fg_event_queue(&event, true);
}

static void
fg_jobs_finish(ReturnSetInfo *rsinfo, const FgRestoreRequest *request, List *jobs)
{
	ListCell   *lc;

	foreach(lc, jobs)
		fg_job_record(request, lfirst(lc));
	foreach(lc, jobs)
		fg_job_report(rsinfo, lfirst(lc));
}


/* ---------------------------------------------------------------------
 * SQL functions
 * ---------------------------------------------------------------------
 */

/* on_conflict, argument n */
FgConflict
fg_restore_conflict_argument(FunctionCallInfo fcinfo, int n)
{
	char	   *on_conflict;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_conflict must not be null"),
				 errhint("Valid values are error, skip and overwrite.")));
	on_conflict = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (strcmp(on_conflict, "skip") == 0)
		return FG_CONFLICT_SKIP;
	if (strcmp(on_conflict, "overwrite") == 0)
		return FG_CONFLICT_OVERWRITE;
	if (strcmp(on_conflict, "error") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown value for on_conflict: \"%s\"", on_conflict),
				 errhint("Valid values are error, skip and overwrite.")));
	return FG_CONFLICT_ERROR;
}

/*
 * What the versions of rows bear that the transaction has made: its own number
 * and those of its subtransactions.  Of one that is so old that its number may
 * have been given again, nothing.
 */
void
fg_restore_find_xids(FgRestoreRequest *request)
{
	FullTransactionId xid;
	TransactionId *children = NULL;
	int			n_children = 0;

	request->nulls[3] = request->nulls[2];
	if (request->nulls[2] != ' ')
		return;
	xid = DatumGetFullTransactionId(request->values[2]);
	if (FullTransactionIdPrecedes(xid, ReadNextFullTransactionId()) &&
		U64FromFullTransactionId(ReadNextFullTransactionId()) - U64FromFullTransactionId(xid) < MaxTransactionId / 2)
	{
		if (FullTransactionIdEquals(xid, GetTopFullTransactionIdIfAny()))
			n_children = xactGetCommittedChildren(&children);
		else
			n_children = fg_catalog_get_children(xid, &children);
		request->n_xids = n_children + 1;
	}
	request->xids = palloc(sizeof(TransactionId) * (n_children + 1));
	request->xids[0] = XidFromFullTransactionId(xid);
	if (n_children > 0)
		memcpy(request->xids + 1, children, sizeof(TransactionId) * n_children);
	request->values[3] = PointerGetDatum(fg_catalog_xid_array(request->xids, request->n_xids));
}

/*
 * Adds the subtransactions of the running transaction that versions in the tables
 * are of.  Inside a savepoint the server does not tell what is outside of it.
 */
static void
fg_request_add_current(FgRestoreRequest *request, List *jobs)
{
	ListCell   *lc;

	foreach(lc, jobs)
	{
		const FgRestorePlan *plan = &((const FgRestoreJob *) lfirst(lc))->plan;

		fg_restore_run(psprintf("SELECT DISTINCT xmin FROM %s%s", plan->only ? "ONLY " : "", plan->table),
					   request, FG_RUN_UNSORTED);
		request->xids = repalloc(request->xids, sizeof(TransactionId) * (request->n_xids + SPI_processed));
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			bool		isnull;
			TransactionId xmin = DatumGetTransactionId(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull));

			if (TransactionIdIsCurrentTransactionId(xmin))
				request->xids[request->n_xids++] = xmin;
		}
		SPI_freetuptable(SPI_tuptable);
	}
}

/* Widens a range, which is none if "last" is invalid, by columns 2 and 3 of a result. */
static void
fg_restore_widen(ItemPointer first, ItemPointer last, HeapTuple row)
{
	bool		isnull;
	ItemPointer lower = (ItemPointer) DatumGetPointer(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	ItemPointer upper = (ItemPointer) DatumGetPointer(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull));

	if (isnull)
		return;
	if (!ItemPointerIsValid(last) || ItemPointerCompare(lower, first) < 0)
		*first = *lower;
	if (!ItemPointerIsValid(last) || ItemPointerCompare(upper, last) > 0)
		*last = *upper;
}

/*
 * Images are written by the transaction that they are of, and bear its numbers
 * like all that it writes.  Those that do not were loaded from another cluster,
 * or replicated, and of the versions in the table none is of their transaction,
 * whatever its number.  One here may have had the same: then which is meant is for
 * the caller to say.
 *
 * This reads all archives, so where the images lie is noted, for what reads them
 * next: but not of the running transaction, which may write more of them
 * meanwhile, nor what a filter says that may say something else next time.
 */
static void
fg_request_origin(FgRestoreRequest *request, List *jobs)
{
	bool		current = request->nulls[2] == ' ' &&
		FullTransactionIdEquals(DatumGetFullTransactionId(request->values[2]), GetTopFullTransactionIdIfAny());
	bool		own = false;
	bool		loaded = false;
	ListCell   *lc;

	/* of an old number nothing is taken for the transaction's */
	if (request->nulls[2] != ' ' || request->n_xids == 0)
		return;
	if (current && GetCurrentTransactionNestLevel() > 1)
		fg_request_add_current(request, jobs);
	foreach(lc, jobs)
	{
		FgRestoreJob *job = lfirst(lc);
		FgRestorePlan *plan = &job->plan;
		ItemPointerData first;
		ItemPointerData last;

		ItemPointerSetInvalid(&last);
		fg_restore_run(psprintf("SELECT xmin, pg_catalog.min(%s), pg_catalog.max(%s) FROM %s WHERE %s GROUP BY xmin",
								fg_restore_plan_place(plan), fg_restore_plan_place(plan), plan->source, plan->condition),
					   request, FG_RUN_UNSORTED);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			bool		isnull;
			TransactionId xmin = DatumGetTransactionId(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull));
			bool		is_own = current && TransactionIdIsCurrentTransactionId(xmin);

			for (int i = 0; i < request->n_xids && !is_own; i++)
				is_own = request->xids[i] == xmin;
			own |= is_own;
			loaded |= !is_own;
			fg_restore_widen(&first, &last, SPI_tuptable->vals[row]);
		}
		SPI_freetuptable(SPI_tuptable);
		if (!current && request->filter == NULL)
			plan->condition = fg_restore_plan_narrow(plan, RelationGetNumberOfBlocks(job->shadow), &first, &last);
	}
	if (own && loaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("archived rows of two transactions have the number " UINT64_FORMAT,
						DatumGetUInt64(request->values[2])),
				 errdetail("Some were archived here, others were loaded, or replicated, from another database cluster."),
				 errhint("Use fortress.restore() with since or until besides xid to choose those of one transaction.")));
	request->values[3] = PointerGetDatum(fg_catalog_xid_array(request->xids, loaded ? 0 : request->n_xids));
}

static void
fg_request_read(FgRestoreRequest *request, FunctionCallInfo fcinfo)
{
	char		relkind;

	memset(request, 0, sizeof(FgRestoreRequest));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null")));
	request->relid = PG_GETARG_OID(0);
	relkind = get_rel_relkind(request->relid);
	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", request->relid)));
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", get_rel_name(request->relid))));

	for (int i = 0; i < FG_N_BOUNDS; i++)
	{
		request->nulls[i] = PG_ARGISNULL(i + 1) ? 'n' : ' ';
		request->values[i] = PG_ARGISNULL(i + 1) ? (Datum) 0 : PG_GETARG_DATUM(i + 1);
	}
	fg_restore_find_xids(request);
	if (!PG_ARGISNULL(4))
	{
		request->filter = text_to_cstring(PG_GETARG_TEXT_PP(4));
		fg_restore_filter_check(request->filter);
	}

	request->on_conflict = fg_restore_conflict_argument(fcinfo, 5);
	request->dry_run = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6);
}

/*
 * fortress.restore(relation, since, until, xid, filter, on_conflict, dry_run)
 */
Datum
fg_restore(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FgRestoreRequest request;
	List	   *members;
	List	   *restored = NIL;
	List	   *jobs = NIL;
	MemoryContext context = CurrentMemoryContext;
	ListCell   *lc;

	fg_request_read(&request, fcinfo);
	if (!request.dry_run)
		PreventCommandIfReadOnly("fortress.restore()");
	InitMaterializedSRF(fcinfo, 0);

	/* the relation itself, and what lies below it with a shadow of its own */
	members = find_all_inheritors(request.relid, AccessShareLock, NULL);
	foreach(lc, members)
		if (lfirst_oid(lc) == request.relid ? OidIsValid(fg_shadow_owner_of(request.relid)) :
			OidIsValid(fg_catalog_get_shadow(lfirst_oid(lc))))
			restored = lappend_oid(restored, lfirst_oid(lc));
	if (restored == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no archive", get_rel_name(request.relid)),
				 errdetail("No rows of it were ever archived."),
				 errhint("fortress.protect() begins to archive a table, unless called with archive 'none'.")));

	fg_progress_begin("restore");
	SPI_connect();
	MemoryContextSwitchTo(context);
	foreach(lc, restored)
	{
		Oid			relid = lfirst_oid(lc);
		FgRestoreJob *job = fg_job_begin(&request, relid, fg_shadow_owner_of(relid), "");

		jobs = lappend(jobs, job);
		fg_restore_plan_rules(&job->plan, job->rel);
		fg_request_origin(&request, list_make1(job));
		if (!fg_jobs_run_direct(list_make1(job), &request))
		{
			fg_job_survey(job, &request);
			if (job->plan.natts != NIL)
				fg_jobs_run(list_make1(job), &request);
		}
		fg_restore_job_end(job);
	}
	fg_jobs_finish(rsinfo, &request, jobs);
	SPI_finish();
	fg_progress_end();
	return (Datum) 0;
}

/* Are there rows of the transaction in a shadow? */
static bool
fg_shadow_touched(Oid shadow, FgRestoreRequest *request)
{
	Relation	rel = try_relation_open(shadow, AccessShareLock);
	bool		touched;

	if (rel == NULL)
		return false;
	touched = RelationGetNumberOfBlocks(rel) > 0;
	relation_close(rel, NoLock);
	if (!touched)
		return false;
	fg_restore_run(psprintf("SELECT FROM ONLY %s WHERE fg_xid OPERATOR(pg_catalog.=) $3 AND " FG_SHADOW_IS_CHANGE " LIMIT 1",
						   fg_restore_name(shadow)),
				   request, 0);
	touched = SPI_processed > 0;
	SPI_freetuptable(SPI_tuptable);
	return touched;
}

/* What was dropped since is left out: its shadow belongs to no table any more. */
static List *
fg_undo_jobs_begin(FgRestoreRequest *request)
{
	List	   *owners = fg_catalog_shadow_relids();
	List	   *jobs = NIL;
	ListCell   *lc;

	list_sort(owners, list_oid_cmp);
	foreach(lc, owners)
	{
		Oid			relid = lfirst_oid(lc);

		if (get_rel_relkind(relid) != '\0' && fg_shadow_touched(fg_catalog_get_shadow(relid), request))
			jobs = lappend(jobs, fg_job_begin(request, relid, relid, psprintf("t%d_", list_length(jobs))));
	}
	fg_request_origin(request, jobs);
	return jobs;
}

List *
fg_restore_undo_jobs(FgRestoreRequest *request)
{
	List	   *jobs = fg_undo_jobs_begin(request);
	ListCell   *lc;

	foreach(lc, jobs)
		fg_job_survey(lfirst(lc), request);
	return jobs;
}

/*
 * fortress.undo(xid, on_conflict, dry_run)
 */
Datum
fg_undo(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FgRestoreRequest request = {.nulls = {'n', 'n', ' ', ' '}};
	List	   *jobs;
	MemoryContext context = CurrentMemoryContext;
	ListCell   *lc;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("xid must not be null")));
	request.values[2] = PG_GETARG_DATUM(0);
	fg_restore_find_xids(&request);
	request.on_conflict = fg_restore_conflict_argument(fcinfo, 1);
	request.dry_run = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	if (!request.dry_run)
		PreventCommandIfReadOnly("fortress.undo()");
	InitMaterializedSRF(fcinfo, 0);

	fg_progress_begin("undo");
	SPI_connect();
	MemoryContextSwitchTo(context);
	jobs = fg_undo_jobs_begin(&request);
	foreach(lc, jobs)
		fg_restore_plan_rules(&((const FgRestoreJob *) lfirst(lc))->plan, ((const FgRestoreJob *) lfirst(lc))->rel);
	if (jobs != NIL && !fg_jobs_run_direct(jobs, &request))
	{
		foreach(lc, jobs)
			fg_job_survey(lfirst(lc), &request);
		fg_jobs_run(jobs, &request);
	}
	foreach(lc, jobs)
		fg_restore_job_end(lfirst(lc));
	fg_jobs_finish(rsinfo, &request, jobs);
	SPI_finish();
	fg_progress_end();
	return (Datum) 0;
}

/*
 * fortress.shadow_of(relation)
 */
Datum
fg_shadow_of_sql(PG_FUNCTION_ARGS)
{
	Oid			shadow = fg_shadow_of(PG_GETARG_OID(0));

	if (!OidIsValid(shadow))
		PG_RETURN_NULL();
	PG_RETURN_OID(shadow);
}
