/*-------------------------------------------------------------------------
 *
 * fg_catalog_child.h
 *		The table fortress.subtransaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_CATALOG_CHILD_H
#define FG_CATALOG_CHILD_H

#include "postgres.h"
#include "access/transam.h"
#include "utils/array.h"
#include "utils/timestamp.h"

/* Keeps which subtransactions a transaction consisted of. */
extern void fg_catalog_put_children(FullTransactionId xid, const TransactionId *children, int n_children);
/* Their number, and palloc'd they themselves; 0 where none are known. */
extern int	fg_catalog_get_children(FullTransactionId xid, TransactionId **children);
/* Removes what was kept before a moment.  wait: also for others who do so. */
extern void fg_catalog_forget_children(TimestampTz before, bool wait);
/* A palloc'd xid[] */
extern ArrayType *fg_catalog_xid_array(const TransactionId *xids, int n_xids);

#endif							/* FG_CATALOG_CHILD_H */
