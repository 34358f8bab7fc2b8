"""The auditor's client: pacing, retries, budget, journal, adapter discovery, the adapter contract check."""

from __future__ import annotations

from metav_audit.audit.blind import control_endpoints, control_names, gather_controls, put_controls, signed_beside
from metav_audit.audit.client import audit_endpoint, audit_endpoint_async
from metav_audit.audit.control import control_record, with_control
from metav_audit.audit.endpoint.file import Endpoint, Operator, load_endpoints, load_operator
from metav_audit.audit.endpoint.grant import Grant
from metav_audit.audit.endpoint.limits import Limits
from metav_audit.audit.endpoint.secrets import fill_in, variables_in
from metav_audit.audit.endpoint.tables import table_lines
from metav_audit.audit.enrol import enrol_session
from metav_audit.audit.fleet import Audited, audit_side_by_side
from metav_audit.audit.folder import audit_into_folder, earlier_audits, prepare_folder
from metav_audit.audit.gather import gather, identity_of, requests_for
from metav_audit.audit.glance import glance
from metav_audit.audit.run import Progress
from metav_audit.audit.shared import ALONE, Among, check_beside, shared_inputs
from metav_audit.audit.wire.posting import host_to_post_to, post
from metav_audit.audit.wire.stamping import post_time_stamp_query

__all__ = [
    "ALONE",
    "Among",
    "Audited",
    "Endpoint",
    "Grant",
    "Limits",
    "Operator",
    "Progress",
    "audit_endpoint",
    "audit_endpoint_async",
    "audit_into_folder",
    "audit_side_by_side",
    "check_beside",
    "control_endpoints",
    "control_names",
    "control_record",
    "earlier_audits",
    "enrol_session",
    "fill_in",
    "gather",
    "gather_controls",
    "glance",
    "host_to_post_to",
    "identity_of",
    "load_endpoints",
    "load_operator",
    "post",
    "post_time_stamp_query",
    "prepare_folder",
    "put_controls",
    "requests_for",
    "shared_inputs",
    "signed_beside",
    "table_lines",
    "variables_in",
    "with_control",
]
