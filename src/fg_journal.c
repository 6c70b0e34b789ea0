/*-------------------------------------------------------------------------
 *
 * fg_journal.c
 *		The audit journal: what happened, on disk before anybody is told.
 *
 * A refused statement rolls back, so its record can't be written by its own
 * transaction.  It goes into a file first, from where a worker brings it into
 * the audit log.
 *
 * Nobody ever appends to a file of an earlier run of the server: the first
 * need renames it, and a new file with a new incarnation begins.  So a torn
 * end, a promoted standby, a clone and a restored backup are all the same
 * thing, files to be imported, and whoever imports tells what it has already
 * by incarnation and number.
 *
 * Records are written one after another, and synced by one session for all
 * that wait meanwhile, as WAL is.  After a failed sync the file is never
 * trusted again, as the kernel may have dropped what it could not write and
 * say that all is well the next time: what was not yet on disk is copied into
 * a new file, and only if that fails too have these events been lost.
 *
 * Beyond fortress.journal_max_size events of the same kind are counted into
 * one record, whose header is rewritten in place; the reader freezes records
 * before it reads them, so that no event is counted into a record that was
 * imported.  At twice that size nothing more is taken.
 *
 * What can't be recorded is counted and logged, now and then; nothing here
 * raises an error in a session that records, or waits for a worker.
 *
 * Locks, in the order in which they are taken: the table lock protects which
 * journals there are, their holds and workers; then each journal has a sync
 * lock, held by whoever syncs, and an append lock, held by whoever writes.
 * What identifies the current file changes only under both, so that a file can
 * be synced without keeping others from appending to it.  See
 * fg_journal_file.h for each field.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "fg_guc.h"
#include "fg_journal.h"
#include "fg_journal_file.h"

/* a current file that is longer becomes an older one */
#define ROTATE_SIZE			(16 * 1024 * 1024)
/* between two lines in the log about lost events */
#define COMPLAIN_USECS		(10 * USECS_PER_SEC)

typedef enum FgWrite
{
	FG_WRITE_DONE,
	FG_WRITE_NO_FILE,			/* the current file can't be opened */
	FG_WRITE_FAILED,
	FG_WRITE_FULL				/* the journal is as large as it may be */
} FgWrite;

FgJournalShared *fg_journal_shared = NULL;

/* the journal of this session's database, which stays as long as the session */
static FgJournal *own_journal = NULL;

/* the first write of this session that it has not asked a sync for; 0: none */
static uint64 first_unsynced = 0;

static FgWrite write_record(FgJournal *journal, const char *payload, uint32 length, uint64 same);
static bool count_record(FgJournal *journal, uint64 same);
static void enter_slot(FgJournal *journal, uint64 same, uint64 offset);
static void sync_writes(FgJournal *journal);
static bool writes_failed(FgJournal *journal, uint64 first, uint64 last);
static bool complaint_due(TimestampTz logged_at);
static uint64 losses_due(FgJournal *journal, uint64 lost);
static void log_losses(Oid database, uint64 lost, bool full);

/* ----------------------------------------------------------------
 *		Shared memory
 * ----------------------------------------------------------------
 */

Size
fg_journal_shmem_size(void)
{
	return MAXALIGN(sizeof(FgJournalShared));
}

void
fg_journal_shmem_init(void)
{
	bool		found;

	fg_journal_shared = ShmemInitStruct("fortress_guard journals", sizeof(FgJournalShared), &found);
	if (!found)
	{
		memset(fg_journal_shared, 0, sizeof(*fg_journal_shared));
		fg_journal_shared->tranche = LWLockNewTrancheId();
		LWLockInitialize(&fg_journal_shared->table_lock.lock, fg_journal_shared->tranche);
		pg_atomic_init_u64(&fg_journal_shared->lost, 0);
		pg_atomic_init_u64(&fg_journal_shared->logged_at, 0);
		for (int i = 0; i < FG_JOURNAL_MAX; i++)
		{
			FgJournal  *journal = &fg_journal_shared->journals[i];

			LWLockInitialize(&journal->sync_lock.lock, fg_journal_shared->tranche);
			LWLockInitialize(&journal->append_lock.lock, fg_journal_shared->tranche);
			ConditionVariableInit(&journal->imported_cv);
			pg_atomic_init_u64(&journal->settled, 0);
			pg_atomic_init_u64(&journal->lost, 0);
			pg_atomic_init_flag(&journal->noticed);
		}
	}
	LWLockRegisterTranche(fg_journal_shared->tranche, "fortress_guard journal");
}

