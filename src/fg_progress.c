/*-------------------------------------------------------------------------
 *
 * fg_progress.c
 *		fortress.progress: restores, undos, undrops and purges that are running.
 *
 * The server's own progress reports know a fixed list of commands, so there is
 * an array of the guard's own in shared memory, with one slot for each running
 * command.  Nothing depends on it: where no slot is free, or the library was not
 * preloaded, a command runs without being seen.
 *
 * Rows are counted where they pass: fortress.count_row() stands in the condition
 * of the statement that puts them back and says true to each of them.
 *
 * Locks: a slot is taken and given back under the array's lock; the owner alone
 * writes what is in it, by single words, so that a row costs no lock.  Readers
 * take the lock shared, for the slots to stay with their owners.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "fg_progress.h"
#include "fg_xact.h"

#define N_SLOTS			64
#define COMMAND_LENGTH	16

PG_FUNCTION_INFO_V1(fg_running);
PG_FUNCTION_INFO_V1(fg_count_row);

typedef struct FgProgressSlot
{
	/* under the lock */
	int			pid;			/* 0: free */
	Oid			database;
	Oid			role;			/* session user */
	TimestampTz started;
	char		command[COMMAND_LENGTH];

	/* written by the owner without it */
	pg_atomic_uint32 phase;		/* FgPhase */
	pg_atomic_uint32 relation;
	pg_atomic_uint64 total;		/* as int64; -1: not known */
	pg_atomic_uint64 done;
} FgProgressSlot;

typedef struct FgProgressShared
{
	LWLock		lock;
	int			tranche;
	FgProgressSlot slots[N_SLOTS];
} FgProgressShared;

static FgProgressShared *shared = NULL;

/* our own slot, or NULL; and the nest levels of transaction and calls */
static FgProgressSlot *mine = NULL;
static int	begun_level = 0;
static int	n_begun = 0;
static bool exit_registered = false;

static const char *const phase_names[] = {
	[FG_PHASE_READING] = "reading the archive",
	[FG_PHASE_WRITING] = "writing rows",
	[FG_PHASE_SEQUENCES] = "moving sequences",
	[FG_PHASE_MOVING] = "moving out of the trash",
	[FG_PHASE_MAKING] = "making what went with it",
	[FG_PHASE_VALIDATING] = "validating constraints and building indexes"
};

Size
fg_progress_shmem_size(void)
{
	return sizeof(FgProgressShared);
}

void
fg_progress_shmem_init(void)
{
	bool		found;

	shared = ShmemInitStruct("fortress_guard progress", sizeof(FgProgressShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(FgProgressShared));
		shared->tranche = LWLockNewTrancheId();
		LWLockInitialize(&shared->lock, shared->tranche);
		for (int i = 0; i < N_SLOTS; i++)
		{
			pg_atomic_init_u32(&shared->slots[i].phase, 0);
			pg_atomic_init_u32(&shared->slots[i].relation, InvalidOid);
			pg_atomic_init_u64(&shared->slots[i].total, 0);
			pg_atomic_init_u64(&shared->slots[i].done, 0);
		}
	}
	LWLockRegisterTranche(shared->tranche, "fortress_guard");
}

/* ----------------------------------------------------------------
 *		The owner's side
 * ----------------------------------------------------------------
 */

static void
give_back(void)
{
	if (mine != NULL)
	{
		LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
		mine->pid = 0;
		LWLockRelease(&shared->lock);
	}
	mine = NULL;
	begun_level = 0;
	n_begun = 0;
}

static void
end_transaction(XactEvent event)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		give_back();
}

static void
end_subtransaction(SubXactEvent event, int level)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && begun_level >= level)
		give_back();
}

static void
end_process(int code, Datum arg)
{
	give_back();
}

void
fg_progress_setup(void)
{
	fg_xact_register(end_transaction, end_subtransaction, 0);
}

void
fg_progress_begin(const char *command)
{
	if (n_begun++ > 0)
		return;
	begun_level = GetCurrentTransactionNestLevel();
	fg_xact_touch();
	if (shared == NULL)
		return;
	if (!exit_registered)
	{
		before_shmem_exit(end_process, (Datum) 0);
		exit_registered = true;
	}

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < N_SLOTS && mine == NULL; i++)
	{
		FgProgressSlot *slot = &shared->slots[i];

		if (slot->pid != 0)
			continue;
		slot->pid = MyProcPid;
		slot->database = MyDatabaseId;
		slot->role = GetSessionUserId();
		slot->started = GetCurrentTimestamp();
		strlcpy(slot->command, command, COMMAND_LENGTH);
		pg_atomic_write_u32(&slot->phase, FG_PHASE_READING);
		pg_atomic_write_u32(&slot->relation, InvalidOid);
		pg_atomic_write_u64(&slot->total, (uint64) -1);
		pg_atomic_write_u64(&slot->done, 0);
		mine = slot;
	}
	LWLockRelease(&shared->lock);
}

void
fg_progress_phase(FgPhase phase, Oid relid, int64 total)
{
	if (mine == NULL || n_begun > 1)
		return;
	pg_atomic_write_u64(&mine->done, 0);
	pg_atomic_write_u64(&mine->total, (uint64) total);
	pg_atomic_write_u32(&mine->relation, relid);
	pg_atomic_write_u32(&mine->phase, phase);
}

void
fg_progress_add(int64 rows)
{
	if (mine != NULL && n_begun == 1)
		pg_atomic_write_u64(&mine->done, pg_atomic_read_u64(&mine->done) + rows);
}

void
fg_progress_end(void)
{
	if (n_begun > 1)
		n_begun--;
	else
		give_back();
}

/* ----------------------------------------------------------------
 *		SQL functions
 * ----------------------------------------------------------------
 */

/*
 * count_row(): true; the row for which it is called is one more that is done
 */
Datum
fg_count_row(PG_FUNCTION_ARGS)
{
	fg_progress_add(1);
	PG_RETURN_BOOL(true);
}

/*
 * running(): (pid, role, relation, command, phase, rows_total, rows_done, started_at)
 * of this database
 */
Datum
fg_running(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FgProgressSlot *copies;
	int			n_copies = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;

	copies = palloc(sizeof(FgProgressSlot) * N_SLOTS);
	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < N_SLOTS; i++)
	{
		if (shared->slots[i].pid != 0 && shared->slots[i].database == MyDatabaseId)
			copies[n_copies++] = shared->slots[i];
	}
	LWLockRelease(&shared->lock);

	for (int i = 0; i < n_copies; i++)
	{
		FgProgressSlot *slot = &copies[i];
		Oid			relation = pg_atomic_read_u32(&slot->relation);
		int64		total = (int64) pg_atomic_read_u64(&slot->total);
		Datum		values[8];
		bool		nulls[8] = {false};

		values[0] = Int32GetDatum(slot->pid);
		values[1] = ObjectIdGetDatum(slot->role);
		nulls[1] = !OidIsValid(slot->role);
		values[2] = ObjectIdGetDatum(relation);
		nulls[2] = !OidIsValid(relation);
		values[3] = CStringGetTextDatum(slot->command);
		values[4] = CStringGetTextDatum(phase_names[pg_atomic_read_u32(&slot->phase)]);
		values[5] = Int64GetDatum(total);
		nulls[5] = total < 0;
		values[6] = Int64GetDatum((int64) pg_atomic_read_u64(&slot->done));
		values[7] = TimestampTzGetDatum(slot->started);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	pfree(copies);
	return (Datum) 0;
}
