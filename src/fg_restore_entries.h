/*-------------------------------------------------------------------------
 *
 * fg_restore_entries.h
 *		Puts many entries into a btree that come in its order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RESTORE_ENTRIES_H
#define FG_RESTORE_ENTRIES_H

#include "postgres.h"
#include "access/itup.h"
#include "utils/relcache.h"

/* What is known of one index while entries are put in */
typedef struct FgEntries FgEntries;

/*
 * For a btree that checks at once what it has to check.  Lives in the current
 * memory context.
 */
extern FgEntries *fg_entries_begin(Relation index, Relation heap);
/*
 * Puts entries in, as index_insert() would one by one: those of a unique index
 * that conflict raise its error.  Any order is right; that of the index is fast.
 * Leaves garbage in the current memory context.
 */
extern void fg_entries_put(FgEntries *entries, IndexTuple *tuples, int n_tuples);

#endif							/* FG_RESTORE_ENTRIES_H */
