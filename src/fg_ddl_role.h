/*-------------------------------------------------------------------------
 *
 * fg_ddl_role.h
 *		The roles of the guard and exempt roles are out of reach.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DDL_ROLE_H
#define FG_DDL_ROLE_H

#include "postgres.h"
#include "nodes/nodes.h"

/*
 * Before a command on roles runs, in any database: raises ZG011 if it reaches
 * one that is guarded and there is no permission.  Any statement will do.
 */
extern void fg_ddl_role_check(Node *stmt);

#endif							/* FG_DDL_ROLE_H */
