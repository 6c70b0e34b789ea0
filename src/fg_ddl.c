/*-------------------------------------------------------------------------
 *
 * fg_ddl.c
 *		Watching commands: the hooks, which only dispatch.
 *
 * Two hooks of the server are needed, as neither sees everything: the utility
 * hook sees the text of a command, the object access hook the objects that it
 * really concerns, by whatever cascade or recursion.  What is refused:
 *
 *	fg_ddl_admin.c		changes of the guard itself
 *	fg_ddl_trash.c		protected tables that are dropped
 *	fg_ddl_drop.c		what is dropped or truncated otherwise
 *	fg_ddl_table.c		other changes of protected tables
 *
 * and what the guard does after a command is in fg_ddl_follow.c.  DISCARD ALL
 * and RESET ALL end what a session has unlocked.
 *
 * The guard's own DDL comes by here, too, and passes.  It runs as a part of the
 * command that it follows, for which event triggers are not fired: a function
 * of somebody else's must not run while the guard's work is let through.
 *
 * Nothing here happens in a database without the extension, in binary upgrade,
 * or while the guard is switched off.
 *
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"

#include "fg_auditor.h"
#include "fg_auth.h"
#include "fg_ddl.h"
#include "fg_ddl_admin.h"
#include "fg_ddl_command.h"
#include "fg_ddl_database.h"
#include "fg_ddl_drop.h"
#include "fg_ddl_follow.h"
#include "fg_ddl_table.h"
#include "fg_ddl_trash.h"
#include "fg_install.h"
#include "fg_own.h"
#include "fg_policy.h"
#include "fg_schema.h"

static object_access_hook_type previous_access = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* what the server gives to a utility hook */
typedef struct FgUtilityCall
{
	PlannedStmt *pstmt;
	const char *query;
	bool		read_only_tree;
	ProcessUtilityContext context;
	ParamListInfo params;
	QueryEnvironment *environment;
	DestReceiver *dest;
	QueryCompletion *completion;
} FgUtilityCall;

/* ----------------------------------------------------------------
 *		Objects
 * ----------------------------------------------------------------
 */

/* Objects of these catalogs are, or are parts of, what is protected. */
static bool
is_watched_class(Oid class_id)
{
	switch (class_id)
	{
		case RelationRelationId:
		case TriggerRelationId:
		case RewriteRelationId:
		case PolicyRelationId:
		case InheritsRelationId:
		case NamespaceRelationId:
		case TypeRelationId:
			return true;
		default:
			return false;
	}
}

/* What becomes of an object.  On its own, so that the hook has little to do. */
static pg_noinline void
see_access(ObjectAccessType access, Oid class_id, Oid object, int sub_id, void *arg)
{
	if (previous_access)
		previous_access(access, class_id, object, sub_id, arg);
	if (fg_ddl_trash_access(access, class_id, object, sub_id))
		return;
	fg_ddl_admin_access(access, class_id, object, sub_id, arg);

	if (class_id == ExtensionRelationId && access == OAT_DROP &&
		object == get_extension_oid("fortress_guard", true))
		fg_auditor_extension_dropped();
	if (!is_watched_class(class_id))
		return;
	switch (access)
	{
		case OAT_DROP:
			if (!fg_policy_active())
				break;
			if (class_id == NamespaceRelationId)
				fg_schema_dropped(object);
			else
				fg_ddl_drop_access(access, class_id, object, sub_id, arg);
			break;
		case OAT_TRUNCATE:
			if (fg_policy_active())
				fg_ddl_drop_access(access, class_id, object, sub_id, arg);
			break;
		case OAT_POST_CREATE:
		case OAT_POST_ALTER:
			if (fg_policy_active())
				fg_ddl_table_access(access, class_id, object, sub_id, arg);
			break;
		default:
			break;
	}
}

static void
guard_object_access(ObjectAccessType access, Oid class_id, Oid object, int sub_id, void *arg)
{
	/* the use of functions and schemas is of no interest, and part of every statement */
	if (access != OAT_FUNCTION_EXECUTE && access != OAT_NAMESPACE_SEARCH)
		see_access(access, class_id, object, sub_id, arg);
	else if (previous_access)
		previous_access(access, class_id, object, sub_id, arg);
}

/* ----------------------------------------------------------------
 *		Commands
 * ----------------------------------------------------------------
 */

