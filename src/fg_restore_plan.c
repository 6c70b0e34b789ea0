/*-------------------------------------------------------------------------
 *
 * fg_restore_plan.c
 *		What a restore needs to know of a relation and its shadow: the columns
 *		that they share, the key, and which archived rows are chosen.
 *
 * The caller's filter is the only text of a user's that gets into a statement
 * of ours.  It must be one expression by itself, so that nothing in it can reach
 * out of its parentheses.
 *
 * It refuses: filters that are more than one condition, tables whose archive
 * lacks a key column, and tables with a rule that what is written would meet.
 *
 * Locks: none; the caller has relation and shadow locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parser.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteDefine.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "fg_restore_plan.h"
#include "fg_shadow.h"


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
	errcontext("filter of archived rows");
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
void
fg_restore_filter_check(const char *filter)
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

char *
fg_restore_name(Oid relid)
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
void
fg_restore_plan_columns(FgRestorePlan *plan, Relation rel, Relation shadow, Oid owner)
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
		column->exact = type == INT2OID || type == INT4OID || type == INT8OID || type == UUIDOID;
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
		appendStringInfoString(&source, "(SELECT xmin");
		for (int k = 0; k < shadow_desc->natts; k++)
		{
			Form_pg_attribute att = TupleDescAttr(shadow_desc, k);
			const char *name = quote_identifier(NameStr(att->attname));

			if (!att->attisdropped)
				appendStringInfo(&source, ", %s AS %s", values[k] ? values[k] : name, name);
		}
		appendStringInfo(&source, " FROM ONLY %s) AS %s", fg_restore_name(plan->shadow),
						 quote_identifier(RelationGetRelationName(shadow)));
	}
	else
		appendStringInfo(&source, "ONLY %s", fg_restore_name(plan->shadow));
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
void
fg_restore_plan_keys(FgRestorePlan *plan, Relation rel)
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

/*
 * Raises an error if a rule would make something else of the rows that are written,
 * or add to it.
 */
void
fg_restore_plan_rules(const FgRestorePlan *plan, Relation rel)
{
	/* which rules do not fire in this session */
	char		asleep = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA ?
		RULE_FIRES_ON_ORIGIN : RULE_FIRES_ON_REPLICA;
	ObjectAddress address;

	for (int i = 0; rel->rd_rules && i < rel->rd_rules->numLocks; i++)
	{
		const RewriteRule *rule = rel->rd_rules->rules[i];

		if (rule->enabled == RULE_DISABLED || rule->enabled == asleep ||
			!(rule->event == CMD_INSERT || (rule->event == CMD_UPDATE && plan->keys != NIL)))
			continue;
		ObjectAddressSet(address, RewriteRelationId, rule->ruleId);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot restore table \"%s\" past its rules", RelationGetRelationName(rel)),
				 errdetail("What is put back would become something else by %s.", getObjectDescription(&address, false)),
				 errhint("Disable the rule with ALTER TABLE ... DISABLE RULE, restore, and enable it again."),
				 errtable(rel)));
	}
}

/* Which rows of the shadow are chosen, as a condition on its columns */
char *
fg_restore_plan_condition(const FgRestoreRequest *request, Oid relid, Oid owner)
{
	StringInfoData sql;

	initStringInfo(&sql);
	/* they are tested in this order (as "=" would not be), and few images of many pass the first */
	if (request->nulls[2] == ' ')
		appendStringInfoString(&sql, "fg_xid OPERATOR(pg_catalog.>=) $3 AND fg_xid OPERATOR(pg_catalog.<=) $3 AND ");
	if (request->nulls[0] == ' ')
		appendStringInfoString(&sql, "fg_at OPERATOR(pg_catalog.>=) $1 AND ");
	if (request->nulls[1] == ' ')
		appendStringInfoString(&sql, "fg_at OPERATOR(pg_catalog.<) $2 AND ");
	appendStringInfoString(&sql, FG_SHADOW_IS_CHANGE);
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

bool
fg_restore_plan_one_source(const FgRestorePlan *plan)
{
	return strncmp(plan->source, "ONLY ", 5) == 0;
}

const char *
fg_restore_plan_place(const FgRestorePlan *plan)
{
	return fg_restore_plan_one_source(plan) ? "ctid" : "NULL::pg_catalog.tid";
}

/*
 * A large part of the shadow is read as a whole, since that leaves the server's
 * other pages in its memory.
 */
const char *
fg_restore_plan_narrow(const FgRestorePlan *plan, BlockNumber n_blocks, const ItemPointerData *first,
					   const ItemPointerData *last)
{
	if (!fg_restore_plan_one_source(plan) || !ItemPointerIsValid(last) ||
		ItemPointerGetBlockNumber(last) - ItemPointerGetBlockNumber(first) >= n_blocks / 2)
		return plan->condition;
	return psprintf("ctid OPERATOR(pg_catalog.>=) '(%u,%u)'::pg_catalog.tid AND"
					" ctid OPERATOR(pg_catalog.<=) '(%u,%u)'::pg_catalog.tid AND %s",
					ItemPointerGetBlockNumber(first), ItemPointerGetOffsetNumber(first),
					ItemPointerGetBlockNumber(last), ItemPointerGetOffsetNumber(last),
					plan->condition);
}
