/*-------------------------------------------------------------------------
 *
 * fg_journal_worker.c
 *		Who imports the audit journal: the launcher and the workers, those who
 *		wait for them, and those who keep them away.
 *
 * A worker is told by its latch, and the launcher by its own while there is no
 * worker.  A worker that leaves wakes the launcher after it has ceased to be
 * the worker, so that what came in meanwhile is seen.
 *
 * A hold keeps the worker of a database away from before it is asked to leave
 * until the release, whatever becomes of the session that holds.  It needs no
 * journal to be there, and leaves none behind.
 *
 * Locks: the table lock protects holds and workers, each journal's append lock
 * how far it was imported; see fg_journal_file.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fg_journal.h"
#include "fg_journal_file.h"

/* how long fg_journal_hold() waits for a worker to leave */
#define HOLD_WAIT_MS		10000
#define HOLD_POLL_MS		10

/* databases that this process holds, in TopMemoryContext */
static List *held_databases = NIL;

static void release_hold(Oid database);
static void holds_exit(int code, Datum arg);
static void remove_files(Oid database, FgJournalKind kind, uint64 seq, void *arg);
static void worker_exit(int code, Datum arg);
static void launcher_exit(int code, Datum arg);
static void list_databases(Oid database, FgJournalKind kind, uint64 seq, void *arg);
static bool journal_has_work(FgJournal *journal);

/* ----------------------------------------------------------------
 *		What is imported
 * ----------------------------------------------------------------
 */