/* Commands of which the object access hook must know that they run. */
static bool
is_watched(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_AlterEnumStmt:
		case T_AlterExtensionContentsStmt:
		case T_AlterObjectDependsStmt:
		case T_AlterObjectSchemaStmt:
		case T_AlterOwnerStmt:
		case T_AlterTableStmt:
		case T_CreateForeignTableStmt:
		case T_CreateStmt:
		case T_CreateTableAsStmt:
		case T_DropOwnedStmt:
		case T_DropStmt:
		case T_ReassignOwnedStmt:
		case T_RenameStmt:
			return true;
		case T_ExplainStmt:
			{
				Node	   *query = ((ExplainStmt *) stmt)->query;

				return query != NULL && IsA(query, Query) &&
					((Query *) query)->commandType == CMD_UTILITY;
			}
		default:
			return false;
	}
}

/* DISCARD ALL and RESET ALL hand a session to somebody else. */
static bool
ends_session_state(Node *stmt)
{
	return (IsA(stmt, DiscardStmt) && ((DiscardStmt *) stmt)->target == DISCARD_ALL) ||
		(IsA(stmt, VariableSetStmt) && ((VariableSetStmt *) stmt)->kind == VAR_RESET_ALL);
}

static void
call_next(const FgUtilityCall *call)
{
	if (previous_utility)
		previous_utility(call->pstmt, call->query, call->read_only_tree, call->context,
						 call->params, call->environment, call->dest, call->completion);
	else
		standard_ProcessUtility(call->pstmt, call->query, call->read_only_tree, call->context,
								call->params, call->environment, call->dest, call->completion);
}

/* Runs a command, alone in its database if it wants that. */
static void
run_command(const FgUtilityCall *call)
{
	Oid			database = fg_ddl_database_begin(call->pstmt->utilityStmt);

	if (!OidIsValid(database))
	{
		call_next(call);
		return;
	}
	PG_TRY();
	{
		call_next(call);
	}
	PG_CATCH();
	{
		fg_ddl_database_end(database, call->pstmt->utilityStmt, false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	fg_ddl_database_end(database, call->pstmt->utilityStmt, true);
}

/* Runs a command that may concern protected tables. */
static void
run_watched(FgUtilityCall *call)
{
	FgDdlCommand command;
	FgDdlFollow follow;

	call->pstmt = fg_ddl_trash_take(call->pstmt, call->query, call->params, call->environment);
	fg_ddl_command_init(&command, call->pstmt->utilityStmt);
	call->pstmt = fg_ddl_table_utility(call->pstmt, &command);
	fg_ddl_follow_begin(&follow, call->pstmt->utilityStmt);

	fg_ddl_current = &command;
	PG_TRY();
	{
		run_command(call);
	}
	PG_FINALLY();
	{
		fg_ddl_current = command.outer;
	}
	PG_END_TRY();

	fg_ddl_ask_after(&command);
	fg_ddl_drop_finish(&command);
	fg_ddl_follow_end(&follow, &command);
}

/* Asks what is to be asked, and runs a command. */
static void
guard_command(FgUtilityCall *call)
{
	Node	   *stmt = call->pstmt->utilityStmt;

	fg_ddl_admin_utility(call->pstmt, call->context);
	if (is_watched(stmt) && fg_policy_active())
		run_watched(call);
	else
		run_command(call);
	if (IsA(stmt, CreateSubscriptionStmt) || IsA(stmt, AlterSubscriptionStmt))
		fg_own_check_subscriptions(CreateCommandName(stmt));
}

/* The same for a command within the script of an extension. */
static void
guard_script_command(FgUtilityCall *call)
{
	PG_TRY();
	{
		guard_command(call);
	}
	PG_CATCH();
	{
		fg_own_script_end();
		PG_RE_THROW();
	}
	PG_END_TRY();
	fg_own_script_end();
}

static void
guard_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			  ProcessUtilityContext context, ParamListInfo params,
			  QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	FgUtilityCall call = {pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc};
	bool		discards = ends_session_state(pstmt->utilityStmt);

	if (fg_install_own_work())
		call.context = PROCESS_UTILITY_SUBCOMMAND;	/* fires no event triggers */
	if (fg_own_script_begin(pstmt->utilityStmt))
		guard_script_command(&call);
	else
		guard_command(&call);
	if (discards)
		fg_auth_discard();
}

void
fg_ddl_setup(void)
{
	previous_access = object_access_hook;
	object_access_hook = guard_object_access;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = guard_utility;
	fg_ddl_drop_setup();
}
