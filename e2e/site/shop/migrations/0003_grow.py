from django.db import migrations, models


class Migration(migrations.Migration):
    """What only adds to a protected table needs no permission."""

    dependencies = [('shop', '0002_protect')]
    operations = [
        migrations.AddField('Order', 'express', models.BooleanField(default=False)),
        migrations.AlterField('Order', 'note', models.CharField(max_length=200, default='')),
        migrations.AddIndex('Order', models.Index(fields=['total'], name='order_total')),
    ]
