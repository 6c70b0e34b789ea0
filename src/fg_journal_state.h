/*-------------------------------------------------------------------------
 *
 * fg_journal_state.h
 *		How the journal of this database is doing, for people.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_JOURNAL_STATE_H
#define FG_JOURNAL_STATE_H

#include "postgres.h"

typedef struct FgJournalState
{
	bool		known;			/* false: the library is not preloaded */
	uint64		lost;			/* records that could not be written since the
								 * last one that could */
	uint64		size;			/* bytes of its files */
	const char *failed;			/* "create", "write" ...: what can't be done in
								 * its directory now, or NULL */
	int			error;			/* errno of that */
	const char *path;			/* of what it was tried on; a constant */
} FgJournalState;

/* Looks, and tries to write a small file; changes nothing of the journal. */
extern void fg_journal_look(FgJournalState *state);

#endif							/* FG_JOURNAL_STATE_H */
