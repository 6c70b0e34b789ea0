from django.db import migrations


class Migration(migrations.Migration):
    """Needs a token for "ddl", which the connection brings along."""

    dependencies = [('shop', '0003_grow')]
    operations = [migrations.RenameField('Order', 'note', 'remark')]
