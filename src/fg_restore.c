/*-------------------------------------------------------------------------
 *
 * fg_restore.c
 *		fortress.restore() and fortress.shadow_of().
 *
 * A restore is SQL that runs with the caller's own rights: it needs SELECT on
 * the shadow and SELECT, INSERT or UPDATE on the table, and row security,
 * foreign keys, checks and triggers count as for any other statement.  Nothing
 * is raised.  What this file adds around the statement of fg_restore_sql.c:
 *
 *	- the caller's filter must be one expression by itself, so that no text
 *	  can reach out of its parentheses;
 *	- the guard's limits do not count against the restore, while archiving
 *	  goes on (marked 'r'), so that a restore can be undone like any change;
 *	- sequences of restored columns are moved beyond the restored values;
 *	- an inheritance tree or a partition tree with shadows further down is
 *	  restored shadow by shadow.
 *
 * It refuses: tables without a shadow; to restore updates of a table that has
 * neither primary key nor replica identity index; conflicts, if asked to
 * (ZG012); and rows that somebody changed while it ran (40001).
 *
 * Locks: the table RowExclusiveLock (AccessShareLock in a dry run), then the
 * shadow AccessShareLock, to the end of the transaction.  A sequence that is
 * behind is locked against nextval() while it is moved.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parser.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "fg_auth.h"
#include "fg_catalog.h"
#include "fg_event.h"
#include "fg_errors.h"
#include "fg_policy.h"
#include "fg_restore_sql.h"
#include "fg_shadow.h"

PG_FUNCTION_INFO_V1(fg_restore);
PG_FUNCTION_INFO_V1(fg_shadow_of_sql);

#define FG_N_PARAMETERS	3

/* fg_op in the order in which the result shows them */
static const struct
{
	char		op;
	const char *name;
}			fg_restored_operations[] =
{
	{FG_SHADOW_OP_DELETE, "delete"},
	{FG_SHADOW_OP_UPDATE, "update"},
	{FG_SHADOW_OP_TRUNCATE, "truncate"},
	{FG_SHADOW_OP_DROP, "ddl"}
};

#define FG_N_RESTORED	lengthof(fg_restored_operations)

/* What the caller asked for. */
typedef struct FgRestoreRequest
{
	Oid			relid;
	Datum		values[FG_N_PARAMETERS];	/* since, until, xid */
	char		nulls[FG_N_PARAMETERS]; /* as SPI wants them: 'n' or ' ' */
	const char *filter;			/* NULL: none */
	FgConflict	on_conflict;
	bool		dry_run;
} FgRestoreRequest;

/* What came of one relation. */
typedef struct FgRestoreOutcome
{
	bool		occurs[FG_N_RESTORED];
	int64		rows[FG_N_RESTORED];
	int64		conflicts[FG_N_RESTORED];
	int64		n_conflicts;
	char	   *examples;
} FgRestoreOutcome;

static Oid	fg_parameter_types[FG_N_PARAMETERS] = {TIMESTAMPTZOID, TIMESTAMPTZOID, XID8OID};


/* ---------------------------------------------------------------------
 * The filter
 * ---------------------------------------------------------------------
 */

/* Makes a position in the filter's text one that the client can show. */
static void
fg_filter_error(void *arg)
{
	const char *filter = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(filter);
	}
	errcontext("filter of fortress.restore()");
}

static bool
fg_has_parameter(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, ParamRef))
		return true;
	return raw_expression_tree_walker(node, fg_has_parameter, context);
}

/*
 * Raises a syntax error unless the text is one expression on its own: in
 * parentheses it can then mean nothing else.
 */
