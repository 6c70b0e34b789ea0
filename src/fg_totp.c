/*-------------------------------------------------------------------------
 *
 * fg_totp.c
 *		The SQL functions of one-time codes: enroll_totp, unlock_totp.
 *
 * A role is enrolled by an administrator and then unlocks the guard with the
 * codes of an authenticator: the way for a person at night whom nobody is there
 * to give a token.  It is the session user whose code counts, so that neither
 * SET ROLE nor a function with another's rights changes whose phone is asked.
 *
 * The order is what makes a code work once.  First its step is spent, which no
 * rollback undoes (fg_catalog_totp.c); then that is an event on disk; only then
 * a permission is opened for this transaction, with the bounds that were asked
 * for, like a token with one use and for this role (fg_auth_open_own()).
 *
 * What is refused (ZG009, event token_refused): the code of a role that is not
 * enrolled; a wrong code, after a while; one that was used, or is older than
 * one that was; any code during a lock-out, which five wrong ones in a row
 * begin; a secret that cannot be opened here.  To say which gives nothing away:
 * whoever asks is the role itself.
 *
 * A code in the text of the statement is worth something until it is spent, so
 * no error before that brings the statement into the server log.
 *
 * Locks: none here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fg_argument.h"
#include "fg_auth.h"
#include "fg_catalog_auth.h"
#include "fg_catalog_totp.h"
#include "fg_errors.h"
#include "fg_event.h"
#include "fg_guc.h"
#include "fg_own.h"
#include "fg_statement.h"
#include "fg_totp_code.h"
#include "fg_totp_seal.h"

#define ISSUER			"fortress_guard"

PG_FUNCTION_INFO_V1(fg_enroll_totp);
PG_FUNCTION_INFO_V1(fg_unlock_totp);

static void
require_preload(void)
{
	if (!fg_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("fortress_guard must be loaded through shared_preload_libraries")));
}

/* ----------------------------------------------------------------
 *		Enrolling
 * ----------------------------------------------------------------
 */

/*
 * fortress.enroll_totp(role)
 *
 * Nothing but the returned text has the secret.  The account that it names has
 * the database in it, as a person may be enrolled in several.
 */
Datum
fg_enroll_totp(PG_FUNCTION_ARGS)
{
	Oid			role;
	const char *name;
	const char *database;
	uint8		secret[FG_TOTP_SECRET_LENGTH];
	FgTotpSealed sealed;
	FgEvent		event;
	char	   *uri;

	fg_own_require_admin("fortress.enroll_totp()", "permission", InvalidOid);
	require_preload();
	role = fg_argument_role(fcinfo, 0, "role");
	PreventCommandIfReadOnly("fortress.enroll_totp()");
	PreventCommandDuringRecovery("fortress.enroll_totp()");
	name = GetUserNameFromId(role, false);
	database = get_database_name(MyDatabaseId);

	fg_crypto_random(secret, sizeof(secret));
	fg_totp_seal(secret, role, database, &sealed);
	fg_catalog_put_totp(role, &sealed);
	fg_event_init(&event, "totp_enrolled", psprintf("role %s", name));
	fg_event_queue(&event, true);

	uri = fg_totp_code_uri(secret, ISSUER, psprintf("%s@%s", name, database));
	explicit_bzero(secret, sizeof(secret));
	PG_RETURN_TEXT_P(cstring_to_text(uri));
}

/* ----------------------------------------------------------------
 *		Unlocking
 * ----------------------------------------------------------------
 */

static void pg_attribute_noreturn()
refuse_code(const char *reason, bool guessed, const char *detail, const char *hint)
{
	FgEvent		event;

	fg_event_init(&event, "token_refused", psprintf("TOTP code: %s", reason));
	event.sqlerrcode = ERRCODE_FG_INVALID_TOKEN;
	fg_event_write(&event);
	if (guessed)
		fg_auth_delay();
	ereport(ERROR,
			(errcode(ERRCODE_FG_INVALID_TOKEN),
			 errmsg("code is not valid"),
			 detail != NULL ? errdetail_internal("%s", detail) : 0,
			 errhint("%s", hint),
			 errhidestmt(true), errhidecontext(true)));
}

