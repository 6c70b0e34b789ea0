/*-------------------------------------------------------------------------
 *
 * fg_types.h
 *		The words of the guard as C types: operations, modes, limits.
 *
 * Floor 0.  The texts that users see for each of them are in fg_types.c, the
 * only place that translates between the two.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_TYPES_H
#define FG_TYPES_H

#include "postgres.h"

/* what is being done to a protected table, or to the guard itself */
typedef enum FgOperation
{
	FG_OP_DELETE = 0,
	FG_OP_UPDATE,
	FG_OP_TRUNCATE,
	FG_OP_DDL,
	FG_OP_ADMIN
} FgOperation;

#define FG_N_OPERATIONS		5
#define FG_N_ROW_OPERATIONS 2	/* delete and update: the ones with limits */
#define FG_OP_BIT(op)		(1 << (op))

/* in order of strength, so that a smaller value is a weaker policy */
typedef enum FgMode
{
	FG_MODE_OFF = 0,
	FG_MODE_AUDIT,
	FG_MODE_BLOCK
} FgMode;

typedef enum FgPer
{
	FG_PER_STATEMENT = 0,
	FG_PER_TRANSACTION,
	FG_PER_INTERVAL
} FgPer;

typedef enum FgBy
{
	FG_BY_ROLE = 0,
	FG_BY_CLIENT,
	FG_BY_TABLE
} FgBy;

/* bits of a policy's "archive" */
#define FG_ARCHIVE_NONE		0
#define FG_ARCHIVE_DELETE	FG_OP_BIT(FG_OP_DELETE)
#define FG_ARCHIVE_UPDATE	FG_OP_BIT(FG_OP_UPDATE)

typedef struct FgLimit
{
	FgOperation op;				/* FG_OP_DELETE or FG_OP_UPDATE */
	FgPer		per;
	int64		interval;		/* microseconds, for FG_PER_INTERVAL, else 0 */
	FgBy		by;
	int64		max_rows;		/* -1: max_fraction counts */
	double		max_fraction;	/* part of reltuples; -1: max_rows counts */
} FgLimit;

/* One parse_ function for each; they raise 22023 for an unknown text. */
extern FgOperation fg_parse_operation(const char *text);
extern FgMode fg_parse_mode(const char *text);
extern FgBy fg_parse_by(const char *text);
extern int	fg_parse_archive(const char *text);
extern void fg_parse_per(const char *text, FgPer *per, int64 *interval);

/* The names are constants, except that fg_per_name pallocs for intervals. */
extern const char *fg_operation_name(FgOperation op);
extern const char *fg_mode_name(FgMode mode);
extern const char *fg_by_name(FgBy by);
extern const char *fg_archive_name(int archive);
extern const char *fg_per_name(FgPer per, int64 interval);

#endif							/* FG_TYPES_H */
