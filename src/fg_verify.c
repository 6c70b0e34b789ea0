/*-------------------------------------------------------------------------
 *
 * fg_verify.c
 *		The SQL function verify_guard: is every piece of the guard as it must
 *		be, and if not, what mends it?
 *
 * It is called when something is wrong, or to show that nothing is.  So what it
 * finds is never an error: each piece is looked at in a subtransaction, and if
 * that fails, the failure is the finding.  It changes nothing, waits for no
 * lock on anybody's table, and works on a standby, as far as there is something
 * to look at.
 *
 * Whoever calls it may lack rights on much of what is looked at.  So queries on
 * the system's catalogs run as the bootstrap superuser, with a search path of
 * their own and every name qualified: nobody else's code can run in them.
 * Queries on the guard's own tables run as their owner: should somebody have
 * put something else in their place, it gains no more rights than its owner has.
 *
 * This file has the rows, and the pieces that belong to the server: preload,
 * settings, launcher, auditor, journal, the end of the audit log.
 * fg_verify_object.c has what the extension's script made, fg_verify_table.c
 * what is protected.
 *
 * Errors: cancelling, shutting down and lack of memory only.
 *
 * Locks: AccessShareLock on what is looked at, RowExclusiveLock on the audit
 * log if it is free.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "fg_catalog.h"
#include "fg_catalog_audit.h"
#include "fg_guc.h"
#include "fg_journal.h"
#include "fg_journal_state.h"
#include "fg_verify.h"

PG_FUNCTION_INFO_V1(fg_verify_guard);

/* how long the import of the journal may stand still before it counts as failed */
#define IMPORT_TIMEOUT_MS	5000

#define IN_THE_FILE			"Set %s in postgresql.conf and reload the configuration."

typedef struct FgFinding
{
	char	   *piece;
	bool		ok;
	bool		unknown;
	char	   *detail;
	char	   *fix;			/* NULL: none needed */
} FgFinding;

struct FgFindings
{
	MemoryContext context;		/* of the rows */
	List	   *rows;			/* of FgFinding * */
};

typedef void (*FgVerifier) (FgFindings *findings);

/* ----------------------------------------------------------------
 *		Rows
 * ----------------------------------------------------------------
 */

static FgFinding *
add_row(FgFindings *findings, const char *piece, const char *detail, const char *fix)
{
	MemoryContext old = MemoryContextSwitchTo(findings->context);
	FgFinding  *row = palloc0(sizeof(FgFinding));

	row->piece = pstrdup(piece);
	row->detail = detail != NULL ? pstrdup(detail) : NULL;
	row->fix = fix != NULL ? pstrdup(fix) : NULL;
	findings->rows = lappend(findings->rows, row);
	MemoryContextSwitchTo(old);
	return row;
}

void
fg_verify_good(FgFindings *findings, const char *piece, const char *detail)
{
	add_row(findings, piece, detail, NULL)->ok = true;
}

void
fg_verify_bad(FgFindings *findings, const char *piece, const char *detail, const char *fix)
{
	(void) add_row(findings, piece, detail, fix);
}

void
fg_verify_unknown(FgFindings *findings, const char *piece, const char *detail)
{
	add_row(findings, piece, detail, NULL)->unknown = true;
}

/* Must an error be one for the caller too? */
static bool
ends_everything(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_QUERY_CANCELED ||
		sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
}

/* Looks at a piece; what goes wrong in that is a row. */
static void
look(FgFindings *findings, const char *piece, FgVerifier verifier)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	CHECK_FOR_INTERRUPTS();
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		verifier(findings);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return;
	if (ends_everything(error->sqlerrcode))
		ReThrowError(error);
	fg_verify_bad(findings, piece,
				  psprintf("It could not be looked at: %s.", error->message),
				  error->hint != NULL ? error->hint :
				  "Mend what the message speaks of, and call fortress.verify_guard() again.");
	FreeErrorData(error);
}

/* ----------------------------------------------------------------
 *		Queries
 * ----------------------------------------------------------------
 */

