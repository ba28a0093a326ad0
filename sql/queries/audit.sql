-- name: add_audit_event
-- Every hand-made change, in the transaction of the change itself.
INSERT INTO audit_events (actor, action, subject, reason, before, after)
VALUES (:actor, :action, :subject, :reason, CAST(:before AS jsonb), CAST(:after AS jsonb));
