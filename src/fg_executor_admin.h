/*-------------------------------------------------------------------------
 *
 * fg_executor_admin.h
 *		The guard guards itself against statements that write rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_EXECUTOR_ADMIN_H
#define FG_EXECUTOR_ADMIN_H

#include "postgres.h"
#include "executor/execdesc.h"

/*
 * Before a query starts: raises ZG011 if it writes tables of the guard, or
 * catalogs, and there is no permission.
 */
extern void fg_executor_admin_check(QueryDesc *queryDesc);

#endif							/* FG_EXECUTOR_ADMIN_H */