/* The journal of a database, or NULL.  Under the table lock. */
FgJournal *
fg_journal_find(Oid database)
{
	for (int i = 0; i < FG_JOURNAL_MAX; i++)
	{
		if (fg_journal_shared->journals[i].database == database)
			return &fg_journal_shared->journals[i];
	}
	return NULL;
}

/* The same, made if there is room.  Under the table lock, exclusively. */
FgJournal *
fg_journal_enter(Oid database)
{
	FgJournal  *journal = fg_journal_find(database);

	if (journal == NULL)
	{
		journal = fg_journal_find(InvalidOid);
		if (journal == NULL)
			return NULL;
		fg_journal_reset(journal);
		journal->database = database;
	}
	return journal;
}

/* The journal of a database, made to stay; NULL if there is no room. */
FgJournal *
fg_journal_need(Oid database)
{
	FgJournal  *journal;

	LWLockAcquire(&fg_journal_shared->table_lock.lock, LW_SHARED);
	journal = fg_journal_find(database);
	if (journal == NULL || !journal->needed)
	{
		LWLockRelease(&fg_journal_shared->table_lock.lock);
		LWLockAcquire(&fg_journal_shared->table_lock.lock, LW_EXCLUSIVE);
		journal = fg_journal_enter(database);
		if (journal != NULL)
			journal->needed = true;
	}
	LWLockRelease(&fg_journal_shared->table_lock.lock);
	return journal;
}

/* All but the locks and the condition variable, and what the holds are. */
void
fg_journal_reset(FgJournal *journal)
{
	journal->needed = false;
	journal->scanned = false;
	journal->ready = false;
	journal->seq = 0;
	journal->incarnation = 0;
	journal->n_older = 0;
	journal->older_size = 0;
	journal->end = 0;
	journal->allocated = 0;
	journal->first = 0;
	journal->last_number = 0;
	journal->durable_end = 0;
	journal->durable_number = 0;
	journal->dirty_from = PG_UINT64_MAX;
	journal->frozen = 0;
	fg_journal_clear_slots(journal);
	/* a ticket is never given twice: somebody may be waiting for one */
	pg_atomic_write_u64(&journal->settled, journal->written);
	journal->n_failed = 0;
	journal->read_seq = 0;
	journal->read_offset = 0;
	journal->read_damaged = false;
	journal->own_number = 0;
	journal->other_incarnation = 0;
	journal->other_number = 0;
	journal->commits = 0;
	memset(&journal->anchor, 0, sizeof(journal->anchor));
	journal->anchor_exact = false;
	journal->oldest = 0;
	journal->unlogged = 0;
	journal->logged_at = 0;
	pg_atomic_write_u64(&journal->lost, 0);
	pg_atomic_clear_flag(&journal->noticed);
}

/* Frees a journal that nobody holds or needs.  Under the table lock. */
void
fg_journal_drop(FgJournal *journal)
{
	if (!journal->needed && journal->holds == 0 && journal->worker == 0)
		journal->database = InvalidOid;
}

FgJournal *
fg_journal_own(void)
{
	if (own_journal != NULL && own_journal->database != MyDatabaseId)
	{
		/* it went with the extension, which may be here again */
		own_journal = NULL;
		first_unsynced = 0;
	}
	if (own_journal == NULL && fg_journal_shared != NULL && OidIsValid(MyDatabaseId))
		own_journal = fg_journal_need(MyDatabaseId);
	return own_journal;
}

