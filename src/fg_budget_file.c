/*-------------------------------------------------------------------------
 *
 * fg_budget_file.c
 *		The file that keeps windows over a restart.
 *
 * The windows are written to a temporary file, which is synced and renamed, so
 * that there is always a whole one.  It is read only when shared memory is set
 * up, at start and after a crash.  A file that is damaged is worth nothing,
 * but the server has to start all the same: then the windows begin empty, and
 * the log says so.
 *
 * Only use is saved, no reservations: those end with their transactions, and
 * what is prepared has become use already.
 *
 * Nothing here raises an error: a session that happens to save, and the
 * launcher, must not fail because a disk is full.  The log tells instead, and
 * the next save tries again.
 *
 * Locks: the file lock makes writers wait for each other and is taken before
 * any partition's lock.  Those are held, shared, while the windows are copied
 * to local memory, not while the disk is written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port/pg_bitutils.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "fg_budget_file.h"
#include "fg_budget_window.h"

#define SAVE_DIRECTORY		"pg_fortress"
#define SAVE_FILE			SAVE_DIRECTORY "/windows"
#define SAVE_FILE_TEMP		SAVE_DIRECTORY "/windows.tmp"
#define SAVE_MAGIC			UINT64CONST(0x464757494e444f57)
#define SAVE_VERSION		1

/* the file: header, records, CRC-32C of both; a record is followed by its rows */
typedef struct FgSaveHeader
{
	uint64		magic;
	uint32		version;
	uint32		unused;
	uint64		n_windows;
	uint64		length;			/* bytes of all records */
} FgSaveHeader;

typedef struct FgSaveRecord
{
	FgWindowKey key;
	int64		newest;
	uint64		present;		/* bit i: used[i] follows */
} FgSaveRecord;

static char *windows_serialize(bool use_locks, Size *size);
static bool write_file(const char *data, Size size);
static bool windows_deserialize(const char *data, Size size);

/*
 * All windows that hold use, as bytes in the format of the file, malloc'd;
 * NULL if there is no memory.  Only the copying is done under the locks.
 */
static char *
windows_serialize(bool use_locks, Size *size)
{
	TimestampTz now = GetCurrentTimestamp();
	FgSaveHeader header = {0};
	char	   *data;
	char	   *place;
	pg_crc32c	crc;
	HASH_SEQ_STATUS scan;
	FgWindow   *window;

	header.magic = SAVE_MAGIC;
	header.version = SAVE_VERSION;

	if (use_locks)
		fg_window_lock_all(LW_SHARED);

	/* first the length, as most windows have few buckets in use */
	hash_seq_init(&scan, fg_windows);
	while ((window = (FgWindow *) hash_seq_search(&scan)) != NULL)
	{
		int64		oldest;
		int			n_present = 0;

		if (fg_window_use(window, now) == 0)
			continue;
		oldest = fg_window_oldest(window, now);
		for (int64 number = oldest; number <= window->newest; number++)
			n_present += (window->used[FG_BUCKET_SLOT(number)] != 0);
		header.n_windows++;
		header.length += sizeof(FgSaveRecord) + n_present * sizeof(int64);
	}

	*size = sizeof(header) + header.length + sizeof(crc);
	data = malloc(*size);
	if (data != NULL)
	{
		place = data;
		memcpy(place, &header, sizeof(header));
		place += sizeof(header);
		hash_seq_init(&scan, fg_windows);
		while ((window = (FgWindow *) hash_seq_search(&scan)) != NULL)
		{
			FgSaveRecord record = {0};
			char	   *rows = place + sizeof(record);
			int64		oldest;

			if (fg_window_use(window, now) == 0)
				continue;
			record.key = window->key;
			record.newest = window->newest;
			oldest = fg_window_oldest(window, now);
			for (int slot = 0; slot < FG_N_BUCKETS; slot++)
			{
				/* how far the slot lies behind the newest one */
				int			age = FG_BUCKET_SLOT(window->newest - slot);

				if (window->used[slot] == 0 || window->newest - age < oldest)
					continue;
				record.present |= UINT64CONST(1) << slot;
				memcpy(rows, &window->used[slot], sizeof(int64));
				rows += sizeof(int64);
			}
			memcpy(place, &record, sizeof(record));
			place = rows;
		}
	}

	if (use_locks)
		fg_window_unlock_all();

	if (data != NULL)
	{
		Assert(place == data + sizeof(header) + header.length);
		INIT_CRC32C(crc);
		COMP_CRC32C(crc, data, sizeof(header) + header.length);
		FIN_CRC32C(crc);
		memcpy(place, &crc, sizeof(crc));
	}
	return data;
}

/*
 * Writes and syncs the temporary file.  False, and a line in the log, if that
 * failed.
 */
static bool
write_file(const char *data, Size size)
{
	int			fd;
	Size		done = 0;

	if (MakePGDirectory(SAVE_DIRECTORY) == 0)
		(void) fsync_fname_ext(".", true, true, LOG);
	else if (errno != EEXIST)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not create directory \"%s\": %m", SAVE_DIRECTORY)));
		return false;
	}

	/* not a transient file: with those, running out of them is an error */
	fd = BasicOpenFile(SAVE_FILE_TEMP, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	if (fd < 0)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", SAVE_FILE_TEMP)));
		return false;
	}
	while (done < size)
	{
		ssize_t		n;

		errno = 0;
		n = write(fd, data + done, size - done);
		if (n > 0)
			done += n;
		else if (n == 0 || errno != EINTR)
			break;
	}
	if (done < size || pg_fsync(fd) != 0)
	{
		/* a write that wrote nothing and gave no reason: the disk is full */
		if (errno == 0)
			errno = ENOSPC;
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", SAVE_FILE_TEMP)));
		close(fd);
		return false;
	}
	if (close(fd) != 0)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m", SAVE_FILE_TEMP)));
		return false;
	}
	return true;
}

