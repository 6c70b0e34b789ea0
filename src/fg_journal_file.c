/*-------------------------------------------------------------------------
 *
 * fg_journal_file.c
 *		The files of the audit journal: their names, their format, and which of
 *		them sessions append to.
 *
 * A file is a header and records, each at a multiple of 64 bytes.  A record
 * says of itself where it stands, which number it has and how long it is, and
 * has one checksum for that and one for its payload.  So a reader that meets
 * damage finds the next record behind it by looking, and knows from the
 * numbers what is missing.
 *
 * A new file is made under another name, synced, and renamed, so that the
 * current file is always a whole one.  The one before it keeps its number among
 * the older ones; no number is ever used twice.
 *
 * Files are longer than what is written to them: to sync bytes that are there
 * already takes a third of the time that it takes to sync a file that grows.
 *
 * Nothing here raises an error or allocates memory of PostgreSQL's: a session
 * that is about to refuse something must not fail.  For the same reason files
 * are opened without fd.c's book-keeping, whose limit is an error.
 *
 * Locks: what changes a journal is called under its sync lock and its append
 * lock; see fg_journal_file.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "fg_journal_file.h"

#define DIRECTORY			"pg_fortress"
#define FILE_MAGIC			UINT64CONST(0x46474a4f55524e4c)
#define RECORD_MAGIC		0x46474a52
#define MAX_SEQ				UINT64CONST(1000000000000000000)

/* most records are shorter than that */
#define COPY_SIZE			(64 * 1024)

/* what looking at the directory has found of one database */
typedef struct FgJournalFound
{
	Oid			database;
	uint64		max_seq;
	uint64		newest;			/* the newest older file; 0: none */
	int			n_older;
	uint64		older_size;
	bool		current;
	bool		temporary;
} FgJournalFound;

bool		fg_journal_quiet = false;

static bool parse_name(const char *name, Oid *database, FgJournalKind *kind, uint64 *seq);
static uint32 header_crc(const FgJournalFileHeader *header);
static uint32 record_crc(const FgJournalRecordHeader *header);
static void find_files(Oid database, FgJournalKind kind, uint64 seq, void *arg);
static uint64 origin(Oid database);
static bool new_incarnation(Oid database, uint64 *incarnation);
static bool scan_files(FgJournal *journal);
static bool move_away(FgJournal *journal);
static void fail_writes(FgJournal *journal);

/* ----------------------------------------------------------------
 *		Files
 * ----------------------------------------------------------------
 */

void
fg_journal_complain(const char *action, const char *path)
{
	int			save_errno = errno;

	if (!fg_journal_quiet)
		FG_JOURNAL_LOG(errcode_for_file_access(),
					   errmsg("could not %s file \"%s\": %m", action, path));
	errno = save_errno;
}

void
fg_journal_path(char *path, Oid database, FgJournalKind kind, uint64 seq)
{
	switch (kind)
	{
		case FG_JOURNAL_CURRENT:
			snprintf(path, MAXPGPATH, DIRECTORY "/%u.journal", database);
			break;
		case FG_JOURNAL_TEMPORARY:
			snprintf(path, MAXPGPATH, DIRECTORY "/%u.journal.tmp", database);
			break;
		case FG_JOURNAL_OLDER:
			snprintf(path, MAXPGPATH, DIRECTORY "/%u.journal." UINT64_FORMAT, database, seq);
			break;
		case FG_JOURNAL_BROKEN:
			snprintf(path, MAXPGPATH, DIRECTORY "/%u.journal." UINT64_FORMAT ".damaged",
					 database, seq);
			break;
		case FG_JOURNAL_FOREIGN:
			snprintf(path, MAXPGPATH, DIRECTORY "/%u.journal." UINT64_FORMAT ".foreign",
					 database, seq);
			break;
	}
}

/* Is it the name of a journal's file?  Exactly as fg_journal_path() makes it. */
static bool
parse_name(const char *name, Oid *database, FgJournalKind *kind, uint64 *seq)
{
	unsigned int number;
	unsigned long long order = 0;
	char		path[MAXPGPATH];

	if (!isdigit((unsigned char) name[0]) || strlen(name) > 64 ||
		sscanf(name, "%10u.journal.%19llu", &number, &order) < 1)
		return false;
	*database = number;
	*seq = order;
	for (*kind = FG_JOURNAL_CURRENT; *kind <= FG_JOURNAL_FOREIGN; (*kind)++)
	{
		fg_journal_path(path, *database, *kind, *seq);
		if (strcmp(path + strlen(DIRECTORY "/"), name) == 0)
			return *seq < MAX_SEQ;
	}
	return false;
}

