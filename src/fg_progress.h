/*-------------------------------------------------------------------------
 *
 * fg_progress.h
 *		What restores, undrops and purges that are running have done so far.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_PROGRESS_H
#define FG_PROGRESS_H

#include "postgres.h"

typedef enum FgPhase
{
	FG_PHASE_READING,			/* which archived rows are chosen */
	FG_PHASE_WRITING,			/* rows are put back, or removed */
	FG_PHASE_SEQUENCES,			/* sequences are moved beyond what came back */
	FG_PHASE_MOVING,			/* a table leaves the trash */
	FG_PHASE_MAKING,			/* what went with it is made anew */
	FG_PHASE_VALIDATING			/* constraints are validated, indexes built */
} FgPhase;

extern Size fg_progress_shmem_size(void);
extern void fg_progress_shmem_init(void);
extern void fg_progress_setup(void);	/* transaction callbacks, once at load */

/*
 * A command begins, "restore" say: from now on other sessions see it, until
 * fg_progress_end() or the end of the (sub)transaction by abort.  Within another
 * one nothing is shown.
 */
extern void fg_progress_begin(const char *command);
/* What it does now, to which relation, and to how many rows, or pieces of a table (-1: not known). */
extern void fg_progress_phase(FgPhase phase, Oid relid, int64 total);
/* So many more are done. */
extern void fg_progress_add(int64 rows);
extern void fg_progress_end(void);

#endif							/* FG_PROGRESS_H */
