/*-------------------------------------------------------------------------
 *
 * fg_restore_direct.c
 *		The short way of a restore, for rows that were only removed.
 *
 * The statement of fg_restore_sql.c is right for whatever happened to the rows,
 * and has to sort, join and keep all of them for that.  After the usual accident
 * all rows are simply gone.  Then what remains of it is INSERT INTO the table
 * SELECT FROM the shadow, and that can be done in batches (fg_restore_write.c).
 *
 * Nothing is decided here that is not decided there.  The short way is taken
 * only if the result is the same, and all that it takes for that stands in this
 * file:
 *
 *	by what the plan says	a table with a key; no image lacks a column that the
 *			table has; not on_conflict "skip", which says what is to become
 *			of rows that other sessions put in meanwhile
 *	by the table	no triggers before rows, no triggers for the statement, none
 *			that get a table of the new rows, no row security; nothing that it checks or computes is
 *			volatile and so could see which rows are there already
 *	by the images	only removals are chosen, and for a transaction none of rows
 *			that it had put in itself; no key of theirs is NULL; none is in
 *			the table.  Of a key that occurs more than once, the
 *			earliest counts
 *
 * The last of these is looked at in the snapshot that the rows are then read
 * with.  In a table that has rows a join tells; whether keys are different,
 * fg_restore_keys.c.
 *
 * Rights are the caller's: all is done by statements that the executor starts,
 * also the ones that it would check for the long way: a query of the
 * columns that would be compared, and the update that has nothing to do here.
 * They are started and not run.
 *
 * It refuses nothing.
 *
 * Locks: the caller has tables and shadows locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "storage/bufmgr.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "fg_auth.h"
#include "fg_catalog.h"
#include "fg_progress.h"
#include "fg_restore_direct.h"
#include "fg_restore_fkey.h"
#include "fg_restore_image.h"
#include "fg_restore_keys.h"
#include "fg_restore_plan.h"
#include "fg_restore_write.h"
#include "fg_shadow.h"

const char	fg_direct_operations[FG_DIRECT_OPERATIONS] = {
	FG_SHADOW_OP_DELETE, FG_SHADOW_OP_TRUNCATE, FG_SHADOW_OP_DROP
};

/* of the request's parameters */
static const Oid fg_direct_types[FG_N_PARAMETERS] = {TIMESTAMPTZOID, TIMESTAMPTZOID, XID8OID, XIDARRAYOID};


/* ---------------------------------------------------------------------
 * Statements
 * ---------------------------------------------------------------------
 */