bool
fg_journal_visit(FgJournalVisitor visitor, void *arg)
{
	int			fd = BasicOpenFile(DIRECTORY, O_RDONLY | PG_BINARY);
	DIR		   *dir = NULL;
	struct dirent *entry;
	bool		done;

	if (fd < 0 && errno == ENOENT)
		return true;
	if (fd >= 0)
		dir = fdopendir(fd);
	if (dir == NULL)
	{
		fg_journal_complain("open", DIRECTORY);
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (errno = 0, (entry = readdir(dir)) != NULL)
	{
		Oid			database;
		FgJournalKind kind;
		uint64		seq;

		if (parse_name(entry->d_name, &database, &kind, &seq))
			visitor(database, kind, seq, arg);
	}
	done = (errno == 0);
	if (!done)
		fg_journal_complain("read", DIRECTORY);
	closedir(dir);
	return done;
}

int
fg_journal_open(const char *path, int flags)
{
	int			fd;

	/* the first file of all needs its directory */
	if ((flags & O_CREAT) != 0)
	{
		if (MakePGDirectory(DIRECTORY) == 0)
		{
			int			parent = BasicOpenFile(".", O_RDONLY | PG_BINARY);

			if (parent < 0 || pg_fsync(parent) != 0)
				fg_journal_complain("fsync", ".");
			if (parent >= 0)
				close(parent);
		}
		else if (errno != EEXIST)
		{
			fg_journal_complain("create", DIRECTORY);
			return -1;
		}
	}
	fd = BasicOpenFile(path, flags | PG_BINARY);
	if (fd < 0)
		fg_journal_complain("open", path);
	return fd;
}

bool
fg_journal_write(int fd, const char *path, const void *data, Size size, uint64 offset)
{
	Size		done = 0;

	while (done < size)
	{
		ssize_t		n;

		errno = 0;
		n = pg_pwrite(fd, (const char *) data + done, size - done, (off_t) (offset + done));
		if (n > 0)
			done += n;
		else if (n == 0 || errno != EINTR)
		{
			/* a write that wrote nothing and gave no reason: the disk is full */
			if (errno == 0)
				errno = ENOSPC;
			fg_journal_complain("write", path);
			return false;
		}
	}
	return true;
}

bool
fg_journal_clear(int fd, const char *path, uint64 offset, uint64 end)
{
	static const char zeroes[FG_JOURNAL_ROOM];

	while (offset < end)
	{
		Size		size = Min(end - offset, sizeof(zeroes));

		if (!fg_journal_write(fd, path, zeroes, size, offset))
			return false;
		offset += size;
	}
	return true;
}

uint64
fg_journal_extend(int fd, const char *path, uint64 end)
{
	uint64		target = TYPEALIGN64(FG_JOURNAL_ROOM, end + FG_JOURNAL_ROOM / 2);
	bool		quiet = fg_journal_quiet;

	fg_journal_quiet = true;
	if (!fg_journal_clear(fd, path, end, target))
	{
		(void) fg_journal_truncate(fd, path, end);
		target = end;
	}
	fg_journal_quiet = quiet;
	return target;
}

bool
fg_journal_truncate(int fd, const char *path, uint64 size)
{
	while (ftruncate(fd, (off_t) size) != 0)
	{
		if (errno != EINTR)
		{
			fg_journal_complain("truncate", path);
			return false;
		}
	}
	return true;
}

bool
fg_journal_rename(const char *from, const char *to)
{
	if (rename(from, to) == 0)
		return true;
	fg_journal_complain("rename", from);
	return false;
}

bool
fg_journal_remove(const char *path)
{
	if (unlink(path) == 0 || errno == ENOENT)
		return true;
	fg_journal_complain("remove", path);
	return false;
}

bool
fg_journal_flush(int fd, const char *path)
{
	while (pg_fdatasync(fd) != 0)
	{
		if (errno != EINTR)
		{
			fg_journal_complain("fsync", path);
			return false;
		}
	}
	return true;
}

/*
 * After a file was created or renamed.
 */
bool
fg_journal_flush_directory(void)
{
	int			fd = BasicOpenFile(DIRECTORY, O_RDONLY | PG_BINARY);
	bool		done = fd >= 0;

	/* some systems can't sync directories, and need not */
	if (done && pg_fsync(fd) != 0)
		done = (errno == EBADF || errno == EINVAL);
	if (!done)
		fg_journal_complain("fsync", DIRECTORY);
	if (fd >= 0)
		close(fd);
	return done;
}

uint64
fg_journal_size(const char *path)
{
	struct stat st;

	return (stat(path, &st) == 0 && st.st_size > 0) ? (uint64) st.st_size : 0;
}

/* ----------------------------------------------------------------
 *		Headers and records
 * ----------------------------------------------------------------
 */

static uint32
header_crc(const FgJournalFileHeader *header)
{
	FgJournalFileHeader copy = *header;

	copy.crc = 0;
	return fg_journal_crc((const char *) &copy, sizeof(copy));
}

void
fg_journal_header_fill(FgJournalFileHeader *header, Oid database,
					   uint64 incarnation, const FgAnchor *anchor)
{
	StaticAssertStmt(sizeof(FgJournalFileHeader) == FG_JOURNAL_BEGIN,
					 "the header of a file ends where its records begin");

	memset(header, 0, sizeof(*header));
	header->magic = FILE_MAGIC;
	header->version = FG_JOURNAL_VERSION;
	header->system = GetSystemIdentifier();
	header->incarnation = incarnation;
	header->created = GetCurrentTimestamp();
	header->database = database;
	header->anchor.id = anchor->id;
	memcpy(header->anchor.hash, anchor->hash, FG_HASH_LENGTH);
	header->crc = header_crc(header);
}

bool
fg_journal_header_read(const char *path, FgJournalFileHeader *header)
{
	int			fd = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	ssize_t		n;

	if (fd < 0)
		return false;
	do
		n = pg_pread(fd, header, sizeof(*header), 0);
	while (n < 0 && errno == EINTR);
	close(fd);
	return n == sizeof(*header) && header->magic == FILE_MAGIC &&
		header->crc == header_crc(header);
}

uint64
fg_journal_record_size(uint32 length)
{
	return TYPEALIGN64(FG_JOURNAL_UNIT, sizeof(FgJournalRecordHeader) + (uint64) length);
}

static uint32
record_crc(const FgJournalRecordHeader *header)
{
	FgJournalRecordHeader copy = *header;

	copy.crc = 0;
	return fg_journal_crc((const char *) &copy, sizeof(copy));
}

void
fg_journal_record_seal(FgJournalRecordHeader *header)
{
	StaticAssertStmt(sizeof(FgJournalRecordHeader) == FG_JOURNAL_UNIT,
					 "the header of a record never crosses a sector");

	header->magic = RECORD_MAGIC;
	header->crc = record_crc(header);
}

/*
 * Is this the header of a record that stands at this place?  What looks like
 * one in the payload of another, or is left from earlier, does not pass.
 */
bool
fg_journal_record_valid(const FgJournalRecordHeader *header, uint64 offset)
{
	return header->magic == RECORD_MAGIC && header->offset == offset &&
		header->length <= FG_JOURNAL_MAX_LENGTH && header->incarnation != 0 &&
		header->times > 0 && header->first > 0 && header->first <= header->number &&
		header->crc == record_crc(header);
}

uint32
fg_journal_crc(const char *payload, uint32 length)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, payload, length);
	FIN_CRC32C(crc);
	return crc;
}

