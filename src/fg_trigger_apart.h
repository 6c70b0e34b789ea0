/*-------------------------------------------------------------------------
 *
 * fg_trigger_apart.h
 *		Rows of partitions that archive for themselves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TRIGGER_APART_H
#define FG_TRIGGER_APART_H

#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "fg_shadow.h"

typedef struct FgApart FgApart;

/*
 * Where partitions of a partitioned table have policies of their own, replaces a
 * statement's transition tables by such without their rows, and moves the notes
 * in step ("new" may be NULL, "own", too).  Returns what has to be ended
 * afterwards; NULL: nothing was replaced.  Their first read pointers are moved.
 */
extern FgApart *fg_apart_begin(Relation rel, Tuplestorestate **old, Tuplestorestate **new, FgOwnRows *own);
extern void fg_apart_end(FgApart *apart);	/* NULL: does nothing */

#endif							/* FG_TRIGGER_APART_H */