bool
fg_journal_wait_imported(int timeout_ms)
{
	FgJournal  *journal = RecoveryInProgress() ? NULL : fg_journal_own();
	TimestampTz deadline;
	uint64		number;
	uint64		seq;
	uint64		commits;
	bool		done;

	/* what others import is not here */
	if (RecoveryInProgress())
		return true;
	if (journal == NULL || !fg_journal_scan(journal))
		return false;

	fg_journal_mend(journal);
	LWLockAcquire(&journal->append_lock.lock, LW_SHARED);
	number = journal->last_number;
	seq = journal->seq;
	commits = journal->commits;
	LWLockRelease(&journal->append_lock.lock);

	deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	ConditionVariablePrepareToSleep(&journal->imported_cv);
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();

		LWLockAcquire(&journal->append_lock.lock, LW_SHARED);
		done = journal->own_number >= number &&
			(journal->n_older == 0 || journal->read_seq >= seq);
		if (journal->commits != commits)
		{
			commits = journal->commits;
			deadline = TimestampTzPlusMilliseconds(now, timeout_ms);
		}
		LWLockRelease(&journal->append_lock.lock);
		if (done || now >= deadline)
			break;
		fg_journal_wake_worker(journal);
		(void) ConditionVariableTimedSleep(&journal->imported_cv,
										   Min((deadline - now) / 1000 + 1, 1000),
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return done;
}

bool
fg_journal_get_anchor(Oid database, FgAnchor *anchor, bool *exact)
{
	FgJournal  *journal;

	memset(anchor, 0, sizeof(*anchor));
	*exact = false;
	if (fg_journal_shared == NULL || !OidIsValid(database))
		return false;
	if (database == MyDatabaseId && !RecoveryInProgress() && fg_journal_own() != NULL)
		(void) fg_journal_scan(fg_journal_own());

	LWLockAcquire(&fg_journal_shared->table_lock.lock, LW_SHARED);
	journal = fg_journal_find(database);
	if (journal != NULL)
	{
		LWLockAcquire(&journal->append_lock.lock, LW_SHARED);
		*anchor = journal->anchor;
		*exact = journal->anchor_exact;
		LWLockRelease(&journal->append_lock.lock);
	}
	LWLockRelease(&fg_journal_shared->table_lock.lock);
	return *exact || anchor->id > 0;
}

bool
fg_journal_first_notice(void)
{
	FgJournal  *journal = fg_journal_own();

	return journal != NULL && pg_atomic_test_set_flag(&journal->noticed);
}

void
fg_journal_set_oldest(TimestampTz oldest)
{
	FgJournal  *journal = fg_journal_own();

	if (journal == NULL)
		return;
	LWLockAcquire(&journal->append_lock.lock, LW_EXCLUSIVE);
	journal->oldest = oldest;
	LWLockRelease(&journal->append_lock.lock);
}

/* ----------------------------------------------------------------
 *		Holds, and journals that go
 * ----------------------------------------------------------------
 */

static void
release_hold(Oid database)
{
	FgJournal  *journal;

	LWLockAcquire(&fg_journal_shared->table_lock.lock, LW_EXCLUSIVE);
	journal = fg_journal_find(database);
	if (journal != NULL && journal->holds > 0)
	{
		journal->holds--;
		fg_journal_drop(journal);
	}
	LWLockRelease(&fg_journal_shared->table_lock.lock);
	fg_journal_wake_launcher();
}

static void
holds_exit(int code, Datum arg)
{
	ListCell   *cell;

	foreach(cell, held_databases)
		release_hold(lfirst_oid(cell));
	held_databases = NIL;
}

/*
 * If it raises an error, nothing is held.
 */
void
fg_journal_hold(Oid database)
{
	static bool registered = false;
	MemoryContext old;
	FgJournal  *journal;
	TimestampTz deadline;

	if (fg_journal_shared == NULL)
		return;
	if (!registered)
	{
		before_shmem_exit(holds_exit, (Datum) 0);
		registered = true;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	held_databases = lcons_oid(database, held_databases);
	MemoryContextSwitchTo(old);

	LWLockAcquire(&fg_journal_shared->table_lock.lock, LW_EXCLUSIVE);
	journal = fg_journal_enter(database);
	if (journal != NULL)
		journal->holds++;
	LWLockRelease(&fg_journal_shared->table_lock.lock);
	if (journal == NULL)
	{
		/* without a journal there can be no worker */
		held_databases = list_delete_first(held_databases);
		return;
	}

	PG_TRY();
	{
		deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), HOLD_WAIT_MS);
		for (;;)
		{
			pid_t		worker;

			LWLockAcquire(&fg_journal_shared->table_lock.lock, LW_SHARED);
			worker = journal->worker;
			LWLockRelease(&fg_journal_shared->table_lock.lock);
			if (worker == 0 || GetCurrentTimestamp() >= deadline)
				break;
			fg_journal_wake_worker(journal);
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 HOLD_POLL_MS, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_CATCH();
	{
		fg_journal_release(database);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

void
fg_journal_release(Oid database)
{
	if (fg_journal_shared == NULL || !list_member_oid(held_databases, database))
		return;
	held_databases = list_delete_oid(held_databases, database);
	release_hold(database);
}

/* for fg_journal_visit(): removes all files of a database */
static void
remove_files(Oid database, FgJournalKind kind, uint64 seq, void *arg)
{
	char		path[MAXPGPATH];

	if (database != *(Oid *) arg)
		return;
	fg_journal_path(path, database, kind, seq);
	(void) fg_journal_remove(path);
}

void
fg_journal_forget(Oid database)
{
	FgJournal  *journal;

	if (fg_journal_shared == NULL)
		return;
	LWLockAcquire(&fg_journal_shared->table_lock.lock, LW_EXCLUSIVE);
	journal = fg_journal_find(database);
	if (journal != NULL)
		fg_journal_lock(journal);
	(void) fg_journal_visit(remove_files, &database);
	if (journal != NULL)
	{
		fg_journal_reset(journal);
		/* sessions of a database that stays know their journal by its place */
		journal->needed = database == MyDatabaseId;
		fg_journal_unlock(journal);
		fg_journal_drop(journal);
	}
	LWLockRelease(&fg_journal_shared->table_lock.lock);
}

/* ----------------------------------------------------------------
 *		Worker and launcher
 * ----------------------------------------------------------------
 */

/* The launcher looks again: there may be work that came too late for this one. */
static void
worker_exit(int code, Datum arg)
{
	FgJournal  *journal = fg_journal_own();

	LWLockAcquire(&fg_journal_shared->table_lock.lock, LW_EXCLUSIVE);
	if (journal->worker == MyProcPid)
	{
		journal->worker = 0;
		journal->worker_latch = NULL;
		fg_journal_drop(journal);
	}
	LWLockRelease(&fg_journal_shared->table_lock.lock);
	fg_journal_wake_launcher();
}

bool
fg_journal_worker_begin(void)
{
	FgJournal  *journal = RecoveryInProgress() ? NULL : fg_journal_own();
	bool		done = false;

	if (journal == NULL)
		return false;
	before_shmem_exit(worker_exit, (Datum) 0);
	LWLockAcquire(&fg_journal_shared->table_lock.lock, LW_EXCLUSIVE);
	if (journal->holds == 0 && journal->worker == 0)
	{
		journal->worker = MyProcPid;
		journal->worker_latch = MyLatch;
		done = true;
	}
	LWLockRelease(&fg_journal_shared->table_lock.lock);
	return done;
}

bool
fg_journal_worker_unwanted(void)
{
	volatile FgJournal *journal = fg_journal_own();

	return journal != NULL && journal->holds > 0;
}

static void
launcher_exit(int code, Datum arg)
{
	fg_journal_shared->launcher_latch = NULL;
}

void
fg_journal_launcher_begin(void)
{
	if (fg_journal_shared == NULL)
		return;
	before_shmem_exit(launcher_exit, (Datum) 0);
	fg_journal_shared->launcher_latch = MyLatch;
}

/* for fg_journal_visit(): the databases that have something to be read */
static void
list_databases(Oid database, FgJournalKind kind, uint64 seq, void *arg)
{
	List	  **databases = arg;

	if (kind == FG_JOURNAL_CURRENT || kind == FG_JOURNAL_OLDER || kind == FG_JOURNAL_TEMPORARY)
		*databases = list_append_unique_oid(*databases, database);
}

void
fg_journal_recover(void)
{
	List	   *databases = NIL;
	ListCell   *cell;

	if (fg_journal_shared == NULL || RecoveryInProgress())
		return;
	(void) fg_journal_visit(list_databases, &databases);
	foreach(cell, databases)
	{
		FgJournal  *journal = fg_journal_need(lfirst_oid(cell));

		if (journal != NULL)
			(void) fg_journal_scan(journal);
		else
			FG_JOURNAL_LOG(errmsg("could not read the audit journal of database %u", lfirst_oid(cell)),
						   errdetail("There are journals of %d databases, which is the maximum.",
									 FG_JOURNAL_MAX));
	}
	list_free(databases);
}

/* Is anything not imported?  Under the append lock. */
static bool
journal_has_work(FgJournal *journal)
{
	uint64		end = journal->ready ? journal->end : journal->durable_end;
	uint64		read = journal->read_seq == journal->seq ? journal->read_offset : FG_JOURNAL_BEGIN;

	return journal->n_older > 0 || end > read;
}

int
fg_journal_list(FgJournalInfo **infos)
{
	int			n = 0;

	*infos = NULL;
	if (fg_journal_shared == NULL)
		return 0;
	*infos = palloc0(FG_JOURNAL_MAX * sizeof(FgJournalInfo));
	LWLockAcquire(&fg_journal_shared->table_lock.lock, LW_SHARED);
	for (int i = 0; i < FG_JOURNAL_MAX; i++)
	{
		FgJournal  *journal = &fg_journal_shared->journals[i];
		FgJournalInfo *info = &(*infos)[n];

		if (!OidIsValid(journal->database))
			continue;
		LWLockAcquire(&journal->append_lock.lock, LW_SHARED);
		info->database = journal->database;
		info->has_work = journal_has_work(journal);
		info->appended = journal->written;
		info->commits = journal->commits;
		info->held = journal->holds > 0;
		info->worker = journal->worker;
		info->anchor = journal->anchor;
		info->oldest = journal->oldest;
		LWLockRelease(&journal->append_lock.lock);
		n++;
	}
	LWLockRelease(&fg_journal_shared->table_lock.lock);
	return n;
}