void
fg_journal_lock(FgJournal *journal)
{
	LWLockAcquire(&journal->sync_lock.lock, LW_EXCLUSIVE);
	LWLockAcquire(&journal->append_lock.lock, LW_EXCLUSIVE);
}

void
fg_journal_unlock(FgJournal *journal)
{
	LWLockRelease(&journal->append_lock.lock);
	LWLockRelease(&journal->sync_lock.lock);
}

void
fg_journal_clear_slots(FgJournal *journal)
{
	memset(journal->slots, 0, sizeof(journal->slots));
}

/* ----------------------------------------------------------------
 *		Losses
 * ----------------------------------------------------------------
 */

static bool
complaint_due(TimestampTz logged_at)
{
	TimestampTz now;

	if (logged_at == 0)
		return true;
	now = GetCurrentTimestamp();
	return now < logged_at || now - logged_at >= COMPLAIN_USECS;
}

/*
 * Counts writes that could not be made.  Returns how many losses the log is to
 * be told about now.  Under the append lock.
 */
static uint64
losses_due(FgJournal *journal, uint64 lost)
{
	uint64		due;

	if (lost > 0)
	{
		journal->unlogged += lost;
		pg_atomic_fetch_add_u64(&journal->lost, lost);
	}
	if (journal->unlogged == 0 || !complaint_due(journal->logged_at))
		return 0;
	due = journal->unlogged;
	journal->unlogged = 0;
	journal->logged_at = GetCurrentTimestamp();
	return due;
}

static void
log_losses(Oid database, uint64 lost, bool full)
{
	if (lost > 0)
		FG_JOURNAL_LOG(errcode(ERRCODE_IO_ERROR),
					   errmsg("could not record " UINT64_FORMAT " events in the audit journal of database %u",
							  lost, database),
					   full ? errdetail("The journal is twice as long as fortress.journal_max_size.") : 0,
					   errhint("What is refused is refused all the same.  Make room for directory \"pg_fortress\", and see that the auditor of the database can work."));
}

static pg_atomic_uint64 *
loss_counter(void)
{
	return own_journal != NULL ? &own_journal->lost : &fg_journal_shared->lost;
}

uint64
fg_journal_take_lost(void)
{
	if (fg_journal_shared == NULL || pg_atomic_read_u64(loss_counter()) == 0)
		return 0;
	return pg_atomic_exchange_u64(loss_counter(), 0);
}

void
fg_journal_return_lost(uint64 lost)
{
	if (fg_journal_shared != NULL)
		pg_atomic_fetch_add_u64(loss_counter(), lost);
}

/* ----------------------------------------------------------------
 *		Append
 * ----------------------------------------------------------------
 */

/*
 * Counts an event into a record of its kind, if there is one that the reader
 * has not come to.  Under the append lock.
 */
static bool
count_record(FgJournal *journal, uint64 same)
{
	FgJournalSlot *slot = NULL;
	FgJournalRecordHeader header;
	char		path[MAXPGPATH];
	bool		done = false;
	int			fd;

	for (int i = 0; i < FG_JOURNAL_SLOTS && slot == NULL; i++)
	{
		if (journal->slots[i].same == same)
			slot = &journal->slots[i];
	}
	if (slot == NULL)
		return false;

	fg_journal_path(path, journal->database, FG_JOURNAL_CURRENT, 0);
	fd = fg_journal_open(path, O_RDWR);
	if (fd < 0)
		return false;
	if (pg_pread(fd, &header, sizeof(header), (off_t) slot->offset) == sizeof(header) &&
		fg_journal_record_valid(&header, slot->offset) && header.same == same)
	{
		header.times++;
		fg_journal_record_seal(&header);
		done = fg_journal_write(fd, path, &header, sizeof(header), slot->offset);
	}
	close(fd);
	if (done)
	{
		journal->written++;
		journal->dirty_from = Min(journal->dirty_from, slot->offset);
		slot->stamp = journal->written;
	}
	else
		slot->same = 0;
	return done;
}

