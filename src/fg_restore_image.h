/*-------------------------------------------------------------------------
 *
 * fg_restore_image.h
 *		Makes rows of a table from the images in its shadow, as bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FG_RESTORE_IMAGE_H
#define FG_RESTORE_IMAGE_H

#include "postgres.h"
#include "access/htup.h"
#include "utils/rel.h"

/* Are the columns of the shadow, behind the metadata, those of the table? */
extern bool fg_image_alike(Relation rel, Relation shadow);
/* The row that an image is of; palloc'd in one piece. */
extern HeapTuple fg_image_row(HeapTuple image, Relation rel, Relation shadow);

#endif							/* FG_RESTORE_IMAGE_H */
