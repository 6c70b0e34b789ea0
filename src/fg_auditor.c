/*-------------------------------------------------------------------------
 *
 * fg_auditor.c
 *		The background workers: a launcher, and for each database that has
 *		events to record a worker that fills its audit log.
 *
 * The launcher is not connected to any database, so that it is in nobody's way
 * while databases are dropped, cloned or renamed, and runs on a standby too.
 * It saves the windows every ten seconds if they changed, in one process
 * rather than in every session.  It finds the journals of earlier runs, starts
 * a worker where there is something to record or to remove, and writes the
 * ends of the hash chains to the server log.
 *
 * A worker lives as long as there is work, and a moment longer for what comes
 * next.  It leaves at once when a command needs the database for itself
 * (fg_journal_hold), and takes in what is there when the server stops.  One
 * that fails, for a full disk or for whatever reason, is started again; it
 * has lost nothing, as the journal keeps what is not in the table.
 *
 * When either is terminated the postmaster or the launcher starts it again:
 * ending them is no way to make the guard forgetful.  The windows of a clean
 * shutdown are saved by the postmaster itself (see fg_budget.c), after the last
 * session has ended.
 *
 * Locks: none but those that the parts take which it calls.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fg_auditor.h"
#include "fg_auditor_import.h"
#include "fg_budget.h"
#include "fg_catalog.h"
#include "fg_guc.h"
#include "fg_journal.h"
#include "fg_label.h"
#include "fg_purge.h"
#include "fg_xact.h"

#define LIBRARY				"fortress_guard"
#define SAVE_EVERY_MS		10000
#define RESTART_AFTER_S		1
/* how long a worker waits for more before it leaves */
#define LINGER_MS			500
/* how long it works while there is more, so that others have their turn */
#define TURN_MS				5000
/* how long a worker that is told to stop goes on to take in what is there */
#define DRAIN_MS			10000
#define LOCKED_RETRY_MS		100
/* between two tries where the last one came to nothing */
#define MIN_RETRY_MS		1000
#define MAX_RETRY_MS		60000
#define MAX_WORKERS			3
/* the first look for old archived rows comes so long after the start, at the latest */
#define FIRST_PURGE_MS		60000
/* in bgw_extra: the worker is to remove old archived rows as well */
#define EXTRA_PURGE			'p'
/* what is kept for some time is looked through so many times in it, and once a day at least */
#define LOOKS				30
#define MAX_LOOK_S			(24 * 60 * 60)

/* What the launcher knows of a database; in TopMemoryContext. */
typedef struct FgPosting
{
	Oid			database;
	BackgroundWorkerHandle *handle; /* of a worker that was started, or NULL */
	uint64		appended;		/* records when it was started */
	uint64		commits;		/* imports when it was started */
	TimestampTz started;		/* when that was; 0: never */
	int			delay_ms;		/* 0: the last one did its work */
	TimestampTz next_try;
	TimestampTz next_purge;		/* when old archived rows are removed again */
	bool		purges;			/* the one that was started does */
	bool		told;			/* that no worker could be started */
} FgPosting;

static List *postings = NIL;	/* of FgPosting * */

/* what somebody registered; set once at load */
static FgExpiryStep expiry_step = NULL;
static const int *expiry_retention = NULL;

/* nest level of the subtransaction that dropped the extension; 0: none */
static int	dropped_level = 0;

/* ----------------------------------------------------------------
 *		DROP EXTENSION
 * ----------------------------------------------------------------
 */

/*
 * The worker has to be away until the journal has gone: what it knows of the
 * files would be wrong in the next one.
 */
void
fg_auditor_extension_dropped(void)
{
	fg_xact_touch();
	if (dropped_level > 0)
		return;
	fg_journal_hold(MyDatabaseId);
	dropped_level = GetCurrentTransactionNestLevel();
}

static void
drop_settled(void)
{
	dropped_level = 0;
	fg_journal_release(MyDatabaseId);
}

