/*-------------------------------------------------------------------------
 *
 * fg_decide.c
 *		One request in, one verdict out: the only place that refuses, and
 *		that records a refusal.
 *
 * What is refused here:
 *
 *	ZG001	more rows than a limit per statement or transaction allows
 *	ZG002	more rows than a window allows, or no room to count them
 *	ZG003	DELETE or UPDATE without a condition, where the policy wants one
 *	ZG004	TRUNCATE
 *	ZG005	DDL that destroys, DROP DATABASE included
 *	ZG011	the guard's own objects, changed by a side road; a column of an archive,
 *			dropped with its type
 *	ZG010	the guard's triggers, the server's row counters or the preload of
 *			the library are missing
 *
 * How rows are charged: a statement has an account with each policy that it
 * touches (fg_decide_account.c).  Rows first go to the limits: the statement's
 * own count, the transaction's total, and every window.  When a limit is
 * exceeded and there is a permission, all that the statement counted moves from
 * the limits to the permission, and the rest of the statement is charged there:
 * a statement is either within the limits or wholly on its permission, and what
 * was permitted does not use up anybody's window.
 *
 * When there is no permission, the rows that the refused statement counted are
 * made to stick to the transaction, so that swallowing the error in a loop gets
 * nowhere.
 *
 * Locks: none of its own; windows are fg_budget's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "fg_catalog.h"
#include "fg_decide.h"
#include "fg_decide_account.h"
#include "fg_decide_note.h"
#include "fg_errors.h"
#include "fg_event.h"
#include "fg_guc.h"
#include "fg_remote.h"
#include "fg_statement.h"
#include "fg_xact.h"

/* ----------------------------------------------------------------
 *		Words
 * ----------------------------------------------------------------
 */

static const char *
done_text(FgOperation op)
{
	return op == FG_OP_DELETE ? "deleted" : "updated";
}

static const char *
rows_text(int64 rows)
{
	return rows == 1 ? "1 row" : psprintf(INT64_FORMAT " rows", rows);
}

/* "in one transaction", "within 01:00:00" */
static const char *
per_text(const FgLimit *limit)
{
	if (limit->per == FG_PER_INTERVAL)
		return psprintf("within %s", fg_per_name(limit->per, limit->interval));
	return psprintf("in one %s", fg_per_name(limit->per, 0));
}

/* ----------------------------------------------------------------
 *		Events
 * ----------------------------------------------------------------
 */

/* What replication applies is tried until it passes, and recorded once. */
static void
record_refusal_in(Oid database, int sqlerrcode, FgOperation op, Oid relid, Oid role,
				  int64 rows, const FgBound *bound, const char *detail)
{
	FgEvent		event = {.name = "blocked",.sqlerrcode = sqlerrcode,.database = database};
	const char *remote = fg_remote_transaction();

	if (remote != NULL && fg_remote_recorded(remote))
		return;
	event.operation = fg_operation_name(op);
	event.relid = relid;
	event.role = role;
	event.rows = rows;
	event.max_rows = bound != NULL ? bound->max_rows : -1;
	event.detail = fg_event_detail(detail, remote);
	fg_event_write(&event);
	if (remote != NULL)
		fg_remote_record(remote);
}

static void
record_refusal(int sqlerrcode, FgOperation op, Oid relid, Oid role, int64 rows,
			   const FgBound *bound, const char *detail)
{
	record_refusal_in(InvalidOid, sqlerrcode, op, relid, role, rows, bound, detail);
}

/* What was tried, and where if that is not where it is recorded. */
static const char *
attempt_text(const FgRequest *request)
{
	if (!OidIsValid(request->database) || request->database == MyDatabaseId)
		return psprintf("%s: %s", request->what, request->object);
	return psprintf("%s: %s, in database \"%s\"", request->what, request->object,
					get_database_name(MyDatabaseId));
}

/* ----------------------------------------------------------------
 *		Refusing
 * ----------------------------------------------------------------
 */

/*
 * What all refusals have in common: the fields, and that the server logs
 * no statement with a secret in it beside them, nor where it was called from.
 */
static void
add_table_fields(Oid relid)
{
	char	   *name = get_rel_name(relid);
	char	   *schema = get_namespace_name(get_rel_namespace(relid));

	if (fg_statement_shows_secret())
	{
		errhidestmt(true);
		errhidecontext(true);
	}

	if (schema != NULL)
		err_generic_string(PG_DIAG_SCHEMA_NAME, schema);
	if (name != NULL)
		err_generic_string(PG_DIAG_TABLE_NAME, name);
}

