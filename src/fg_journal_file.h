/*-------------------------------------------------------------------------
 *
 * fg_journal_file.h
 *		Files and shared state of the audit journal: for fg_journal only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_JOURNAL_FILE_H
#define FG_JOURNAL_FILE_H

#include "postgres.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "fg_journal.h"

/* where the first record of a file is, and what the place of a record is a multiple of */
#define FG_JOURNAL_BEGIN		512
#define FG_JOURNAL_UNIT			64

/* how much room is made at once */
#define FG_JOURNAL_ROOM			(64 * 1024)

/* of the format of the files */
#define FG_JOURNAL_VERSION		1

/*
 * A line in the server log.  Never sent to the client: its socket may block,
 * and locks are held.  Without the statement, which may contain a secret, and
 * without asking for its context, which is code of others.
 */
#define FG_JOURNAL_LOG(...) \
	do { \
		ErrorContextCallback *saved_stack_ = error_context_stack; \
		error_context_stack = NULL; \
		ereport(LOG_SERVER_ONLY, __VA_ARGS__, errhidestmt(true), errhidecontext(true)); \
		error_context_stack = saved_stack_; \
	} while (0)

/* ----------
 * Files
 * ----------
 */

typedef enum FgJournalKind
{
	FG_JOURNAL_CURRENT,			/* N.journal: sessions append to it */
	FG_JOURNAL_OLDER,			/* N.journal.SEQ: is only read */
	FG_JOURNAL_TEMPORARY,		/* N.journal.tmp: is being made */
	FG_JOURNAL_BROKEN,			/* N.journal.SEQ.damaged: kept for people */
	FG_JOURNAL_FOREIGN			/* N.journal.SEQ.foreign: kept for people */
} FgJournalKind;

/* the first FG_JOURNAL_BEGIN bytes of a file, in one sector */
typedef struct FgJournalFileHeader
{
	uint64		magic;
	uint32		version;
	uint32		crc;			/* of all of it, this being 0 */
	uint64		system;			/* identifier of the cluster */
	uint64		incarnation;
	TimestampTz created;
	Oid			database;
	uint32		unused;
	FgAnchor	anchor;
	char		rest[FG_JOURNAL_BEGIN - 48 - sizeof(FgAnchor)];
} FgJournalFileHeader;

/* before each payload; never crosses a sector */
typedef struct FgJournalRecordHeader
{
	uint32		magic;
	uint32		crc;			/* of this header, this being 0 */
	uint32		length;			/* of the payload */
	uint32		payload_crc;
	uint64		number;
	uint64		incarnation;
	uint64		times;
	uint64		same;			/* see fg_journal_append() */
	uint64		first;			/* number of the first record of the file, since
								 * what was imported was cleared */
	uint64		offset;			/* where this header is in the file */
} FgJournalRecordHeader;

/* while true, what fails on a file is not logged */
extern bool fg_journal_quiet;

extern void fg_journal_path(char *path, Oid database, FgJournalKind kind, uint64 seq);
typedef void (*FgJournalVisitor) (Oid database, FgJournalKind kind, uint64 seq, void *arg);
/* Calls it for each file of all journals; false if they can't be listed. */
extern bool fg_journal_visit(FgJournalVisitor visitor, void *arg);

/* Logs that something failed, unless told otherwise, and leaves errno. */
extern void fg_journal_complain(const char *action, const char *path);
/* These do so by themselves. */
extern int	fg_journal_open(const char *path, int flags);
extern bool fg_journal_write(int fd, const char *path, const void *data, Size size, uint64 offset);
/* Writes zeroes. */
extern bool fg_journal_clear(int fd, const char *path, uint64 offset, uint64 end);
/*
 * Makes room for more behind what is written; returns the new size.  It is no
 * harm if it can't, so nothing is logged.
 */
extern uint64 fg_journal_extend(int fd, const char *path, uint64 end);
extern bool fg_journal_truncate(int fd, const char *path, uint64 size);
extern bool fg_journal_rename(const char *from, const char *to);
extern bool fg_journal_remove(const char *path);
extern bool fg_journal_flush(int fd, const char *path);
extern bool fg_journal_flush_directory(void);
/* The size of a file; 0 if there is none. */
extern uint64 fg_journal_size(const char *path);

extern void fg_journal_header_fill(FgJournalFileHeader *header, Oid database,
								   uint64 incarnation, const FgAnchor *anchor);
/* False if the file has no valid header. */
extern bool fg_journal_header_read(const char *path, FgJournalFileHeader *header);

/* The room that a record takes. */
extern uint64 fg_journal_record_size(uint32 length);
extern void fg_journal_record_seal(FgJournalRecordHeader *header);
extern bool fg_journal_record_valid(const FgJournalRecordHeader *header, uint64 offset);
extern uint32 fg_journal_crc(const char *payload, uint32 length);
/*
 * Copies the records from "offset" to "end" of a file to the beginning of
 * another one; *first is the number of the first one (not set if there is
 * none), *new_end their end there.
 */
extern bool fg_journal_copy(const char *from_path, uint64 offset, uint64 end,
							int to_fd, const char *to_path, uint64 *first, uint64 *new_end);

/* ----------
 * Shared state
 * ----------
 */

#define FG_JOURNAL_SLOTS		64
#define FG_JOURNAL_RANGES		16