static void
auditor_xact(XactEvent event)
{
	if (event == XACT_EVENT_PRE_COMMIT)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
	{
		/* whoever commits it would not know that the journal goes with it */
		if (dropped_level > 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has dropped extension fortress_guard")));
		return;
	}
	if (dropped_level > 0 && event == XACT_EVENT_COMMIT)
		fg_journal_forget(MyDatabaseId);
	if (dropped_level > 0)
		drop_settled();
}

static void
auditor_subxact(SubXactEvent event, int level)
{
	if (dropped_level < level)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		drop_settled();
	else
		dropped_level = level - 1;
}

void
fg_auditor_setup(void)
{
	fg_xact_register(auditor_xact, auditor_subxact, FG_XACT_EARLY);
}

/* ----------------------------------------------------------------
 *		What is old
 * ----------------------------------------------------------------
 */

void
fg_auditor_register_expiry(FgExpiryStep step, const int *retention)
{
	expiry_step = step;
	expiry_retention = retention;
}

static bool
expires(void)
{
	return expiry_step != NULL && *expiry_retention > 0;
}

/* How long after the begin of one look for what is old the next one begins. */
static int64
purge_interval_ms(void)
{
	int64		interval = INT64CONST(1000) * MAX_LOOK_S;

	if (fg_retention > 0)
		interval = fg_purge_interval_ms();
	if (expires())
		interval = Min(interval, Max(*expiry_retention / LOOKS, 1) * INT64CONST(1000));
	return interval;
}

/* Removes a little of it; false: there is no more, or the guard is switched off. */
static bool
purge_a_little(void)
{
	if (fg_purge_step())
		return true;
	return fg_enabled && expires() && expiry_step();
}

/* ----------------------------------------------------------------
 *		The worker
 * ----------------------------------------------------------------
 */

static void
reload_if_asked(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

static void
wait_ms(long timeout_ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 timeout_ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	reload_if_asked();
}

/*
 * What a database or role sets for its sessions is not meant for this one.  A
 * commit has to be on disk here, but must not hang on a standby that is away.
 */
static void
set_settings(void)
{
	static const char *const settings[][2] = {
		{"synchronous_commit", "local"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"lock_timeout", "0"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"search_path", "pg_catalog, pg_temp"},
		{"row_security", "off"}
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

static bool
extension_installed(void)
{
	bool		installed;

	StartTransactionCommand();
	installed = fg_catalog_present();
	CommitTransactionCommand();
	return installed;
}

/*
 * Works until there is nothing to do.  Somebody who has the log locked is waited
 * for as long as nobody wants the worker to go.
 */
static void
do_work(FgJournalReader *reader)
{
	TimestampTz begin = GetCurrentTimestamp();
	TimestampTz stop_at = 0;
	TimestampTz idle_since = 0;

	while (!fg_journal_worker_unwanted())
	{
		TimestampTz now = GetCurrentTimestamp();
		FgStep		step;

		if (ShutdownRequestPending)
		{
			if (stop_at == 0)
				stop_at = TimestampTzPlusMilliseconds(now, DRAIN_MS);
			if (now >= stop_at)
				break;
		}
		else if (now < begin || now >= TimestampTzPlusMilliseconds(begin, TURN_MS))
			break;

		pgstat_report_activity(STATE_RUNNING, "importing events");
		step = fg_auditor_import(reader);
		if (step == FG_STEP_IDLE && !ShutdownRequestPending)
		{
			pgstat_report_activity(STATE_RUNNING, "removing old events");
			step = fg_auditor_expire(reader);
		}
		/* beside the events, for where there are many there are never none */
		if (!ShutdownRequestPending && MyBgworkerEntry->bgw_extra[0] == EXTRA_PURGE)
		{
			pgstat_report_activity(STATE_RUNNING, "removing old archived rows and dropped tables");
			if (purge_a_little())
				step = FG_STEP_DONE;
		}
		pgstat_report_activity(STATE_IDLE, NULL);

		if (step == FG_STEP_DONE)
		{
			idle_since = 0;
			reload_if_asked();
			continue;
		}
		if (step == FG_STEP_IDLE)
		{
			/* whoever wakes it may have nothing for it */
			if (idle_since == 0 || idle_since > now)
				idle_since = now;
			else if (ShutdownRequestPending ||
					 now >= TimestampTzPlusMilliseconds(idle_since, LINGER_MS))
				break;
			pgstat_report_stat(true);
		}
		wait_ms(step == FG_STEP_BUSY ? LOCKED_RETRY_MS :
				ShutdownRequestPending ? 1 :
				Max(TimestampDifferenceMilliseconds(now, idle_since + LINGER_MS * 1000), 1));
	}
}

/* Where there are events the database is in use, and not being loaded any more. */
static void
settle_label(void)
{
	if (ShutdownRequestPending || fg_journal_worker_unwanted())
		return;
	StartTransactionCommand();
	fg_label_in_use();
	CommitTransactionCommand();
}

void
fg_auditor_worker_main(Datum main_arg)
{
	FgJournalReader *reader;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(main_arg), InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	if (!fg_journal_worker_begin())
		proc_exit(0);
	set_settings();
	if (!extension_installed())
		proc_exit(0);

	reader = fg_journal_read_begin();
	do_work(reader);
	fg_purge_pause();
	fg_journal_read_end(reader);
	settle_label();
	proc_exit(0);
}

/* ----------------------------------------------------------------
 *		The launcher
 * ----------------------------------------------------------------
 */

void
fg_auditor_register(void)
{
	BackgroundWorker worker;

	/* pg_upgrade wants a quiet server, and it has no use for either */
	if (IsBinaryUpgrade || !process_shared_preload_libraries_in_progress)
		return;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = RESTART_AFTER_S;
	strlcpy(worker.bgw_library_name, LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "fg_auditor_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "fortress_guard launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "fortress_guard launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* The name of a database, palloc'd in the current context; NULL: there is none. */
static char *
database_name(Oid database)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *name;

	StartTransactionCommand();
	name = get_database_name(database);
	if (name != NULL)
		name = MemoryContextStrdup(context, name);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return name;
}

static FgPosting *
posting_of(Oid database)
{
	FgPosting  *posting;
	ListCell   *cell;
	MemoryContext old;

	foreach(cell, postings)
	{
		posting = lfirst(cell);
		if (posting->database == database)
			return posting;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	posting = palloc0(sizeof(FgPosting));
	posting->database = database;
	posting->next_purge = GetCurrentTimestamp() + Min(purge_interval_ms(), FIRST_PURGE_MS) * 1000;
	postings = lappend(postings, posting);
	MemoryContextSwitchTo(old);
	return posting;
}

/*
 * Has the worker that was started ended?  One that has left its work undone is
 * tried again after a while, which grows as long as nothing new comes.
 */
static bool
worker_ended(FgPosting *posting, const FgJournalInfo *info, TimestampTz now)
{
	pid_t		pid;

	if (posting->handle == NULL)
		return true;
	if (GetBackgroundWorkerPid(posting->handle, &pid) != BGWH_STOPPED)
		return false;
	pfree(posting->handle);
	posting->handle = NULL;
	if (posting->purges && fg_purge_paused(posting->database))
		posting->next_purge = now;
	if (!info->has_work || info->held || info->commits != posting->commits)
		posting->delay_ms = 0;
	else if (posting->delay_ms == 0 || info->appended != posting->appended)
		posting->delay_ms = MIN_RETRY_MS;
	else
		posting->delay_ms = Min(posting->delay_ms * 2, MAX_RETRY_MS);
	posting->next_try = TimestampTzPlusMilliseconds(now, posting->delay_ms);
	return true;
}

/* A clock, or the setting, that was changed must not put it off for long. */
static bool
purge_due(const FgPosting *posting, TimestampTz now)
{
	return (fg_retention > 0 || expires()) &&
		(now >= posting->next_purge ||
		 posting->next_purge > TimestampTzPlusMilliseconds(now, Max(purge_interval_ms(), FIRST_PURGE_MS)));
}

static void
start_worker(FgPosting *posting, const FgJournalInfo *info, TimestampTz now)
{
	BackgroundWorker worker;
	char	   *name = database_name(info->database);
	MemoryContext old;

	if (name == NULL)
	{
		/* it was dropped while the library was not loaded */
		ereport(LOG,
				(errmsg("fortress_guard removes the journal of database %u, which does not exist any more",
						info->database)));
		fg_journal_forget(info->database);
		return;
	}

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "fg_auditor_worker_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "fortress_guard auditor for database %s", name);
	strlcpy(worker.bgw_type, "fortress_guard auditor", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(info->database);
	worker.bgw_notify_pid = MyProcPid;
	posting->purges = purge_due(posting, now);
	if (posting->purges)
		worker.bgw_extra[0] = EXTRA_PURGE;

	posting->appended = info->appended;
	posting->commits = info->commits;
	posting->started = now;
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (RegisterDynamicBackgroundWorker(&worker, &posting->handle))
	{
		posting->told = false;
		if (posting->purges)
			posting->next_purge = TimestampTzPlusMilliseconds(now, purge_interval_ms());
	}
	else
	{
		posting->handle = NULL;
		posting->next_try = TimestampTzPlusMilliseconds(now, MIN_RETRY_MS);
		if (!posting->told)
			ereport(LOG,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("could not start the auditor of fortress_guard for database \"%s\"", name),
					 errdetail("All background workers are in use; events wait in the journal."),
					 errhint("Consider increasing max_worker_processes.")));
		posting->told = true;
	}
	MemoryContextSwitchTo(old);
}

static bool
wants_worker(const FgPosting *posting, const FgJournalInfo *info, TimestampTz now)
{
	if (info->held || info->worker != 0)
		return false;
	return info->has_work || purge_due(posting, now) ||
		(fg_audit_retention > 0 && info->oldest != 0 &&
		 info->oldest < now - (int64) fg_audit_retention * USECS_PER_SEC);
}

/* Starts workers where there is work; returns when to look again at the latest. */
static TimestampTz
start_workers(TimestampTz now)
{
	FgJournalInfo *infos;
	int			n_infos = fg_journal_list(&infos);
	int			n_running = 0;
	int			n_waiting;
	int		   *waiting = palloc(sizeof(int) * Max(n_infos, 1));
	TimestampTz wake = TimestampTzPlusMilliseconds(now, SAVE_EVERY_MS);

	for (int i = 0; i < n_infos; i++)
	{
		FgPosting  *posting = posting_of(infos[i].database);

		if (!worker_ended(posting, &infos[i], now))
			n_running++;
	}
	/* whoever has waited longest comes first */
	n_waiting = 0;
	for (int i = 0; i < n_infos; i++)
	{
		const FgPosting *posting = posting_of(infos[i].database);
		int			place = n_waiting;

		if (posting->handle != NULL || !wants_worker(posting, &infos[i], now))
			continue;
		while (place > 0 &&
			   posting_of(infos[waiting[place - 1]].database)->started > posting->started)
		{
			waiting[place] = waiting[place - 1];
			place--;
		}
		waiting[place] = i;
		n_waiting++;
	}
	for (int i = 0; i < n_waiting; i++)
	{
		const FgJournalInfo *info = &infos[waiting[i]];
		FgPosting  *posting = posting_of(info->database);

		/* something new is worth a try */
		if (info->appended != posting->appended)
			posting->next_try = Min(posting->next_try,
									TimestampTzPlusMilliseconds(posting->started, MIN_RETRY_MS));
		/* a clock that was set back must not put it off for long */
		if (posting->next_try <= now ||
			posting->next_try > TimestampTzPlusMilliseconds(now, MAX_RETRY_MS))
		{
			/* when one of them ends, the latch says so */
			if (n_running >= MAX_WORKERS)
				continue;
			start_worker(posting, info, now);
			n_running += posting->handle != NULL;
		}
		if (posting->handle == NULL)
			wake = Min(wake, Max(posting->next_try, now));
	}
	pfree(waiting);
	if (n_infos > 0)
		pfree(infos);
	return wake;
}

/* Writes the ends of the chains, so that they can be kept where nobody here can reach. */
static void
log_digests(void)
{
	FgJournalInfo *infos;
	int			n_infos = fg_journal_list(&infos);

	for (int i = 0; i < n_infos; i++)
	{
		char	   *name;

		if (infos[i].anchor.id == 0)
			continue;
		name = database_name(infos[i].database);
		if (name == NULL)
			continue;
		ereport(LOG,
				(errmsg("fortress_guard digest: database \"%s\" event " INT64_FORMAT " hash %s",
						name, infos[i].anchor.id, fg_crypto_hex(infos[i].anchor.hash))));
	}
}

/* At shutdown the workers take in what is there, and then the chain has its end. */
static void
wait_for_workers(void)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), DRAIN_MS + 5000);

	while (GetCurrentTimestamp() < until)
	{
		FgJournalInfo *infos;
		int			n_infos = fg_journal_list(&infos);
		bool		any = false;

		for (int i = 0; i < n_infos; i++)
			any |= infos[i].worker != 0;
		if (!any)
			break;
		wait_ms(50);
	}
}

void
fg_auditor_launcher_main(Datum main_arg)
{
	MemoryContext context;
	TimestampTz last_save;
	TimestampTz last_digest;
	bool		recovered = false;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	context = AllocSetContextCreate(TopMemoryContext, "fortress_guard launcher",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	fg_journal_launcher_begin();
	last_save = last_digest = GetCurrentTimestamp();
	while (!ShutdownRequestPending)
	{
		TimestampTz now = GetCurrentTimestamp();
		TimestampTz wake;

		MemoryContextReset(context);
		/* a clock that was set back must not put off the next save */
		if (now < last_save ||
			TimestampDifferenceExceeds(last_save, now, SAVE_EVERY_MS))
		{
			fg_budget_save();
			last_save = now = GetCurrentTimestamp();
		}
		wake = TimestampTzPlusMilliseconds(last_save, SAVE_EVERY_MS);

		/* a standby looks into its files when it is one no more */
		if (!recovered && !RecoveryInProgress())
		{
			fg_journal_recover();
			recovered = true;
		}
		if (recovered)
			wake = Min(wake, start_workers(now));
		if (fg_digest_interval > 0 &&
			(now < last_digest ||
			 TimestampDifferenceExceeds(last_digest, now, fg_digest_interval * 1000)))
		{
			log_digests();
			last_digest = now;
		}
		if (fg_digest_interval > 0)
			wake = Min(wake, TimestampTzPlusMilliseconds(last_digest,
														 (int64) fg_digest_interval * 1000));
		wait_ms(Max(TimestampDifferenceMilliseconds(now, wake), 1));
	}

	wait_for_workers();
	log_digests();
	proc_exit(1);
}
