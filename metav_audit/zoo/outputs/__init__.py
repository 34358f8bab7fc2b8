"""The owner's side of each kind of output, in torch: a file a kind; ``metav_audit.task.outputs`` is the auditor's."""
