import os

from django.db import migrations


def unlock(apps, schema_editor):
    """Test databases are not guarded and have no token."""
    if 'SHOP_UNLOCK' in os.environ:
        with schema_editor.connection.cursor() as cursor:
            cursor.execute('SELECT fortress.unlock(%s)', [os.environ['SHOP_UNLOCK']])


def fill(apps, schema_editor):
    order = apps.get_model('shop', 'Order')
    order.objects.filter(remark='').exclude(legacy_code='').update(remark='legacy')


class Migration(migrations.Migration):
    """Needs a token for "ddl" and "update", which it redeems itself: the
    migration is one transaction."""

    dependencies = [('shop', '0004_rename')]
    operations = [
        migrations.RunPython(unlock, migrations.RunPython.noop),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RemoveField('Order', 'legacy_code'),
    ]