/* The way to permission where nothing but an approved request gives it. */
static char *
request_text(const char *relations, FgOperation op)
{
	return psprintf("ask for approval (SELECT fortress.request_unlock(%s, '{%s}', NULL, 'the reason')) "
					"and, when somebody else has approved it, call fortress.unlock_request() "
					"with the number of the request in the same transaction",
					relations, fg_operation_name(op));
}

/* The way to permission, with what stands in its way if something does. */
static char *
hint_text(FgOperation op, Oid relid, const FgPermission *denied)
{
	StringInfoData buf;

	/* nobody can give a token to a worker */
	if (fg_remote_applying())
		return psprintf("The subscription tries again by itself.  If this is meant, let a member of "
						"fortress_admin raise the limit, or exempt the subscription's owner "
						"(SELECT fortress.exempt(%s, %s, '{%s}')).  If it is not, "
						"leave the transaction out with ALTER SUBSCRIPTION ... SKIP.",
						quote_literal_cstr(quote_identifier(GetUserNameFromId(GetSessionUserId(), false))),
						quote_literal_cstr(fg_event_relation(relid)), fg_operation_name(op));
	initStringInfo(&buf);
	if (denied != NULL && denied->id > 0)
		appendStringInfo(&buf, "%s has only %s left.  ",
						 fg_auth_describe(denied), rows_text(denied->rows_left));
	if (denied != NULL && denied->stale_token)
		appendStringInfoString(&buf,
							   "the token in fortress.token was set in an earlier transaction and counts no more: "
							   "use SET LOCAL in this one.  ");
	if (denied != NULL && denied->needs_approval)
		appendStringInfo(&buf, "If this is meant, %s.",
						 request_text(fg_event_relations(relid), op));
	else
		appendStringInfo(&buf,
						 "If this is meant, ask a member of fortress_admin for a token "
						 "(SELECT fortress.issue_token(%s, '{%s}')) and call "
						 "fortress.unlock() with it in the same transaction.",
						 fg_event_relations(relid), fg_operation_name(op));
	buf.data[0] = pg_toupper((unsigned char) buf.data[0]);
	return buf.data;
}

static void
refuse_rows(const FgAccount *account, FgOperation op, const FgExcess *excess,
			const FgPermission *denied)
{
	const FgBound *bound = excess->bound;
	const FgLimit *limit = bound->limit;
	Oid			relid = account->policy->relid;
	bool		window = limit->per == FG_PER_INTERVAL;
	char	   *detail;

	fg_account_stick(account->scope);

	if (excess->no_room)
		detail = psprintf("There is no room to count the rows of this window: all %d windows (fortress.max_windows) are in use.",
						  fg_max_windows);
	else if (window)
		detail = psprintf("With this statement %s would have been %s within %s, running transactions included; the limit by %s is " INT64_FORMAT ".",
						  rows_text(excess->rows), done_text(op),
						  fg_per_name(limit->per, limit->interval),
						  fg_by_name(limit->by), bound->max_rows);
	else
		detail = psprintf("This %s has %s %s; the limit is " INT64_FORMAT ".",
						  fg_per_name(limit->per, 0), done_text(op), rows_text(excess->rows),
						  bound->max_rows);
	record_refusal(window ? ERRCODE_FG_WINDOW_LIMIT_EXCEEDED : ERRCODE_FG_ROW_LIMIT_EXCEEDED,
				   op, relid, account->role, excess->rows, bound, detail);

	ereport(ERROR,
			(errcode(window ? ERRCODE_FG_WINDOW_LIMIT_EXCEEDED : ERRCODE_FG_ROW_LIMIT_EXCEEDED),
			 bound->max_rows == 0 ?
			 errmsg("rows of protected table \"%s\" cannot be %s without permission",
					fg_event_relation(relid), done_text(op)) :
			 errmsg("no more than %s of protected table \"%s\" can be %s %s",
					rows_text(bound->max_rows), fg_event_relation(relid), done_text(op), per_text(limit)),
			 errdetail_internal("%s", detail),
			 errhint("%s", hint_text(op, relid, denied)),
			 add_table_fields(relid)));
}

