/*-------------------------------------------------------------------------
 *
 * fg_journal_read.c
 *		Reading the audit journal, whatever state its files are in.
 *
 * Only the end of a file can be cut off by a crash, and nobody was told that
 * those records are safe: such an end is logged and forgotten.  What is missing
 * anywhere else, or before the end of what was synced in this run, is damage
 * and is told.  The bytes of a file are never trusted: each length is checked
 * before it is used, and after damage the next record is looked for, so that
 * nothing else is lost.
 *
 * A file with damage, and one that belongs to another cluster or database, is
 * renamed and kept for people to look at.
 *
 * Records may be given twice: after a crash, as the files of the last run are
 * read from their beginning, and after a failed sync.  Whoever imports tells
 * by incarnation and number.
 *
 * Locks: the reader is private to its process, the only worker of its
 * database.  It reads the current file only up to what is synced, and before
 * that declares the records there frozen under the append lock, so that what
 * it reads does not change under its eyes.  Files are renamed under both locks
 * of a journal, and so opened by their name under one of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "fg_journal_file.h"

/* what the reader reads at once */
#define CHUNK_SIZE			(64 * 1024)
/* what a disk that can't read something can't read at least */
#define DISK_PAGE			4096

/* a file that was read whole, until that is committed */
typedef struct FgReadFile
{
	uint64		seq;
	bool		damaged;
	bool		gone;			/* nothing is left to be done with it */
	bool		missing;		/* there was none */
} FgReadFile;

struct FgJournalReader
{
	MemoryContext context;		/* of all of it */
	MemoryContextCallback callback;
	FgJournal  *journal;

	/* which files: first these, ascending, then next_seq and on */
	uint64	   *older;
	int			n_older;
	int			i_older;
	uint64		next_seq;
	uint64		start_seq;		/* where the last import ended */
	uint64		start_offset;
	bool		start_damaged;

	/* the file being read */
	int			fd;				/* -1: none */
	char		path[MAXPGPATH];
	uint64		seq;
	uint64		offset;			/* next record */
	uint64		limit;			/* nothing is read from here on */
	bool		current;		/* sessions append to it; what is before the
								 * limit is known to have been written */
	uint64		last_number;	/* if current: of the last record before that */
	bool		damaged;
	bool		any;			/* a record of it has been found */

	/* bytes of it */
	char	   *buffer;
	Size		buffer_size;
	uint64		buffer_begin;
	Size		buffer_length;

	/* last numbers given */
	uint64		own_incarnation;
	uint64		own_number;
	uint64		other_incarnation;
	uint64		other_number;

	/* since the last commit */
	bool		changed;
	List	   *read;			/* of FgReadFile * */
};

static const char *reader_fetch(FgJournalReader *reader, uint64 offset, Size length);
static bool reader_find(FgJournalReader *reader, uint64 *offset, FgJournalRecordHeader *header);
static uint64 *reader_number(FgJournalReader *reader, uint64 incarnation);
static void reader_saw(FgJournalReader *reader, uint64 incarnation, uint64 number);
static FgJournalRead reader_missing(FgJournalReader *reader, uint64 incarnation,
									uint64 number, uint64 last_number, FgJournalRecord *record);
static FgJournalRead reader_scan(FgJournalReader *reader, FgJournalRecord *record);
static bool reader_torn(FgJournalReader *reader, uint64 offset, const FgJournalRecordHeader *header);
static FgJournalRead reader_tail(FgJournalReader *reader, FgJournalRecord *record);
static bool reader_open(FgJournalReader *reader);
static bool reader_open_older(FgJournalReader *reader, uint64 seq);
static bool reader_extend(FgJournalReader *reader);
static void reader_finish(FgJournalReader *reader, uint64 seq, bool gone, bool missing);
static void reader_close(void *arg);
static bool forget_records(FgJournal *journal, int fd, const char *path);
static void list_older(Oid database, FgJournalKind kind, uint64 seq, void *arg);
static int	compare_seq(const void *a, const void *b);

/* ----------------------------------------------------------------
 *		Records of one file
 * ----------------------------------------------------------------
 */

/*
 * Bytes of the file, good until the next call; NULL if they can't be read or
 * are not there.
 */
