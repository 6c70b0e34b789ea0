/*-------------------------------------------------------------------------
 *
 * fg_ddl_drop.h
 *		What is dropped and truncated.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DDL_DROP_H
#define FG_DDL_DROP_H

#include "postgres.h"
#include "catalog/objectaccess.h"
#include "fg_ddl_command.h"

/* An object is about to go (OAT_DROP), or a table about to be emptied (OAT_TRUNCATE). */
extern void fg_ddl_drop_access(ObjectAccessType access, Oid class_id, Oid object, int sub_id,
							   void *arg);
/* The command has ended: asks for what it took from tables that are still there. */
extern void fg_ddl_drop_finish(FgDdlCommand *command);
extern void fg_ddl_drop_setup(void);	/* transaction callbacks, once at load */

#endif							/* FG_DDL_DROP_H */
