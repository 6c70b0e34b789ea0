/*-------------------------------------------------------------------------
 *
 * fg_guc.c
 *		The settings of fortress_guard (prefix "fortress.").
 *
 * What weakens the guard can only be set in the configuration file: the
 * settings are PGC_SIGHUP, which keeps sessions, roles and databases from
 * setting them, and GUC_DISALLOW_IN_AUTO_FILE, which keeps ALTER SYSTEM from
 * it, so that somebody with the machine, not somebody with SQL, decides.
 *
 * Two settings belong to the session.  fortress.context is free text.
 * fortress.token carries a secret for clients that can only send settings,
 * and so it has rules of its own:
 *
 * - It is never shown: SHOW gives '' and pg_settings leaves it out, and a
 *   value that is refused is not repeated in the message.
 * - It is refused wherever it would be kept in a readable place: ALTER ROLE,
 *   DATABASE and SYSTEM, a function's SET clause, the configuration file, the
 *   server's command line.  Only SET and the connection string may carry one.
 * - Only its form is checked here.  With the value goes, as the "extra" of
 *   the setting, where it came from and in which transaction it was set; the
 *   server restores the extra together with the value on rollback, at the end
 *   of SET LOCAL and by RESET, so that the two cannot disagree.
 *
 * Without preload max_windows is defined as well, for the prefix to be
 * complete, but nothing reads it then; the server permits no postmaster-level
 * setting to be defined after its start.
 *
 * All state is local to the backend; there are no locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fnmatch.h>

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lock.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "fg_compat.h"
#include "fg_crypto.h"
#include "fg_guc.h"

/* what goes with a value of fortress.token */
typedef struct FgTokenExtra
{
	LocalTransactionId lxid;	/* the transaction that set it, or invalid */
	bool		from_connection;	/* came with the connection string */
} FgTokenExtra;

/* does fortress.ignore_databases match this database? */
typedef enum FgIgnored
{
	FG_IGNORED_UNKNOWN,
	FG_IGNORED_NO,
	FG_IGNORED_YES
} FgIgnored;

bool		fg_preloaded = false;

bool		fg_enabled = true;
bool		fg_guard_superusers = true;
bool		fg_session_unlock = false;
int			fg_default_delete_rows = 100;
int			fg_default_update_rows = 1000;
int			fg_default_window_delete_rows = 100;
int			fg_default_window_update_rows = 0;
int			fg_max_windows = 20000;
int			fg_retention = 30 * 24 * 60 * 60;
int			fg_audit_retention = 365 * 24 * 60 * 60;
int			fg_audit_query_length = 1024;
int			fg_trash_retention = 30 * 24 * 60 * 60;
int			fg_journal_max_size = 1024 * 1024;
int			fg_digest_interval = 60 * 60;
char	   *fg_context = NULL;

static char *ignore_databases = NULL;
static char *token = NULL;
static FgTokenExtra *token_extra = NULL;
static FgIgnored ignored = FG_IGNORED_UNKNOWN;

static bool check_ignore_databases(char **newval, void **extra, GucSource source);
static void assign_ignore_databases(const char *newval, void *extra);
static bool check_token(char **newval, void **extra, GucSource source);
static void assign_token(const char *newval, void *extra);
static const char *show_token(void);

/*
 * Patterns are separated by commas; one with a comma or space in it stands in
 * double quotes.
 */
static bool
check_ignore_databases(char **newval, void **extra, GucSource source)
{
	char	   *raw = pstrdup(*newval);
	List	   *patterns;
	bool		valid = SplitGUCList(raw, ',', &patterns);

	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	list_free(patterns);
	pfree(raw);
	return valid;
}

static void
assign_ignore_databases(const char *newval, void *extra)
{
	ignored = FG_IGNORED_UNKNOWN;
}

/*
 * What a statement sets wrongly is refused by errors of our own: the server's
 * would bring the statement into its log, and the value with it.  The sources
 * of statements and of the connection string are those for which the server
 * raises an error anyway; it expects one from here too, and then frees the
 * value.  For all others it may only want to warn.
 */
