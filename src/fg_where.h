/*-------------------------------------------------------------------------
 *
 * fg_where.h
 *		Has an UPDATE or DELETE a condition on the rows it changes?
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_WHERE_H
#define FG_WHERE_H

#include "postgres.h"
#include "nodes/plannodes.h"

/*
 * True if the plan leaves out rows of the target by some condition that
 * concerns them, or touches no row at all.
 */
extern bool fg_where_restricts(const ModifyTable *plan);

#endif							/* FG_WHERE_H */
