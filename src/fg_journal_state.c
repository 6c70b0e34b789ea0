/*-------------------------------------------------------------------------
 *
 * fg_journal_state.c
 *		How the journal of this database is doing, for people.
 *
 * Whether events can be recorded shows for sure only when one is.  Short of that,
 * a small file is written, synced and removed where the journals are, which
 * fails for the same reasons: rights, a full disk, a file system that is
 * read-only or broken.  It has no name of a journal's, and the same one each
 * time, so that one left behind by a crash does no harm.
 *
 * Locks: the table lock and the append lock, shared, for numbers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "miscadmin.h"

#include "fg_journal_file.h"
#include "fg_journal_state.h"

#define TRIAL_FILE			"pg_fortress/trial"

/* Tries to write; what failed, or NULL. */
static const char *
try_to_write(void)
{
	static const char block[FG_JOURNAL_BEGIN] = "fortress_guard";
	const char *failed = NULL;
	int			save_errno = 0;
	int			fd = fg_journal_open(TRIAL_FILE, O_RDWR | O_CREAT);

	if (fd < 0)
		return "create";
	if (!fg_journal_write(fd, TRIAL_FILE, block, sizeof(block), 0))
		failed = "write";
	else if (!fg_journal_flush(fd, TRIAL_FILE))
		failed = "fsync";
	if (failed != NULL)
		save_errno = errno;
	close(fd);
	if (!fg_journal_remove(TRIAL_FILE) && failed == NULL)
		return "remove";
	if (failed != NULL)
		errno = save_errno;
	return failed;
}

void
fg_journal_look(FgJournalState *state)
{
	FgJournal  *journal;
	bool		quiet = fg_journal_quiet;

	memset(state, 0, sizeof(*state));
	state->path = TRIAL_FILE;
	if (fg_journal_shared == NULL)
		return;
	state->known = true;

	state->lost = pg_atomic_read_u64(&fg_journal_shared->lost);
	LWLockAcquire(&fg_journal_shared->table_lock.lock, LW_SHARED);
	journal = fg_journal_find(MyDatabaseId);
	if (journal != NULL)
	{
		LWLockAcquire(&journal->append_lock.lock, LW_SHARED);
		state->lost += pg_atomic_read_u64(&journal->lost);
		state->size = journal->older_size + journal->end;
		LWLockRelease(&journal->append_lock.lock);
	}
	LWLockRelease(&fg_journal_shared->table_lock.lock);

	fg_journal_quiet = true;	/* it is told to who asked */
	state->failed = try_to_write();
	state->error = errno;
	fg_journal_quiet = quiet;
}