static void
fg_filter_check(const char *filter)
{
	ErrorContextCallback callback;
	List	   *parsed;
	SelectStmt *select;
	ResTarget  *target;

	callback.callback = fg_filter_error;
	callback.arg = unconstify(char *, filter);
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	/* parses what may follow SELECT; a filter is that with nothing but one unnamed column */
	parsed = raw_parser(filter, RAW_PARSE_PLPGSQL_EXPR);
	select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);
	target = list_length(select->targetList) == 1 ? linitial_node(ResTarget, select->targetList) : NULL;

	if (list_length(parsed) != 1 || target == NULL || target->name != NULL ||
		select->distinctClause != NIL || select->fromClause != NIL || select->whereClause != NULL ||
		select->groupClause != NIL || select->havingClause != NULL || select->windowClause != NIL ||
		select->sortClause != NIL || select->limitOffset != NULL || select->limitCount != NULL ||
		select->lockingClause != NIL || select->intoClause != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("filter must be one SQL condition"),
				 errdetail("The text is \"%s\".", filter),
				 errhint("Write what would follow WHERE, over the columns of the archive (see fortress.shadow_of()).")));
	if (fg_has_parameter(target->val, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("filter cannot have parameters such as $1")));

	error_context_stack = callback.previous;
}


/* ---------------------------------------------------------------------
 * Preparing
 * ---------------------------------------------------------------------
 */

