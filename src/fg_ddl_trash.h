/*-------------------------------------------------------------------------
 *
 * fg_ddl_trash.h
 *		Commands that drop protected tables: these go to the trash.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DDL_TRASH_H
#define FG_DDL_TRASH_H

#include "postgres.h"
#include "catalog/objectaccess.h"
#include "nodes/plannodes.h"
#include "utils/queryenvironment.h"

/*
 * Moves the protected tables that a command would drop to the trash, having
 * asked for each; returns the command that is left to be run, which may be the
 * one given.  Raises the server's errors if it would not let the command pass.
 */
extern PlannedStmt *fg_ddl_trash_take(PlannedStmt *pstmt, const char *query,
									  ParamListInfo params, QueryEnvironment *environment);

/* While a command is only tried: notes an object; true: there is no more to do about it. */
extern bool fg_ddl_trash_access(ObjectAccessType access, Oid class_id, Oid object, int sub_id);

#endif							/* FG_DDL_TRASH_H */
