/*-------------------------------------------------------------------------
 *
 * fg_ddl.h
 *		Watching commands: what they drop or truncate, and what they change
 *		that the guard must follow.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_DDL_H
#define FG_DDL_H

#include "postgres.h"

/* Installs the utility and object access hooks; once at load. */
extern void fg_ddl_setup(void);

#endif							/* FG_DDL_H */
