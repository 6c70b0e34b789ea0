/*-------------------------------------------------------------------------
 *
 * fg_errors.h
 *		SQLSTATEs of fortress_guard: class ZG.
 *
 * The class is outside every range that the SQL standard or PostgreSQL
 * reserves, so that an application can tell the guard's refusals from any
 * other error by the first two characters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_ERRORS_H
#define FG_ERRORS_H

#include "utils/elog.h"

#define ERRCODE_FG_ROW_LIMIT_EXCEEDED		MAKE_SQLSTATE('Z','G','0','0','1')
#define ERRCODE_FG_WINDOW_LIMIT_EXCEEDED	MAKE_SQLSTATE('Z','G','0','0','2')
#define ERRCODE_FG_WHERE_REQUIRED			MAKE_SQLSTATE('Z','G','0','0','3')
#define ERRCODE_FG_TRUNCATE_REFUSED			MAKE_SQLSTATE('Z','G','0','0','4')
#define ERRCODE_FG_DDL_REFUSED				MAKE_SQLSTATE('Z','G','0','0','5')
#define ERRCODE_FG_LOCKDOWN					MAKE_SQLSTATE('Z','G','0','0','6')
#define ERRCODE_FG_QUARANTINED				MAKE_SQLSTATE('Z','G','0','0','7')
#define ERRCODE_FG_NETWORK_REFUSED			MAKE_SQLSTATE('Z','G','0','0','8')
#define ERRCODE_FG_INVALID_TOKEN			MAKE_SQLSTATE('Z','G','0','0','9')
#define ERRCODE_FG_GUARD_TAMPERED			MAKE_SQLSTATE('Z','G','0','1','0')
#define ERRCODE_FG_GUARD_PROTECTED			MAKE_SQLSTATE('Z','G','0','1','1')
#define ERRCODE_FG_RESTORE_CONFLICT			MAKE_SQLSTATE('Z','G','0','1','2')
#define ERRCODE_FG_ARCHIVE_FAILED			MAKE_SQLSTATE('Z','G','0','1','3')

#endif							/* FG_ERRORS_H */