/*
 * Saves the windows if they changed since they were last saved.
 */
void
fg_budget_file_save(bool use_locks)
{
	uint64		changes;

	if (use_locks)
		LWLockAcquire(&fg_budget_shared->file_lock.lock, LW_EXCLUSIVE);

	/* read before the windows are: what comes after it is for the next time */
	changes = pg_atomic_read_u64(&fg_budget_shared->changes);
	pg_memory_barrier();
	if (changes != pg_atomic_read_u64(&fg_budget_shared->saved))
	{
		Size		size;
		char	   *data = windows_serialize(use_locks, &size);

		if (data == NULL)
			ereport(LOG,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("could not save the windows of fortress_guard: out of memory")));
		else if (!write_file(data, size))
			(void) unlink(SAVE_FILE_TEMP);
		else if (durable_rename(SAVE_FILE_TEMP, SAVE_FILE, LOG) == 0)
			pg_atomic_write_u64(&fg_budget_shared->saved, changes);
		free(data);
	}

	if (use_locks)
		LWLockRelease(&fg_budget_shared->file_lock.lock);
}

/*
 * Enters the windows of a file's contents; false if they are damaged.  No locks
 * are needed: no other process is running yet.
 */
static bool
windows_deserialize(const char *data, Size size)
{
	TimestampTz now = GetCurrentTimestamp();
	FgSaveHeader header;
	pg_crc32c	crc;
	pg_crc32c	saved_crc;
	const char *place = data + sizeof(header);
	const char *end;
	uint64		n_lost = 0;

	if (size < sizeof(header) + sizeof(crc))
		return false;
	memcpy(&header, data, sizeof(header));
	if (header.magic != SAVE_MAGIC || header.version != SAVE_VERSION ||
		header.length != size - sizeof(header) - sizeof(crc))
		return false;
	end = place + header.length;
	memcpy(&saved_crc, end, sizeof(saved_crc));
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, sizeof(header) + header.length);
	FIN_CRC32C(crc);
	if (!EQ_CRC32C(crc, saved_crc))
		return false;

	for (uint64 i = 0; i < header.n_windows; i++)
	{
		FgSaveRecord record;
		FgWindow	saved = {0};
		FgWindow   *window;
		TimestampTz expiry;
		uint32		hashcode;

		if (end - place < sizeof(record))
			return false;
		memcpy(&record, place, sizeof(record));
		place += sizeof(record);
		if (record.key.interval <= 0 || (record.present >> FG_N_BUCKETS) != 0 ||
			end - place < pg_popcount64(record.present) * sizeof(int64))
			return false;

		saved.key = record.key;
		saved.newest = record.newest;
		for (int slot = 0; slot < FG_N_BUCKETS; slot++)
		{
			if ((record.present & (UINT64CONST(1) << slot)) == 0)
				continue;
			memcpy(&saved.used[slot], place, sizeof(int64));
			place += sizeof(int64);
		}

		if (!fg_window_expiry(&saved, now, &expiry))
			continue;
		hashcode = get_hash_value(fg_windows, &record.key);
		window = fg_window_enter(&record.key, hashcode, now);
		if (window == NULL)
		{
			n_lost++;
			continue;
		}
		window->newest = saved.newest;
		fg_window_fill(window, saved.used);
		fg_window_unpin(window, hashcode, now);
	}
	if (n_lost > 0)
		ereport(LOG,
				(errmsg("could not load " UINT64_FORMAT " windows of fortress_guard: there is no room for them", n_lost),
				 errhint("Set fortress.max_windows at least as high as it was.")));
	return true;
}

/*
 * Loads the file, if there is one.
 */
void
fg_budget_file_load(void)
{
	int			fd;
	struct stat st;
	char	   *data;
	Size		size;
	Size		done = 0;
	bool		damaged = true;

	fd = BasicOpenFile(SAVE_FILE, O_RDONLY | PG_BINARY);
	if (fd < 0)
	{
		if (errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not open file \"%s\": %m", SAVE_FILE),
					 errdetail("The windows of fortress_guard begin empty.")));
		return;
	}
	if (fstat(fd, &st) != 0)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", SAVE_FILE),
				 errdetail("The windows of fortress_guard begin empty.")));
		close(fd);
		return;
	}

	size = (Size) st.st_size;
	data = malloc(Max(size, 1));
	if (data != NULL)
	{
		while (done < size)
		{
			ssize_t		n = read(fd, data + done, size - done);

			if (n > 0)
				done += n;
			else if (n == 0 || errno != EINTR)
				break;
		}
		damaged = (done < size) || !windows_deserialize(data, size);
		free(data);
	}
	close(fd);

	if (damaged)
	{
		HASH_SEQ_STATUS scan;
		FgWindow   *window;

		/* what came in before the damage showed is not to be trusted either */
		hash_seq_init(&scan, fg_windows);
		while ((window = (FgWindow *) hash_seq_search(&scan)) != NULL)
			hash_search(fg_windows, &window->key, HASH_REMOVE, NULL);
		ereport(LOG,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("could not load the windows of fortress_guard from file \"%s\"", SAVE_FILE),
				 errdetail("The file is damaged or too large. The windows begin empty.")));
	}
}