static bool
check_token(char **newval, void **extra, GucSource source)
{
	const char *message = "parameter \"fortress.token\" cannot be kept in a configuration file or catalog";
	const char *detail = "A token is a secret, and others could read it there.";
	const char *hint = "Set it in the session or in the connection string.";
	FgTokenExtra *new_extra;

	if ((*newval)[0] == '\0')
		return true;

	if (source == PGC_S_TEST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg_internal("%s", message), errdetail_internal("%s", detail),
				 errhint("%s", hint),
				 errhidestmt(true), errhidecontext(true)));
	if (source != PGC_S_SESSION && source != PGC_S_CLIENT)
	{
		GUC_check_errmsg("%s", message);
		GUC_check_errdetail("%s", detail);
		GUC_check_errhint("%s", hint);
		return false;
	}
	if (!fg_crypto_token_well_formed(*newval))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for parameter \"fortress.token\""),
				 errdetail("The value does not have the form of a token."),
				 errhint("Give the token exactly as fortress.issue_token() returned it."),
				 errhidestmt(true), errhidecontext(true)));

	new_extra = malloc(sizeof(FgTokenExtra));
	if (new_extra == NULL)
	{
		GUC_check_errcode(ERRCODE_OUT_OF_MEMORY);
		GUC_check_errmsg("out of memory");
		return false;
	}
	new_extra->lxid = InvalidLocalTransactionId;
	if (MyProc != NULL && IsTransactionState())
		new_extra->lxid = FG_MY_LXID;
	new_extra->from_connection = (source == PGC_S_CLIENT);
	*extra = new_extra;
	return true;
}

static void
assign_token(const char *newval, void *extra)
{
	token_extra = (FgTokenExtra *) extra;
}

static const char *
show_token(void)
{
	return "";
}

bool
fg_guc_token(FgTokenSetting *setting)
{
	if (token == NULL || token[0] == '\0' || token_extra == NULL)
		return false;
	setting->secret = token;
	setting->from_connection = token_extra->from_connection;
	setting->this_transaction = MyProc != NULL &&
		LocalTransactionIdIsValid(token_extra->lxid) &&
		token_extra->lxid == FG_MY_LXID;
	return true;
}

bool
fg_guc_name_ignored(const char *database)
{
	char	   *raw;
	List	   *patterns;
	ListCell   *cell;
	bool		found = false;

	if (ignore_databases == NULL || ignore_databases[0] == '\0')
		return false;
	raw = pstrdup(ignore_databases);
	if (SplitGUCList(raw, ',', &patterns))
	{
		foreach(cell, patterns)
		{
			if (fnmatch((const char *) lfirst(cell), database, 0) == 0)
				found = true;
		}
	}
	list_free(patterns);
	pfree(raw);
	return found;
}

/*
 * The name of the database can't change while somebody is connected to it, so
 * only the setting makes the answer old.  Outside transactions, where the name
 * can't be looked up, the answer is the guarded one.
 */
bool
fg_guc_database_ignored(void)
{
	if (ignored == FG_IGNORED_UNKNOWN)
	{
		char	   *name;

		if (ignore_databases == NULL || ignore_databases[0] == '\0')
			return false;
		if (!OidIsValid(MyDatabaseId) || !IsTransactionState())
			return false;
		name = get_database_name(MyDatabaseId);
		if (name == NULL)
			return false;

		/* the look-up may have read the configuration anew: it counts as it is now */
		ignored = fg_guc_name_ignored(name) ? FG_IGNORED_YES : FG_IGNORED_NO;
		pfree(name);
	}
	return ignored == FG_IGNORED_YES;
}