static void
query_as(Oid user, FgFindings *findings, const char *piece, const char *detail, const char *query)
{
	Oid			save_user;
	int			save_context;
	int			guc_level;

	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(user, save_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	/* compiling them would take a hundred times as long as running them does */
	(void) set_config_option("jit", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	query = psprintf("SELECT q.* FROM (%s) q (piece, ok, detail, fix)"
					 " ORDER BY q.piece COLLATE pg_catalog.\"C\", q.detail COLLATE pg_catalog.\"C\"", query);
	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", query);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *ok = SPI_getvalue(tuple, desc, 2);
		FgFinding  *row = add_row(findings, SPI_getvalue(tuple, desc, 1),
								  SPI_getvalue(tuple, desc, 3), SPI_getvalue(tuple, desc, 4));

		row->unknown = ok == NULL;
		row->ok = ok != NULL && ok[0] == 't';
	}
	if (SPI_processed == 0 && detail != NULL)
		fg_verify_good(findings, piece, detail);
	SPI_finish();
	AtEOXact_GUC(false, guc_level);
	SetUserIdAndSecContext(save_user, save_context);
}

void
fg_verify_query(FgFindings *findings, const char *piece, const char *detail, const char *query)
{
	query_as(BOOTSTRAP_SUPERUSERID, findings, piece, detail, query);
}

void
fg_verify_own_query(FgFindings *findings, const char *piece, const char *detail, const char *query)
{
	query_as(fg_catalog_owner(), findings, piece, detail, query);
}

/* ----------------------------------------------------------------
 *		The library
 * ----------------------------------------------------------------
 */

/*
 * What the files say of shared_preload_libraries may be other than what the
 * server was started with.
 */
static void
verify_preload(FgFindings *findings)
{
	if (fg_preloaded)
		fg_verify_good(findings, "preload", "The library came in by shared_preload_libraries.");
	else
		fg_verify_bad(findings, "preload",
					  "The library is not in shared_preload_libraries: protected tables refuse every DELETE, UPDATE and TRUNCATE.",
					  "Add fortress_guard to shared_preload_libraries in postgresql.conf and restart the server.");
	fg_verify_query(findings, "preload at the next start", NULL,
					"SELECT 'preload at the next start',"
					" s.source = 'command line' OR coalesce(f.setting, '') ~ '(^|[,\"/ ])fortress_guard(\\.so)?($|[,\" ])',"
					" CASE WHEN s.source = 'command line' THEN 'The command line of the server sets shared_preload_libraries.'"
					"  ELSE pg_catalog.format('The configuration files set shared_preload_libraries to \"%s\".', coalesce(f.setting, '')) END,"
					" CASE WHEN s.source = 'command line' OR coalesce(f.setting, '') ~ '(^|[,\"/ ])fortress_guard(\\.so)?($|[,\" ])' THEN NULL"
					"  WHEN f.sourcefile ~ 'postgresql\\.auto\\.conf$' THEN 'ALTER SYSTEM RESET shared_preload_libraries;'"
					"  ELSE 'Add fortress_guard to shared_preload_libraries in postgresql.conf.' END "
					"FROM pg_catalog.pg_settings s LEFT JOIN (SELECT x.setting, x.sourcefile FROM pg_catalog.pg_file_settings x"
					"  WHERE x.name = 'shared_preload_libraries' ORDER BY x.seqno DESC LIMIT 1) f ON true "
					"WHERE s.name = 'shared_preload_libraries'");
}

/* ----------------------------------------------------------------
 *		Settings
 * ----------------------------------------------------------------
 */

static void
verify_own_settings(FgFindings *findings)
{
	const struct
	{
		const char *piece;
		bool		weak;
		const char *good;
		const char *bad;
		const char *fix;
	}			settings[] =
	{
		{"setting fortress.enabled", !fg_enabled, "It is on.",
		"It is off: nothing is guarded, archived or recorded.", "fortress.enabled = on"},
		{"setting fortress.guard_superusers", !fg_guard_superusers, "It is on.",
		"It is off: superusers pass every limit.", "fortress.guard_superusers = on"},
		{"setting fortress.session_unlock", fg_session_unlock, "It is off.",
		"It is on: what a token unlocks may last for a session, which a connection pooler hands on to others.",
		"fortress.session_unlock = off"},
		{"setting fortress.ignore_databases", fg_guc_database_ignored(), "It does not match this database.",
		"It matches this database, which is not guarded at all.",
		"fortress.ignore_databases to patterns that do not match it"},
		{"setting fortress.default_delete_rows", fg_default_delete_rows == 0, "Newly protected tables are given a limit.",
		"It is 0: newly protected tables are given no limit of deleted rows per transaction.",
		"fortress.default_delete_rows = 100"},
		{"setting fortress.default_update_rows", fg_default_update_rows == 0, "Newly protected tables are given a limit.",
		"It is 0: newly protected tables are given no limit of updated rows per transaction.",
		"fortress.default_update_rows = 1000"},
		{"setting fortress.default_window_delete_rows", fg_default_window_delete_rows == 0, "Newly protected tables are given a limit.",
		"It is 0: newly protected tables are given no limit of deleted rows per hour.",
		"fortress.default_window_delete_rows = 100"}
	};

	if (!fg_preloaded)
		return;					/* the settings are not there */
	for (int i = 0; i < lengthof(settings); i++)
	{
		if (settings[i].weak)
			fg_verify_bad(findings, settings[i].piece, settings[i].bad,
						  psprintf(IN_THE_FILE, settings[i].fix));
		else
			fg_verify_good(findings, settings[i].piece, settings[i].good);
	}
}

/*
 * The server's own settings that weaken the guard: in effect in this session,
 * by whatever way, and waiting for others in pg_db_role_setting.
 */
static void
verify_server_settings(FgFindings *findings)
{
	fg_verify_query(findings, NULL, NULL,
					"WITH s (name, good, why) AS (VALUES"
					" ('track_counts', 'on', 'protected tables refuse to be written while rows are not counted'),"
					" ('session_replication_role', 'origin', 'triggers and foreign keys other than the guard''s do not fire'),"
					" ('allow_system_table_mods', 'off', 'superusers can write the system catalogs'),"
					" ('fsync', 'on', 'what was recorded and archived may be lost in a crash')),"
					" d AS (SELECT pg_catalog.split_part(c, '=', 1) AS name, pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1) AS value,"
					"  CASE WHEN x.setdatabase = 0 THEN '' ELSE pg_catalog.format(' IN DATABASE %I', b.datname) END AS in_database,"
					"  r.rolname, b.datname"
					"  FROM pg_catalog.pg_db_role_setting x CROSS JOIN pg_catalog.unnest(x.setconfig) c"
					"  LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.setrole LEFT JOIN pg_catalog.pg_database b ON b.oid = x.setdatabase"
					"  WHERE x.setdatabase = 0 OR b.datname = pg_catalog.current_database()),"
					" w AS (SELECT s.name, s.good, s.why, d.value,"
					"  CASE WHEN d.rolname IS NULL AND d.datname IS NULL THEN 'ROLE ALL'"
					"   WHEN d.rolname IS NULL THEN pg_catalog.format('DATABASE %I', d.datname)"
					"   ELSE pg_catalog.format('ROLE %I', d.rolname) || d.in_database END AS whom"
					"  FROM s JOIN d ON d.name = s.name"
					"  WHERE CASE s.good WHEN 'origin' THEN pg_catalog.lower(d.value) = 'replica'"
					"   ELSE d.value::pg_catalog.bool <> s.good::pg_catalog.bool END),"
					" n AS (SELECT s.name, s.good, s.why, t.setting, t.source, t.context, t.sourcefile FROM s JOIN pg_catalog.pg_settings t ON t.name = s.name"
					"  WHERE t.setting <> s.good AND t.setting <> 'local' AND t.source NOT IN ('database', 'user', 'database user')) "
					"SELECT 'setting ' || w.name, false, pg_catalog.format('It is set to %s by ALTER %s SET: %s.', w.value, w.whom, w.why),"
					" pg_catalog.format('ALTER %s RESET %I;', w.whom, w.name) FROM w "
					"UNION ALL SELECT 'setting ' || n.name, false, pg_catalog.format('It is %s (%s): %s.', n.setting, n.source, n.why),"
					" CASE WHEN n.source = 'session' THEN pg_catalog.format('SET %I = %s;', n.name, n.good)"
					"  WHEN n.sourcefile ~ 'postgresql\\.auto\\.conf$' THEN pg_catalog.format('ALTER SYSTEM RESET %I;', n.name)"
					"  WHEN n.source IN ('client', 'command line') THEN pg_catalog.format('Set it to %s where the %s has it.', n.good,"
					"   CASE n.source WHEN 'client' THEN 'connection string' ELSE 'server''s command line' END)"
					"  ELSE pg_catalog.format('Set %s = %s in postgresql.conf and %s.', n.name, n.good,"
					"   CASE n.context WHEN 'postmaster' THEN 'restart the server' ELSE 'reload the configuration' END) END FROM n "
					"UNION ALL SELECT 'setting ' || s.name, true, pg_catalog.format('It is %s.', pg_catalog.current_setting(s.name)), NULL FROM s"
					" WHERE NOT EXISTS (SELECT FROM w WHERE w.name = s.name) AND NOT EXISTS (SELECT FROM n WHERE n.name = s.name)");
}

/* ----------------------------------------------------------------
 *		Processes, journal, audit log
 * ----------------------------------------------------------------
 */

static void
verify_launcher(FgFindings *findings)
{
	fg_verify_query(findings, "launcher", NULL,
					"SELECT 'launcher', count(*) > 0,"
					" CASE WHEN count(*) > 0 THEN pg_catalog.format('It runs as process %s.', min(a.pid))"
					"  ELSE 'It does not run: events stay in the journal, and windows are not saved.' END,"
					" CASE WHEN count(*) = 0 THEN 'See the server log for why it ends, and that max_worker_processes leaves room for it.' END "
					"FROM pg_catalog.pg_stat_activity a WHERE a.backend_type = 'fortress_guard launcher'");
}

static void
verify_auditor(FgFindings *findings)
{
	if (RecoveryInProgress())
		fg_verify_good(findings, "auditor", "It has nothing to do on a standby.");
	else if (fg_journal_wait_imported(IMPORT_TIMEOUT_MS))
		fg_verify_good(findings, "auditor", "All that is in the journal has been taken into the audit log.");
	else
		fg_verify_bad(findings, "auditor",
					  psprintf("Events wait in the journal, and none was taken into the audit log within %d seconds.",
							   IMPORT_TIMEOUT_MS / 1000),
					  "See the server log for what keeps the auditor of fortress_guard from its work: a lock on fortress.audit_log, no free background worker (max_worker_processes), or a full disk.");
}

static void
verify_journal(FgFindings *findings)
{
	FgJournalState state;

	fg_journal_look(&state);
	if (!state.known)
		return;
	if (state.failed != NULL)
	{
		errno = state.error;
		fg_verify_bad(findings, "journal",
					  psprintf("Events cannot be recorded: could not %s file \"%s\": %m.", state.failed, state.path),
					  "Give the server's user the right to write directory \"pg_fortress\" of the data directory, and room on its disk.");
	}
	else if (state.lost > 0)
		fg_verify_bad(findings, "journal",
					  psprintf(UINT64_FORMAT " events could not be recorded since the last one that could.", state.lost),
					  "See the server log for why; the next event that is recorded says how many are missing, and ends this finding.");
	else if (state.size > (uint64) fg_journal_max_size * 1024)
		fg_verify_bad(findings, "journal",
					  "It is longer than fortress.journal_max_size: identical refusals are counted into one event.",
					  "See that the auditor can work, or raise fortress.journal_max_size in postgresql.conf.");
	else
		fg_verify_good(findings, "journal", "It can be written, and nothing is lost.");
}

/*
 * Only the last row that the journal knows of is looked at; all others are
 * verify_audit()'s.
 */
static void
verify_audit_log(FgFindings *findings)
{
	FgAnchor	anchor;
	FgAnchor	last;
	FgAuditWriter writer;
	FgAnchor	first;
	bool		known;
	bool		exact;
	bool		empty;
	bool		held;

	if (RecoveryInProgress())
	{
		fg_verify_unknown(findings, "audit log", "There is no journal on a standby to compare it with.");
		return;
	}
	known = fg_journal_get_anchor(MyDatabaseId, &anchor, &exact) && anchor.id > 0;
	if (!fg_audit_open(&writer))
	{
		fg_verify_unknown(findings, "audit log", "Somebody has it locked.");
		return;
	}
	held = known && fg_audit_holds(&writer, &anchor);
	fg_audit_ends(&writer, &first, &last);
	empty = last.id == 0;
	fg_audit_close(&writer);

	if (held)
		fg_verify_good(findings, "audit log",
					   psprintf("Its row " INT64_FORMAT " is as it was written; fortress.verify_audit() checks all rows.",
								anchor.id));
	else if (known && (exact || empty))
		fg_verify_bad(findings, "audit log",
					  psprintf("Its row " INT64_FORMAT " is not as it was written.", anchor.id),
					  "SELECT * FROM fortress.verify_audit();");
	else if (empty)
		fg_verify_good(findings, "audit log", "No event has been recorded yet.");
	else
		fg_verify_unknown(findings, "audit log",
						  "Nothing was recorded since the server started; fortress.verify_audit() checks all rows.");
}

/* ----------------------------------------------------------------
 *		The SQL function
 * ----------------------------------------------------------------
 */

static void
look_at_all(FgFindings *findings)
{
	look(findings, "preload", verify_preload);
	look(findings, "extension", fg_verify_extension);
	look(findings, "settings of fortress_guard", verify_own_settings);
	look(findings, "settings of the server", verify_server_settings);
	look(findings, "launcher", verify_launcher);
	if (fg_preloaded)
	{
		look(findings, "journal", verify_journal);
		look(findings, "auditor", verify_auditor);
		look(findings, "audit log", verify_audit_log);
	}
	look(findings, "roles", fg_verify_roles);
	look(findings, "schemas", fg_verify_schemas);
	look(findings, "functions", fg_verify_functions);
	look(findings, "relations", fg_verify_relations);
	look(findings, "rights", fg_verify_rights);
	look(findings, "archives", fg_verify_archives);
	if (!fg_verify_readable())
	{
		fg_verify_unknown(findings, "protected tables",
						  "They cannot be looked at while the guard's own tables are damaged.");
		return;
	}
	look(findings, "exemptions", fg_verify_exemptions);
	if (!fg_preloaded)
	{
		fg_verify_unknown(findings, "protected tables",
						  "They cannot be looked at while the library is not preloaded.");
		return;
	}
	look(findings, "labels", fg_verify_labels);
	look(findings, "protected schemas", fg_verify_protected_schemas);
	look(findings, "protected tables", fg_verify_tables);
}

/*
 * verify_guard(): piece, ok, detail, fix
 */
Datum
fg_verify_guard(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FgFindings	findings = {.context = CurrentMemoryContext};
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	look_at_all(&findings);
	foreach(lc, findings.rows)
	{
		FgFinding  *row = lfirst(lc);
		Datum		values[4] = {0};
		bool		nulls[4] = {false};

		values[0] = CStringGetTextDatum(row->piece);
		values[1] = BoolGetDatum(row->ok);
		nulls[1] = row->unknown;
		if (row->detail != NULL)
			values[2] = CStringGetTextDatum(row->detail);
		nulls[2] = row->detail == NULL;
		if (row->fix != NULL)
			values[3] = CStringGetTextDatum(row->fix);
		nulls[3] = row->fix == NULL;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