/* Others of its kind may be counted into this record.  Under the append lock. */
static void
enter_slot(FgJournal *journal, uint64 same, uint64 offset)
{
	FgJournalSlot *slot = &journal->slots[0];

	for (int i = 1; i < FG_JOURNAL_SLOTS && slot->same != 0; i++)
	{
		if (journal->slots[i].same == 0 || journal->slots[i].stamp < slot->stamp)
			slot = &journal->slots[i];
	}
	slot->same = same;
	slot->offset = offset;
	slot->stamp = journal->written;
}

/*
 * Writes a record at the end of the current file, or counts it into another.
 * Under the append lock.
 */
static FgWrite
write_record(FgJournal *journal, const char *payload, uint32 length, uint64 same)
{
	static char small_buffer[8 * 1024];
	uint64		max_size = (uint64) fg_journal_max_size * 1024;
	uint64		size = fg_journal_record_size(length);
	uint64		total = journal->older_size + journal->end + size;
	FgJournalRecordHeader header = {0};
	char		path[MAXPGPATH];
	char	   *buffer = small_buffer;
	bool		done;
	int			fd;

	if (same != 0 && total > max_size && count_record(journal, same))
		return FG_WRITE_DONE;
	if (total > 2 * max_size)
		return FG_WRITE_FULL;

	header.number = journal->last_number + 1;
	header.incarnation = journal->incarnation;
	header.times = 1;
	header.same = same;
	header.first = journal->first;
	header.offset = journal->end;
	header.length = length;
	header.payload_crc = fg_journal_crc(payload, length);
	fg_journal_record_seal(&header);
	if (size > sizeof(small_buffer) && (buffer = malloc(size)) == NULL)
		return FG_WRITE_FAILED;
	memcpy(buffer, &header, sizeof(header));
	memcpy(buffer + sizeof(header), payload, length);
	memset(buffer + sizeof(header) + length, 0, size - sizeof(header) - length);

	fg_journal_path(path, journal->database, FG_JOURNAL_CURRENT, 0);
	fd = fg_journal_open(path, O_RDWR);
	done = fd >= 0 && fg_journal_write(fd, path, buffer, size, journal->end);
	if (buffer != small_buffer)
		free(buffer);
	if (fd < 0)
		return errno == ENOENT ? FG_WRITE_NO_FILE : FG_WRITE_FAILED;
	if (!done)
	{
		/* what follows the last record are zeroes, or nothing */
		(void) fg_journal_truncate(fd, path, journal->end);
		journal->allocated = journal->end;
		close(fd);
		return FG_WRITE_FAILED;
	}
	journal->last_number = header.number;
	journal->end += size;
	if (journal->end > journal->allocated)
		journal->allocated = fg_journal_extend(fd, path, journal->end);
	close(fd);
	journal->written++;
	if (same != 0 && total > max_size)
		enter_slot(journal, same, header.offset);
	return FG_WRITE_DONE;
}

/* There is no room for a journal of this database, so the event is lost. */
static void
lose_event(Oid database)
{
	pg_atomic_fetch_add_u64(&fg_journal_shared->lost, 1);
	if (complaint_due((TimestampTz) pg_atomic_read_u64(&fg_journal_shared->logged_at)))
	{
		pg_atomic_write_u64(&fg_journal_shared->logged_at, (uint64) GetCurrentTimestamp());
		FG_JOURNAL_LOG(errmsg("could not record events of database %u", database),
					   errdetail("There are journals of %d databases, which is the maximum.",
								 FG_JOURNAL_MAX));
	}
}