static char *
fg_relation_text(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* The sequence that column attnum draws from; InvalidOid: none */
static Oid
fg_column_sequence(Oid relid, List *sequences, AttrNumber attnum)
{
	ListCell   *lc;

	foreach(lc, sequences)
	{
		Oid			table;
		int32		column;

		if ((sequenceIsOwned(lfirst_oid(lc), DEPENDENCY_AUTO, &table, &column) ||
			 sequenceIsOwned(lfirst_oid(lc), DEPENDENCY_INTERNAL, &table, &column)) &&
			table == relid && column == attnum)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

static bool
fg_sequence_ascends(Oid sequence)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	bool		ascends;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
	ascends = ((Form_pg_sequence) GETSTRUCT(tuple))->seqincrement > 0;
	ReleaseSysCache(tuple);
	return ascends;
}

/*
 * The value of a column of the shadow, as an expression.  Where the type was
 * changed, older images have it in a column of the older type, and NULL in the
 * one that it has now.  NULL if there is no older column.
 */
static char *
fg_image_expression(Form_pg_attribute kept, Relation shadow, Oid owner, AttrNumber owner_attnum)
{
	char	   *type;
	List	   *formers;
	StringInfoData sql;
	ListCell   *lc;

	/* a column in its first place was never anything else */
	if (kept->attnum == FG_SHADOW_N_META + owner_attnum)
		return NULL;
	formers = fg_shadow_former_columns(shadow, owner, owner_attnum);
	if (formers == NIL)
		return NULL;

	type = format_type_extended(kept->atttypid, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
	initStringInfo(&sql);
	appendStringInfo(&sql, "COALESCE(%s", quote_identifier(NameStr(kept->attname)));
	foreach(lc, formers)
	{
		const FgFormerColumn *former = lfirst(lc);
		Oid			function;
		CoercionPathType path = find_coercion_pathway(kept->atttypid, former->type, COERCION_EXPLICIT, &function);

		appendStringInfo(&sql, ", %s%s::%s", quote_identifier(former->name),
						 path == COERCION_PATH_NONE ? "::pg_catalog.text" : "", type);
		if (OidIsValid(kept->attcollation))
			appendStringInfo(&sql, " COLLATE %s", generate_collation_name(kept->attcollation));
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * Finds the columns that table and shadow share, by name and type, and how to
 * read the shadow: as it is, or with older values converted.
 */
static void
fg_plan_columns(FgRestorePlan *plan, Relation rel, Relation shadow, Oid owner)
{
	TupleDesc	desc = RelationGetDescr(rel);
	TupleDesc	shadow_desc = RelationGetDescr(shadow);
	List	   *sequences = getOwnedSequences(plan->relid);
	char	  **values = palloc0(sizeof(char *) * shadow_desc->natts);
	bool		converted = false;
	StringInfoData source;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Form_pg_attribute kept = NULL;
		FgRestoreColumn *column;
		int32		typmod = att->atttypmod;
		Oid			type;

		if (att->attisdropped)
			continue;
		type = getBaseTypeAndTypmod(att->atttypid, &typmod);
		for (int k = FG_SHADOW_N_META; k < shadow_desc->natts && kept == NULL; k++)
		{
			Form_pg_attribute other = TupleDescAttr(shadow_desc, k);

			if (!other->attisdropped && other->atttypid == type &&
				strcmp(NameStr(other->attname), NameStr(att->attname)) == 0)
				kept = other;
		}
		if (kept == NULL)
			continue;

		column = palloc0(sizeof(FgRestoreColumn));
		column->name = quote_identifier(pstrdup(NameStr(att->attname)));
		column->attnum = att->attnum;
		column->known_from = owner == plan->relid ? att->attnum : get_attnum(owner, NameStr(att->attname));
		column->as_base = type == att->atttypid ? "" :
			psprintf("::%s", format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		column->as_shadow = typmod == kept->atttypmod || typmod == -1 ? "" :
			psprintf("::%s", format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		values[kept->attnum - 1] = fg_image_expression(kept, shadow, owner, column->known_from);
		converted |= values[kept->attnum - 1] != NULL;
		column->generated = att->attgenerated != '\0';
		column->identity_always = att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
		if (type == INT2OID || type == INT4OID || type == INT8OID)
			column->sequence = fg_column_sequence(plan->relid, sequences, att->attnum);
		if (OidIsValid(column->sequence))
			column->ascending = fg_sequence_ascends(column->sequence);
		plan->columns = lappend(plan->columns, column);
	}

	initStringInfo(&source);
	if (converted)
	{
		/* under the shadow's own name, for a filter that uses it */
		appendStringInfoString(&source, "(SELECT ");
		for (int k = 0; k < shadow_desc->natts; k++)
		{
			Form_pg_attribute att = TupleDescAttr(shadow_desc, k);
			const char *name = quote_identifier(NameStr(att->attname));

			if (!att->attisdropped)
				appendStringInfo(&source, "%s%s AS %s", k > 0 ? ", " : "", values[k] ? values[k] : name, name);
		}
		appendStringInfo(&source, " FROM ONLY %s) AS %s", fg_relation_text(plan->shadow),
						 quote_identifier(RelationGetRelationName(shadow)));
	}
	else
		appendStringInfo(&source, "ONLY %s", fg_relation_text(plan->shadow));
	plan->source = source.data;
}

/* The index by which rows are told apart: primary key, else replica identity; InvalidOid: none */
static Oid
fg_key_index(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	Oid			found = InvalidOid;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", lfirst_oid(lc));
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisvalid && (index->indisprimary || (index->indisreplident && !OidIsValid(found))))
			found = lfirst_oid(lc);
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return found;
}

/* Finds the key columns.  Leaves keys empty if there are none that the images have. */
static void
fg_plan_keys(FgRestorePlan *plan, Relation rel)
{
	Oid			index_oid = fg_key_index(rel);
	Relation	index;

	if (!OidIsValid(index_oid))
		return;
	index = index_open(index_oid, AccessShareLock);
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		FgRestoreKey *key = palloc(sizeof(FgRestoreKey));
		Oid			operator = get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i],
												   index->rd_opcintype[i], BTEqualStrategyNumber);
		HeapTuple	tuple;
		ListCell   *lc;

		key->column = NULL;
		foreach(lc, plan->columns)
		{
			FgRestoreColumn *column = lfirst(lc);

			if (column->attnum == index->rd_index->indkey.values[i])
				key->column = column;
		}
		if (key->column == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot restore table \"%s\"", RelationGetRelationName(rel)),
					 errdetail("Its archive does not have the key column \"%s\" with the type that it has now.",
							   get_attname(plan->relid, index->rd_index->indkey.values[i], false)),
					 errtable(rel)));

		tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for operator %u", operator);
		key->equals = psprintf("OPERATOR(%s.%s)",
							   quote_identifier(get_namespace_name(((Form_pg_operator) GETSTRUCT(tuple))->oprnamespace)),
							   NameStr(((Form_pg_operator) GETSTRUCT(tuple))->oprname));
		ReleaseSysCache(tuple);
		plan->keys = lappend(plan->keys, key);
	}
	index_close(index, AccessShareLock);
}