static void
fg_direct_set(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* As one query, with the caller's rules and row security; NULL: it is more than that. */
static Query *
fg_direct_analyze(const char *sql)
{
	RawStmt    *raw = linitial_node(RawStmt, raw_parser(sql, RAW_PARSE_DEFAULT));
	List	   *queries = pg_analyze_and_rewrite_fixedparams(raw, sql, fg_direct_types, FG_N_PARAMETERS, NULL);

	return list_length(queries) == 1 ? linitial_node(Query, queries) : NULL;
}

/* Starts it in the active snapshot. */
static QueryDesc *
fg_direct_start(Query *query, const char *sql, const FgRestoreRequest *request, DestReceiver *receiver,
				int eflags)
{
	ParamListInfo params = makeParamList(FG_N_PARAMETERS);
	PlannedStmt *plan;
	QueryDesc  *desc;

	for (int i = 0; i < FG_N_PARAMETERS; i++)
	{
		params->params[i].value = request->values[i];
		params->params[i].isnull = request->nulls[i] == 'n';
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = fg_direct_types[i];
	}
	plan = pg_plan_query(query, sql, 0, params);
	desc = CreateQueryDesc(plan, sql, GetActiveSnapshot(), InvalidSnapshot, receiver, params, NULL, 0);
	ExecutorStart(desc, eflags);
	return desc;
}

static void
fg_direct_end(QueryDesc *desc)
{
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
}

/* Has the join of images and table a row?  "few": it is better to look for each image. */
static bool
fg_direct_any(const char *sql, const FgRestoreRequest *request, bool few)
{
	QueryDesc  *desc;
	bool		any;
	int			level = NewGUCNestLevel();

	if (!few)
		fg_direct_set("enable_nestloop", "off");
	else if (request->filter == NULL)
	{
		/* that they are few the planner does not know */
		fg_direct_set("enable_hashjoin", "off");
		fg_direct_set("enable_mergejoin", "off");
	}
	desc = fg_direct_start(fg_direct_analyze(sql), sql, request, None_Receiver, 0);
	AtEOXact_GUC(true, level);
	ExecutorRun(desc, ForwardScanDirection, 1, true);
	any = desc->estate->es_processed > 0;
	fg_direct_end(desc);
	return any;
}

/*
 * Has the executor check what it would for a statement of the guard's, but not run
 * it.  False: it is another one by rules.
 */
static bool
fg_direct_check(const char *sql, const FgRestoreRequest *request)
{
	Query	   *query = fg_direct_analyze(sql);

	if (query == NULL)
		return false;
	fg_auth_internal_begin(sql);
	fg_direct_end(fg_direct_start(query, sql, request, None_Receiver, 0));
	fg_auth_internal_end();
	return true;
}

static const char *
fg_direct_table(const FgRestorePlan *plan)
{
	return psprintf("%s%s", plan->only ? "ONLY " : "", plan->table);
}

/* The key columns, each with a prefix */
static char *
fg_direct_keys(const FgRestorePlan *plan, const char *prefix)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, plan->keys)
		appendStringInfo(&sql, "%s%s%s", sql.len > 0 ? ", " : "", prefix, ((const FgRestoreKey *) lfirst(lc))->column->name);
	return sql.data;
}

static bool
fg_direct_is_key(const FgRestorePlan *plan, const FgRestoreColumn *column)
{
	ListCell   *lc;

	foreach(lc, plan->keys)
	{
		if (((const FgRestoreKey *) lfirst(lc))->column == column)
			return true;
	}
	return false;
}

/*
 * Checks the rights that the long way needs beside INSERT: to read what it
 * compares, and to update what it would set.  The guard looks at the update as
 * at any other.
 */
static bool
fg_direct_rights(const FgDirect *direct, const FgRestoreRequest *request)
{
	const FgRestorePlan *plan = direct->plan;
	StringInfoData reads;
	StringInfoData sets;
	ListCell   *lc;

	initStringInfo(&reads);
	initStringInfo(&sets);
	foreach(lc, plan->columns)
	{
		const FgRestoreColumn *column = lfirst(lc);
		bool		is_key = fg_direct_is_key(plan, column);

		if (is_key || (!column->generated && !column->identity_always))
			appendStringInfo(&reads, ", t.%s", column->name);
		if (!column->generated && !column->identity_always && !(is_key && column->exact))
			appendStringInfo(&sets, "%s%s = t.%s", sets.len > 0 ? ", " : "", column->name, column->name);
	}
	if (!fg_direct_check(psprintf("SELECT t.tableoid, t.xmin%s FROM %s t WHERE false", reads.data, fg_direct_table(plan)),
						 request))
		return false;
	return plan->dry_run || sets.len == 0 ||
		fg_direct_check(psprintf("UPDATE %s AS t SET %s WHERE false", fg_direct_table(plan), sets.data), request);
}

static char *
fg_direct_insert_sql(const FgDirect *direct)
{
	const FgRestorePlan *plan = direct->plan;
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, plan->columns)
	{
		const FgRestoreColumn *column = lfirst(lc);

		if (!column->generated)
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", column->name);
	}
	if (direct->repeated)
		return psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM"
						" (SELECT DISTINCT ON (%s) * FROM %s WHERE %s ORDER BY %s, fg_at, fg_seq) f",
						plan->table, names.data, names.data, fg_direct_keys(plan, ""),
						plan->source, direct->condition, fg_direct_keys(plan, ""));
	return psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s WHERE %s",
					plan->table, names.data, names.data, plan->source, direct->condition);
}


/* ---------------------------------------------------------------------
 * The images
 * ---------------------------------------------------------------------
 */