static void
refuse_permitted_rows(const FgAccount *account, FgOperation op, int64 n)
{
	Oid			relid = account->policy->relid;
	const FgPermission *permission = &account->permission[op];
	FgPermission used_up = {.needs_approval = permission->needs_approval};

	fg_account_stick(account->scope);
	record_refusal(ERRCODE_FG_ROW_LIMIT_EXCEEDED, op, relid, account->role, n, NULL,
				   fg_auth_describe(permission));
	ereport(ERROR,
			(errcode(ERRCODE_FG_ROW_LIMIT_EXCEEDED),
			 errmsg("rows of protected table \"%s\" cannot be %s: its permission is used up",
					fg_event_relation(relid), done_text(op)),
			 errdetail("The permission, %s, does not cover " INT64_FORMAT " more rows, or has been revoked.",
					   fg_auth_describe(permission), n),
			 errhint("%s", hint_text(op, relid, &used_up)),
			 add_table_fields(relid)));
}

/* ----------------------------------------------------------------
 *		Questions
 * ----------------------------------------------------------------
 */

static void
decide_rows(FgAccount *account, FgOperation op, int64 n, int64 *left)
{
	const FgPolicy *policy = account->policy;
	FgPermission *permission = &account->permission[op];
	FgExcess	excess;
	FgPermission found;
	int64		counted;

	if (permission->kind != FG_PERMIT_NONE)
	{
		if (n > 0)
		{
			if (!fg_auth_charge(permission, n))
				refuse_permitted_rows(account, op, n);
			fg_note_passed(policy->relid, op, account->role, permission, n, -1);
			if (permission->rows_left != PG_INT64_MAX)
				permission->rows_left -= n;
		}
		*left = Min(*left, Max(permission->rows_left, 0));
		return;
	}

	if (account->observed[op])
	{
		int64		ignored = PG_INT64_MAX;

		fg_account_charge(account, op, n, true, &ignored, &excess);
		if (n > 0)
			fg_note_passed(policy->relid, op, account->role, NULL, n, -1);
		return;
	}

	fg_account_charge(account, op, n, policy->mode != FG_MODE_BLOCK, left, &excess);
	/* forced reservations never say "full": look at what is there */
	if (excess.bound == NULL && policy->mode != FG_MODE_BLOCK && n > 0)
		excess.bound = fg_account_full_window(account, op);
	if (excess.bound == NULL)
		return;

	counted = account->counted[op].total;
	if (policy->mode == FG_MODE_AUDIT)
	{
		account->observed[op] = true;
		fg_note_passed(policy->relid, op, account->role, NULL, counted, excess.bound->max_rows);
		*left = PG_INT64_MAX;
		return;
	}
	if (!fg_auth_find(op, policy->relid, account->role, counted, &found) ||
		!fg_auth_charge(&found, counted))
		refuse_rows(account, op, &excess, &found);

	(void) fg_account_uncharge(account, op);
	if (found.rows_left != PG_INT64_MAX)
		found.rows_left -= counted;
	*permission = found;
	fg_note_passed(policy->relid, op, account->role, permission, counted, excess.bound->max_rows);
	*left = Max(found.rows_left, 0);
}

static void
decide_where(const FgRequest *request)
{
	const FgPolicy *policy = request->policy;
	FgPermission found;

	if (!policy->require_where)
		return;
	if (policy->mode == FG_MODE_AUDIT)
	{
		fg_note_passed(policy->relid, request->op, request->role, NULL, 0, -1);
		return;
	}
	if (fg_auth_find(request->op, policy->relid, request->role, 0, &found))
	{
		fg_note_passed(policy->relid, request->op, request->role, &found, 0, -1);
		return;
	}
	record_refusal(ERRCODE_FG_WHERE_REQUIRED, request->op, policy->relid, request->role, -1, NULL,
				   "no WHERE condition");
	ereport(ERROR,
			(errcode(ERRCODE_FG_WHERE_REQUIRED),
			 errmsg("%s of protected table \"%s\" needs a WHERE condition",
					request->op == FG_OP_DELETE ? "DELETE" : "UPDATE",
					fg_event_relation(policy->relid)),
			 errdetail("No condition of the statement concerns the rows of this table, or it is always true."),
			 errhint("%s", hint_text(request->op, policy->relid, &found)),
			 add_table_fields(policy->relid)));
}