/* Appends a record to a journal; *ticket is the number of the write. */
static bool
append_to(FgJournal *journal, const char *payload, uint32 length, uint64 same, uint64 *ticket)
{
	FgWrite		result = FG_WRITE_FAILED;
	uint64		due;

	HOLD_INTERRUPTS();
	LWLockAcquire(&journal->append_lock.lock, LW_EXCLUSIVE);
	fg_journal_quiet = !complaint_due(journal->logged_at);
	if (length > FG_JOURNAL_MAX_LENGTH)
	{
		if (!fg_journal_quiet)
			FG_JOURNAL_LOG(errmsg("an event of %u bytes is too long for the audit journal", length));
	}
	else
	{
		uint64		seq = journal->seq;

		if (journal->ready)
			result = write_record(journal, payload, length, same);
		if (!journal->ready || result == FG_WRITE_NO_FILE)
		{
			LWLockRelease(&journal->append_lock.lock);
			fg_journal_lock(journal);
			if (result == FG_WRITE_NO_FILE && seq == journal->seq)
				journal->ready = false;
			if (journal->ready || fg_journal_begin(journal))
				result = write_record(journal, payload, length, same);
			LWLockRelease(&journal->sync_lock.lock);
		}
	}
	if (result == FG_WRITE_DONE)
		*ticket = journal->written;
	due = losses_due(journal, result == FG_WRITE_DONE ? 0 : 1);
	fg_journal_quiet = false;
	LWLockRelease(&journal->append_lock.lock);

	log_losses(journal->database, due, result == FG_WRITE_FULL);
	RESUME_INTERRUPTS();
	return result == FG_WRITE_DONE;
}

bool
fg_journal_append(const char *payload, uint32 length, uint64 same, uint64 *ticket)
{
	FgJournal  *journal;

	*ticket = 0;
	if (fg_journal_shared == NULL || !OidIsValid(MyDatabaseId) || RecoveryInProgress())
		return false;
	journal = fg_journal_own();
	if (journal == NULL)
	{
		lose_event(MyDatabaseId);
		return false;
	}
	if (!append_to(journal, payload, length, same, ticket))
		return false;
	if (first_unsynced == 0)
		first_unsynced = *ticket;
	return true;
}

/* ----------------------------------------------------------------
 *		Sync
 * ----------------------------------------------------------------
 */

/*
 * Settles all that is written: it is on disk, or has failed.  Under the sync
 * lock.
 */
static void
sync_writes(FgJournal *journal)
{
	LWLock	   *append_lock = &journal->append_lock.lock;
	char		path[MAXPGPATH];
	uint64		target;
	uint64		end;
	uint64		number;
	uint64		dirty_from;
	uint64		due;
	bool		done = false;
	int			fd = -1;

	LWLockAcquire(append_lock, LW_EXCLUSIVE);
	target = journal->written;
	end = journal->end;
	number = journal->last_number;
	dirty_from = journal->dirty_from;
	journal->dirty_from = PG_UINT64_MAX;
	fg_journal_quiet = !complaint_due(journal->logged_at);
	fg_journal_path(path, journal->database, FG_JOURNAL_CURRENT, 0);
	if (journal->ready)
		fd = fg_journal_open(path, O_RDWR);
	LWLockRelease(append_lock);

	if (fd >= 0)
	{
		pgstat_report_wait_start(PG_WAIT_EXTENSION);
		done = fg_journal_flush(fd, path);
		pgstat_report_wait_end();
	}

	LWLockAcquire(append_lock, LW_EXCLUSIVE);
	if (done && end >= ROTATE_SIZE)
	{
		/* the next file begins when all of this one is on disk */
		target = journal->written;
		end = journal->end;
		number = journal->last_number;
		done = fg_journal_flush(fd, path);
		if (done)
			journal->dirty_from = PG_UINT64_MAX;
	}
	if (done)
	{
		journal->durable_end = end;
		journal->durable_number = number;
		pg_atomic_write_u64(&journal->settled, target);
		if (end >= ROTATE_SIZE)
			(void) fg_journal_new_file(journal, PG_UINT64_MAX);
	}
	else
	{
		journal->dirty_from = Min(journal->dirty_from, dirty_from);
		(void) fg_journal_begin(journal);
	}
	due = losses_due(journal, 0);
	fg_journal_quiet = false;
	LWLockRelease(append_lock);

	if (fd >= 0)
		close(fd);
	log_losses(journal->database, due, false);
	fg_journal_wake_worker(journal);
}

/*
 * Has one of these writes failed?  They are settled.
 */