static const char *
reader_fetch(FgJournalReader *reader, uint64 offset, Size length)
{
	Size		wanted = Max(length, CHUNK_SIZE);

	if (offset + length > reader->limit)
		return NULL;
	if (offset >= reader->buffer_begin &&
		offset + length <= reader->buffer_begin + reader->buffer_length)
		return reader->buffer + (offset - reader->buffer_begin);

	if (wanted > reader->buffer_size)
	{
		reader->buffer_length = 0;
		reader->buffer = repalloc(reader->buffer, wanted);
		reader->buffer_size = wanted;
	}
	for (;;)
	{
		Size		done = 0;
		ssize_t		n = 0;

		wanted = Min(wanted, reader->limit - offset);
		while (done < wanted)
		{
			n = pg_pread(reader->fd, reader->buffer + done, wanted - done,
						 (off_t) (offset + done));
			if (n > 0)
				done += n;
			else if (n == 0 || errno != EINTR)
				break;
		}
		reader->buffer_begin = offset;
		reader->buffer_length = done;
		if (done >= length)
			return reader->buffer;
		if (n == 0 || wanted == length)
		{
			if (n < 0)
				fg_journal_complain("read", reader->path);
			return NULL;
		}
		/* what can't be read may be behind what is needed */
		wanted = length;
	}
}

/*
 * The first record from here on; false if there is none before the limit.  Of
 * our own incarnation nothing but what comes after the last one counts, once
 * the way there was lost.
 */
static bool
reader_find(FgJournalReader *reader, uint64 *offset, FgJournalRecordHeader *header)
{
	uint64		begin = *offset;

	while (*offset + sizeof(*header) <= reader->limit)
	{
		const char *data = reader_fetch(reader, *offset, sizeof(*header));

		if (data == NULL)
		{
			*offset = (*offset / DISK_PAGE + 1) * DISK_PAGE;
			continue;
		}
		memcpy(header, data, sizeof(*header));
		if (fg_journal_record_valid(header, *offset))
		{
			uint64	   *number = reader_number(reader, header->incarnation);

			if (*offset == begin || number == NULL || header->number > *number)
				return true;
		}
		*offset += FG_JOURNAL_UNIT;
	}
	return false;
}

/*
 * The number of the last record of an incarnation; NULL if it is not known.
 */
static uint64 *
reader_number(FgJournalReader *reader, uint64 incarnation)
{
	if (incarnation == reader->own_incarnation)
		return &reader->own_number;
	if (incarnation == reader->other_incarnation)
		return &reader->other_number;
	return NULL;
}

/*
 * Records may come twice, after a failed sync: that must not set it back.
 */
static void
reader_saw(FgJournalReader *reader, uint64 incarnation, uint64 number)
{
	uint64	   *known = reader_number(reader, incarnation);

	if (known == NULL)
	{
		reader->other_incarnation = incarnation;
		reader->other_number = number;
	}
	else if (number > *known)
		*known = number;
}

/* Gives the news that records can't be read. */
static FgJournalRead
reader_missing(FgJournalReader *reader, uint64 incarnation,
			   uint64 number, uint64 last_number, FgJournalRecord *record)
{
	memset(record, 0, sizeof(*record));
	record->incarnation = incarnation;
	record->number = number;
	record->last_number = last_number;
	reader->damaged = true;
	reader->changed = true;
	reader_saw(reader, incarnation, last_number);
	return FG_JOURNAL_DAMAGED;
}

/*
 * The next of the file; FG_JOURNAL_END at the limit.
 */
