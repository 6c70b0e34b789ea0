/*-------------------------------------------------------------------------
 *
 * fg_restore_keys.h
 *		Are the keys of the chosen images all different?
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RESTORE_KEYS_H
#define FG_RESTORE_KEYS_H

#include "postgres.h"
#include "tcop/dest.h"

typedef enum FgKeyVerdict
{
	FG_KEYS_UNFIT,				/* other images than were asked for, or a NULL */
	FG_KEYS_AGAIN,				/* not known yet: run the query once more */
	FG_KEYS_DIFFERENT,
	FG_KEYS_REPEATED			/* perhaps some are alike */
} FgKeyVerdict;

typedef struct FgKeys FgKeys;

/*
 * For images with one of these fg_op and at least so many fg_natts; "not_own":
 * and not of rows that their transaction had put in itself.  The receiver wants
 * rows of fg_op, fg_how, fg_natts, ctid or NULL, and the key columns.
 */
extern FgKeys *fg_keys_begin(const char *operations, int n_operations, bool not_own, int least_natts);
extern DestReceiver *fg_keys_receiver(FgKeys *keys);
/* After the query; "rows" gets the number of images of each operation. */
extern FgKeyVerdict fg_keys_verdict(FgKeys *keys, int64 *rows);
/* Where the first and the last of them lie; invalid if there are none, or nobody told. */
extern void fg_keys_range(const FgKeys *keys, ItemPointer first, ItemPointer last);
/* Do they come in ascending order? */
extern bool fg_keys_ascend(const FgKeys *keys);
extern void fg_keys_end(FgKeys *keys);

#endif							/* FG_RESTORE_KEYS_H */