static bool
writes_failed(FgJournal *journal, uint64 first, uint64 last)
{
	bool		failed = false;

	pg_read_barrier();
	if (journal->n_failed == 0)
		return false;
	LWLockAcquire(&journal->append_lock.lock, LW_SHARED);
	for (int i = 0; i < journal->n_failed && !failed; i++)
		failed = journal->failed[i].after < last && journal->failed[i].upto >= first;
	LWLockRelease(&journal->append_lock.lock);
	return failed;
}

/* Returns when the writes first .. last are settled: are they on disk? */
static bool
sync_to(FgJournal *journal, uint64 first, uint64 last)
{
	bool		forgotten = false;

	HOLD_INTERRUPTS();
	/* what was written may be gone, if the extension was dropped meanwhile */
	while (!forgotten && pg_atomic_read_u64(&journal->settled) < last)
	{
		/* whoever has the lock may be syncing what was written before ours */
		if (!LWLockAcquireOrWait(&journal->sync_lock.lock, LW_EXCLUSIVE))
			continue;
		if (pg_atomic_read_u64(&journal->settled) < last)
			sync_writes(journal);
		forgotten = pg_atomic_read_u64(&journal->settled) < last;
		LWLockRelease(&journal->sync_lock.lock);
	}
	RESUME_INTERRUPTS();
	return !forgotten && !writes_failed(journal, first, last);
}

/*
 * What this session has written since its last sync counts, too.
 */
bool
fg_journal_sync(uint64 ticket)
{
	uint64		first = ticket;

	if (ticket == 0)
		return true;
	if (own_journal == NULL)
		return false;
	if (first_unsynced != 0 && first_unsynced < ticket)
		first = first_unsynced;
	first_unsynced = 0;
	return sync_to(own_journal, first, ticket);
}

bool
fg_journal_append_elsewhere(Oid database, const char *payload, uint32 length, uint64 same)
{
	FgJournal  *journal;
	uint64		ticket;

	if (fg_journal_shared == NULL || RecoveryInProgress())
		return false;
	journal = fg_journal_need(database);
	if (journal == NULL)
	{
		lose_event(database);
		return false;
	}
	return append_to(journal, payload, length, same, &ticket) &&
		sync_to(journal, ticket, ticket);
}

void
fg_journal_mend(FgJournal *journal)
{
	char		path[MAXPGPATH];
	bool		outstanding;
	bool		removed;
	bool		broken;
	uint64		seq;

	LWLockAcquire(&journal->append_lock.lock, LW_SHARED);
	fg_journal_path(path, journal->database, FG_JOURNAL_CURRENT, 0);
	outstanding = journal->written > pg_atomic_read_u64(&journal->settled);
	removed = journal->ready && access(path, F_OK) != 0 && errno == ENOENT;
	broken = !journal->ready && journal->incarnation != 0;
	seq = journal->seq;
	LWLockRelease(&journal->append_lock.lock);

	if (!outstanding && !removed && !broken)
		return;
	LWLockAcquire(&journal->sync_lock.lock, LW_EXCLUSIVE);
	if (removed || broken)
	{
		LWLockAcquire(&journal->append_lock.lock, LW_EXCLUSIVE);
		fg_journal_quiet = !complaint_due(journal->logged_at);
		if (removed && seq == journal->seq)
			journal->ready = false;
		if (!journal->ready)
			(void) fg_journal_begin(journal);
		fg_journal_quiet = false;
		LWLockRelease(&journal->append_lock.lock);
	}
	else if (pg_atomic_read_u64(&journal->settled) < journal->written)
		sync_writes(journal);
	LWLockRelease(&journal->sync_lock.lock);
}

void
fg_journal_wake_launcher(void)
{
	Latch	   *latch = fg_journal_shared->launcher_latch;

	if (latch != NULL)
		SetLatch(latch);
}

void
fg_journal_wake_worker(FgJournal *journal)
{
	Latch	   *latch = journal->worker_latch;

	if (latch != NULL)
		SetLatch(latch);
	else
		fg_journal_wake_launcher();
}