static FgJournalRead
reader_scan(FgJournalReader *reader, FgJournalRecord *record)
{
	FgJournalRecordHeader header;
	uint64		offset = reader->offset;
	uint64	   *number;
	uint64		expected;
	uint64		size;
	const char *data;

	if (offset >= reader->limit)
		return FG_JOURNAL_END;
	if (!reader_find(reader, &offset, &header))
		return reader_tail(reader, record);

	/*
	 * Is anything missing before it?  Records that were cleared may be back
	 * after a crash, and then come before what was written in their place,
	 * whose "first" says that.
	 */
	number = reader_number(reader, header.incarnation);
	if (number != NULL && reader->any)
		expected = Max(*number + 1, header.first);
	else if (number != NULL)
		expected = *number + 1;
	else if (offset > reader->offset)
		expected = header.first;
	else
		expected = header.number;
	if (offset > reader->offset)
	{
		FG_JOURNAL_LOG(errcode(ERRCODE_DATA_CORRUPTED),
					   errmsg("file \"%s\" is damaged from byte " UINT64_FORMAT " to " UINT64_FORMAT,
							  reader->path, reader->offset, offset - 1),
					   errdetail("The records behind that are read."));
		reader->damaged = true;
		reader->offset = offset;
	}
	reader->any = true;
	if (header.number > expected)
		return reader_missing(reader, header.incarnation, expected, header.number - 1, record);

	size = fg_journal_record_size(header.length);
	data = reader_fetch(reader, offset, sizeof(header) + header.length);
	reader->offset = Min(offset + size, reader->limit);
	if (data == NULL ||
		fg_journal_crc(data + sizeof(header), header.length) != header.payload_crc)
	{
		if (!reader->current && reader_torn(reader, reader->offset, &header))
		{
			reader->offset = reader->limit;
			FG_JOURNAL_LOG(errmsg("the last record of file \"%s\" is incomplete", reader->path),
						   errdetail("It was being written when the server stopped."));
			return FG_JOURNAL_END;
		}
		return reader_missing(reader, header.incarnation, header.number, header.number, record);
	}

	memset(record, 0, sizeof(*record));
	record->incarnation = header.incarnation;
	record->number = header.number;
	record->last_number = header.number;
	record->times = header.times;
	record->payload = data + sizeof(header);
	record->length = header.length;
	reader->changed = true;
	reader_saw(reader, header.incarnation, header.number);
	return FG_JOURNAL_RECORD;
}

/*
 * Does no record come after this one?
 */
static bool
reader_torn(FgJournalReader *reader, uint64 offset, const FgJournalRecordHeader *header)
{
	FgJournalRecordHeader next;

	while (reader_find(reader, &offset, &next))
	{
		if (next.incarnation != header->incarnation || next.number > header->number)
			return false;
		offset += FG_JOURNAL_UNIT;
	}
	return true;
}

/*
 * From here to the limit there are no records.
 */
static FgJournalRead
reader_tail(FgJournalReader *reader, FgJournalRecord *record)
{
	uint64		begin = reader->offset;

	reader->offset = reader->limit;
	if (reader->current)
	{
		reader->damaged = true;
		if (reader->last_number > reader->own_number)
			return reader_missing(reader, reader->own_incarnation, reader->own_number + 1,
								  reader->last_number, record);
	}
	else
	{
		bool		empty = true;

		/* zeroes are room that was not needed */
		for (uint64 offset = begin; offset < reader->limit && empty; offset += DISK_PAGE)
		{
			Size		length = Min(DISK_PAGE, reader->limit - offset);
			const char *data = reader_fetch(reader, offset, length);

			empty = (data != NULL);
			for (Size i = 0; i < length && empty; i++)
				empty = (data[i] == 0);
		}
		if (empty)
			return FG_JOURNAL_END;
		reader->damaged = true;
	}
	FG_JOURNAL_LOG(errmsg("the last " UINT64_FORMAT " bytes of file \"%s\" hold no record",
						  reader->limit - begin, reader->path),
				   errdetail("A record was being written when the server stopped, or the file is damaged."));
	return FG_JOURNAL_END;
}

/* ----------------------------------------------------------------
 *		From file to file
 * ----------------------------------------------------------------
 */

/* What reading a directory has found, for fg_journal_read_begin(). */
static void
list_older(Oid database, FgJournalKind kind, uint64 seq, void *arg)
{
	FgJournalReader *reader = arg;

	if (database != reader->journal->database || kind != FG_JOURNAL_OLDER)
		return;
	if (reader->n_older == 0)
		reader->older = palloc(sizeof(uint64));
	else
		reader->older = repalloc(reader->older, (reader->n_older + 1) * sizeof(uint64));
	reader->older[reader->n_older++] = seq;
}

static int
compare_seq(const void *a, const void *b)
{
	uint64		one = *(const uint64 *) a;
	uint64		other = *(const uint64 *) b;

	return (one > other) - (one < other);
}

/* Also as the callback of its memory context. */
static void
reader_close(void *arg)
{
	FgJournalReader *reader = arg;

	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = -1;
	reader->buffer_length = 0;
}

/*
 * After an error that was caught, a reader is not to be used any more: what it
 * has given may not have been imported.  A new one begins at the right place.
 */
