/*-------------------------------------------------------------------------
 *
 * fg_ddl_admin.h
 *		The guard guards itself against commands.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DDL_ADMIN_H
#define FG_DDL_ADMIN_H

#include "postgres.h"
#include "catalog/objectaccess.h"
#include "nodes/plannodes.h"
#include "tcop/utility.h"

/*
 * Before a command runs: raises ZG011 if it changes what is the guard's own by
 * a side road and there is no permission.
 */
extern void fg_ddl_admin_utility(PlannedStmt *pstmt, ProcessUtilityContext context);
/* The same for each object that a command creates, alters or drops. */
extern void fg_ddl_admin_access(ObjectAccessType access, Oid classId, Oid objectId,
								int subId, void *arg);
/*
 * Has the command that runs begun to drop the guard's tables, with permission?
 * Then they can't be read any more; the hook above refuses to drop protected
 * tables besides.
 */
extern bool fg_ddl_admin_tables_go(void);

#endif							/* FG_DDL_ADMIN_H */
