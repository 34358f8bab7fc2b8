"""A DAG for Airflow 3: audit what is due, every hour; a match fails the task, and with it whoever is to be called."""

from datetime import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("metav_audit_watch", schedule="17 * * * *", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1):
    BashOperator(
        task_id="watch",
        bash_command="metav-audit watch {{ var.value.get('metav_audit_fleet', '/srv/watch/fleet.toml') }}",
        skip_on_exit_code=[3],  # inconclusive
        retries=0,  # the next run goes on where this one stopped
    )
