/*-------------------------------------------------------------------------
 *
 * fg_ddl_table.h
 *		Commands that change protected tables without dropping them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DDL_TABLE_H
#define FG_DDL_TABLE_H

#include "postgres.h"
#include "catalog/objectaccess.h"
#include "nodes/plannodes.h"
#include "fg_ddl_command.h"

/*
 * Before a command: asks for what its text says.  Returns the statement to be
 * run, which may be a copy with qualified names.
 */
extern PlannedStmt *fg_ddl_table_utility(PlannedStmt *pstmt, FgDdlCommand *command);
/* An object was changed (OAT_POST_ALTER) or made (OAT_POST_CREATE). */
extern void fg_ddl_table_access(ObjectAccessType access, Oid class_id, Oid object, int sub_id,
								void *arg);

#endif							/* FG_DDL_TABLE_H */
