/*-------------------------------------------------------------------------
 *
 * fg_compat.h
 *		What differs between PostgreSQL versions, and nothing else.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_COMPAT_H
#define FG_COMPAT_H

#include "postgres.h"
#include "storage/proc.h"

#if PG_VERSION_NUM < 150000
#error "fortress_guard needs PostgreSQL 15 or later"
#endif

/* the number of this backend's running transaction, also before it has an xid */
#if PG_VERSION_NUM >= 170000
#define FG_MY_LXID	(MyProc->vxid.lxid)
#else
#define FG_MY_LXID	(MyProc->lxid)
#endif

#endif							/* FG_COMPAT_H */