FgJournalReader *
fg_journal_read_begin(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "fortress_guard journal reader",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FgJournalReader *reader = palloc0(sizeof(FgJournalReader));
	FgJournal  *journal = fg_journal_own();
	int			n_kept = 0;
	uint64		size = 0;
	char		path[MAXPGPATH];

	if (journal == NULL || !fg_journal_scan(journal))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not read the audit journal of database %u", MyDatabaseId)));
	reader->context = context;
	reader->journal = journal;
	reader->fd = -1;
	reader->buffer_size = CHUNK_SIZE;
	reader->buffer = palloc(CHUNK_SIZE);
	reader->callback.func = reader_close;
	reader->callback.arg = reader;
	MemoryContextRegisterResetCallback(context, &reader->callback);

	/* no file gets another name under the sync lock */
	LWLockAcquire(&journal->sync_lock.lock, LW_EXCLUSIVE);
	if (!fg_journal_visit(list_older, reader))
	{
		LWLockRelease(&journal->sync_lock.lock);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not read the audit journal of database %u", MyDatabaseId)));
	}
	LWLockAcquire(&journal->append_lock.lock, LW_EXCLUSIVE);
	if (reader->n_older > 0)
		qsort(reader->older, reader->n_older, sizeof(uint64), compare_seq);
	for (int i = 0; i < reader->n_older; i++)
	{
		fg_journal_path(path, journal->database, FG_JOURNAL_OLDER, reader->older[i]);
		if (reader->older[i] < journal->read_seq)
			(void) fg_journal_remove(path); /* could not be removed before */
		else
		{
			reader->older[n_kept++] = reader->older[i];
			size += fg_journal_size(path);
		}
	}
	reader->n_older = n_kept;
	journal->n_older = n_kept;
	journal->older_size = size;
	reader->next_seq = journal->seq;
	reader->start_seq = journal->read_seq;
	reader->start_offset = journal->read_offset;
	reader->start_damaged = journal->read_damaged;
	reader->own_incarnation = journal->incarnation;
	reader->own_number = journal->own_number;
	reader->other_incarnation = journal->other_incarnation;
	reader->other_number = journal->other_number;
	LWLockRelease(&journal->append_lock.lock);
	LWLockRelease(&journal->sync_lock.lock);

	MemoryContextSwitchTo(old);
	return reader;
}

void
fg_journal_read_end(FgJournalReader *reader)
{
	MemoryContextDelete(reader->context);
}

/*
 * This file has been read whole, or there is nothing to be read of it.
 */
static void
reader_finish(FgJournalReader *reader, uint64 seq, bool gone, bool missing)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);
	FgReadFile *file = palloc(sizeof(FgReadFile));

	file->seq = seq;
	file->damaged = reader->damaged;
	file->gone = gone;
	file->missing = missing;
	reader->read = lappend(reader->read, file);
	MemoryContextSwitchTo(old);

	reader_close(reader);
	reader->changed = true;
	if (reader->i_older < reader->n_older)
		reader->i_older++;
	else
		reader->next_seq = seq + 1;
}

/*
 * Opens an older file.  False if it was finished instead, as there is nothing
 * in it for us.
 */
static bool
reader_open_older(FgJournalReader *reader, uint64 seq)
{
	Oid			database = reader->journal->database;
	char		target[MAXPGPATH];
	FgJournalFileHeader header;
	struct stat st;

	fg_journal_path(reader->path, database, FG_JOURNAL_OLDER, seq);
	reader->damaged = false;
	reader->any = false;
	reader->fd = fg_journal_open(reader->path, O_RDONLY);
	if (reader->fd < 0 || fstat(reader->fd, &st) != 0 || !S_ISREG(st.st_mode))
	{
		bool		missing = (reader->fd < 0 && errno == ENOENT);

		if (reader->fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not open file \"%s\": %m", reader->path)));
		fg_journal_path(target, database, FG_JOURNAL_BROKEN, seq);
		if (!missing && fg_journal_rename(reader->path, target))
			FG_JOURNAL_LOG(errcode(ERRCODE_DATA_CORRUPTED),
						   errmsg("the audit journal goes on without file \"%s\"", reader->path),
						   errdetail("It can't be read, and is now named \"%s\".", target));
		reader_finish(reader, seq, true, missing);
		return false;
	}

	if (fg_journal_header_read(reader->path, &header) &&
		(header.system != GetSystemIdentifier() || header.database != database ||
		 header.version != FG_JOURNAL_VERSION))
	{
		fg_journal_path(target, database, FG_JOURNAL_FOREIGN, seq);
		if (fg_journal_rename(reader->path, target))
			FG_JOURNAL_LOG(errmsg("file \"%s\" is no journal of this database", reader->path),
						   errdetail("It is of database %u in the cluster with the identifier " UINT64_FORMAT ", version %u, and is now named \"%s\".",
									 header.database, header.system, header.version, target));
		reader_finish(reader, seq, true, false);
		return false;
	}

	reader->seq = seq;
	reader->current = false;
	reader->offset = FG_JOURNAL_BEGIN;
	reader->limit = (uint64) st.st_size;
	if (seq == reader->start_seq)
	{
		reader->offset = reader->start_offset;
		reader->damaged = reader->start_damaged;
	}
	return true;
}

