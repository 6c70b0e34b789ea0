from django.db import migrations


class Migration(migrations.Migration):
    """The owner of a table may protect it.  To unprotect it is an administrator's business."""

    dependencies = [('shop', '0001_initial')]
    operations = [
        migrations.RunSQL("SELECT fortress.protect('shop_order', delete_rows => 10, update_rows => 10)",
                          migrations.RunSQL.noop),
        migrations.RunSQL("SELECT fortress.protect('shop_line', delete_rows => 100, update_rows => 100)",
                          migrations.RunSQL.noop),
    ]