/*
 * Looks at all chosen images: are they removals that this way is good for, and
 * may a key occur more than once?  Counts them.
 */
static bool
fg_direct_images(FgDirect *direct, const FgRestoreRequest *request)
{
	const FgRestorePlan *plan = direct->plan;
	const char *sql = psprintf("SELECT fg_op, fg_how, fg_natts, %s, %s FROM %s WHERE %s",
							   fg_restore_plan_place(plan), fg_direct_keys(plan, ""), plan->source, plan->condition);
	Query	   *query = fg_direct_analyze(sql);
	FgKeys	   *keys;
	FgKeyVerdict verdict;
	ItemPointerData first;
	ItemPointerData last;
	int			least_natts = 0;
	int			n_operations = 0;
	ListCell   *lc;

	/* the filter must say the same when the rows are read */
	if (query == NULL || contain_volatile_functions((Node *) query))
		return false;
	foreach(lc, plan->columns)
		least_natts = Max(least_natts, ((const FgRestoreColumn *) lfirst(lc))->known_from);

	keys = fg_keys_begin(fg_direct_operations, FG_DIRECT_OPERATIONS, plan->by_xid, least_natts);
	do
	{
		QueryDesc  *desc = fg_direct_start(copyObject(query), sql, request, fg_keys_receiver(keys), 0);

		ExecutorRun(desc, ForwardScanDirection, 0, true);
		fg_direct_end(desc);
		verdict = fg_keys_verdict(keys, direct->rows);
	} while (verdict == FG_KEYS_AGAIN);
	direct->ascending = verdict == FG_KEYS_REPEATED || fg_keys_ascend(keys);
	fg_keys_range(keys, &first, &last);
	direct->condition = fg_restore_plan_narrow(plan, RelationGetNumberOfBlocks(direct->shadow), &first, &last);
	fg_keys_end(keys);
	if (verdict == FG_KEYS_UNFIT)
		return false;

	for (int i = 0; i < FG_DIRECT_OPERATIONS; i++)
	{
		direct->planned += direct->rows[i];
		n_operations += direct->rows[i] > 0;
	}
	direct->repeated = verdict == FG_KEYS_REPEATED;
	/* which of them the first ones are is not known then, nor how many there are */
	return !direct->repeated || (n_operations == 1 && !plan->dry_run);
}


/* ---------------------------------------------------------------------
 * The table
 * ---------------------------------------------------------------------
 */

/* Is the table without any row that the active snapshot shows? */
static bool
fg_direct_empty(const FgDirect *direct)
{
	bool		empty = true;
	ListCell   *lc;

	foreach(lc, direct->tables)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);
		TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
		TupleTableSlot *slot = table_slot_create(rel, NULL);

		empty = !table_scan_getnextslot(scan, ForwardScanDirection, slot);
		ExecDropSingleTupleTableSlot(slot);
		table_endscan(scan);
		table_close(rel, NoLock);
		if (!empty)
			break;
	}
	return empty;
}

/* Is none of the chosen images' keys in the table? */
static bool
fg_direct_absent(const FgDirect *direct, const FgRestoreRequest *request)
{
	const FgRestorePlan *plan = direct->plan;
	bool		few = direct->planned < direct->n_blocks / 4;
	StringInfoData sql;
	ListCell   *lc;

	if (fg_direct_empty(direct))
		return true;
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT FROM (SELECT ");
	foreach(lc, plan->keys)
		appendStringInfo(&sql, "%s%s AS c%d", lc == list_head(plan->keys) ? "" : ", ",
						 ((const FgRestoreKey *) lfirst(lc))->column->name,
						 ((const FgRestoreKey *) lfirst(lc))->column->attnum);
	appendStringInfo(&sql, " FROM %s WHERE %s) f JOIN %s t ON (", plan->source, direct->condition, fg_direct_table(plan));
	foreach(lc, plan->keys)
	{
		const FgRestoreKey *key = lfirst(lc);

		appendStringInfo(&sql, "%st.%s %s f.c%d", lc == list_head(plan->keys) ? "" : " AND ",
						 key->column->name, key->equals, key->column->attnum);
	}
	appendStringInfoChar(&sql, ')');
	return !fg_direct_any(sql.data, request, few);
}

/* Are there only triggers that fire for each row, after it, and see only that row? */
static bool
fg_direct_triggers_fit(const Relation rel)
{
	Oid			guard = fg_catalog_guard_function();

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (trigger->tgfoid == guard)
			continue;
		if (TRIGGER_FOR_INSERT(trigger->tgtype) &&
			(!TRIGGER_FOR_ROW(trigger->tgtype) || !TRIGGER_FOR_AFTER(trigger->tgtype) ||
			 trigger->tgnewtable != NULL))
			return false;
		if (TRIGGER_FOR_UPDATE(trigger->tgtype) && !TRIGGER_FOR_ROW(trigger->tgtype))
			return false;
	}
	return true;
}