/*
 * Opens the next file; false if there is none.
 */
static bool
reader_open(FgJournalReader *reader)
{
	FgJournal  *journal = reader->journal;
	bool		older;

	for (;;)
	{
		if (reader->i_older < reader->n_older)
		{
			if (reader_open_older(reader, reader->older[reader->i_older]))
				return true;
			continue;
		}

		LWLockAcquire(&journal->append_lock.lock, LW_SHARED);
		older = reader->next_seq < journal->seq;
		if (!older && journal->ready)
		{
			fg_journal_path(reader->path, journal->database, FG_JOURNAL_CURRENT, 0);
			reader->fd = fg_journal_open(reader->path, O_RDONLY);
			reader->seq = journal->seq;
			if (reader->own_incarnation != journal->incarnation)
			{
				/* it was begun since */
				reader->own_incarnation = journal->incarnation;
				reader->own_number = journal->own_number;
			}
		}
		LWLockRelease(&journal->append_lock.lock);

		if (older)
		{
			if (reader_open_older(reader, reader->next_seq))
				return true;
			continue;
		}
		if (reader->fd < 0)
			return false;
		reader->next_seq = reader->seq;
		reader->current = true;
		reader->damaged = false;
		reader->any = false;
		reader->offset = FG_JOURNAL_BEGIN;
		if (reader->seq == reader->start_seq)
		{
			reader->offset = reader->start_offset;
			reader->damaged = reader->start_damaged;
		}
		reader->limit = reader->offset;
		return true;
	}
}

/*
 * Sees whether the open file has more than was known; false if not.
 */
static bool
reader_extend(FgJournalReader *reader)
{
	FgJournal  *journal = reader->journal;
	bool		more = false;

	if (!reader->current)
		return false;
	LWLockAcquire(&journal->append_lock.lock, LW_EXCLUSIVE);
	if (reader->seq == journal->seq)
	{
		if (journal->durable_end > reader->limit)
		{
			/* from now on nothing is counted into what is read now */
			fg_journal_clear_slots(journal);
			journal->frozen = journal->durable_end;
			reader->limit = journal->durable_end;
			reader->last_number = journal->durable_number;
			more = true;
		}
	}
	else
	{
		/* there is a newer one: the rest of this is all that it will have */
		struct stat st;

		reader->current = false;
		if (fstat(reader->fd, &st) == 0 && st.st_size > reader->limit)
		{
			reader->limit = st.st_size;
			more = true;
		}
	}
	LWLockRelease(&journal->append_lock.lock);
	return more;
}

FgJournalRead
fg_journal_read_next(FgJournalReader *reader, FgJournalRecord *record)
{
	bool		mended = false;

	for (;;)
	{
		FgJournalRead result;

		if (reader->fd >= 0)
		{
			result = reader_scan(reader, record);
			if (result != FG_JOURNAL_END)
				return result;
			if (reader_extend(reader))
				continue;
			if (!reader->current)
			{
				reader_finish(reader, reader->seq, false, false);
				continue;
			}
		}
		else if (reader_open(reader))
			continue;

		/* a session may have written, and died before it synced */
		if (mended)
			return FG_JOURNAL_END;
		fg_journal_mend(reader->journal);
		mended = true;
	}
}

/*
 * Clears the current file of its records.  One of usual length stays as long as
 * it is, as that makes the next syncs faster.
 */
static bool
forget_records(FgJournal *journal, int fd, const char *path)
{
	if (journal->end <= FG_JOURNAL_ROOM &&
		fg_journal_clear(fd, path, FG_JOURNAL_BEGIN, journal->end))
		return true;
	if (!fg_journal_truncate(fd, path, FG_JOURNAL_BEGIN))
		return false;
	journal->allocated = FG_JOURNAL_BEGIN;
	return true;
}