bool
fg_journal_copy(const char *from_path, uint64 offset, uint64 end,
				int to_fd, const char *to_path, uint64 *first, uint64 *new_end)
{
	int			from_fd = fg_journal_open(from_path, O_RDONLY);
	Size		buffer_size = COPY_SIZE;
	char	   *buffer = malloc(buffer_size);
	bool		any = false;

	*new_end = FG_JOURNAL_BEGIN;
	while (from_fd >= 0 && buffer != NULL && offset < end)
	{
		FgJournalRecordHeader header;
		uint64		size;

		if (pg_pread(from_fd, &header, sizeof(header), (off_t) offset) != sizeof(header) ||
			!fg_journal_record_valid(&header, offset))
			break;
		size = fg_journal_record_size(header.length);
		if (offset + size > end)
			break;
		if (size > buffer_size)
		{
			free(buffer);
			buffer_size = size;
			buffer = malloc(buffer_size);
			if (buffer == NULL)
				break;
		}
		if (pg_pread(from_fd, buffer, size, (off_t) offset) != (ssize_t) size ||
			header.payload_crc != fg_journal_crc(buffer + sizeof(header), header.length))
			break;

		if (!any)
			*first = header.number;
		any = true;
		header.first = *first;
		header.offset = *new_end;
		fg_journal_record_seal(&header);
		memcpy(buffer, &header, sizeof(header));
		if (!fg_journal_write(to_fd, to_path, buffer, size, *new_end))
			break;
		*new_end += size;
		offset += size;
	}
	free(buffer);
	if (from_fd >= 0)
		close(from_fd);
	return offset >= end;
}