/* Is there a condition or expression that could see what is in the table already? */
static bool
fg_direct_expressions_fit(const Relation rel)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	for (int i = 0; constr && i < constr->num_check; i++)
	{
		if (contain_volatile_functions(stringToNode(constr->check[i].ccbin)))
			return false;
	}
	return true;
}

/* The table, and all partitions of it */
static bool
fg_direct_table_fits(FgDirect *direct)
{
	List	   *members;
	ListCell   *lc;
	bool		fits = true;

	if (direct->plan->keys == NIL ||
		direct->plan->on_conflict == FG_CONFLICT_SKIP ||
		check_enable_rls(direct->plan->relid, InvalidOid, true) != RLS_NONE)
		return false;

	if (direct->rel->rd_rel->relkind == RELKIND_RELATION)
		members = list_make1_oid(direct->plan->relid);
	else
		members = find_all_inheritors(direct->plan->relid,
									  direct->plan->dry_run ? AccessShareLock : RowExclusiveLock, NULL);
	direct->only_fkeys = true;
	foreach(lc, members)
	{
		Relation	member = table_open(lfirst_oid(lc), NoLock);
		char		relkind = member->rd_rel->relkind;

		if (relkind == RELKIND_RELATION)
		{
			direct->tables = lappend_oid(direct->tables, lfirst_oid(lc));
			direct->n_blocks += RelationGetNumberOfBlocks(member);
		}
		fits = fits && (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
			fg_direct_triggers_fit(member) &&
			fg_direct_expressions_fit(member);
		direct->only_fkeys = direct->only_fkeys && fg_fkeys_alone(member->trigdesc);
		table_close(member, NoLock);
	}
	return fits;
}


/* ---------------------------------------------------------------------
 * All of it
 * ---------------------------------------------------------------------
 */

/* Can it be done, and if so, what does the statement look like? */
static bool
fg_direct_fits(FgDirect *direct, const FgRestoreRequest *request)
{
	fg_progress_phase(FG_PHASE_READING, direct->plan->relid, -1);
	if (!fg_direct_rights(direct, request) ||
		!fg_direct_images(direct, request))
		return false;
	if (direct->planned == 0)
		return true;
	if (!fg_direct_absent(direct, request))
		return false;
	if (direct->plan->dry_run)
		return true;
	direct->sql = fg_direct_insert_sql(direct);
	direct->query = fg_direct_analyze(direct->sql);
	return direct->query != NULL && !contain_volatile_functions((Node *) direct->query);
}

/*
 * Starts a scan of the chosen images, if their bytes are good for the rows.  It
 * returns nothing; whoever runs it looks at the image itself.
 */
static void
fg_direct_scan_images(FgDirect *direct, const FgRestoreRequest *request)
{
	const FgRestorePlan *plan = direct->plan;
	char	   *sql;
	QueryDesc  *desc;

	if (direct->repeated || direct->rel->rd_rel->relkind != RELKIND_RELATION ||
		!fg_restore_plan_one_source(plan) ||
		!fg_image_alike(direct->rel, direct->shadow))
		return;
	sql = psprintf("SELECT FROM %s WHERE %s", plan->source, direct->condition);
	desc = fg_direct_start(fg_direct_analyze(sql), sql, request, None_Receiver, 0);
	if ((IsA(desc->planstate, SeqScanState) || IsA(desc->planstate, TidRangeScanState)) &&
		RelationGetRelid(((ScanState *) desc->planstate)->ss_currentRelation) == plan->shadow)
		direct->images = desc;
	else
		fg_direct_end(desc);
}

/* Writes the rows.  The statement stays open, for the triggers of all of them. */
static void
fg_direct_write(FgDirect *direct, const FgRestoreRequest *request, bool spare_checks)
{
	ListCell   *lc;

	foreach(lc, direct->plan->columns)
	{
		const FgRestoreColumn *column = lfirst(lc);
		FgOutermost *outermost;

		if (!OidIsValid(column->sequence))
			continue;
		outermost = palloc0(sizeof(FgOutermost));
		outermost->attnum = column->attnum;
		outermost->type = getBaseType(TupleDescAttr(RelationGetDescr(direct->rel), column->attnum - 1)->atttypid);
		outermost->sequence = column->sequence;
		outermost->ascending = column->ascending;
		direct->outermost = lappend(direct->outermost, outermost);
	}

	fg_auth_internal_begin(direct->sql);
	direct->desc = fg_direct_start(direct->query, direct->sql, request, None_Receiver, EXEC_FLAG_SKIP_TRIGGERS);
	fg_auth_internal_end();
	fg_direct_scan_images(direct, request);
	direct->done = fg_restore_write(direct->desc, direct->images ? (ScanState *) direct->images->planstate : NULL,
									list_length(direct->tables), direct->ascending, spare_checks, direct->outermost);
	if (direct->images)
		fg_direct_end(direct->images);
	if (direct->repeated)
	{
		for (int i = 0; i < FG_DIRECT_OPERATIONS; i++)
		{
			if (direct->rows[i] > 0)
				direct->rows[i] = direct->done;
		}
		direct->planned = direct->done;
	}
}

/*
 * Writes the rows of all, and then fires their triggers, those of foreign keys
 * among them, as if they were one statement.
 */
static void
fg_direct_write_all(List *directs, const FgRestoreRequest *request)
{
	Oid			relid = list_length(directs) == 1 ? ((FgDirect *) linitial(directs))->plan->relid : InvalidOid;
	int64		total = 0;
	bool		spare_checks = true;
	EState	   *estate = NULL;
	ListCell   *lc;

	foreach(lc, directs)
	{
		total += ((const FgDirect *) lfirst(lc))->planned;
		spare_checks = spare_checks && ((const FgDirect *) lfirst(lc))->only_fkeys;
	}
	if (total == 0)
		return;
	fg_progress_phase(FG_PHASE_WRITING, relid, total);

	AfterTriggerBeginQuery();
	foreach(lc, directs)
	{
		FgDirect   *direct = lfirst(lc);

		if (direct->planned == 0)
			continue;
		fg_direct_write(direct, request, spare_checks);
		estate = direct->desc->estate;
	}
	AfterTriggerEndQuery(estate);
	foreach(lc, directs)
	{
		FgDirect   *direct = lfirst(lc);

		if (direct->desc)
			fg_direct_end(direct->desc);
	}
}

bool
fg_restore_direct(List *directs, FgRestoreRequest *request)
{
	int			level;
	bool		fits = true;
	ListCell   *lc;

	foreach(lc, directs)
	{
		if (!fg_direct_table_fits(lfirst(lc)))
			return false;
	}

	level = NewGUCNestLevel();
	fg_direct_set("work_mem", psprintf("%d", Max(work_mem, maintenance_work_mem)));
	fg_direct_set("jit", "off");
	/* archives are in the order in which rows went, and so are most keys: if read from the beginning */
	fg_direct_set("synchronize_seqscans", "off");

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(lc, directs)
		fits = fits && fg_direct_fits(lfirst(lc), request);
	if (fits && !request->dry_run)
		fg_direct_write_all(directs, request);
	PopActiveSnapshot();
	if (fits)
		CommandCounterIncrement();
	AtEOXact_GUC(true, level);
	return fits;
}