static void pg_attribute_noreturn()
refuse_locked(TimestampTz until)
{
	refuse_code("locked", false,
				psprintf("After %d wrong codes no code is taken until %s.",
						 FG_TOTP_MAX_WRONG, timestamptz_to_str(until)),
				"Wait until then, or ask a member of fortress_admin for a token or a new enrolment.");
}

/*
 * Spends a code of the session user's; returns its step, or raises ZG009.
 */
static int64
spend_code(const char *code)
{
	const char *ask = "Ask a member of fortress_admin for an enrolment.";
	Oid			role = GetSessionUserId();
	uint8		secret[FG_TOTP_SECRET_LENGTH];
	FgTotpScan	scan;
	FgTotpVerdict verdict;
	TimestampTz until;
	int64		step;

	if (!fg_catalog_totp_begin(&scan, role))
		refuse_code("no enrolment", true, "This role is not enrolled in this database.", ask);
	if (!fg_totp_unseal(&scan.sealed, role, get_database_name(MyDatabaseId), secret))
	{
		fg_catalog_totp_end(&scan);
		refuse_code("enrolment of another cluster or database", true,
					"This role was enrolled in another cluster or database.", ask);
	}
	step = fg_totp_code_match(secret, code, GetCurrentTimestamp());
	explicit_bzero(secret, sizeof(secret));
	verdict = fg_catalog_totp_spend(&scan, step, &until);
	fg_catalog_totp_end(&scan);

	switch (verdict)
	{
		case FG_TOTP_RIGHT:
			break;
		case FG_TOTP_USED:
			refuse_code("used", false, "This code has been used, or a later one has.",
						"Wait for the next code.");
		case FG_TOTP_LOCKS:
			{
				FgEvent		event;

				fg_event_init(&event, "totp_locked",
						   psprintf("role %s, until %s", GetUserNameFromId(role, false),
									timestamptz_to_str(until)));
				fg_event_write(&event);
			}
			/* FALLTHROUGH */
		case FG_TOTP_WRONG:
			refuse_code("wrong", true, NULL,
						"Take the code that is shown now, and look whether the clock of the device is right.");
		case FG_TOTP_LOCKED:
			refuse_locked(until);
	}
	return step;
}

/*
 * The arguments behind the code, and whether anything can be spent here at
 * all; may raise errors that show the statement.
 */
static void
read_bounds(FunctionCallInfo fcinfo, FgTokenRow *row)
{
	require_preload();
	row->operations = fg_argument_operations(fcinfo, 1);
	row->any_relation = PG_ARGISNULL(2);
	if (!row->any_relation)
		row->relids = fg_argument_relations(fcinfo, 2);
	row->max_rows = fg_argument_max_rows(fcinfo, 3);
	if (XactReadOnly || RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("a code cannot be redeemed %s",
						RecoveryInProgress() ? "during recovery" :
						"in a read-only transaction")));
}

/*
 * fortress.unlock_totp(code, operations, relations, max_rows)
 */
Datum
fg_unlock_totp(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	FgTokenRow	row = {0};
	FgEvent		event;
	volatile int64 step = -1;

	fg_statement_has_secret();
	fg_argument_require(fcinfo, 0, "code");
	row.uses = 1;
	row.valid_until = DT_NOEND;
	row.role = GetSessionUserId();
	row.origin = FG_TOKEN_TOTP;
	PG_TRY();
	{
		read_bounds(fcinfo, &row);
		step = spend_code(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		error->hide_stmt = true;
		error->hide_ctx = true;
		ReThrowError(error);
	}
	PG_END_TRY();

	fg_event_init(&event, "totp_used",
			   psprintf("role %s, step " INT64_FORMAT, GetUserNameFromId(row.role, false), step));
	fg_event_write(&event);
	(void) fg_auth_open_own(&row);
	PG_RETURN_VOID();
}
