/*-------------------------------------------------------------------------
 *
 * fg_where.c
 *		Has an UPDATE or DELETE a condition on the rows it changes?
 *
 * Judged on the plan, where the planner has already thrown away what is always
 * true: "WHERE true" and "1 = 1" have left nothing behind, and a condition
 * without any column (a bare parameter, an uncorrelated EXISTS) stands in a
 * Result node above the scan, not in the scan.  So the question becomes: is
 * every scan of a target relation restricted, by a condition of its own or by
 * a join above it that looks at the target's columns?  A join with other
 * tables that never mentions the target is a cross join, whatever the other
 * tables are restricted by.
 *
 * Join conditions refer to their inputs by position (OUTER_VAR, INNER_VAR), so
 * a column is followed down through the target lists to the scan that it comes
 * from.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"

#include "fg_where.h"

typedef struct WhereContext
{
	List	   *targets;		/* range table indexes of the result relations */
	Plan	   *node;			/* the node whose expressions are walked */
} WhereContext;

static bool mentions_target(Node *expr, WhereContext *context);

static bool
expressions_mention(Plan *node, List *exprs, const WhereContext *context)
{
	WhereContext inner = *context;

	inner.node = node;
	return mentions_target((Node *) exprs, &inner);
}

/* The first input of a node whose target list its own OUTER_VARs refer to. */
static Plan *
outer_input(Plan *node)
{
	switch (nodeTag(node))
	{
		case T_Append:
			return ((Append *) node)->appendplans != NIL ?
				linitial(((Append *) node)->appendplans) : NULL;
		case T_MergeAppend:
			return ((MergeAppend *) node)->mergeplans != NIL ?
				linitial(((MergeAppend *) node)->mergeplans) : NULL;
		default:
			return outerPlan(node);
	}
}

/* Does column attno of what a node puts out come from a target relation? */
static bool
output_from_target(Plan *node, AttrNumber attno, const WhereContext *context)
{
	TargetEntry *entry;

	if (node == NULL || attno <= 0 || attno > list_length(node->targetlist))
		return false;
	entry = list_nth(node->targetlist, attno - 1);
	return expressions_mention(node, list_make1(entry->expr), context);
}

static bool
mentions_target(Node *expr, WhereContext *context)
{
	if (expr == NULL)
		return false;
	if (IsA(expr, Var))
	{
		Var		   *var = (Var *) expr;

		if (var->varno == OUTER_VAR)
			return output_from_target(outer_input(context->node), var->varattno, context);
		if (var->varno == INNER_VAR)
			return output_from_target(innerPlan(context->node), var->varattno, context);
		if (var->varno == INDEX_VAR)
			return true;		/* the index of the scan we are looking at */
		if (IsA(context->node, SubqueryScan))
			return output_from_target(((SubqueryScan *) context->node)->subplan,
									  var->varattno, context);
		return list_member_int(context->targets, var->varno);
	}
	if (IsA(expr, CurrentOfExpr))
		return true;
	return expression_tree_walker(expr, mentions_target, (void *) context);
}

/* Is a scan of a target relation restricted by a condition of its own? */
static bool
scan_restricted(Plan *node, const WhereContext *context)
{
	switch (nodeTag(node))
	{
		case T_IndexScan:
			if (((IndexScan *) node)->indexqual != NIL)
				return true;
			break;
		case T_IndexOnlyScan:
			if (((IndexOnlyScan *) node)->indexqual != NIL)
				return true;
			break;
		case T_BitmapHeapScan:
			if (((BitmapHeapScan *) node)->bitmapqualorig != NIL)
				return true;
			break;
		case T_TidScan:
			if (((TidScan *) node)->tidquals != NIL)
				return true;
			break;
		case T_TidRangeScan:
			if (((TidRangeScan *) node)->tidrangequals != NIL)
				return true;
			break;
		case T_CustomScan:
			/* its condition may be in a form of its own */
			if (((CustomScan *) node)->custom_exprs != NIL)
				return true;
			break;
		default:
			break;
	}
	return expressions_mention(node, node->qual, context) ||
		contain_volatile_functions((Node *) node->qual);
}

static Index
scan_relid(Plan *node)
{
	switch (nodeTag(node))
	{
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapHeapScan:
		case T_TidScan:
		case T_TidRangeScan:
		case T_CustomScan:
			return ((Scan *) node)->scanrelid;
		default:
			return 0;
	}
}

/* The conditions by which a join leaves out combinations of its inputs. */
static bool
join_mentions_target(Plan *node, const WhereContext *context)
{
	ListCell   *lc;

	switch (nodeTag(node))
	{
		case T_HashJoin:
			if (expressions_mention(node, ((HashJoin *) node)->hashclauses, context))
				return true;
			break;
		case T_MergeJoin:
			if (expressions_mention(node, ((MergeJoin *) node)->mergeclauses, context))
				return true;
			break;
		case T_NestLoop:
			/* what the inner side is asked for, row by row of the outer one */
			foreach(lc, ((NestLoop *) node)->nestParams)
			{
				NestLoopParam *param = lfirst(lc);

				if (expressions_mention(node, list_make1(param->paramval), context))
					return true;
			}
			break;
		default:
			return false;
	}
	return expressions_mention(node, ((Join *) node)->joinqual, context);
}

static bool
restricted_list(List *plans, WhereContext *context);

/* Are all scans of target relations in this tree restricted? */
static bool
restricted(Plan *node, WhereContext *context)
{
	Index		relid;

	if (node == NULL)
		return true;
	relid = scan_relid(node);
	if (relid > 0)
		return !list_member_int(context->targets, relid) || scan_restricted(node, context);
	if (IsA(node, Result) && node->lefttree == NULL)
		return true;			/* no relation at all */
	if (join_mentions_target(node, context) ||
		expressions_mention(node, node->qual, context))
		return true;
	if (IsA(node, Append))
		return restricted_list(((Append *) node)->appendplans, context);
	if (IsA(node, MergeAppend))
		return restricted_list(((MergeAppend *) node)->mergeplans, context);
	if (IsA(node, SubqueryScan))
		return restricted(((SubqueryScan *) node)->subplan, context);
	return restricted(outerPlan(node), context) && restricted(innerPlan(node), context);
}

static bool
restricted_list(List *plans, WhereContext *context)
{
	ListCell   *lc;

	foreach(lc, plans)
	{
		if (!restricted(lfirst(lc), context))
			return false;
	}
	return true;
}

bool
fg_where_restricts(const ModifyTable *plan)
{
	WhereContext context;

	context.targets = plan->resultRelations;
	context.node = NULL;
	return restricted(outerPlan(&plan->plan), &context);
}