/*
 * The current file forgets what is imported if that is all of it; it carries
 * the anchor in any case.
 */
void
fg_journal_read_commit(FgJournalReader *reader, const FgAnchor *anchor)
{
	FgJournal  *journal = reader->journal;
	char		path[MAXPGPATH];
	char		target[MAXPGPATH];
	FgJournalFileHeader header;
	ListCell   *cell;
	int			fd = -1;

	LWLockAcquire(&journal->sync_lock.lock, LW_EXCLUSIVE);
	LWLockAcquire(&journal->append_lock.lock, LW_EXCLUSIVE);
	if (anchor != NULL)
	{
		journal->anchor = *anchor;
		journal->anchor_exact = true;
	}
	if (reader->changed)
		journal->commits++;
	journal->own_number = Max(journal->own_number, reader->own_number);
	journal->other_incarnation = reader->other_incarnation;
	journal->other_number = reader->other_number;
	if (reader->fd >= 0)
	{
		journal->read_seq = reader->seq;
		journal->read_offset = reader->offset;
		journal->read_damaged = reader->damaged;
	}
	else
	{
		journal->read_seq = reader->i_older < reader->n_older ?
			reader->older[reader->i_older] : reader->next_seq;
		journal->read_offset = FG_JOURNAL_BEGIN;
		journal->read_damaged = false;
		if (journal->read_seq == reader->start_seq)
		{
			/* nothing has been read yet */
			journal->read_offset = reader->start_offset;
			journal->read_damaged = reader->start_damaged;
		}
	}
	foreach(cell, reader->read)
	{
		FgReadFile *file = lfirst(cell);
		uint64		size;

		if (file->missing)
			continue;
		fg_journal_path(path, journal->database, FG_JOURNAL_OLDER, file->seq);
		size = fg_journal_size(path);
		journal->n_older = Max(journal->n_older - 1, 0);
		journal->older_size -= Min(journal->older_size, size);
	}

	/* the anchor must survive the older files, which had it */
	if (journal->ready || fg_journal_begin(journal))
	{
		fg_journal_path(path, journal->database, FG_JOURNAL_CURRENT, 0);
		fd = fg_journal_open(path, O_RDWR);
	}
	if (fd >= 0)
	{
		if (reader->fd >= 0 && reader->seq == journal->seq &&
			reader->offset == journal->end)
		{
			journal->own_number = journal->last_number;
			if (journal->end > FG_JOURNAL_BEGIN && forget_records(journal, fd, path))
			{
				fg_journal_clear_slots(journal);
				journal->end = FG_JOURNAL_BEGIN;
				journal->first = journal->last_number + 1;
				journal->durable_end = FG_JOURNAL_BEGIN;
				journal->durable_number = journal->last_number;
				journal->dirty_from = PG_UINT64_MAX;
				journal->frozen = FG_JOURNAL_BEGIN;
				journal->read_offset = FG_JOURNAL_BEGIN;
				journal->read_damaged = false;
				reader->offset = FG_JOURNAL_BEGIN;
				reader->limit = FG_JOURNAL_BEGIN;
				reader->damaged = false;
				reader->buffer_length = 0;
			}
		}
		fg_journal_header_fill(&header, journal->database, journal->incarnation,
							   &journal->anchor);
		(void) fg_journal_write(fd, path, &header, sizeof(header), 0);
		close(fd);
	}
	LWLockRelease(&journal->append_lock.lock);
	LWLockRelease(&journal->sync_lock.lock);

	foreach(cell, reader->read)
	{
		FgReadFile *file = lfirst(cell);

		if (file->gone)
			continue;
		fg_journal_path(path, journal->database, FG_JOURNAL_OLDER, file->seq);
		if (!file->damaged)
			(void) fg_journal_remove(path);
		else
		{
			fg_journal_path(target, journal->database, FG_JOURNAL_BROKEN, file->seq);
			if (fg_journal_rename(path, target))
				FG_JOURNAL_LOG(errmsg("a damaged file of the audit journal is kept as \"%s\"", target));
		}
	}
	list_free_deep(reader->read);
	reader->read = NIL;
	reader->changed = false;
	ConditionVariableBroadcast(&journal->imported_cv);
}
