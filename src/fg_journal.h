/*-------------------------------------------------------------------------
 *
 * fg_journal.h
 *		The audit journal: what happened, on disk before anybody is told.
 *
 * A journal is a sequence of records of one database, opaque here, in files of
 * directory pg_fortress.  Sessions append; one worker a database reads, in the
 * order of appending, and says when what it has read is safe elsewhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_JOURNAL_H
#define FG_JOURNAL_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "fg_record.h"

/* the longest payload of a record; longer ones are refused */
#define FG_JOURNAL_MAX_LENGTH	(4 * 1024 * 1024)

extern Size fg_journal_shmem_size(void);
/* In shmem_startup_hook, under AddinShmemInitLock. */
extern void fg_journal_shmem_init(void);

/* --- sessions --- */

/*
 * Appends a record to the journal of this database.  False if that is not
 * possible, which is logged and counted; never raises an error.  *ticket is
 * for fg_journal_sync().  Records with the same key "same" (0: never) may be
 * counted into one where the journal is longer than fortress.journal_max_size.
 */
extern bool fg_journal_append(const char *payload, uint32 length, uint64 same, uint64 *ticket);
/*
 * Returns when everything up to the ticket is on disk, and tells the worker;
 * false if it could not be made so, which is logged and counted.  Shares a sync
 * with whoever waits for one.  Never raises an error.
 */
extern bool fg_journal_sync(uint64 ticket);
/*
 * Both in one for the journal of another database.  The texts of the payload
 * are in the encoding of that one.
 */
extern bool fg_journal_append_elsewhere(Oid database, const char *payload, uint32 length,
										uint64 same);
/* How many records could not be written since this was last asked; 0: none. */
extern uint64 fg_journal_take_lost(void);
/* They could not be told of, either: the next one who asks is told. */
extern void fg_journal_return_lost(uint64 lost);
/*
 * Waits until all that is in the journal of this database now is imported.
 * False after "timeout_ms" without any progress.  Interruptible.
 */
extern bool fg_journal_wait_imported(int timeout_ms);
/*
 * The end of what was imported; false if it is not known.  *exact: it was set in
 * this run; else it is of an earlier one, which may have imported more.
 */
extern bool fg_journal_get_anchor(Oid database, FgAnchor *anchor, bool *exact);
/* Is a row with this incarnation from a journal of this database in this cluster? */
extern bool fg_journal_is_ours(uint64 incarnation);

/*
 * Sends the worker of a database away and keeps it away until the release, for
 * commands that need the database for themselves.  Waits for its end
 * (interruptible, at most some seconds).  The release never raises an error.
 */
extern void fg_journal_hold(Oid database);
extern void fg_journal_release(Oid database);
/* The database was dropped: its journal and files go.  Never raises an error. */
extern void fg_journal_forget(Oid database);

/* --- the worker of a database --- */

typedef enum FgJournalRead
{
	FG_JOURNAL_END,				/* no more durable records for now */
	FG_JOURNAL_RECORD,
	FG_JOURNAL_DAMAGED			/* records incarnation, number .. last_number
								 * can't be read */
} FgJournalRead;

typedef struct FgJournalRecord
{
	uint64		incarnation;
	uint64		number;			/* from 1 on in each incarnation */
	uint64		last_number;	/* for FG_JOURNAL_DAMAGED */
	uint64		times;			/* how many identical ones it stands for */
	const char *payload;		/* palloc'd or static, good until the next read */
	uint32		length;
} FgJournalRecord;

typedef struct FgJournalReader FgJournalReader;

/*
 * This process becomes the worker of MyDatabaseId; false if there is one
 * already or it is to keep away.  It ceases to be when it exits.
 */
extern bool fg_journal_worker_begin(void);
/* Has somebody called fg_journal_hold() for this database? */
extern bool fg_journal_worker_unwanted(void);

/* Reading begins behind what was imported.  In the current memory context. */
extern FgJournalReader *fg_journal_read_begin(void);
extern FgJournalRead fg_journal_read_next(FgJournalReader *reader, FgJournalRecord *record);
/*
 * All that this reader has given so far is imported and on disk.  Files that
 * are not needed any more go; who waits for the import is woken.
 */
extern void fg_journal_read_commit(FgJournalReader *reader, const FgAnchor *anchor);
extern void fg_journal_read_end(FgJournalReader *reader);
/* True when called for the first time in this run of the server, for this database. */
extern bool fg_journal_first_notice(void);
/* The oldest event of the log, so that the launcher knows when retention has work. */
extern void fg_journal_set_oldest(TimestampTz oldest);

/* --- the launcher --- */

typedef struct FgJournalInfo
{
	Oid			database;
	bool		has_work;		/* there are records, or files of an earlier run */
	uint64		appended;		/* how many records came in this run */
	uint64		commits;		/* how often fg_journal_read_commit() was called */
	bool		held;			/* fg_journal_hold() */
	pid_t		worker;			/* 0: none */
	FgAnchor	anchor;
	TimestampTz oldest;			/* of the log; 0: not known */
} FgJournalInfo;

/*
 * This process is the launcher: sessions wake it by its latch.  Once it is no
 * standby (any more), fg_journal_recover() finds the files of earlier runs.
 */
extern void fg_journal_launcher_begin(void);
extern void fg_journal_recover(void);
/* All journals, palloc'd; returns how many. */
extern int	fg_journal_list(FgJournalInfo **infos);

#endif							/* FG_JOURNAL_H */