/* Which rows of the shadow are chosen, as a condition on its columns */
static char *
fg_plan_condition(const FgRestoreRequest *request, Oid relid, Oid owner)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "true");
	if (request->nulls[0] == ' ')
		appendStringInfoString(&sql, " AND fg_at OPERATOR(pg_catalog.>=) $1");
	if (request->nulls[1] == ' ')
		appendStringInfoString(&sql, " AND fg_at OPERATOR(pg_catalog.<) $2");
	if (request->nulls[2] == ' ')
		appendStringInfoString(&sql, " AND fg_xid OPERATOR(pg_catalog.=) $3");
	if (relid != owner)
	{
		/* of the partitioned table's archive only what belongs into this partition */
		Expr	   *bounds = get_partition_qual_relid(relid);

		if (bounds)
			appendStringInfo(&sql, " AND (%s)",
							 deparse_expression((Node *) bounds, deparse_context_for(get_rel_name(relid), relid), false, false));
	}
	/* the line end closes a comment at the filter's end */
	if (request->filter)
		appendStringInfo(&sql, " AND (%s\n)", request->filter);
	return sql.data;
}


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

/*
 * Runs a query.  Without "loops" it is planned without nested loops, whatever
 * the planner believes; only this query, not those of triggers that it fires.
 */