static void
decide_command(const FgRequest *request, FgVerdict *verdict)
{
	const FgPolicy *policy = request->policy;
	FgPermission found;
	int64		rows = request->n_rows;
	int			sqlerrcode;

	if (policy->mode == FG_MODE_AUDIT)
	{
		fg_note_passed(policy->relid, request->op, request->role, NULL, rows, -1);
		verdict->permitted = true;
		return;
	}
	if (fg_auth_find(request->op, policy->relid, request->role, rows, &found) &&
		(rows == 0 || fg_auth_charge(&found, rows)))
	{
		fg_note_passed(policy->relid, request->op, request->role, &found, rows, -1);
		verdict->permitted = true;
		verdict->rows_left = found.rows_left;
		return;
	}
	sqlerrcode = request->op == FG_OP_TRUNCATE ? ERRCODE_FG_TRUNCATE_REFUSED :
		ERRCODE_FG_DDL_REFUSED;
	record_refusal(sqlerrcode, request->op, request->relid, request->role,
				   rows > 0 ? rows : -1, NULL, request->what);
	ereport(ERROR,
			(errcode(sqlerrcode),
			 errmsg("%s of protected table \"%s\" is refused", request->what,
					fg_event_relation(request->relid)),
			 request->why != NULL ?
			 errdetail_internal("%s", request->why) :
			 rows > 0 ?
			 errdetail("It would take %s away.", rows_text(rows)) :
			 request->relid == policy->relid ?
			 errdetail("It would take all rows away, past every limit.") :
			 errdetail("It is part of \"%s\", which is protected.",
					   fg_event_relation(policy->relid)),
			 errhint("%s", hint_text(request->op, policy->relid, &found)),
			 add_table_fields(request->relid)));
}

static void
refuse_tampered(const FgRequest *request)
{
	bool		blind = request->question == FG_ASK_BLIND;

	record_refusal(ERRCODE_FG_GUARD_TAMPERED, request->op, request->relid, request->role, -1, NULL,
				   blind ? "track_counts is off" : "triggers of the guard are not as they were made");
	ereport(ERROR,
			(errcode(ERRCODE_FG_GUARD_TAMPERED),
			 errmsg("protected table \"%s\" cannot be written: the guard cannot do its work",
					fg_event_relation(request->relid)),
			 blind ?
			 errdetail("The rows that a statement changes are not counted while track_counts is off.") :
			 errdetail("A trigger of fortress_guard is missing, disabled or altered on this table."),
			 blind ?
			 errhint("Set track_counts = on.") :
			 errhint("Let a member of fortress_admin call fortress.protect(%s), which puts the triggers back, and find out who changed them.",
					 quote_literal_cstr(fg_event_relation(request->policy->relid))),
			 add_table_fields(request->relid)));
}

/* The triggers are there, and what they are to do is not. */
static void
refuse_orphaned(const FgRequest *request)
{
	record_refusal(ERRCODE_FG_GUARD_TAMPERED, request->op, request->relid, request->role, -1, NULL,
				   "triggers of the guard without a policy");
	ereport(ERROR,
			(errcode(ERRCODE_FG_GUARD_TAMPERED),
			 errmsg("table \"%s\" cannot be written: it has triggers of fortress_guard, but no policy",
					fg_event_relation(request->relid)),
			 errdetail("Its policy was removed by a side road, or a dump was loaded without the rows of fortress.policy."),
			 errhint("Protect the table that fortress.verify_guard() names with fortress.protect(), or let a member of fortress_admin call fortress.unprotect(), which drops the triggers."),
			 add_table_fields(request->relid)));
}

/*
 * Changing the guard itself, or what it stands on, by a side road.  In a
 * database without the extension there are no tokens.
 */
static void
decide_admin(const FgRequest *request, FgVerdict *verdict)
{
	FgPermission found;

	if (fg_auth_find(FG_OP_ADMIN, InvalidOid, request->role, 0, &found))
	{
		fg_note_passed(InvalidOid, FG_OP_ADMIN, request->role, &found, 0, -1);
		verdict->permitted = true;
		return;
	}
	record_refusal_in(request->database, ERRCODE_FG_GUARD_PROTECTED, FG_OP_ADMIN,
					  request->relid, request->role, -1, NULL, attempt_text(request));
	ereport(ERROR,
			(errcode(ERRCODE_FG_GUARD_PROTECTED),
			 errmsg("%s is refused: %s belongs to what fortress_guard protects",
					request->what, request->object),
			 request->why != NULL ? errdetail_internal("%s", request->why) : 0,
			 found.needs_approval ?
			 errhint("If this is meant, %s.", request_text("NULL", FG_OP_ADMIN)) :
			 fg_catalog_present() ?
			 errhint("If this is meant, ask a member of fortress_admin for a token "
					 "(SELECT fortress.issue_token(operations => '{admin}')) and call "
					 "fortress.unlock() with it in the same transaction.") :
			 errhint("If this is meant, do it in a database where the extension fortress_guard is, "
					 "in one transaction with fortress.unlock() and a token for operation admin."),
			 add_table_fields(request->relid)));
}

