from django.db import migrations, models
import django.db.models.deletion


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel('Customer', [
            ('id', models.BigAutoField(primary_key=True)),
            ('name', models.CharField(max_length=50)),
        ]),
        migrations.CreateModel('Order', [
            ('id', models.BigAutoField(primary_key=True)),
            ('customer', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='shop.customer')),
            ('total', models.DecimalField(max_digits=10, decimal_places=2)),
            ('note', models.CharField(max_length=50, default='')),
            ('legacy_code', models.CharField(max_length=10, default='')),
        ]),
        migrations.CreateModel('Line', [
            ('id', models.BigAutoField(primary_key=True)),
            ('order', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='shop.order')),
            ('article', models.CharField(max_length=50)),
        ]),
        migrations.CreateModel('Note', [
            ('id', models.BigAutoField(primary_key=True)),
            ('text', models.TextField()),
        ]),
    ]