static void
fg_run(const char *sql, FgRestoreRequest *request, bool loops)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, FG_N_PARAMETERS, fg_parameter_types,
										  loops ? 0 : CURSOR_OPT_GENERIC_PLAN);
	CachedPlan *planned = NULL;
	int			result;

	if (plan == NULL)
		elog(ERROR, "could not prepare a restore: %s", SPI_result_code_string(SPI_result));
	if (!loops)
	{
		int			level = NewGUCNestLevel();

		(void) set_config_option("enable_nestloop", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		planned = SPI_plan_get_cached_plan(plan);
		AtEOXact_GUC(true, level);
	}
	result = SPI_execute_plan(plan, request->values, request->nulls, false, 0);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not restore: %s", SPI_result_code_string(result));
	if (planned)
		ReleaseCachedPlan(planned, NULL);
	SPI_freeplan(plan);
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
fg_restore_survey(FgRestorePlan *plan, FgRestoreRequest *request, FgRestoreOutcome *outcome, Relation rel)
{
	fg_run(fg_restore_survey_sql(plan), request, true);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		char		op = DatumGetChar(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull));
		int			natts = DatumGetInt16(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 2, &isnull));

		outcome->occurs[fg_operation_index(op)] = true;
		plan->n_chosen += fg_result_int64(row, 3);
		plan->has_updates |= op == FG_SHADOW_OP_UPDATE;
		plan->has_others |= op != FG_SHADOW_OP_UPDATE;
		if (plan->natts == NIL || llast_int(plan->natts) != natts)
			plan->natts = lappend_int(plan->natts, natts);
		if (op == FG_SHADOW_OP_UPDATE && plan->keys == NIL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot restore updates of table \"%s\"", RelationGetRelationName(rel)),
					 errdetail("Without a primary key or a replica identity index, nothing tells which row an old image belongs to."),
					 errhint("Add a primary key, or restore only deleted rows with filter => $$fg_op <> 'u'$$."),
					 errtable(rel)));
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
fg_restore_run(FgRestorePlan *plan, FgRestoreRequest *request, FgRestoreOutcome *outcome, Relation rel)
{
	const char *sql = fg_restore_sql(plan);
	int64		planned = 0;
	int64		done = 0;
	ListCell   *lc;
	int			n_columns = FG_RESULT_SEQUENCES;

	/* this one statement passes; what the filter or a trigger calls does not */
	fg_auth_internal_begin(sql);
	fg_run(sql, request, fg_few_chosen(plan));
	fg_auth_internal_end();
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		Datum		op = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, FG_RESULT_OP, &isnull);
		int			i;

		done = fg_result_int64(row, FG_RESULT_DONE);
		/* a trigger gave a row that was put in another key */
		if (isnull)
			continue;
		i = fg_operation_index(DatumGetChar(op));
		outcome->rows[i] = fg_result_int64(row, FG_RESULT_ROWS);
		outcome->conflicts[i] = fg_result_int64(row, FG_RESULT_CONFLICTS);
		outcome->n_conflicts += outcome->conflicts[i];
		planned += plan->on_conflict == FG_CONFLICT_SKIP && plan->keys != NIL ?
			outcome->rows[i] : fg_result_int64(row, FG_RESULT_PLANNED);
		outcome->examples = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, FG_RESULT_EXAMPLES);
	}
	if (plan->dry_run)
		return;

	if (outcome->n_conflicts > 0 && plan->on_conflict == FG_CONFLICT_ERROR)
		ereport(ERROR,
				(errcode(ERRCODE_FG_RESTORE_CONFLICT),
				 errmsg_plural("could not restore table \"%s\": %lld row is in conflict",
							   "could not restore table \"%s\": %lld rows are in conflict",
							   (unsigned long) outcome->n_conflicts,
							   RelationGetRelationName(rel), (long long) outcome->n_conflicts),
				 errdetail("Rows with these keys were created, changed or removed since: %s%s.",
						   outcome->examples ? outcome->examples : "",
						   outcome->n_conflicts > 5 ? ", ..." : ""),
				 errhint("Call fortress.restore() with on_conflict => 'skip' to leave them as they are, or 'overwrite' to put the old content back."),
				 errtable(rel)));

	if (done != planned)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not restore table \"%s\"", RelationGetRelationName(rel)),
				 errdetail("%lld of %lld rows were put back; a concurrent transaction or a trigger of the table stood in the way of the others.",
						   (long long) done, (long long) planned),
				 errhint("Nothing was changed. Try again."),
				 errtable(rel)));

	/* the outermost value that was put into each column with a sequence */
	foreach(lc, plan->columns)
	{
		const FgRestoreColumn *column = lfirst(lc);
		bool		any = false;
		int64		outermost = 0;

		if (!OidIsValid(column->sequence))
			continue;
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			bool		isnull;
			int64		value = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
															n_columns, &isnull));

			if (isnull)
				continue;
			outermost = !any ? value : column->ascending ? Max(outermost, value) : Min(outermost, value);
			any = true;
		}
		n_columns++;
		if (any)
			fg_sequence_pass(column->sequence, outermost, column->ascending);
	}
}

/* Restores one relation from one shadow. */
static void
fg_restore_relation(FgRestoreRequest *request, Oid relid, Oid owner, FgRestoreOutcome *outcome)
{
	FgRestorePlan plan;
	Relation	rel = table_open(relid, request->dry_run ? AccessShareLock : RowExclusiveLock);
	Relation	shadow;

	memset(outcome, 0, sizeof(FgRestoreOutcome));
	memset(&plan, 0, sizeof(plan));
	plan.relid = relid;
	plan.table = fg_relation_text(relid);
	plan.only = rel->rd_rel->relkind == RELKIND_RELATION;
	plan.shadow = fg_catalog_get_shadow(owner);
	shadow = table_open(plan.shadow, AccessShareLock);
	plan.on_conflict = request->on_conflict;
	plan.dry_run = request->dry_run;
	plan.all_later = request->nulls[1] == 'n' && request->nulls[2] == 'n' && request->filter == NULL;
	plan.no_earlier = request->nulls[0] == ' ' ? "fg_at OPERATOR(pg_catalog.>=) $1" : "true";
	plan.condition = fg_plan_condition(request, relid, owner);
	fg_plan_columns(&plan, rel, shadow, owner);
	fg_plan_keys(&plan, rel);

	fg_restore_survey(&plan, request, outcome, rel);
	if (plan.natts != NIL)
	{
		fg_shadow_set_restoring(true);
		fg_restore_run(&plan, request, outcome, rel);
		fg_shadow_set_restoring(false);
	}

	table_close(shadow, NoLock);
	table_close(rel, NoLock);
}