/* The end of a whole database, asked for in another one. */
static void
decide_database(const FgRequest *request, FgVerdict *verdict)
{
	if (!fg_guard_superusers && superuser_arg(request->role))
	{
		verdict->permitted = true;
		return;
	}
	record_refusal_in(request->database, ERRCODE_FG_DDL_REFUSED, FG_OP_DDL,
					  InvalidOid, request->role, -1, NULL, attempt_text(request));
	ereport(ERROR,
			(errcode(ERRCODE_FG_DDL_REFUSED),
			 errmsg("%s is refused: %s has protected tables", request->what, request->object),
			 errdetail("All rows would go, those in the archives and the audit log included."),
			 errhint("If this is meant, let a member of fortress_admin call "
					 "fortress.allow_drop_database() in that database."),
			 add_table_fields(InvalidOid)));
}

/* What says who may drop the table is gone by then, so that nobody can be asked. */
static void
refuse_together(const FgRequest *request)
{
	if (!fg_guard_superusers && superuser_arg(request->role))
		return;
	record_refusal_in(MyDatabaseId, ERRCODE_FG_DDL_REFUSED, FG_OP_DDL, request->relid,
					  request->role, -1, NULL, request->what);
	ereport(ERROR,
			(errcode(ERRCODE_FG_DDL_REFUSED),
			 errmsg("%s of protected table \"%s\" together with the guard is refused", request->what,
					fg_event_relation(request->relid)),
			 errdetail("What says who may do that goes in the same command."),
			 errhint("Drop the table first, with a token for operation ddl, and then the extension."),
			 add_table_fields(request->relid)));
}

/*
 * The library came in late, through one of its own functions: there are no
 * hooks, no windows and no settings, so nothing can be checked.
 */
static void
refuse_unloaded(const FgRequest *request)
{
	record_refusal(ERRCODE_FG_GUARD_TAMPERED, request->op, request->relid, request->role, -1, NULL,
				   "fortress_guard is not preloaded");
	ereport(ERROR,
			(errcode(ERRCODE_FG_GUARD_TAMPERED),
			 errmsg("%s of protected table \"%s\" is refused: fortress_guard is not preloaded",
					request->op == FG_OP_DELETE ? "DELETE" :
					request->op == FG_OP_UPDATE ? "UPDATE" : "TRUNCATE",
					fg_event_relation(request->relid)),
			 errdetail("Without the preload nothing is counted or archived, so nothing is let through."),
			 errhint("Add fortress_guard to shared_preload_libraries and restart the server."),
			 add_table_fields(request->relid)));
}

void
fg_decide(const FgRequest *request, FgVerdict *verdict)
{
	verdict->rows_left = PG_INT64_MAX;
	verdict->permitted = false;

	if (request->question == FG_ASK_ROWS)
	{
		for (int op = 0; op < FG_N_ROW_OPERATIONS; op++)
		{
			if (request->rows[op] > 0 || (request->operations & FG_OP_BIT(op)) != 0)
				decide_rows(request->account, op, request->rows[op], &verdict->rows_left);
		}
		return;
	}
	if (request->question == FG_ASK_UNLOADED)
		refuse_unloaded(request);
	if (request->question == FG_ASK_ORPHANED)
		refuse_orphaned(request);
	if (request->question == FG_ASK_TOGETHER)
	{
		refuse_together(request);
		return;
	}
	if (request->question == FG_ASK_ADMIN)
	{
		decide_admin(request, verdict);
		return;
	}
	if (request->question == FG_ASK_DATABASE)
	{
		decide_database(request, verdict);
		return;
	}
	if (request->policy->mode == FG_MODE_OFF)
		return;
	switch (request->question)
	{
		case FG_ASK_WHERE:
			decide_where(request);
			break;
		case FG_ASK_COMMAND:
			decide_command(request, verdict);
			break;
		default:
			refuse_tampered(request);
			break;
	}
}

/* ----------------------------------------------------------------
 *		End of a transaction
 * ----------------------------------------------------------------
 */

static void
end_transaction(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			fg_note_write_all();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			fg_account_end_all();
			fg_note_forget_all();
			break;
		default:
			break;
	}
}

void
fg_decide_setup(void)
{
	fg_xact_register(end_transaction, NULL, FG_XACT_EARLY | FG_XACT_ROWS);
}