/* ----------------------------------------------------------------
 *		The current file of a journal
 * ----------------------------------------------------------------
 */

/* for fg_journal_visit(): what there is of one database */
static void
find_files(Oid database, FgJournalKind kind, uint64 seq, void *arg)
{
	FgJournalFound *found = arg;
	char		path[MAXPGPATH];

	if (database != found->database)
		return;
	found->max_seq = Max(found->max_seq, seq);
	if (kind == FG_JOURNAL_CURRENT)
		found->current = true;
	else if (kind == FG_JOURNAL_TEMPORARY)
		found->temporary = true;
	else if (kind == FG_JOURNAL_OLDER)
	{
		fg_journal_path(path, database, kind, seq);
		found->n_older++;
		found->older_size += fg_journal_size(path);
		found->newest = Max(found->newest, seq);
	}
}

/*
 * Makes the files of earlier runs known, the last current one among them.
 */
static bool
scan_files(FgJournal *journal)
{
	FgJournalFound found = {0};
	FgJournalFileHeader header;
	char		path[MAXPGPATH];

	if (journal->scanned)
		return true;
	found.database = journal->database;
	if (!fg_journal_visit(find_files, &found))
		return false;
	if (found.temporary)
	{
		/* nobody was told that what is in there is safe */
		fg_journal_path(path, journal->database, FG_JOURNAL_TEMPORARY, 0);
		if (!fg_journal_remove(path))
			return false;
	}
	journal->seq = found.max_seq + 1;
	journal->n_older = found.n_older;
	journal->older_size = found.older_size;
	if (found.current || found.newest > 0)
	{
		fg_journal_path(path, journal->database,
						found.current ? FG_JOURNAL_CURRENT : FG_JOURNAL_OLDER, found.newest);
		if (fg_journal_header_read(path, &header) &&
			header.system == GetSystemIdentifier() &&
			header.database == journal->database && !journal->anchor_exact)
			journal->anchor = header.anchor;
	}
	if (found.current)
	{
		if (!move_away(journal))
			return false;
		(void) fg_journal_flush_directory();
	}
	journal->scanned = true;
	return true;
}

bool
fg_journal_scan(FgJournal *journal)
{
	bool		done;

	fg_journal_lock(journal);
	done = scan_files(journal);
	fg_journal_unlock(journal);
	return done;
}

/*
 * Gives the current file its number among the older ones.
 */
static bool
move_away(FgJournal *journal)
{
	char		from[MAXPGPATH];
	char		to[MAXPGPATH];

	fg_journal_path(from, journal->database, FG_JOURNAL_CURRENT, 0);
	fg_journal_path(to, journal->database, FG_JOURNAL_OLDER, journal->seq);
	if (!fg_journal_rename(from, to))
		return false;
	journal->n_older++;
	journal->older_size += fg_journal_size(to);
	journal->seq++;
	return true;
}

/*
 * The upper 16 bits of all incarnations of a database in this cluster.
 */
static uint64
origin(Oid database)
{
	struct
	{
		uint64		system;
		uint64		database;
	}			key = {GetSystemIdentifier(), database};

	return (uint64) hash_bytes((const unsigned char *) &key, sizeof(key)) >> 16;
}

bool
fg_journal_is_ours(uint64 incarnation)
{
	return incarnation >> 48 == origin(MyDatabaseId);
}

/*
 * The rest is by chance, as a clone or a standby that was promoted does not know
 * which were used elsewhere.
 */
static bool
new_incarnation(Oid database, uint64 *incarnation)
{
	uint64		number = 0;

	if (!pg_strong_random(&number, sizeof(number)))
	{
		if (!fg_journal_quiet)
			FG_JOURNAL_LOG(errmsg("could not generate a random number"));
		return false;
	}
	*incarnation = (origin(database) << 48) | Max(number >> 16, 1);
	return true;
}

/*
 * Replaces the current file, if there is one, by a new one that begins with its
 * records from "copy_from" on (PG_UINT64_MAX: with none).  All of it is on disk
 * when this returns true.  Else the current file may be gone ("ready" tells),
 * but nothing of what is in it.
 */