static void
fg_restore_report(ReturnSetInfo *rsinfo, Oid relid, const FgRestoreOutcome *outcome)
{
	for (int i = 0; i < FG_N_RESTORED; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false, false, false, false};

		if (!outcome->occurs[i])
			continue;
		values[0] = ObjectIdGetDatum(relid);
		values[1] = CStringGetTextDatum(fg_restored_operations[i].name);
		values[2] = Int64GetDatum(outcome->rows[i]);
		values[3] = Int64GetDatum(outcome->conflicts[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}


/* ---------------------------------------------------------------------
 * SQL functions
 * ---------------------------------------------------------------------
 */

static void
fg_request_read(FgRestoreRequest *request, FunctionCallInfo fcinfo)
{
	char	   *on_conflict;
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

	for (int i = 0; i < FG_N_PARAMETERS; i++)
	{
		request->nulls[i] = PG_ARGISNULL(i + 1) ? 'n' : ' ';
		request->values[i] = PG_ARGISNULL(i + 1) ? (Datum) 0 : PG_GETARG_DATUM(i + 1);
	}
	if (!PG_ARGISNULL(4))
	{
		request->filter = text_to_cstring(PG_GETARG_TEXT_PP(4));
		fg_filter_check(request->filter);
	}

	on_conflict = PG_ARGISNULL(5) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(5));
	if (on_conflict && strcmp(on_conflict, "error") == 0)
		request->on_conflict = FG_CONFLICT_ERROR;
	else if (on_conflict && strcmp(on_conflict, "skip") == 0)
		request->on_conflict = FG_CONFLICT_SKIP;
	else if (on_conflict && strcmp(on_conflict, "overwrite") == 0)
		request->on_conflict = FG_CONFLICT_OVERWRITE;
	else if (on_conflict)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown value for on_conflict: \"%s\"", on_conflict),
				 errhint("Valid values are error, skip and overwrite.")));
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_conflict must not be null"),
				 errhint("Valid values are error, skip and overwrite.")));
	request->dry_run = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6);
}

/* The event of a restore that changed something. */
static void
fg_restore_record(const FgRestoreRequest *request, Oid relid, const FgRestoreOutcome *outcome)
{
	FgEvent		event = {.name = "restored",.relid = relid,.max_rows = -1};

	for (int i = 0; i < FG_N_RESTORED; i++)
		event.rows += outcome->rows[i];
	if (request->dry_run || event.rows == 0)
		return;
	event.role = GetUserId();
	event.detail = request->filter != NULL ? psprintf("filter: %s", request->filter) : NULL;
	fg_event_queue(&event, true);
}

/*
 * fortress.restore(relation, since, until, xid, filter, on_conflict, dry_run)
 */
Datum
fg_restore(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FgRestoreRequest request;
	FgRestoreOutcome *outcomes;
	List	   *members;
	List	   *restored = NIL;
	ListCell   *lc;
	int			n = 0;

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

	outcomes = palloc0(sizeof(FgRestoreOutcome) * list_length(restored));
	SPI_connect();
	foreach(lc, restored)
	{
		Oid			relid = lfirst_oid(lc);

		fg_restore_relation(&request, relid, fg_shadow_owner_of(relid), &outcomes[n++]);
	}
	SPI_finish();

	n = 0;
	foreach(lc, restored)
		fg_restore_record(&request, lfirst_oid(lc), &outcomes[n++]);
	n = 0;
	foreach(lc, restored)
		fg_restore_report(rsinfo, lfirst_oid(lc), &outcomes[n++]);
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