/* a record that others of its kind are counted into */
typedef struct FgJournalSlot
{
	uint64		same;			/* 0: free */
	uint64		offset;			/* in the current file */
	uint64		stamp;			/* write that used it last */
} FgJournalSlot;

/* writes after + 1 .. upto */
typedef struct FgJournalRange
{
	uint64		after;
	uint64		upto;
} FgJournalRange;

/*
 * The journal of a database.  "Files" means: read under the append lock or the
 * sync lock, changed under both.
 *
 * A write is an event that came in, whether it made a record or was counted
 * into one.  Writes are numbered, and so is known what a sync has covered.
 */
typedef struct FgJournal
{
	/* table lock */
	Oid			database;		/* InvalidOid: free */
	bool		needed;			/* has more to it than holds */
	int			holds;
	pid_t		worker;			/* 0: none */

	LWLockPadded sync_lock;
	LWLockPadded append_lock;
	ConditionVariable imported_cv;	/* something was imported */

	/* files */
	bool		scanned;		/* files of earlier runs are known */
	bool		ready;			/* the current file can be appended to */
	uint64		seq;			/* the current file's, when it will be older */
	uint64		incarnation;	/* 0: no file was begun yet */

	/* append lock: older files */
	int			n_older;
	uint64		older_size;

	/* append lock: the current file */
	uint64		end;
	uint64		allocated;		/* zeroes follow up to here */
	uint64		first;			/* number of its first record */
	uint64		last_number;
	uint64		durable_end;	/* what is before it is on disk */
	uint64		durable_number; /* the last record before that */
	uint64		dirty_from;		/* first record that was counted into since the
								 * last sync; PG_UINT64_MAX: none */
	uint64		frozen;			/* records before it do not change any more */
	FgJournalSlot slots[FG_JOURNAL_SLOTS];

	/* append lock: writes */
	uint64		written;
	pg_atomic_uint64 settled;	/* writes known to be on disk, or to have failed;
								 * read without lock */
	int			n_failed;		/* read without lock once "settled" is high
								 * enough */
	FgJournalRange failed[FG_JOURNAL_RANGES];

	/* append lock: what was imported */
	uint64		read_seq;		/* how far: file and place in it */
	uint64		read_offset;
	bool		read_damaged;	/* that file is */
	uint64		own_number;		/* last record of our incarnation */
	uint64		other_incarnation;	/* last record of an earlier one; 0: none */
	uint64		other_number;
	uint64		commits;
	FgAnchor	anchor;
	bool		anchor_exact;	/* set in this run */
	TimestampTz oldest;

	/* append lock: losses */
	uint64		unlogged;		/* since the log was last told */
	TimestampTz logged_at;		/* 0: never */
	pg_atomic_uint64 lost;		/* since fg_journal_take_lost(); no lock */

	pg_atomic_flag noticed;		/* fg_journal_first_notice(); no lock */
	Latch	   *worker_latch;	/* set under the table lock, read without: a latch
								 * that is somebody else's by now is set for
								 * nothing */
} FgJournal;

#define FG_JOURNAL_MAX			1000

typedef struct FgJournalShared
{
	int			tranche;		/* set at start */
	LWLockPadded table_lock;
	Latch	   *launcher_latch; /* see worker_latch */
	pg_atomic_uint64 lost;		/* of databases for which there was no room */
	pg_atomic_uint64 logged_at; /* when the log was told about them */
	FgJournal	journals[FG_JOURNAL_MAX];
} FgJournalShared;

/* NULL if the library was not preloaded */
extern FgJournalShared *fg_journal_shared;

/* The journal of a database, or NULL.  Under the table lock. */
extern FgJournal *fg_journal_find(Oid database);
/* The same, made if there is room.  Under the table lock, exclusively. */
extern FgJournal *fg_journal_enter(Oid database);
/* The journal of a database, made to stay; NULL if there is no room. */
extern FgJournal *fg_journal_need(Oid database);
/* As new, but for the holds.  Under all of its locks. */
extern void fg_journal_reset(FgJournal *journal);
/* Frees a journal that nobody holds or needs.  Under the table lock. */
extern void fg_journal_drop(FgJournal *journal);
/* Take and release the sync lock and the append lock. */
extern void fg_journal_lock(FgJournal *journal);
extern void fg_journal_unlock(FgJournal *journal);
extern void fg_journal_wake_launcher(void);
/* Or the launcher, if there is none. */
extern void fg_journal_wake_worker(FgJournal *journal);

/* The journal of this database; NULL if there is no room for it. */
extern FgJournal *fg_journal_own(void);
/* Makes the files of earlier runs known; false if it can't be done. */
extern bool fg_journal_scan(FgJournal *journal);
/* Makes the current file one that can be appended to.  Under both locks. */
extern bool fg_journal_begin(FgJournal *journal);
/* Begins a new current file.  Under both locks. */
extern bool fg_journal_new_file(FgJournal *journal, uint64 copy_from);
extern void fg_journal_clear_slots(FgJournal *journal);
/*
 * Syncs what sessions have written and not synced, and begins a new file if
 * the current one was given up or removed.
 */
extern void fg_journal_mend(FgJournal *journal);

#endif							/* FG_JOURNAL_FILE_H */