bool
fg_journal_new_file(FgJournal *journal, uint64 copy_from)
{
	FgJournalFileHeader header;
	char		path[MAXPGPATH];
	char		temporary[MAXPGPATH];
	char		older[MAXPGPATH];
	uint64		first = journal->last_number + 1;
	uint64		end = FG_JOURNAL_BEGIN;
	uint64		allocated;
	uint64		keep;
	bool		exists;
	int			fd;

	fg_journal_path(path, journal->database, FG_JOURNAL_CURRENT, 0);
	fg_journal_path(temporary, journal->database, FG_JOURNAL_TEMPORARY, 0);
	fg_journal_path(older, journal->database, FG_JOURNAL_OLDER, journal->seq);
	if (journal->incarnation == 0 && !new_incarnation(journal->database, &journal->incarnation))
		return false;

	fd = fg_journal_open(temporary, O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0)
		return false;
	fg_journal_header_fill(&header, journal->database, journal->incarnation,
						   &journal->anchor);
	if (!fg_journal_write(fd, temporary, &header, sizeof(header), 0) ||
		(copy_from != PG_UINT64_MAX &&
		 !fg_journal_copy(path, copy_from, journal->end, fd, temporary, &first, &end)) ||
		(allocated = fg_journal_extend(fd, temporary, end),
		 !fg_journal_flush(fd, temporary)))
	{
		close(fd);
		(void) fg_journal_remove(temporary);
		return false;
	}
	close(fd);

	exists = access(path, F_OK) == 0;
	if (exists && !move_away(journal))
	{
		(void) fg_journal_remove(temporary);
		return false;
	}
	if (!exists && journal->end > 0)
		journal->seq++;			/* somebody has removed it */
	keep = Max(copy_from, journal->frozen);
	journal->ready = false;
	journal->end = FG_JOURNAL_BEGIN;
	journal->allocated = FG_JOURNAL_BEGIN;
	journal->durable_end = FG_JOURNAL_BEGIN;
	journal->durable_number = journal->last_number;
	journal->dirty_from = PG_UINT64_MAX;
	journal->frozen = FG_JOURNAL_BEGIN;
	fg_journal_clear_slots(journal);
	if (!fg_journal_rename(temporary, path))
	{
		(void) fg_journal_remove(temporary);
		return false;
	}
	if (!fg_journal_flush_directory())
		return false;

	if (exists && copy_from != PG_UINT64_MAX)
	{
		/* what was copied is not to be read twice, if that can be helped */
		fd = fg_journal_open(older, O_RDWR);
		if (fd >= 0)
		{
			uint64		size = fg_journal_size(older);

			if (keep < size && fg_journal_truncate(fd, older, keep))
				journal->older_size -= Min(journal->older_size, size - keep);
			close(fd);
		}
	}
	journal->end = end;
	journal->allocated = allocated;
	journal->first = first;
	journal->durable_end = end;
	journal->ready = true;
	return true;
}

/*
 * Makes sure that there is a current file that can be appended to.  What was
 * written and not synced when it was given up comes along, or has failed.
 */
bool
fg_journal_begin(FgJournal *journal)
{
	uint64		settled = pg_atomic_read_u64(&journal->settled);

	if (!scan_files(journal))
	{
		fail_writes(journal);
		return false;
	}
	if (journal->written > settled)
	{
		if (fg_journal_new_file(journal, Min(journal->durable_end, journal->dirty_from)))
		{
			pg_atomic_write_u64(&journal->settled, journal->written);
			FG_JOURNAL_LOG(errmsg("the audit journal of database %u goes on in a new file",
								  journal->database),
						   errdetail("What was not yet known to be on disk has been copied into it."));
			return true;
		}
		fail_writes(journal);
	}
	if (fg_journal_new_file(journal, PG_UINT64_MAX))
		return true;
	journal->ready = false;		/* not trusted, even if it is all there is */
	return false;
}

/*
 * What is not known to be on disk will not be.  Where room for such ranges
 * runs out, the oldest two become one: rather tell somebody who asks very late
 * that an event was lost than the opposite.
 */
static void
fail_writes(FgJournal *journal)
{
	FgJournalRange range;

	range.after = pg_atomic_read_u64(&journal->settled);
	range.upto = journal->written;
	if (range.after == range.upto)
		return;
	if (journal->n_failed > 0 && journal->failed[journal->n_failed - 1].upto == range.after)
		journal->failed[journal->n_failed - 1].upto = range.upto;
	else
	{
		if (journal->n_failed == FG_JOURNAL_RANGES)
		{
			journal->failed[1].after = journal->failed[0].after;
			memmove(&journal->failed[0], &journal->failed[1],
					(FG_JOURNAL_RANGES - 1) * sizeof(FgJournalRange));
			journal->n_failed--;
		}
		journal->failed[journal->n_failed++] = range;
	}
	journal->unlogged += range.upto - range.after;
	pg_atomic_fetch_add_u64(&journal->lost, range.upto - range.after);
	journal->dirty_from = PG_UINT64_MAX;
	pg_write_barrier();
	pg_atomic_write_u64(&journal->settled, range.upto);
}
