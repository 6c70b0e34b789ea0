/*-------------------------------------------------------------------------
 *
 * fg_executor_admin.c
 *		The guard guards itself against statements that write rows.
 *
 * Refused without permission for "admin" (ZG011): INSERT, UPDATE, DELETE and
 * MERGE, by whatever road they come (view, rule, function, WITH, EXPLAIN
 * ANALYZE), on
 *
 *	the guard's tables, archives included
 *	PostgreSQL's catalogs, in a database with protected tables
 *
 * It is asked before the executor looks at rights, so that everybody who tries
 * it on the guard's tables leaves a trace.  Catalogs are left to the executor
 * where it will refuse by itself, which is so for all but superusers: there the
 * guard adds nothing, and the error is PostgreSQL's own.
 * SELECT FOR UPDATE and LOCK TABLE change nothing and pass; so
 * does UPDATE of datallowconn, datistemplate and datconnlimit in pg_database,
 * which old tools still write instead of ALTER DATABASE.
 * The guard's own functions write below the executor and never come here; COPY
 * doesn't either, see fg_ddl_admin.c.
 *
 * The plan lists the relations that it writes; for a statement that writes
 * none there is nothing to look at.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "utils/acl.h"

#include "fg_compat.h"
#include "fg_executor_admin.h"
#include "fg_own.h"

static const char *
statement_name(const PlannedStmt *plan)
{
	switch (plan->commandType)
	{
		case CMD_INSERT:
			return "INSERT";
		case CMD_UPDATE:
			return "UPDATE";
		case CMD_DELETE:
			return "DELETE";
		case CMD_MERGE:
			return "MERGE";
		default:
			return "writing WITH";
	}
}

/*
 * Does an UPDATE of pg_database only say who may connect to one, or copy it?
 */
static bool
opens_databases(const PlannedStmt *plan, Oid relid)
{
	const ModifyTable *node = (const ModifyTable *) plan->planTree;
	ListCell   *lc;

	if (relid != DatabaseRelationId || plan->commandType != CMD_UPDATE ||
		plan->hasModifyingCTE || !IsA(node, ModifyTable))
		return false;
	foreach(lc, (List *) linitial(node->updateColnosLists))
	{
		switch (lfirst_int(lc))
		{
			case Anum_pg_database_datistemplate:
			case Anum_pg_database_datallowconn:
			case Anum_pg_database_datconnlimit:
				break;
			default:
				return false;
		}
	}
	return true;
}

/*
 * Will the server refuse to write the catalog, for want of rights?  Nobody but
 * superusers has them, unless for single columns.
 */
static bool
server_refuses(const PlannedStmt *plan, const RangeTblEntry *rte)
{
	Oid			role = fg_compat_check_as_user(plan, rte);

	if (!OidIsValid(role))
		role = GetUserId();
	return !superuser_arg(role) &&
		pg_attribute_aclcheck_all(rte->relid, role, ACL_INSERT | ACL_UPDATE,
								  ACLMASK_ANY) != ACLCHECK_OK;
}

void
fg_executor_admin_check(QueryDesc *queryDesc)
{
	PlannedStmt *plan = queryDesc->plannedstmt;
	ListCell   *lc;

	foreach(lc, plan->resultRelations)
	{
		RangeTblEntry *rte = rt_fetch(lfirst_int(lc), plan->rtable);

		if (fg_own_known_foreign(rte->relid))
			continue;
		if (IsCatalogRelationOid(rte->relid) &&
			(opens_databases(plan, rte->relid) || server_refuses(plan, rte)))
			continue;
		fg_own_ask_write(statement_name(plan), rte->relid,
						 plan->commandType == CMD_INSERT && !plan->hasModifyingCTE);
	}
}