void
fg_guc_define(void)
{
	DefineCustomBoolVariable("fortress.enabled",
							 "Guards protected tables.",
							 "When off, nothing is guarded, archived or recorded: the last resort, for the configuration file only.",
							 &fg_enabled,
							 true,
							 PGC_SIGHUP, GUC_DISALLOW_IN_AUTO_FILE,
							 NULL, NULL, NULL);

	DefineCustomBoolVariable("fortress.guard_superusers",
							 "Applies limits to superusers too.",
							 "When off, a statement that runs as a superuser needs no other permission.",
							 &fg_guard_superusers,
							 true,
							 PGC_SIGHUP, GUC_DISALLOW_IN_AUTO_FILE,
							 NULL, NULL, NULL);

	DefineCustomBoolVariable("fortress.session_unlock",
							 "Lets a token unlock the guard for a whole session.",
							 "When off, what a token unlocks ends with its transaction, which is the only safe way where a pooler hands sessions on.",
							 &fg_session_unlock,
							 false,
							 PGC_SIGHUP, GUC_DISALLOW_IN_AUTO_FILE,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("fortress.ignore_databases",
							   "Databases that are not guarded at all.",
							   "A list of names separated by commas; *, ? and [...] match as in file names, for example test_*.",
							   &ignore_databases,
							   "",
							   PGC_SIGHUP, GUC_LIST_INPUT | GUC_DISALLOW_IN_AUTO_FILE,
							   check_ignore_databases, assign_ignore_databases, NULL);

	DefineCustomIntVariable("fortress.default_delete_rows",
							"Rows per transaction that may be deleted, for newly protected tables.",
							"The first call of fortress.protect() writes it into the policy. 0 means no limit.",
							&fg_default_delete_rows,
							100, 0, INT_MAX,
							PGC_SIGHUP, GUC_DISALLOW_IN_AUTO_FILE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fortress.default_update_rows",
							"Rows per transaction that may be updated, for newly protected tables.",
							"The first call of fortress.protect() writes it into the policy. 0 means no limit.",
							&fg_default_update_rows,
							1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_DISALLOW_IN_AUTO_FILE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fortress.default_window_delete_rows",
							"Rows per hour and role that may be deleted, for newly protected tables.",
							"The first call of fortress.protect() writes it into the policy. 0 means no limit.",
							&fg_default_window_delete_rows,
							100, 0, INT_MAX,
							PGC_SIGHUP, GUC_DISALLOW_IN_AUTO_FILE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fortress.default_window_update_rows",
							"Rows per hour and role that may be updated, for newly protected tables.",
							"The first call of fortress.protect() writes it into the policy. 0 means no limit.",
							&fg_default_window_update_rows,
							0, 0, INT_MAX,
							PGC_SIGHUP, GUC_DISALLOW_IN_AUTO_FILE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fortress.max_windows",
							"Windows that shared memory has room for.",
							"One window is used for each table, operation, interval and role or client that deleted or updated rows within the interval; it takes about 350 bytes.",
							&fg_max_windows,
							20000, 100, 10000000,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							GUC_DISALLOW_IN_AUTO_FILE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fortress.retention",
							"How long archived rows stay.",
							"Older ones are removed in small steps, and can't be restored any more. 0 keeps them for good.",
							&fg_retention,
							30 * 24 * 60 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S | GUC_DISALLOW_IN_AUTO_FILE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fortress.audit_retention",
							"How long events stay in the audit log.",
							"Older ones are removed from its beginning; the hash of the last of them stays as the start of the chain. 0 keeps them for good.",
							&fg_audit_retention,
							365 * 24 * 60 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S | GUC_DISALLOW_IN_AUTO_FILE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fortress.trash_retention",
							"How long a dropped table stays in the trash.",
							"After that it is dropped for good, and cannot be brought back by fortress.undrop(). 0 keeps it until somebody does that.",
							&fg_trash_retention,
							30 * 24 * 60 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S | GUC_DISALLOW_IN_AUTO_FILE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fortress.audit_query_length",
							"Bytes of a statement's text that an event keeps.",
							"Longer texts are cut on the boundary of a character. 0 keeps none.",
							&fg_audit_query_length,
							1024, 0, 1024 * 1024,
							PGC_SIGHUP, GUC_UNIT_BYTE | GUC_DISALLOW_IN_AUTO_FILE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fortress.journal_max_size",
							"Size of a database's journal from which on identical refusals are counted into one event.",
							"The journal holds what the audit log has not taken in yet. Beyond twice this size nothing more is recorded, only counted.",
							&fg_journal_max_size,
							1024 * 1024, 1024, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_KB | GUC_DISALLOW_IN_AUTO_FILE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fortress.digest_interval",
							"How often the end of the audit log's hash chain is written to the server log.",
							"It is written at shutdown too. 0 writes it at shutdown only.",
							&fg_digest_interval,
							60 * 60, 0, INT_MAX / 1000,
							PGC_SIGHUP, GUC_UNIT_S | GUC_DISALLOW_IN_AUTO_FILE,
							NULL, NULL, NULL);

	DefineCustomStringVariable("fortress.token",
							   "A token that unlocks the guard when a statement needs it.",
							   "It counts in the transaction that sets it, or for the connection if the connection string carries it; its value is never shown.",
							   &token,
							   "",
							   PGC_USERSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE | GUC_DISALLOW_IN_AUTO_FILE,
							   check_token, assign_token, show_token);

	DefineCustomStringVariable("fortress.context",
							   "What the application says about whom it works for.",
							   "Free text, for example the web user and address as JSON; it is recorded with events as the application's word and never trusted.",
							   &fg_context,
							   "",
							   PGC_USERSET, 0,
							   NULL, NULL, NULL);

	MarkGUCPrefixReserved("fortress");
}
